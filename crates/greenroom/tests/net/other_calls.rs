//! Calls that a socket does not have, made to wait greenly.

use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    io::Interest,
    net::{TcpListener, TcpStream, UdpSocket, UnixStream},
    spawn,
    testing::wait_all_parked,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::stage::{joined, on_each_backend, tcp_pair};

/// Receives one message with one file in it.
fn receive_file(stream: &impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    file.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "no file"))
}

#[test]
fn a_file_that_is_passed_through_a_socket_is_waited_for() {
    on_each_backend(|| {
        let (here, there) = UnixStream::pair().unwrap();
        let receiver = spawn(move || there.when_ready(Interest::Read, receive_file).unwrap());
        greenroom::yield_now();
        assert!(!receiver.is_finished());
        let (mut kept, passed) = UnixStream::pair().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [passed.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(&here, &[IoSlice::new(b"!")], &mut control, SendFlags::empty()).unwrap();
        drop(passed);
        let mut received = UnixStream::try_from(joined(receiver)).unwrap();
        received.write_all(b"through").unwrap();
        drop(received);
        let mut text = String::new();
        kept.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    });
}

/// How often a call is made until bytes are there that come while it waits.
fn calls_until(here: &Rc<TcpStream>, there: &mut TcpStream) -> u32 {
    let here = Rc::clone(here);
    let reader = spawn(move || {
        let mut calls = 0;
        let peek = |std: &std::net::TcpStream| {
            calls += 1;
            std.peek(&mut [0; 8])
        };
        assert_eq!(here.when_ready(Interest::Read, peek).unwrap(), 4);
        calls
    });
    wait_all_parked();
    there.write_all(b"four").unwrap();
    joined(reader)
}

#[test]
fn a_call_is_made_only_if_there_may_be_something_for_it() {
    on_each_backend(|| {
        let (here, mut there) = tcp_pair();
        let here = Rc::new(here);
        let mut bytes = [0; 8];
        // Nothing is known of the socket: the first call finds out that it must wait.
        assert_eq!(calls_until(&here, &mut there), 2);
        // A read that got less than it could has emptied the socket.
        assert_eq!((&*here).read(&mut bytes).unwrap(), 4);
        assert_eq!(calls_until(&here, &mut there), 1);
        // One that got all it asked for need not have.
        (&*here).read_exact(&mut bytes[..4]).unwrap();
        assert_eq!(calls_until(&here, &mut there), 2);
        // One that timed out has found nothing.
        (&*here).read_exact(&mut bytes[..4]).unwrap();
        here.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert_eq!((&*here).read(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
        here.set_read_timeout(None).unwrap();
        assert_eq!(calls_until(&here, &mut there), 1);
        // What is reported while nobody waits is not waited for.
        assert_eq!((&*here).read(&mut bytes).unwrap(), 4);
        there.write_all(b"more").unwrap();
        assert_eq!((&*here).read(&mut bytes).unwrap(), 4);
    });
}

#[test]
fn such_a_call_has_the_timeouts_the_mode_and_the_errors_of_any_other() {
    on_each_backend(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_accept_timeout(Some(Duration::from_millis(5))).unwrap();
        let late = listener.when_ready(Interest::Read, std::net::TcpListener::accept).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.when_ready(Interest::Read, std::net::TcpListener::accept).unwrap();

        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let none = socket.when_ready(Interest::Read, |std| std.recv(&mut [0; 8])).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::WouldBlock);
        let own = || io::Error::new(ErrorKind::InvalidData, "my own words");
        let error = socket.when_ready(Interest::Write, |_| Err::<(), _>(own())).unwrap_err();
        assert_eq!(error.to_string(), "my own words");
    });
}
