//! From std's types, into them, and from bare fds.

use std::{
    io::{ErrorKind, Read, Write},
    net as std_net,
    os::{
        fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
        unix::net as std_unix,
    },
    time::Duration,
};

use greenroom::{
    net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream},
    spawn,
};
use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::{FdFlags, fcntl_getfd},
};

use crate::{
    raw,
    stage::{echo, joined, on_each_backend, tcp_pair},
};

fn blocks(fd: impl AsFd) -> bool {
    !fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

#[test]
fn every_socket_goes_to_std_and_back() {
    on_each_backend(|| {
        macro_rules! there_and_back {
            ($std:expr, $green:ty, $std_type:ty) => {{
                let std: $std_type = $std;
                let number = std.as_raw_fd();
                let green = <$green>::try_from(std).unwrap();
                assert_eq!((green.as_raw_fd(), blocks(&green)), (number, false));
                let std = <$std_type>::from(green);
                assert_eq!((std.as_raw_fd(), blocks(&std)), (number, true));
                let green = <$green>::try_from(OwnedFd::from(std)).unwrap();
                assert_eq!((green.as_fd().as_raw_fd(), blocks(&green)), (number, false));
                green.set_nonblocking(true).unwrap();
                let owned = OwnedFd::from(green);
                assert_eq!((owned.as_raw_fd(), blocks(&owned)), (number, false));
                let green = <$green>::from_std(owned.into()).unwrap();
                assert!(blocks(raw::owned(green.into_raw_fd())));
            }};
        }
        let (stream, _peer) = tcp_pair();
        there_and_back!(stream.into_std(), TcpStream, std_net::TcpStream);
        let listener = std_net::TcpListener::bind("127.0.0.1:0").unwrap();
        there_and_back!(listener, TcpListener, std_net::TcpListener);
        let socket = std_net::UdpSocket::bind("127.0.0.1:0").unwrap();
        there_and_back!(socket, UdpSocket, std_net::UdpSocket);
        let pair = std_unix::UnixStream::pair().unwrap();
        there_and_back!(pair.0, UnixStream, std_unix::UnixStream);
        let datagram = std_unix::UnixDatagram::unbound().unwrap();
        there_and_back!(datagram, UnixDatagram, std_unix::UnixDatagram);
        let listener = UnixListener::bind_addr(&crate::unix_stream::nowhere()).unwrap();
        there_and_back!(listener.into_std(), UnixListener, std_unix::UnixListener);
    });
}

#[test]
fn timeouts_come_along_in_both_directions() {
    on_each_backend(|| {
        let (std, _other) = std_unix::UnixStream::pair().unwrap();
        std.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut green = UnixStream::from_std(std).unwrap();
        // The kernel counts in ticks, and rounds up.
        let kept = green.read_timeout().unwrap().unwrap();
        assert!((20..40).contains(&kept.as_millis()), "{kept:?}");
        assert_eq!(green.write_timeout().unwrap(), None);
        assert_eq!(green.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        green.set_read_timeout(None).unwrap();
        green.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let std = green.into_std();
        assert_eq!(std.read_timeout().unwrap(), None);
        assert_eq!(std.write_timeout().unwrap(), Some(Duration::from_secs(2)));
    });
}

#[test]
fn the_longest_and_the_shortest_timeouts_come_along_as_they_do_in_std() {
    on_each_backend(|| {
        let times = [
            Duration::MAX,
            Duration::from_nanos(1),
            Duration::new(1, 999_999_999),
            Duration::from_secs(u64::from(u32::MAX)),
        ];
        for time in times {
            let (stream, _other) = UnixStream::pair().unwrap();
            stream.set_read_timeout(Some(time)).unwrap();
            assert_eq!(stream.read_timeout().unwrap(), Some(time));
            let (std, _other) = std_unix::UnixStream::pair().unwrap();
            std.set_read_timeout(Some(time)).unwrap();
            let (ours, stds) = (stream.into_std().read_timeout(), std.read_timeout());
            let (ours, stds) = (ours.unwrap(), stds.unwrap());
            // Std cuts off what is below a microsecond, we round up; the kernel rounds to its tick.
            let tick = Duration::from_millis(10);
            match (ours, stds) {
                (Some(ours), Some(stds)) => assert!(ours.abs_diff(stds) <= tick, "{time:?}"),
                _ => assert_eq!(ours, stds, "{time:?}"),
            }
        }
    });
}

#[test]
fn no_program_that_is_started_inherits_a_socket() {
    on_each_backend(|| {
        let closes = |fd: &dyn AsFd| fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC);
        let (here, there) = tcp_pair();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let unix = UnixListener::bind_addr(&crate::unix_stream::nowhere()).unwrap();
        let (stream, _stream) = UnixStream::pair().unwrap();
        let (datagram, _datagram) = UnixDatagram::pair().unwrap();
        let (unbound, clone) = (UnixDatagram::unbound().unwrap(), here.try_clone().unwrap());
        let sockets: [&dyn AsFd; 9] =
            [&here, &there, &listener, &udp, &unix, &stream, &datagram, &unbound, &clone];
        assert!(sockets.into_iter().all(closes));
    });
}

#[test]
fn what_is_no_socket_is_refused() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let error = TcpStream::try_from(OwnedFd::from(reader)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
}

#[test]
fn a_connection_moves_to_another_os_thread_through_std() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        // It has waited here, so this hub knows it.
        let waited = spawn(move || {
            let mut bytes = [0; 2];
            there.read_exact(&mut bytes).unwrap();
            there
        });
        greenroom::yield_now();
        here.write_all(b"hi").unwrap();
        let std = joined(waited).into_std();
        let other = std::thread::spawn(move || {
            let green = TcpStream::from_std(std).unwrap();
            joined(spawn(move || echo(green).unwrap()))
        });
        here.write_all(b"over there?").unwrap();
        here.shutdown(std_net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        here.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "over there?");
        assert_eq!(other.join().unwrap(), 11);
    });
}

/// Dropped when its OS thread ends, before the hub or after it.
struct Late {
    stream: TcpStream,
    _peer: TcpStream,
}

impl Drop for Late {
    fn drop(&mut self) {
        let stream = &mut self.stream;
        // With or without a hub this has an outcome, and does not panic.
        let _ = stream.write_all(b"bye");
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        drop(stream.read(&mut [0; 8]).unwrap_err());
    }
}

thread_local! {
    static BEFORE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
    static AFTER: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn a_socket_may_outlive_the_hub_of_its_os_thread() {
    on_each_backend(|| {
        let registered = |_: &std::cell::RefCell<Option<Late>>| {};
        // The order in which thread-locals end is that of their first use, or its reverse.
        let thread = std::thread::spawn(move || {
            BEFORE.with(registered);
            let waited = || {
                let (mut here, there) = tcp_pair();
                here.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                assert_eq!(here.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::TimedOut);
                here.set_read_timeout(None).unwrap();
                Some(Late { stream: here, _peer: there })
            };
            let late = waited();
            BEFORE.with_borrow_mut(|slot| *slot = late);
            let late = waited();
            AFTER.with_borrow_mut(|slot| *slot = late);
        });
        thread.join().unwrap();
    });
}
