//! How connections end: half, whole, by a reset.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    time::Duration,
};

use greenroom::{
    net::{TcpListener, TcpStream, UnixStream},
    spawn,
};

use crate::stage::{echo, joined, on_each_backend, tcp_pair};

#[test]
fn after_a_half_close_the_other_half_goes_on() {
    on_each_backend(|| {
        let (mut here, there) = tcp_pair();
        let echoing = spawn(move || echo(there).unwrap());
        here.write_all(b"the last of it").unwrap();
        here.shutdown(Shutdown::Write).unwrap();
        assert_eq!(here.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut answer = String::new();
        here.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "the last of it");
        assert_eq!(joined(echoing), 14);
    });
}

#[test]
fn data_and_end_that_come_together_are_read_one_after_the_other() {
    on_each_backend(|| {
        for _ in 0..20 {
            let (mut here, mut there) = tcp_pair();
            let reader = spawn(move || {
                let mut bytes = [0; 64];
                let first = there.read(&mut bytes).unwrap();
                (first, there.read(&mut bytes).unwrap(), there.read(&mut bytes).unwrap())
            });
            greenroom::yield_now();
            here.write_all(b"both").unwrap();
            drop(here);
            assert_eq!(joined(reader), (4, 0, 0));
        }
    });
}

#[test]
fn shutting_down_wakes_who_waits_in_that_direction() {
    on_each_backend(|| {
        let (here, _there) = tcp_pair();
        let reader = {
            let mut here = here.try_clone().unwrap();
            spawn(move || here.read(&mut [0; 8]).unwrap())
        };
        greenroom::yield_now();
        assert!(!reader.is_finished());
        here.shutdown(Shutdown::Read).unwrap();
        assert_eq!(joined(reader), 0);

        let writer = {
            let mut here = here.try_clone().unwrap();
            spawn(move || {
                loop {
                    if let Err(error) = here.write(&[0; 65536]) {
                        return error.kind();
                    }
                }
            })
        };
        greenroom::yield_now();
        assert!(!writer.is_finished());
        here.shutdown(Shutdown::Write).unwrap();
        assert_eq!(joined(writer), ErrorKind::BrokenPipe);
        let (unconnected, _) = (TcpListener::bind("127.0.0.1:0").unwrap(), ());
        let stream = TcpStream::try_from(std::os::fd::OwnedFd::from(unconnected)).unwrap();
        assert_eq!(stream.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn a_read_right_after_the_socket_was_emptied_sees_its_own_shutdown() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        here.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let reader = spawn(move || {
            let mut bytes = [0; 64];
            // A short read: the next one is going to wait first.
            assert_eq!(here.read(&mut bytes).unwrap(), 4);
            here.shutdown(Shutdown::Read).unwrap();
            here.read(&mut bytes).unwrap()
        });
        greenroom::yield_now();
        there.write_all(b"data").unwrap();
        assert_eq!(joined(reader), 0);
    });
}

#[test]
fn a_reset_ends_the_read_that_waits_for_more() {
    on_each_backend(|| {
        let (mut here, there) = tcp_pair();
        let reader = spawn(move || {
            let mut bytes = [0; 64];
            assert_eq!(here.read(&mut bytes).unwrap(), 5);
            let error = here.read(&mut bytes).unwrap_err();
            // Once told, the error is gone, and the stream at its end.
            assert_eq!(here.read(&mut bytes).unwrap(), 0);
            error.kind()
        });
        greenroom::yield_now();
        (&there).write_all(b"begin").unwrap();
        greenroom::yield_now();
        there.set_linger(Some(Duration::ZERO)).unwrap();
        drop(there);
        assert_eq!(joined(reader), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_reset_ends_the_write_that_waits_for_room() {
    on_each_backend(|| {
        let (mut here, there) = tcp_pair();
        let writer = spawn(move || {
            loop {
                if let Err(error) = here.write(&[0; 65536]) {
                    return error.kind();
                }
            }
        });
        greenroom::yield_now();
        assert!(!writer.is_finished());
        there.set_linger(Some(Duration::ZERO)).unwrap();
        drop(there);
        assert_eq!(joined(writer), ErrorKind::ConnectionReset);
    });
}

#[test]
fn writing_to_a_peer_that_is_gone_is_a_broken_pipe() {
    on_each_backend(|| {
        let (mut here, there) = tcp_pair();
        drop(there);
        assert_eq!(here.read(&mut [0; 8]).unwrap(), 0);
        // The first is answered with a reset; after that the kernel knows.
        let error = loop {
            if let Err(error) = here.write(b"anybody there?") {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);

        let (mut here, there) = UnixStream::pair().unwrap();
        drop(there);
        assert_eq!(here.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let parts = [std::io::IoSlice::new(b"x")];
        assert_eq!(here.write_vectored(&parts).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_error_is_told_once_by_whoever_asks_first() {
    on_each_backend(|| {
        let (here, there) = tcp_pair();
        there.set_linger(Some(Duration::ZERO)).unwrap();
        drop(there);
        greenroom::io::trampoline(&here, greenroom::io::Interest::Read, None).unwrap();
        let error = here.take_error().unwrap().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(here.take_error().unwrap().is_none());
    });
}
