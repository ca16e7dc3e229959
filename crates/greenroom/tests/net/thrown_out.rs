//! Calls that are ended from outside, by a kill or by a limit of time: nothing of them stays behind,
//! and nothing they did not take is lost.

use std::{
    cell::Cell,
    io::{Read, Write},
    rc::Rc,
    sync::mpsc::channel,
    time::Duration,
};

use greenroom::{
    Elapsed, JoinHandle, hub,
    io::{GreenFd, Interest, trampoline},
    net::{
        TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, lookup_host,
        serve,
    },
    offload, spawn,
    testing::wait_all_parked,
    with_timeout,
};

use crate::{
    stage::{joined, on_each_backend, tcp_pair},
    timeouts::deaf,
    unix_stream::{narrow, nowhere},
};

const SHORT: Duration = Duration::from_millis(5);

/// Calls that wait until they are thrown out.
const WAITS: [(&str, fn()); 10] = [
    ("read", || {
        let (mut here, _there) = UnixStream::pair().unwrap();
        let _ = here.read(&mut [0; 8]);
    }),
    ("read with a timeout", || {
        let (mut here, _there) = UnixStream::pair().unwrap();
        here.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
        let _ = here.read(&mut [0; 8]);
    }),
    ("write", || {
        let (mut here, _there) = UnixStream::pair().unwrap();
        let _ = here.write_all(&[0; 1 << 22]);
    }),
    ("accept", || drop(TcpListener::bind("127.0.0.1:0").unwrap().accept())),
    ("accept of a Unix connection", || {
        drop(UnixListener::bind_addr(&nowhere()).unwrap().accept());
    }),
    ("connect", || {
        let (_deaf, address) = deaf();
        let _connected = [(); 10].map(|()| TcpStream::connect(address));
    }),
    ("connect to a full backlog", || {
        let (_listener, address) = narrow();
        let _connected = [(); 3].map(|()| UnixStream::connect_addr(&address));
    }),
    ("receive", || drop(UdpSocket::bind("127.0.0.1:0").unwrap().recv(&mut [0; 8]))),
    ("read of a pipe", || {
        let (reader, _writer) = std::io::pipe().unwrap();
        let _ = GreenFd::new(reader).unwrap().read(&mut [0; 8]);
    }),
    ("trampoline", || {
        let (here, _there) = UnixStream::pair().unwrap();
        let _ = trampoline(&here, Interest::Read, None);
    }),
];

#[track_caller]
fn nobody_waits(what: &str) {
    let left = hub::stats();
    assert_eq!((left.listeners, left.timers, left.expected), (0, 0, 0), "{what}: {left:?}");
}

#[test]
fn who_is_killed_in_a_call_leaves_nothing_behind() {
    on_each_backend(|| {
        for (what, wait) in WAITS {
            let waiter = spawn(wait);
            while !waiter.is_finished() && hub::stats().listeners + hub::stats().timers == 0 {
                greenroom::yield_now();
            }
            assert!(waiter.kill(), "{what} was over");
            assert!(waiter.join().unwrap_err().is_killed(), "{what}");
            nobody_waits(what);
        }
    });
}

#[test]
fn a_limit_of_time_ends_a_call_and_leaves_nothing_behind() {
    on_each_backend(|| {
        for (what, wait) in WAITS {
            assert_eq!(with_timeout(SHORT, wait), Err(Elapsed), "{what}");
            nobody_waits(what);
        }
    });
}

#[test]
fn what_a_call_did_not_take_is_there_for_the_next() {
    on_each_backend(|| {
        let (here, mut there) = tcp_pair();
        let here = Rc::new(here);
        let mut bytes = [0; 8];
        let read = || (&*here).read(&mut bytes).unwrap();
        assert_eq!(with_timeout(SHORT, read), Err(Elapsed));
        let killed = {
            let here = Rc::clone(&here);
            spawn(move || (&*here).read(&mut [0; 8]))
        };
        wait_all_parked();
        // It is woken and killed, and does not come to read.
        there.write_all(b"kept").unwrap();
        killed.kill();
        assert!(killed.join().unwrap_err().is_killed());
        assert_eq!((&*here).read(&mut bytes).unwrap(), 4);
        assert_eq!(&bytes[..4], b"kept");

        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let killed = {
            let listener = Rc::clone(&listener);
            spawn(move || listener.accept().map(drop))
        };
        wait_all_parked();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        killed.kill();
        assert!(killed.join().unwrap_err().is_killed());
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    });
}

#[test]
fn the_next_in_the_queue_has_what_one_who_was_killed_did_not_take() {
    on_each_backend(|| {
        hub::allow_multiple_waiters(true);
        let (mut go_on, mut tell) = UnixStream::pair().unwrap();
        let (here, there) = UnixDatagram::pair().unwrap();
        let here = Rc::new(here);
        let victim: Rc<Cell<Option<JoinHandle<usize>>>> = Rc::default();
        let slot = Rc::clone(&victim);
        let killer = spawn(move || {
            go_on.read_exact(&mut [0]).unwrap();
            let first = slot.take().unwrap();
            // One listener is left: the message has woken the other, which has not run yet.
            assert_eq!(hub::stats().listeners, 1);
            first.kill()
        });
        wait_all_parked();
        let receiver = || {
            let here = Rc::clone(&here);
            spawn(move || here.recv(&mut [0; 8]).unwrap())
        };
        let (first, second) = (receiver(), receiver());
        wait_all_parked();
        victim.set(Some(first));
        // Both are reported in one turn.
        tell.write_all(b"!").unwrap();
        there.send(b"for one").unwrap();
        assert!(joined(killer));
        assert_eq!(joined(second), 7);
    });
}

#[test]
fn a_handler_that_is_killed_makes_room_and_the_server_goes_on() {
    on_each_backend(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = channel();
        let server = serve(listener, 1, move |mut stream, _| {
            tell.send(greenroom::thread::current()).unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(b"served").unwrap();
        });
        let mut silent = TcpStream::connect(address).unwrap();
        let mut talking = TcpStream::connect(address).unwrap();
        talking.write_all(b"?").unwrap();
        while server.active() == 0 {
            greenroom::yield_now();
        }
        wait_all_parked();
        assert!(told.recv().unwrap().kill());
        assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0);
        let mut answer = String::new();
        talking.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "served");
        server.stop().unwrap();
        assert_eq!(server.active(), 0);
    });
}

#[test]
fn a_stop_that_took_too_long_goes_on_and_can_be_waited_for_again() {
    on_each_backend(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve(listener, 1, |mut stream, _| stream.read_exact(&mut [0]).unwrap());
        let mut client = TcpStream::connect(address).unwrap();
        while server.active() == 0 {
            greenroom::yield_now();
        }
        assert_eq!(with_timeout(SHORT, || server.stop().is_ok()), Err(Elapsed));
        client.write_all(b"?").unwrap();
        server.join().unwrap();
    });
}

#[test]
fn work_on_a_helper_goes_on_when_its_waiter_is_thrown_out() {
    on_each_backend(|| {
        let (go_on, gone_on) = channel::<()>();
        let (tell, told) = channel();
        let work = move || {
            gone_on.recv().unwrap();
            tell.send("done").unwrap();
        };
        assert_eq!(with_timeout(SHORT, || offload(work)), Err(Elapsed));
        nobody_waits("offloaded work");
        go_on.send(()).unwrap();
        assert_eq!(told.recv().unwrap(), "done");
        assert!(with_timeout(Duration::from_secs(20), || lookup_host("localhost", 1)).is_ok());
    });
}
