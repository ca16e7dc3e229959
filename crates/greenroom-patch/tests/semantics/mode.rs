//! The mode of an open file, which others share, is left alone.

use std::{
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use greenroom::spawn;
use rustix::fs::{OFlags, fcntl_getfl};

use crate::{
    calls::borrow,
    files::{ALL, Kind, address, bytes, flowing_pair, named_datagram, udp},
    raw,
};

/// Asks for the mode of files over and over, until told to end. Whether one was ever non-blocking.
fn watch(files: Vec<i32>, end: Arc<AtomicBool>) -> thread::JoinHandle<bool> {
    thread::spawn(move || {
        let mut was_changed = false;
        while !was_changed && !end.load(Ordering::Relaxed) {
            for &file in &files {
                let mode = fcntl_getfl(borrow(file)).expect("it is open");
                was_changed |= mode.contains(OFlags::NONBLOCK);
            }
        }
        was_changed
    })
}

#[test]
fn no_call_that_moves_data_changes_the_mode() {
    for kind in ALL {
        let (one, other) = flowing_pair(kind);
        let end = Arc::new(AtomicBool::new(false));
        let watcher = watch(vec![one.as_raw_fd(), other.as_raw_fd()], Arc::clone(&end));
        let (reader, writer) = (one.as_raw_fd(), other.as_raw_fd());
        let size = if kind == Kind::Udp { 500 } else { 1900 };
        let sender = spawn(move || {
            for _ in 0..500 {
                assert_eq!(raw::write(writer, &bytes(size)), size as i64);
                if kind != Kind::Pipe {
                    assert_eq!(raw::send(writer, &bytes(size), 0), size as i64);
                }
                if kind == Kind::Udp {
                    // What there is no room for would be lost.
                    assert_eq!(raw::read(writer, &mut [0; 8]), 2);
                }
            }
        });
        let receiver = spawn(move || {
            let mut left = if kind == Kind::Pipe { 500 * size } else { 1000 * size };
            while left > 0 {
                left -= raw::read(reader, &mut vec![0; size]) as usize;
                if kind == Kind::Udp && left.is_multiple_of(2 * size) {
                    assert_eq!(raw::write(reader, b"go"), 2);
                }
            }
        });
        sender.join().expect("it went well");
        receiver.join().expect("it went well");
        end.store(true, Ordering::Relaxed);
        assert!(!watcher.join().expect("it went well"), "{kind:?}");
    }
}

#[test]
fn what_connects_at_once_keeps_its_mode() {
    for kind in [Kind::Udp, Kind::Datagram] {
        let (one, to) = match kind {
            Kind::Udp => (udp(), address(udp())),
            _ => (named_datagram().0, address(named_datagram().0)),
        };
        let end = Arc::new(AtomicBool::new(false));
        let watcher = watch(vec![one.as_raw_fd()], Arc::clone(&end));
        let fd = one.as_raw_fd();
        let connecting = spawn(move || {
            for _ in 0..3000 {
                raw::connect(fd, &to);
            }
        });
        connecting.join().expect("it went well");
        end.store(true, Ordering::Relaxed);
        assert!(!watcher.join().expect("it went well"), "{kind:?}");
    }
}

/// By design: neither accept nor connect has a flag by which one call would not wait, so others may see the
/// file in another mode for a moment. It also shows that the watcher sees.
#[test]
fn the_mode_of_a_listener_is_another_for_moments() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let end = Arc::new(AtomicBool::new(false));
    let watcher = watch(vec![listener.as_raw_fd()], Arc::clone(&end));
    let begin = Instant::now();
    while !watcher.is_finished() && begin.elapsed() < Duration::from_secs(10) {
        let client = spawn(move || std::net::TcpStream::connect(address).expect("it listens"));
        let accepted = spawn({
            let listener = listener.try_clone().expect("it is open");
            move || listener.accept().expect("one comes")
        });
        client.join().expect("it went well");
        accepted.join().expect("it went well");
    }
    end.store(true, Ordering::Relaxed);
    assert!(watcher.join().expect("it went well"), "a moment would have been seen");
    let mode = fcntl_getfl(&listener).expect("it is open");
    assert!(!mode.contains(OFlags::NONBLOCK), "the mode is the user's afterwards");
}

/// By design, as with a listener. One that is connected says so each time, and may be asked as often as one likes.
#[test]
fn the_mode_of_a_socket_that_connects_is_another_for_moments() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = address(&listener);
    let socket = std::net::TcpStream::connect(listener.local_addr().expect("it is bound"));
    let socket = socket.expect("it listens");
    let end = Arc::new(AtomicBool::new(false));
    let watcher = watch(vec![socket.as_raw_fd()], Arc::clone(&end));
    let connecting = spawn(move || {
        let begin = Instant::now();
        while !watcher.is_finished() && begin.elapsed() < Duration::from_secs(10) {
            raw::connect(socket.as_raw_fd(), &to);
        }
        end.store(true, Ordering::Relaxed);
        assert!(watcher.join().expect("it went well"), "a moment would have been seen");
        let mode = fcntl_getfl(&socket).expect("it is open");
        assert!(!mode.contains(OFlags::NONBLOCK), "the mode is the user's afterwards");
    });
    connecting.join().expect("it went well");
}
