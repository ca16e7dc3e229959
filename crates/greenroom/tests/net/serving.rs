//! `serve`: how many at once, whom a panic harms, how it ends.

use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    JoinHandle, hub,
    io::{Interest, trampoline},
    net::{Accept, Server, TcpListener, TcpStream, UnixListener, UnixStream, listen, serve},
    spawn,
    testing::wait_all_parked,
};

use crate::{
    child,
    stage::{PATIENCE, joined, on_each_backend, own_address, spawn_named},
    unix_stream::nowhere,
};

fn listening() -> (TcpListener, SocketAddr) {
    let listener = listen((own_address(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Clients that say one byte and return what they hear until the end.
fn clients(address: SocketAddr, count: usize) -> Vec<JoinHandle<io::Result<String>>> {
    let talk = move || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"?")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    (0..count).map(|n| spawn_named(&format!("client {n}"), talk)).collect()
}

#[track_caller]
fn all_hear(clients: Vec<JoinHandle<io::Result<String>>>, answer: &str) {
    for client in clients {
        assert_eq!(joined(client).unwrap(), answer);
    }
}

#[test]
fn no_more_are_served_at_once_than_allowed() {
    on_each_backend(|| {
        let (listener, address) = listening();
        let (active, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let seen = Rc::clone(&most);
        let server = serve(listener, 3, move |mut stream, _| {
            active.set(active.get() + 1);
            seen.set(active.get().max(seen.get()));
            if stream.read(&mut [0]).unwrap() == 1 {
                greenroom::yield_now();
                stream.write_all(b"!").unwrap();
            }
            active.set(active.get() - 1);
        });
        let silent: Vec<_> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
        wait_all_parked();
        assert_eq!(server.active(), 3);
        let talking = clients(address, 20);
        wait_all_parked();
        assert_eq!(server.active(), 3);
        drop(silent);
        all_hear(talking, "!");
        server.stop().unwrap();
        assert_eq!((most.get(), server.active()), (3, 0));
    });
}

#[test]
fn a_handler_that_panics_ends_its_connection_alone() {
    on_each_backend(|| {
        let (listener, address) = listening();
        let served = Rc::new(Cell::new(0));
        let count = Rc::clone(&served);
        let server = serve(listener, 2, move |mut stream, _| {
            count.set(count.get() + 1);
            stream.read_exact(&mut [0]).unwrap();
            assert!(count.get() % 2 == 1, "every second one is dropped, as it shall be");
            stream.write_all(b"fine").unwrap();
        });
        let mut fine = 0;
        for client in clients(address, 10) {
            fine += usize::from(joined(client).is_ok_and(|answer| answer == "fine"));
        }
        server.stop().unwrap();
        assert_eq!(served.get(), 10);
        assert!((1..10).contains(&fine), "{fine} of 10");
        assert_eq!(server.active(), 0);
    });
}

#[test]
fn stopping_serves_those_who_came_before() {
    on_each_backend(|| {
        for concurrency in [1, 2, 100] {
            let (listener, address) = listening();
            let server = serve(listener, concurrency, move |mut stream, _| {
                stream.read_exact(&mut [0]).unwrap();
                stream.write_all(b"served").unwrap();
            });
            let before: Vec<_> = (0..9).map(|_| TcpStream::connect(address).unwrap()).collect();
            let stopping = {
                let server = server.clone();
                spawn(move || server.stop().unwrap())
            };
            wait_all_parked();
            assert!(!stopping.is_finished(), "nobody has said anything yet");
            assert_eq!(server.active(), before.len().min(concurrency));
            for mut stream in before {
                stream.write_all(b"?").unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert_eq!(answer, "served");
            }
            joined(stopping);
            assert_eq!(server.active(), 0);
            let late = TcpStream::connect(address).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::ConnectionRefused);
            // Once more, by whoever likes.
            server.stop().unwrap();
            server.join().unwrap();
        }
    });
}

#[test]
fn a_handler_may_stop_the_server_and_all_who_join_it_hear() {
    on_each_backend(|| {
        let (listener, address) = listening();
        let this: Rc<RefCell<Option<Server>>> = Rc::default();
        let to_stop = Rc::clone(&this);
        let server = serve(listener, 5, move |mut stream, _| {
            stream.read_exact(&mut [0]).unwrap();
            to_stop.borrow().as_ref().unwrap().stop_soon();
            greenroom::yield_now();
            stream.write_all(b"goodbye").unwrap();
        });
        *this.borrow_mut() = Some(server.clone());
        let joining = [(); 3].map(|()| {
            let server = server.clone();
            spawn(move || server.join().unwrap())
        });
        wait_all_parked();
        assert!(joining.iter().all(|thread| !thread.is_finished()));
        all_hear(clients(address, 1), "goodbye");
        joining.into_iter().for_each(joined);
        // The server is in its handler, and the handler in the server.
        this.take();
    });
}

#[test]
fn a_server_can_be_stopped_before_anything_has_happened() {
    on_each_backend(|| {
        let (listener, _) = listening();
        let server = serve(listener, 1, |_, _| unreachable!("nobody came"));
        server.stop_soon();
        server.join().unwrap();
        let (listener, _) = listening();
        serve(listener, 1, |_, _| unreachable!("nobody came")).stop().unwrap();
    });
}

#[test]
fn a_clone_of_the_listener_can_be_served_when_the_first_server_has_stopped() {
    on_each_backend(|| {
        let (listener, address) = listening();
        let clone = listener.try_clone().unwrap();
        let answering = |word: &'static str| {
            move |mut stream: TcpStream, _| {
                stream.read_exact(&mut [0]).unwrap();
                stream.write_all(word.as_bytes()).unwrap();
            }
        };
        let first = serve(listener, 5, answering("first"));
        all_hear(clients(address, 3), "first");
        first.stop().unwrap();
        // The first one has asked without waiting in the end; that is over.
        let client = clients(address, 1).pop().unwrap();
        let (mut stream, _) = clone.accept().unwrap();
        stream.write_all(b"by hand").unwrap();
        drop(stream);
        drop(client.join().unwrap());
        let second = serve(clone, 5, answering("second"));
        all_hear(clients(address, 3), "second");
        second.stop().unwrap();
    });
}

#[test]
fn unix_connections_are_served_as_well() {
    on_each_backend(|| {
        let address = nowhere();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let server = serve(listener, 5, |mut stream: UnixStream, peer| {
            assert!(peer.is_unnamed());
            stream.write_all(b"here").unwrap();
        });
        let mut answer = String::new();
        UnixStream::connect_addr(&address).unwrap().read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "here");
        server.stop().unwrap();
    });
}

#[test]
fn a_listener_that_was_told_to_say_would_block_is_served_nevertheless() {
    on_each_backend(|| {
        let (listener, address) = listening();
        listener.set_nonblocking(true).unwrap();
        let server = serve(listener, 5, |mut stream, _| {
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(b"waited").unwrap();
        });
        wait_all_parked();
        all_hear(clients(address, 1), "waited");
        server.stop().unwrap();
    });
}

#[test]
fn an_idle_server_ends_if_its_listener_has_a_timeout() {
    on_each_backend(|| {
        let (listener, _) = listening();
        listener.set_accept_timeout(Some(Duration::from_millis(5))).unwrap();
        let server = serve(listener, 5, |_, _| {});
        assert_eq!(server.join().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(server.stop().unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

/// A listener that does something of its own before it accepts.
struct Before<F> {
    listener: TcpListener,
    before: F,
}

impl<F> AsFd for Before<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl<F: Fn() -> io::Result<()>> Accept for Before<F> {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        (self.before)()?;
        self.listener.accept()
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.listener.set_nonblocking(nonblocking)
    }
}

#[test]
fn a_stop_that_comes_just_before_the_wait_for_a_connection_ends_it_too() {
    on_each_backend(|| {
        for (waited_before, clients) in [(false, 0), (true, 1)] {
            let (listener, address) = listening();
            let held_up = Rc::new(Cell::new(!waited_before));
            let hold_up = Rc::clone(&held_up);
            let before = move || {
                if hold_up.get() {
                    greenroom::sleep(Duration::from_millis(5));
                }
                Ok(())
            };
            let server = serve(Before { listener, before }, 5, |mut stream, _| {
                stream.write_all(b"served").unwrap();
            });
            wait_all_parked();
            held_up.set(true);
            for _ in 0..clients {
                let mut answer = String::new();
                TcpStream::connect(address).unwrap().read_to_string(&mut answer).unwrap();
                assert_eq!(answer, "served");
            }
            let stopping = spawn(move || server.stop());
            joined(stopping).unwrap();
        }
    });
}

#[test]
fn errors_that_pass_with_the_next_connection_end_neither_the_server_nor_its_stop() {
    on_each_backend(|| {
        for errno in [libc::EPROTO, libc::ENETDOWN, libc::ECONNABORTED, libc::EPERM] {
            let (listener, address) = listening();
            let failures = Rc::new(Cell::new(3));
            let left = Rc::clone(&failures);
            let before = move || {
                if left.get() == 0 {
                    return Ok(());
                }
                left.set(left.get() - 1);
                Err(io::Error::from_raw_os_error(errno))
            };
            let server = serve(Before { listener, before }, 5, |mut stream, _| {
                stream.read_exact(&mut [0]).unwrap();
                stream.write_all(b"served").unwrap();
            });
            all_hear(clients(address, 1), "served");
            assert_eq!(failures.get(), 0);
            // Nobody is being served, and somebody stands behind those that fail.
            let stopping = {
                let server = server.clone();
                let failures = Rc::clone(&failures);
                let mut last = TcpStream::connect(address).unwrap();
                failures.set(3);
                spawn(move || {
                    server.stop_soon();
                    last.write_all(b"?").unwrap();
                    let mut answer = String::new();
                    last.read_to_string(&mut answer).unwrap();
                    answer
                })
            };
            assert_eq!(joined(stopping), "served");
            server.join().unwrap();
        }
    });
}

#[test]
fn a_stop_waits_for_fds_only_while_somebody_may_give_some_back() {
    on_each_backend(|| {
        for serving in [false, true] {
            let (listener, address) = listening();
            let lacking = Rc::new(Cell::new(!serving));
            let lacks = Rc::clone(&lacking);
            let before = move || match lacks.get() {
                true => Err(io::Error::from_raw_os_error(libc::EMFILE)),
                false => Ok(()),
            };
            let server = serve(Before { listener, before }, 5, |mut stream, _| {
                // The end of the connection will do as well.
                let _ = stream.read(&mut [0]);
            });
            let client = serving.then(|| TcpStream::connect(address).unwrap());
            while serving && server.active() == 0 {
                greenroom::yield_now();
            }
            lacking.set(true);
            let stopping = {
                let server = server.clone();
                spawn(move || server.stop())
            };
            if serving {
                greenroom::sleep(Duration::from_millis(30));
                assert!(!stopping.is_finished(), "there is a connection that may end");
            }
            drop(client);
            let error = joined(stopping).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        }
    });
}

#[test]
fn while_a_server_stops_clones_of_its_listener_accept_as_ever() {
    on_each_backend(|| {
        let (listener, address) = listening();
        let (by_hand, other) = (listener.try_clone().unwrap(), listener.try_clone().unwrap());
        let serving = |mut stream: TcpStream, _| {
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(b"served").unwrap();
        };
        let first = serve(listener, 1, serving);
        let talking = clients(address, 1);
        all_hear(talking, "served");
        let mut silent = TcpStream::connect(address).unwrap();
        wait_all_parked();
        assert_eq!(first.active(), 1);
        // It waits for its one connection to end, to see whether there is another.
        first.stop_soon();
        wait_all_parked();
        let acceptor = spawn(move || by_hand.accept().unwrap().1);
        wait_all_parked();
        assert!(!acceptor.is_finished());
        let client = TcpStream::connect(address).unwrap();
        assert_eq!(joined(acceptor), client.local_addr().unwrap());
        let second = serve(other, 5, serving);
        all_hear(clients(address, 5), "served");
        second.stop().unwrap();
        silent.write_all(b"?").unwrap();
        first.join().unwrap();
    });
}

#[test]
fn a_server_bears_that_a_clone_of_its_listener_is_told_to_say_would_block() {
    on_each_backend(|| {
        let (listener, address) = listening();
        let clone = listener.try_clone().unwrap();
        let server = serve(listener, 5, |mut stream, _| {
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(b"served").unwrap();
        });
        wait_all_parked();
        clone.set_nonblocking(true).unwrap();
        all_hear(clients(address, 3), "served");
        all_hear(clients(address, 3), "served");
        server.stop().unwrap();
    });
}

#[test]
fn a_listener_whose_accept_panics_ends_its_server() {
    on_each_backend(|| {
        let (listener, address) = listening();
        let before = || panic!("as it shall");
        let server = serve(Before { listener, before }, 5, |_, _| unreachable!("nobody came"));
        assert!(server.join().unwrap_err().to_string().contains("panicked"));
        assert_eq!(
            TcpStream::connect(address).unwrap_err().kind(),
            ErrorKind::ConnectionRefused,
            "the listener is still open"
        );
        server.stop().unwrap_err();
    });
}

#[test]
fn accepting_that_fails_for_good_ends_the_server_with_that_error() {
    // In a process of its own, for somebody else must get the listener's number.
    const TEST: &str = "serving::accepting_that_fails_for_good_ends_the_server_with_that_error";
    child::play_if_child(|| on_each_backend(accepting_fails));
    child::start(TEST).finished(PATIENCE);
}

fn accepting_fails() {
    let (listener, address) = listening();
    let number = listener.as_raw_fd();
    let accepted = Cell::new(false);
    let before = move || match accepted.replace(true) {
        false => Ok(()),
        true => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    let server = serve(Before { listener, before }, 5, |mut stream, _| {
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(b"last").unwrap();
    });
    let mut client = TcpStream::connect(address).unwrap();
    wait_all_parked();
    // The listener is closed, the last connection is served; its number is somebody else's now.
    let (file, other) = UnixStream::pair().unwrap();
    let (file, mut peer) = if file.as_raw_fd() == number { (file, other) } else { (other, file) };
    assert_eq!(file.as_raw_fd(), number);
    let waiting = spawn(move || trampoline(&file, Interest::Read, None).map(|()| file));
    wait_all_parked();
    server.stop_soon();
    wait_all_parked();
    assert!(!waiting.is_finished(), "the stop hit a stranger");
    peer.write_all(b"!").unwrap();
    drop(joined(waiting).unwrap());
    client.write_all(b"?").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "last");
    assert_eq!(server.join().unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(server.stop().unwrap_err().raw_os_error(), Some(libc::EINVAL));
}

/// A listener before which somebody always stands.
struct Endless(UnixListener);

impl AsFd for Endless {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Accept for Endless {
    type Stream = ();
    type Peer = ();

    fn accept(&self) -> io::Result<((), ())> {
        Ok(((), ()))
    }

    fn set_nonblocking(&self, _nonblocking: bool) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn who_keeps_knocking_cannot_keep_a_server_from_ending() {
    on_each_backend(|| {
        let listener = Endless(UnixListener::bind_addr(&nowhere()).unwrap());
        let served = Rc::new(Cell::new(0));
        let count = Rc::clone(&served);
        let server = serve(listener, 10, move |(), ()| count.set(count.get() + 1));
        for _ in 0..10 {
            greenroom::yield_now();
        }
        assert!(served.get() > 0);
        server.stop().unwrap();
        assert_eq!(server.active(), 0);
    });
}

#[test]
fn aborting_the_hub_ends_its_servers() {
    on_each_backend(|| {
        let (listener, address) = listening();
        let dropped = Rc::new(Cell::new(false));
        struct Witness(Rc<Cell<bool>>);
        impl Drop for Witness {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let witness = Witness(Rc::clone(&dropped));
        let server = serve(listener, 5, move |mut stream, _| {
            let _kept = &witness;
            stream.read_exact(&mut [0]).unwrap();
        });
        let _client = TcpStream::connect(address).unwrap();
        wait_all_parked();
        assert_eq!(server.active(), 1);
        hub::abort();
        assert!(server.join().is_err());
        assert!(dropped.get());
        assert_eq!(server.active(), 0);
        TcpListener::bind(address).unwrap();

        let (listener, _) = listening();
        let server = serve(listener, 5, |_, _| unreachable!("nobody came"));
        // Before its first step.
        hub::abort();
        assert!(server.join().is_err());
    });
}
