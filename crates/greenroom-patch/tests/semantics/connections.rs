//! Making connections, and taking them.

use std::{
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    os::fd::{IntoRawFd, OwnedFd, RawFd},
    thread,
    time::{Duration, Instant},
};

use libc::{SHUT_RDWR, SOCK_CLOEXEC, SOCK_NONBLOCK};
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType, bind, listen, socket};

use crate::{
    calls::borrow,
    files::{
        Kind, STREAMS, address, bytes, pair, receive_timeout, send_timeout, set_nonblocking, udp,
    },
    raw,
    stage::{Cast, Stage, equal, equal_for, nap, perform},
};

fn unconnected(kind: Kind) -> OwnedFd {
    let (family, of) = match kind {
        Kind::Tcp => (AddressFamily::INET, SocketType::STREAM),
        Kind::Unix => (AddressFamily::UNIX, SocketType::STREAM),
        Kind::Seqpacket => (AddressFamily::UNIX, SocketType::SEQPACKET),
        Kind::Datagram => (AddressFamily::UNIX, SocketType::DGRAM),
        Kind::Udp => (AddressFamily::INET, SocketType::DGRAM),
        Kind::Pipe => unreachable!("no socket"),
    };
    socket(family, of, None).expect("a socket")
}

/// Who listens, with room for so many who are not accepted yet, and where.
fn listener(kind: Kind, room: i32) -> (OwnedFd, SocketAddrAny) {
    let listener = match kind {
        Kind::Tcp => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").into(),
        _ => {
            let listener = unconnected(kind);
            bind(&listener, &SocketAddrUnix::new_unnamed()).expect("the kernel chooses");
            listener
        }
    };
    listen(&listener, room).expect("it is bound");
    let address = address(&listener);
    (listener, address)
}

const LISTENING: [Kind; 3] = [Kind::Tcp, Kind::Unix, Kind::Seqpacket];

#[test]
fn a_connection_is_waited_for_and_has_its_flags_and_address() {
    for flags in [0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK] {
        equal_for(&LISTENING, |stage, kind| {
            let (listener, to) = listener(kind, 8);
            let listener = stage.keep(listener);
            let client = stage.keep(unconnected(kind));
            stage.actor("client", move |it| {
                it.while_waiting(1);
                it.connect(client, &to);
                it.connect(client, &to);
                it.send(client, b"hello", 0);
                it.recv(client, 8, 0);
            });
            stage.actor("server", move |it| {
                it.step(1);
                let new = it.accept4(listener, flags, 128);
                nap();
                it.recv(new, 8, 0);
                it.recv(new, 8, if flags & SOCK_NONBLOCK == 0 { libc::MSG_DONTWAIT } else { 0 });
                it.send(new, b"hello", 0);
                it.close(new);
            });
        });
    }
}

#[test]
fn accept_needs_no_address_and_cuts_a_long_one() {
    equal_for(&LISTENING, |stage, kind| {
        let (listener, to) = listener(kind, 8);
        let listener = stage.keep(listener);
        let clients = [(); 3].map(|()| stage.keep(unconnected(kind)));
        stage.actor("client", move |it| {
            for client in clients {
                nap();
                it.connect(client, &to);
            }
        });
        stage.actor("server", move |it| {
            let first = it.accept(listener);
            let second = it.accept4(listener, 0, 6);
            let third = it.accept4(listener, 0, 0);
            for new in [first, second, third] {
                it.close(new);
            }
        });
    });
}

#[test]
fn several_take_connections_from_one_listener() {
    equal_for(&STREAMS, |stage, kind| {
        let (listener, to) = listener(kind, 64);
        let listener = stage.keep(listener);
        for name in ["a", "b", "c"] {
            stage.actor(name, move |it| {
                for _ in 0..5 {
                    let new = it.accept(listener);
                    it.send(new, b"hello", 0);
                    it.close(new);
                }
            });
        }
        stage.actor("client", move |it| {
            for _ in 0..15 {
                let client = unconnected(kind).into_raw_fd();
                it.connect(client, &to);
                it.recv(client, 5, libc::MSG_WAITALL);
                it.close(client);
            }
        });
    });
}

#[test]
fn accept_ends_with_the_sockets_timeout_or_at_once() {
    equal_for(&LISTENING, |stage, kind| {
        let (listener, _) = listener(kind, 8);
        receive_timeout(&listener, 20);
        let listener = stage.keep(listener);
        stage.actor("server", move |it| {
            it.accept(listener);
            it.accept4(listener, 0, 128);
            set_nonblocking(borrow(listener), true);
            it.accept(listener);
            it.accept4(listener, SOCK_NONBLOCK, 128);
        });
        stage.actor("other", |it| it.note("looks on"));
    });
}

