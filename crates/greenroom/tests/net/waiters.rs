//! Several who wait for one fd: refused with names, or queued.

use std::{
    cell::RefCell,
    io::{ErrorKind, Read, Write},
    os::fd::AsRawFd,
    rc::Rc,
};

use greenroom::{
    hub,
    io::{Interest, trampoline},
    net::{TcpListener, TcpStream, UnixStream},
    spawn,
};

use crate::stage::{joined, on_each_backend, spawn_named};

#[test]
fn a_second_reader_is_refused_and_both_are_named() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let here = Rc::new(here);
        let fd = here.as_raw_fd();
        let (one, two, three) = (Rc::clone(&here), Rc::clone(&here), Rc::clone(&here));
        let first = spawn_named("the first", move || (&*one).read(&mut [0; 8]).unwrap());
        let second = spawn_named("the second", move || (&*two).read(&mut [0; 8]).unwrap_err());
        let third = spawn_named("the third", move || {
            trampoline(&*three, Interest::Read, None).unwrap_err()
        });
        for (name, other) in [("the second", joined(second)), ("the third", joined(third))] {
            assert_eq!(other.kind(), ErrorKind::ResourceBusy);
            let text = other.to_string();
            for part in [&format!("fd {fd}"), "\"the first\"", &format!("{name:?}"), "read"] {
                assert!(text.contains(part), "no {part} in: {text}");
            }
        }
        // Writing is another direction; and the first is none the worse for it.
        (&*here).write_all(b"out").unwrap();
        there.write_all(b"in").unwrap();
        assert_eq!(joined(first), 2);
    });
}

#[test]
fn acceptors_queue_where_several_are_allowed() {
    on_each_backend(|| {
        hub::allow_multiple_waiters(true);
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        let acceptors: Vec<_> = (0..5)
            .map(|n| {
                let (listener, order) = (Rc::clone(&listener), Rc::clone(&order));
                spawn_named(&format!("acceptor {n}"), move || {
                    let (_stream, peer) = listener.accept().unwrap();
                    order.borrow_mut().push(n);
                    peer
                })
            })
            .collect();
        greenroom::yield_now();
        assert_eq!(hub::stats().listeners, 5);
        // All at once: one report of the kernel stands for several connections.
        let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut peers: Vec<_> = acceptors.into_iter().map(joined).collect();
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
        let mut addresses: Vec<_> = clients.iter().map(|it| it.local_addr().unwrap()).collect();
        peers.sort();
        addresses.sort();
        assert_eq!(peers, addresses);
    });
}

#[test]
fn who_leaves_the_queue_lets_the_next_one_move_up() {
    on_each_backend(|| {
        hub::allow_multiple_waiters(true);
        let (here, mut there) = UnixStream::pair().unwrap();
        let here = Rc::new(here);
        let reader = |name: &str| {
            let here = Rc::clone(&here);
            spawn_named(name, move || {
                let mut byte = [0];
                (&*here).read(&mut byte).map(|_| byte[0])
            })
        };
        here.set_read_timeout(Some(std::time::Duration::from_millis(5))).unwrap();
        let hasty = reader("hasty");
        greenroom::yield_now();
        here.set_read_timeout(None).unwrap();
        let patient = reader("patient");
        assert_eq!(joined(hasty).unwrap_err().kind(), ErrorKind::TimedOut);
        there.write_all(&[7]).unwrap();
        assert_eq!(joined(patient).unwrap(), 7);
    });
}

#[test]
fn a_reader_and_a_writer_do_not_mind_each_other() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let here = Rc::new(here);
        let (reading, writing) = (Rc::clone(&here), here);
        let reader = spawn(move || (&*reading).read(&mut [0; 8]).unwrap());
        let writer = spawn(move || (&*writing).write_all(&[0; 1 << 20]).unwrap());
        greenroom::yield_now();
        assert_eq!(hub::stats().listeners, 2);
        there.write_all(b"first").unwrap();
        assert_eq!(joined(reader), 5);
        assert!(!writer.is_finished());
        there.read_exact(&mut [0; 1 << 20]).unwrap();
        joined(writer);
    });
}
