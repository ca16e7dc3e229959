//! Signals that interrupt every system call: nobody but the kernel and the library knows of them.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use greenroom::{
    io::{GreenFd, Interest},
    net::{TcpListener, TcpStream, UnixDatagram, UnixListener, UnixStream},
    spawn,
};

use crate::{
    pattern,
    raw::Bombardment,
    stage::{joined, on_each_backend},
    unix_stream::nowhere,
};

/// As fast as the kernel can be asked to; what is too fast it merges.
const EVERY: Duration = Duration::from_micros(50);

/// A test without a signal in it proves nothing: plays `act` until enough came.
fn under_fire(mut act: impl FnMut()) {
    let signals = Bombardment::every(EVERY);
    let mut rounds = 0;
    while signals.count() < 200 || rounds < 3 {
        act();
        rounds += 1;
    }
}

#[test]
fn accepting_connecting_reading_and_writing_go_on_under_signals() {
    on_each_backend(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        under_fire(|| {
            let client = spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(&pattern::bytes(1, 1 << 20)).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            });
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            assert!(all == pattern::bytes(1, 1 << 20), "not what was sent");
            stream.write_all(b"got it").unwrap();
            drop(stream);
            assert_eq!(joined(client), "got it");
        });
    });
}

#[test]
fn unix_sockets_go_on_under_signals() {
    on_each_backend(|| {
        let address = nowhere();
        let listener = UnixListener::bind_addr(&address).unwrap();
        under_fire(|| {
            let to = address.clone();
            let client = spawn(move || {
                let mut stream = UnixStream::connect_addr(&to).unwrap();
                stream.write_all(&[7; 1 << 19]).unwrap();
            });
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            assert_eq!(all.len(), 1 << 19);
            joined(client);
            let (here, there) = UnixDatagram::pair().unwrap();
            let sender = spawn(move || {
                for _ in 0..1000 {
                    assert_eq!(here.send(b"message").unwrap(), 7);
                }
            });
            for _ in 0..1000 {
                assert_eq!(there.recv(&mut [0; 8]).unwrap(), 7);
            }
            joined(sender);
        });
    });
}

#[test]
fn sleeps_and_timeouts_are_not_cut_short_by_signals() {
    on_each_backend(|| {
        let (mut here, _there) = UnixStream::pair().unwrap();
        let nap = Duration::from_millis(5);
        here.set_read_timeout(Some(nap)).unwrap();
        under_fire(|| {
            let begin = Instant::now();
            greenroom::sleep(nap);
            assert!(begin.elapsed() >= nap, "slept for {:?}", begin.elapsed());
            let begin = Instant::now();
            let error = here.read(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
            assert!(begin.elapsed() >= nap, "waited for {:?}", begin.elapsed());
        });
    });
}

#[test]
fn host_names_are_resolved_under_signals() {
    on_each_backend(|| {
        under_fire(|| {
            let addresses = greenroom::net::lookup_host("localhost", 80).unwrap();
            assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        });
    });
}

#[test]
fn a_call_that_was_interrupted_is_made_again() {
    on_each_backend(|| {
        let (reader, _writer) = std::io::pipe().unwrap();
        let green = GreenFd::new(reader).unwrap();
        let mut interruptions = 3;
        let outcome = green.when_ready(Interest::Read, |_| {
            if interruptions == 0 {
                return Ok("done");
            }
            interruptions -= 1;
            Err(std::io::ErrorKind::Interrupted.into())
        });
        assert_eq!(outcome.unwrap(), "done");
    });
}