/// By design a green thread takes less than no time for none. For an OS thread there is no difference.
#[test]
fn accept_on_an_os_thread_ends_at_once_if_there_is_no_time_at_all() {
    let (listener, to) = listener(Kind::Tcp, 8);
    // Elsewhere in the process a file has been in another mode for a moment.
    let client = unconnected(Kind::Tcp).into_raw_fd();
    greenroom::spawn(move || raw::connect(client, &to)).join().expect("it went well");
    let no_time = libc::timeval { tv_sec: -1, tv_usec: 0 };
    raw::set_time(&listener, libc::SOL_SOCKET, libc::SO_RCVTIMEO, no_time);
    let listener = listener.into_raw_fd();
    let noted = perform(Cast::Nobody, &|stage: &mut Stage| {
        stage.actor("server", move |it| {
            let first = it.accept(listener);
            it.accept(listener);
            it.close(first);
        });
    });
    let again = "accept = -1, Resource temporarily unavailable (os error 11)";
    assert_eq!(noted["server"], ["accept = 0, untouched", again, "close = 0, untouched"]);
}

#[test]
fn accept_of_what_does_not_listen_is_refused_at_once() {
    equal(|stage| {
        let (tcp, unix, packets, datagrams, pipe) = (
            pair(Kind::Tcp),
            pair(Kind::Unix),
            pair(Kind::Seqpacket),
            pair(Kind::Datagram),
            pair(Kind::Pipe),
        );
        let mut all: Vec<RawFd> = Vec::new();
        for (one, other) in [tcp, unix, packets, datagrams, pipe] {
            all.push(stage.keep(one));
            stage.keep(other);
        }
        for kind in [Kind::Tcp, Kind::Unix, Kind::Seqpacket, Kind::Datagram, Kind::Udp] {
            all.push(stage.keep(unconnected(kind)));
        }
        all.push(stage.keep(udp()));
        all.push(-1);
        let (listener, _) = listener(Kind::Tcp, 8);
        let listener = stage.keep(listener);
        stage.actor("server", move |it| {
            for &fd in &all {
                it.accept(fd);
                it.accept4(fd, 0, 128);
            }
            it.accept4(listener, 0x7000_0000, 128);
        });
    });
}

#[test]
fn a_listener_that_is_shut_down_ends_the_wait() {
    equal_for(&LISTENING, |stage, kind| {
        let (listener, to) = listener(kind, 8);
        let listener = stage.keep(listener);
        let client = stage.keep(unconnected(kind));
        stage.actor("other", move |it| {
            it.while_waiting(1);
            it.shutdown(listener, SHUT_RDWR);
            it.step(2);
        });
        stage.actor("server", move |it| {
            it.step(1);
            it.accept(listener);
            it.accept(listener);
            it.after(2);
            it.connect(client, &to);
        });
    });
}

#[test]
fn connections_are_refused_as_ever() {
    equal(|stage| {
        let (gone, to) = listener(Kind::Tcp, 1);
        drop(gone);
        let (unix_gone, unix_to) = listener(Kind::Unix, 1);
        drop(unix_gone);
        let nowhere: SocketAddrAny =
            SocketAddrUnix::new("/nowhere/at/all").expect("it is short").into();
        let [tcp, unix, other] =
            [Kind::Tcp, Kind::Unix, Kind::Unix].map(|kind| stage.keep(unconnected(kind)));
        let (datagram, connected) = (stage.keep(udp()), pair(Kind::Tcp));
        let (connected, _) = (stage.keep(connected.0), stage.keep(connected.1));
        let pipe = stage.keep(pair(Kind::Pipe).0);
        stage.actor("client", move |it| {
            it.connect(tcp, &to);
            it.connect(tcp, &to);
            it.connect(unix, &unix_to);
            it.connect(other, &nowhere);
            it.connect(other, &to);
            it.connect(connected, &to);
            it.connect(pipe, &to);
            it.connect(-1, &to);
            it.connect(datagram, &to);
            it.connect(datagram, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1).into());
            it.recv(tcp, 8, 0);
            it.send(tcp, b"x", 0);
        });
    });
}

#[test]
fn a_full_queue_of_a_listener_is_waited_for() {
    equal_for(&[Kind::Unix, Kind::Seqpacket], |stage, kind| {
        let (listener, to) = listener(kind, 0);
        let listener = stage.keep(listener);
        let clients = [(); 3].map(|()| stage.keep(unconnected(kind)));
        stage.actor("client", move |it| {
            it.step(1);
            for client in clients {
                it.connect(client, &to);
            }
        });
        stage.actor("server", move |it| {
            it.while_waiting(1);
            for _ in 0..3 {
                let new = it.accept(listener);
                it.close(new);
                nap();
            }
        });
    });
}

