//! Unix datagrams: each call means what std's means, and a full receiver is waited for.

use std::{
    cell::Cell,
    io::ErrorKind,
    net::Shutdown,
    os::{linux::net::SocketAddrExt, unix::net::SocketAddr},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    Instant, JoinHandle,
    hub::{self, Backend},
    net::UnixDatagram,
    spawn,
    testing::run_on,
};

use crate::{
    stage::{joined, on_each_backend},
    unix_stream::{Place, nowhere},
};

/// More messages than any receiver's queue holds, and a sender's buffer too.
const MANY: u32 = 3000;

#[test]
fn messages_arrive_whole_with_their_senders_address() {
    on_each_backend(|| {
        let (place, other_place) = (Place::new(), Place::new());
        let here = UnixDatagram::bind(&place.0).unwrap();
        let there = UnixDatagram::bind(&other_place.0).unwrap();
        assert_eq!(here.local_addr().unwrap().as_pathname(), Some(&*place.0));
        let (path, other_path) = (place.0.clone(), other_place.0.clone());
        let receiver = spawn(move || {
            let mut bytes = [0; 16];
            let (count, sender) = there.recv_from(&mut bytes).unwrap();
            assert_eq!((&bytes[..count], sender.as_pathname()), (&b"one"[..], Some(&*path)));
            let (count, sender) = there.recv_from(&mut bytes).unwrap();
            assert_eq!((&bytes[..count], sender.is_unnamed()), (&b"two"[..], true));
            // What does not fit is lost.
            assert_eq!(there.recv(&mut bytes[..2]).unwrap(), 2);
            assert_eq!(there.recv(&mut bytes).unwrap(), 4);
        });
        greenroom::yield_now();
        here.send_to(b"one", &other_path).unwrap();
        UnixDatagram::unbound().unwrap().send_to(b"two", &other_path).unwrap();
        here.send_to(b"three", &other_path).unwrap();
        here.send_to(b"four", &other_path).unwrap();
        joined(receiver);
        let nobody = here.send_to(b"x", &other_path).unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn abstract_names_are_addresses_too() {
    on_each_backend(|| {
        let address = nowhere();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        let chosen = SocketAddr::from_pathname("").unwrap();
        let sender = UnixDatagram::bind_addr(&chosen).unwrap();
        sender.send_to_addr(b"named", &address).unwrap();
        let mut bytes = [0; 8];
        let (count, from) = receiver.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"named");
        let own = sender.local_addr().unwrap();
        assert!(own.as_abstract_name().is_some());
        assert_eq!(from.as_abstract_name(), own.as_abstract_name());

        assert_eq!(sender.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(sender.send(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
        sender.connect_addr(&address).unwrap();
        let peer = sender.peer_addr().unwrap();
        assert_eq!(peer.as_abstract_name(), address.as_abstract_name());
        assert_eq!(sender.send(b"connected").unwrap(), 9);
        assert_eq!(receiver.recv(&mut bytes).unwrap(), 8);
    });
}

#[test]
fn connecting_with_a_path_is_connecting() {
    on_each_backend(|| {
        let place = Place::new();
        let socket = UnixDatagram::unbound().unwrap();
        assert_eq!(socket.connect(&place.0).unwrap_err().kind(), ErrorKind::NotFound);
        let receiver = UnixDatagram::bind(&place.0).unwrap();
        socket.connect(&place.0).unwrap();
        socket.send(b"hello").unwrap();
        assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 5);
    });
}

/// Receives all of `MANY` messages, checking the order, for each of `senders`.
fn receive_all(receiver: UnixDatagram, senders: usize) -> JoinHandle<()> {
    spawn(move || {
        let mut next = vec![0; senders];
        for _ in 0..MANY as usize * senders {
            let mut message = [0; 8];
            assert_eq!(receiver.recv(&mut message).unwrap(), 8);
            let sender = u32::from_le_bytes(message[..4].try_into().unwrap()) as usize;
            let number = u32::from_le_bytes(message[4..].try_into().unwrap());
            assert_eq!(number, next[sender], "from sender {sender}");
            next[sender] += 1;
        }
    })
}

fn message(sender: usize, number: u32) -> [u8; 8] {
    let mut message = [0; 8];
    message[..4].copy_from_slice(&u32::try_from(sender).unwrap().to_le_bytes());
    message[4..].copy_from_slice(&number.to_le_bytes());
    message
}

#[test]
fn a_sender_waits_while_its_pair_is_full() {
    on_each_backend(|| {
        let (here, there) = UnixDatagram::pair().unwrap();
        let sender = spawn(move || {
            for number in 0..MANY {
                assert_eq!(here.send(&message(0, number)).unwrap(), 8);
            }
        });
        greenroom::yield_now();
        assert!(!sender.is_finished(), "so much fits in no queue");
        joined(receive_all(there, 1));
        joined(sender);
    });
}

#[test]
fn connected_senders_wait_while_the_receiver_is_full() {
    on_each_backend(|| {
        let address = nowhere();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let socket = UnixDatagram::unbound().unwrap();
                socket.connect_addr(&address).unwrap();
                spawn(move || {
                    for number in 0..MANY {
                        assert_eq!(socket.send(&message(sender, number)).unwrap(), 8);
                    }
                })
            })
            .collect();
        greenroom::yield_now();
        joined(receive_all(receiver, 4));
        senders.into_iter().for_each(joined);
    });
}

#[test]
fn senders_without_a_connection_wait_too_though_their_own_sockets_look_writable() {
    on_each_backend(|| {
        let address = nowhere();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        // Others fill the queue, so nothing that happens to our socket makes room.
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        let mut filled = 0;
        while filler.send_to_addr(&[0xff; 8], &address).is_ok() {
            filled += 1;
        }
        let sender_address = address.clone();
        let sender = spawn(move || {
            let socket = UnixDatagram::unbound().unwrap();
            for number in 0..50 {
                assert_eq!(socket.send_to_addr(&message(0, number), &sender_address).unwrap(), 8);
            }
        });
        greenroom::yield_now();
        assert!(!sender.is_finished(), "there was no room");
        for _ in 0..filled {
            receiver.recv(&mut [0; 8]).unwrap();
        }
        for number in 0..50 {
            let mut bytes = [0; 8];
            receiver.recv(&mut bytes).unwrap();
            assert_eq!(bytes, message(0, number));
        }
        joined(sender);
    });
}

#[test]
fn timeouts_end_the_wait_for_a_message_and_for_room() {
    on_each_backend(|| {
        let address = nowhere();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(receiver.recv(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(receiver.recv_from(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);

        let sender = UnixDatagram::unbound().unwrap();
        sender.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        let full = loop {
            match sender.send_to_addr(b"fill", &address) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::TimedOut);
        sender.connect_addr(&address).unwrap();
        assert_eq!(sender.send(b"fill").unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(receiver.recv(&mut bytes).unwrap(), 4);
        assert_eq!(sender.send(b"fill").unwrap(), 4);
        sender.set_nonblocking(true).unwrap();
        assert_eq!(sender.send(b"fill").unwrap_err().kind(), ErrorKind::WouldBlock);
        let room = sender.send_to_addr(b"fill", &address).unwrap_err();
        assert_eq!(room.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn room_in_another_socket_is_looked_for_often_at_first_and_never_after_the_deadline() {
    for backend in Backend::ALL {
        run_on(backend, || {
            let address = nowhere();
            let _full = UnixDatagram::bind_addr(&address).unwrap();
            let sender = UnixDatagram::unbound().unwrap();
            sender.set_nonblocking(true).unwrap();
            while sender.send_to_addr(b"fill", &address).is_ok() {}
            sender.set_nonblocking(false).unwrap();
            for (timeout, looks_max) in [(3, 6), (1000, 110)] {
                let timeout = Duration::from_millis(timeout);
                sender.set_write_timeout(Some(timeout)).unwrap();
                let (begin, looks) = (Instant::now(), hub::stats().expired);
                let late = sender.send_to_addr(b"more", &address).unwrap_err();
                assert_eq!(late.kind(), ErrorKind::TimedOut);
                assert_eq!(begin.elapsed(), timeout);
                let looks = hub::stats().expired - looks;
                assert!((looks_max / 2..=looks_max).contains(&looks), "{looks} in {timeout:?}");
            }
        });
    }
}

#[test]
fn who_found_one_receiver_full_and_turns_to_another_does_not_wait_for_the_first() {
    on_each_backend(|| {
        let (full, empty) = (nowhere(), nowhere());
        let _full = UnixDatagram::bind_addr(&full).unwrap();
        let receiver = UnixDatagram::bind_addr(&empty).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect_addr(&full).unwrap();
        sender.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        while sender.send(b"fill").is_ok() {}
        sender.connect_addr(&empty).unwrap();
        assert_eq!(sender.send(b"turned").unwrap(), 6);
        assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 6);
    });
}

#[test]
fn shutting_down_wakes_who_waits() {
    on_each_backend(|| {
        let (here, _there) = UnixDatagram::pair().unwrap();
        let reader = {
            let here = here.try_clone().unwrap();
            spawn(move || here.recv(&mut [0; 8]).unwrap())
        };
        greenroom::yield_now();
        here.shutdown(Shutdown::Both).unwrap();
        assert_eq!(joined(reader), 0);
        let (count, sender) = here.recv_from(&mut [0; 8]).unwrap();
        assert_eq!((count, sender.is_unnamed()), (0, true));
        here.set_nonblocking(true).unwrap();
        assert_eq!(here.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(here.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(here.take_error().unwrap().is_none());
    });
}

#[test]
fn a_sender_that_always_finds_room_gives_way() {
    on_each_backend(|| {
        let address = nowhere();
        // Std's, so that nobody but the sender could give way.
        let receiver = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
        let seen = Rc::new(Cell::new(false));
        let flag = Rc::clone(&seen);
        let busy = spawn(move || {
            let sender = UnixDatagram::unbound().unwrap();
            let rounds = (0..10_000).take_while(|_| {
                sender.send_to_addr(b"!", &address).unwrap();
                receiver.recv(&mut [0; 8]).unwrap();
                !flag.get()
            });
            rounds.count()
        });
        let other = spawn(move || seen.set(true));
        joined(other);
        assert!(joined(busy) < 200, "the other thread had to wait for its end");
    });
}
