//! Several handles of one socket: both directions at once, settings in common.

use std::{
    io::{ErrorKind, Read, Write},
    time::Duration,
};

use greenroom::{
    net::{TcpListener, TcpStream, UnixStream},
    spawn,
};

use rustix::fs::{OFlags, fcntl_getfl};

use crate::{
    pattern,
    stage::{joined, on_each_backend, spawn_named, tcp_pair},
};

/// Far more than the buffers hold: each writer has to wait for the other side's reader.
const LENGTH: usize = 1 << 20;

#[test]
fn readers_and_writers_on_clones_run_in_both_directions_at_once() {
    on_each_backend(|| {
        let (here, there) = tcp_pair();
        let mut threads = Vec::new();
        for (end, (stream, seed, other_seed)) in
            [(here, 1, 2), (there, 2, 1)].into_iter().enumerate()
        {
            let mut reader = stream.try_clone().unwrap();
            let mut writer = stream;
            threads.push(spawn_named(&format!("writer {end}"), move || {
                writer.write_all(&pattern::bytes(seed, LENGTH)).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            }));
            threads.push(spawn_named(&format!("reader {end}"), move || {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).unwrap();
                assert!(all == pattern::bytes(other_seed, LENGTH), "not what was sent");
            }));
        }
        threads.into_iter().for_each(joined);
    });
}

#[test]
fn a_reader_and_a_writer_may_share_one_handle() {
    on_each_backend(|| {
        let (here, there) = UnixStream::pair().unwrap();
        let here = std::rc::Rc::new(here);
        let writing = std::rc::Rc::clone(&here);
        let writer = spawn(move || (&*writing).write_all(&pattern::bytes(1, LENGTH)).unwrap());
        let reader = spawn(move || {
            let mut bytes = vec![0; LENGTH];
            (&*here).read_exact(&mut bytes).unwrap();
            bytes
        });
        let echoing = spawn(move || {
            let mut left = LENGTH;
            let mut bytes = [0; 5000];
            while left > 0 {
                let count = (&there).read(&mut bytes).unwrap();
                (&there).write_all(&bytes[..count]).unwrap();
                left -= count;
            }
        });
        joined(writer);
        assert!(joined(reader) == pattern::bytes(1, LENGTH), "not what was sent");
        joined(echoing);
    });
}

#[test]
fn clones_share_timeouts_and_mode_as_they_do_in_std() {
    on_each_backend(|| {
        let (here, _there) = tcp_pair();
        let clone = here.try_clone().unwrap();
        clone.set_read_timeout(Some(Duration::from_millis(3))).unwrap();
        here.set_write_timeout(Some(Duration::from_millis(4))).unwrap();
        assert_eq!(here.read_timeout().unwrap(), Some(Duration::from_millis(3)));
        assert_eq!(clone.write_timeout().unwrap(), Some(Duration::from_millis(4)));
        assert_eq!((&here).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        here.set_nonblocking(true).unwrap();
        assert_eq!((&clone).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let third = clone.try_clone().unwrap();
        assert_eq!(third.read_timeout().unwrap(), Some(Duration::from_millis(3)));
        drop((here, clone));
        assert_eq!((&third).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_clone_lives_on_when_the_other_is_dropped_or_given_to_std() {
    on_each_backend(|| {
        let (here, mut there) = tcp_pair();
        let mut clone = here.try_clone().unwrap();
        let waiting = spawn(move || {
            let mut bytes = [0; 4];
            clone.read_exact(&mut bytes).unwrap();
            // The socket blocks since its other handle went to std; this one still waits greenly.
            clone.read_exact(&mut bytes).unwrap();
            clone.set_read_timeout(Some(Duration::from_millis(3))).unwrap();
            assert_eq!(clone.read(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
            assert_eq!(clone.peek(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
            clone.set_write_timeout(Some(Duration::from_millis(3))).unwrap();
            let full = clone.write_all(&[0; 32 << 20]).unwrap_err();
            assert_eq!(full.kind(), ErrorKind::TimedOut);
            let parts = [std::io::IoSlice::new(&[0; 4096])];
            let full = clone.write_vectored(&parts).unwrap_err();
            assert_eq!(full.kind(), ErrorKind::TimedOut);
        });
        greenroom::yield_now();
        let another = here.try_clone().unwrap();
        drop(here);
        there.write_all(b"once").unwrap();
        let std = another.into_std();
        assert!(!fcntl_getfl(&std).unwrap().contains(OFlags::NONBLOCK));
        greenroom::yield_now();
        there.write_all(b"more").unwrap();
        joined(waiting);
    });
}

#[test]
fn listeners_have_clones_too() {
    on_each_backend(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clone = listener.try_clone().unwrap();
        let acceptors = [listener, clone].map(|listener| {
            spawn(move || {
                listener.set_accept_timeout(Some(Duration::from_secs(20))).unwrap();
                listener.accept().unwrap()
            })
        });
        greenroom::yield_now();
        let clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
        let mut peers = acceptors.map(|acceptor| joined(acceptor).1);
        let mut addresses = clients.map(|client| client.local_addr().unwrap());
        peers.sort();
        addresses.sort();
        assert_eq!(peers, addresses);
    });
}