#[test]
fn a_full_queue_and_a_timeout() {
    equal_for(&[Kind::Unix, Kind::Tcp], |stage, kind| {
        let (listener, to) = listener(kind, 0);
        let listener = stage.keep(listener);
        let clients: Vec<RawFd> = (0..4)
            .map(|_| {
                let client = unconnected(kind);
                send_timeout(&client, 30);
                stage.keep(client)
            })
            .collect();
        stage.actor("client", move |it| {
            let mut last = 0;
            for client in clients {
                last = client;
                it.connect(client, &to);
            }
            set_nonblocking(borrow(last), true);
            it.connect(last, &to);
        });
        stage.actor("server", move |it| {
            it.note(format_args!("never accepts from {}", listener.min(0)));
        });
    });
}

#[test]
fn without_waiting_a_connection_is_under_way() {
    equal(|stage| {
        let (listener, to) = listener(Kind::Tcp, 8);
        let listener = stage.keep(listener);
        let client = unconnected(Kind::Tcp);
        set_nonblocking(&client, true);
        let client = stage.keep(client);
        stage.actor("client", move |it| {
            it.connect(client, &to);
            thread::sleep(Duration::from_millis(20));
            it.connect(client, &to);
            it.connect(client, &to);
        });
        stage.actor("server", move |it| {
            let new = it.accept(listener);
            it.close(new);
        });
    });
}

#[test]
fn a_udp_socket_is_connected_anew() {
    equal(|stage| {
        let (one, other, third) = (udp(), udp(), udp());
        let (to_other, to_third) = (address(&other), address(&third));
        let one = stage.keep(one);
        let (other, third) = (stage.keep(other), stage.keep(third));
        stage.actor("one", move |it| {
            it.connect(one, &to_other);
            it.send(one, b"other", 0);
            it.connect(one, &to_third);
            it.send(one, b"third", 0);
        });
        stage.actor("both", move |it| {
            it.recv(other, 8, 0);
            it.recv(third, 8, 0);
        });
    });
}

/// The call that has the first bytes makes the connection, and waits for both.
#[test]
fn first_bytes_may_begin_the_connection() {
    for (is_asked, by_option) in [(false, false), (false, true), (true, false), (true, true)] {
        equal_for(&[1, 2, 100_000], |stage, length| {
            let (listener, to) = listener(Kind::Tcp, 8);
            if is_asked {
                raw::set_option(&listener, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 5);
            }
            let client = unconnected(Kind::Tcp);
            if by_option {
                raw::set_option(&client, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1);
            }
            let (listener, client) = (stage.keep(listener), client.into_raw_fd());
            stage.actor("client", move |it| {
                if !by_option {
                    it.sendto(client, &bytes(length), libc::MSG_FASTOPEN, &to);
                } else {
                    it.connect(client, &to);
                    match length {
                        2 => it.sendmmsg(client, &[&bytes(1), &bytes(1)], 0),
                        _ => it.write(client, &bytes(length)),
                    };
                }
                it.close(client);
            });
            stage.actor("server", move |it| {
                let new = it.accept(listener);
                it.recv(new, length + 1, libc::MSG_WAITALL);
                it.close(new);
            });
        });
    }
}

#[test]
fn first_bytes_that_nobody_takes_are_refused() {
    equal(|stage| {
        let (listener, to) = listener(Kind::Tcp, 8);
        drop(listener);
        let clients = [(); 2].map(|()| stage.keep(unconnected(Kind::Tcp)));
        stage.actor("client", move |it| {
            let [waits, does_not] = clients;
            it.sendto(waits, b"hello", libc::MSG_FASTOPEN, &to);
            it.send(waits, b"hello", libc::MSG_NOSIGNAL);
            set_nonblocking(borrow(does_not), true);
            it.sendto(does_not, b"hello", libc::MSG_FASTOPEN, &to);
            nap();
            it.send(does_not, b"hello", libc::MSG_NOSIGNAL);
        });
        stage.actor("other", |it| it.note("looks on"));
    });
}

/// By design. Where the kernel knows no virtual machines, it says so at once, and there is nothing to wait for.
#[test]
fn a_connection_between_virtual_machines_keeps_the_os_thread() {
    equal(|stage| {
        stage.actor("client", raw::connect_to_machine);
        stage.actor("other", |it| it.note("looks on"));
    });
    let slept = perform(Cast::Everybody, &|stage: &mut Stage| {
        stage.actor("client", |it| {
            it.after(1);
            let begin = Instant::now();
            raw::connect_to_machine(it);
            it.note(begin.elapsed().as_millis());
        });
        stage.actor("other", |it| {
            it.step(1);
            let begin = Instant::now();
            nap();
            it.note(begin.elapsed().as_millis());
        });
    });
    let millis = |name| slept[name].last().and_then(|last| last.parse::<u128>().ok());
    let (waited, slept) = (millis("client").expect("a time"), millis("other").expect("a time"));
    assert!(slept + 50 >= waited, "{slept} ms of {waited} ms");
}
