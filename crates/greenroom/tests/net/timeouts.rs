//! Waits that take too long: they end in time, with an error that says so, and harm nothing.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use greenroom::{
    io::GreenFd,
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    spawn,
};
use rustix::net::{self as sys, AddressFamily, SocketType};

use crate::{
    stage::{joined, on_each_backend, tcp_pair},
    unix_stream::nowhere,
};

const SHORT: Duration = Duration::from_millis(10);

/// So many short times are a long one.
const MANY: u32 = 400;

/// Fails unless `f` times out, neither too early nor much too late.
#[track_caller]
fn times_out<T: std::fmt::Debug>(what: &str, f: impl FnOnce() -> std::io::Result<T>) {
    let begin = Instant::now();
    let error = f().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), format!("{what} timed out"));
    let took = begin.elapsed();
    assert!((SHORT..SHORT * 500).contains(&took), "{what}: after {took:?}");
}

#[test]
fn a_read_that_timed_out_has_lost_nothing() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        there.set_read_timeout(Some(SHORT)).unwrap();
        let mut bytes = [0; 8];
        times_out("the read", || there.read(&mut bytes));
        times_out("the read", || there.peek(&mut bytes));
        here.write_all(b"late").unwrap();
        there.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(there.read(&mut bytes).unwrap(), 4);
        assert_eq!(&bytes[..4], b"late");
        there.set_read_timeout(None).unwrap();
        here.write_all(b"again").unwrap();
        assert_eq!(there.read(&mut bytes).unwrap(), 5);
    });
}

#[test]
fn a_file_with_a_timeout_of_zero_gives_what_is_there() {
    on_each_backend(|| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut reader = GreenFd::new(reader).unwrap();
        reader.set_read_timeout(Some(Duration::ZERO));
        let mut bytes = [0; 8];
        assert_eq!(reader.read(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
        writer.write_all(b"there").unwrap();
        assert_eq!(reader.read(&mut bytes).unwrap(), 5);
        reader.set_read_timeout(Some(SHORT));
        reader.set_write_timeout(Some(SHORT * 2));
        assert_eq!((reader.read_timeout(), reader.write_timeout()), (Some(SHORT), Some(SHORT * 2)));
        times_out("the read", || reader.read(&mut bytes));
    });
}

#[test]
fn a_write_that_timed_out_has_written_nothing() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        here.set_write_timeout(Some(SHORT)).unwrap();
        let chunk = [7; 4096];
        let (mut written, mut refused) = (0, 0);
        // The kernel may make a little more room as it tidies up.
        while refused < 2 {
            let begin = Instant::now();
            match here.write(&chunk) {
                Ok(count) => (written, refused) = (written + count, 0),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    assert_eq!(error.to_string(), "the write timed out");
                    assert!(begin.elapsed() >= SHORT);
                    refused += 1;
                }
            }
        }
        here.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        there.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), written);
    });
}

#[test]
fn an_accept_times_out_if_it_was_told_to() {
    on_each_backend(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener.accept_timeout(), None);
        listener.set_accept_timeout(Some(SHORT)).unwrap();
        assert_eq!(listener.accept_timeout(), Some(SHORT));
        times_out("the accept", || listener.accept());
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap();

        let address = nowhere();
        let listener = UnixListener::bind_addr(&address).unwrap();
        listener.set_accept_timeout(Some(SHORT)).unwrap();
        times_out("the accept", || listener.accept());
        let _client = UnixStream::connect_addr(&address).unwrap();
        listener.accept().unwrap();
    });
}

/// A listener that lets nobody in, and does not answer either: its backlog has room for one, and
/// the kernel drops what comes after that.
pub(crate) fn deaf() -> (rustix::fd::OwnedFd, SocketAddr) {
    let socket = sys::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sys::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    sys::listen(&socket, 0).unwrap();
    let address = sys::getsockname(&socket).unwrap().try_into().unwrap();
    (socket, address)
}

#[test]
fn a_connect_times_out_if_nobody_answers() {
    on_each_backend(|| {
        let (_deaf, address) = deaf();
        let mut filling = Vec::new();
        let error = loop {
            match TcpStream::connect_timeout(&address, SHORT) {
                Ok(stream) => filling.push(stream),
                Err(error) => break error,
            }
            assert!(filling.len() < 10, "the backlog has no bound");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        times_out(&format!("connecting to {address}"), || {
            TcpStream::connect_timeout(&address, SHORT)
        });
        let zero = TcpStream::connect_timeout(&address, Duration::ZERO).unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_timeout_of_zero_is_refused_and_changes_nothing() {
    on_each_backend(|| {
        let (stream, _peer) = tcp_pair();
        stream.set_read_timeout(Some(SHORT)).unwrap();
        for refused in [
            stream.set_read_timeout(Some(Duration::ZERO)),
            stream.set_write_timeout(Some(Duration::ZERO)),
        ] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(stream.read_timeout().unwrap(), Some(SHORT));
        assert_eq!(stream.write_timeout().unwrap(), None);
    });
}

#[test]
fn who_is_held_up_past_the_deadline_still_gets_what_came_in_time() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        there.set_read_timeout(Some(SHORT)).unwrap();
        let reader = spawn(move || there.read(&mut [0; 8]).unwrap());
        greenroom::yield_now();
        here.write_all(b"in time").unwrap();
        // Nobody runs until the deadline is long over: then both are true.
        let begin = Instant::now();
        while begin.elapsed() < SHORT * 2 {}
        assert_eq!(joined(reader), 7);

        let (here, mut there) = UnixStream::pair().unwrap();
        let waiter = spawn(move || {
            let deadline = greenroom::Instant::now() + SHORT;
            greenroom::io::trampoline(&here, greenroom::io::Interest::Read, Some(deadline))
        });
        greenroom::yield_now();
        there.write_all(b"in time").unwrap();
        let begin = Instant::now();
        while begin.elapsed() < SHORT * 2 {}
        joined(waiter).unwrap();
    });
}

#[test]
fn timeouts_of_many_run_side_by_side() {
    on_each_backend(|| {
        let begin = Instant::now();
        let pairs: Vec<_> = (0..MANY).map(|_| UnixStream::pair().unwrap()).collect();
        let readers: Vec<_> = pairs
            .into_iter()
            .map(|(mut here, there)| {
                here.set_read_timeout(Some(SHORT)).unwrap();
                spawn(move || (here.read(&mut [0; 8]).unwrap_err().kind(), there).0)
            })
            .collect();
        for reader in readers {
            assert_eq!(joined(reader), ErrorKind::TimedOut);
        }
        assert!(begin.elapsed() < SHORT * MANY / 2, "one after the other");
    });
}
