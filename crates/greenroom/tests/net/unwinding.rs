//! Destructors that use sockets while their green thread unwinds from a panic. Nothing may switch
//! then, so they have what is there at once, and otherwise an error before long.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::linux::net::SocketAddrExt,
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use greenroom::{
    net::{TcpListener, UdpSocket, UnixStream},
    spawn,
};

use crate::{
    raw,
    stage::{on_each_backend, own_address, tcp_pair},
    unix_stream::nowhere,
};

/// Calls a function when it is dropped.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What `call` comes to in such a destructor, and how long that takes.
#[track_caller]
fn in_destructor<T: 'static>(
    mut call: impl FnMut() -> io::Result<T> + 'static,
) -> (io::Result<T>, Duration) {
    let (tell, told) = channel();
    let thread = spawn(move || {
        let _finally = Finally(move || {
            let begin = Instant::now();
            let outcome = call();
            tell.send((outcome, begin.elapsed())).unwrap();
        });
        std::panic::resume_unwind(Box::new("as it shall be"));
    });
    assert!(thread.join().unwrap_err().is_panic());
    told.recv().unwrap()
}

#[test]
fn what_is_there_is_had() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        let mut writer = here.try_clone().unwrap();
        in_destructor(move || writer.write_all(b"last words")).0.unwrap();
        let mut bytes = [0; 16];
        assert_eq!(there.read(&mut bytes).unwrap(), 10);
        there.write_all(b"answer").unwrap();
        assert_eq!(in_destructor(move || here.read(&mut [0; 16])).0.unwrap(), 6);

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Over loopback this needs no wait, or a short one.
        in_destructor(move || greenroom::net::TcpStream::connect(address)).0.unwrap();
        in_destructor(move || listener.accept()).0.unwrap();
    });
}

#[test]
fn what_is_not_there_is_an_error_before_long() {
    on_each_backend(|| {
        let (mut here, _there) = UnixStream::pair().unwrap();
        let mut clone = here.try_clone().unwrap();
        let (outcome, took) = in_destructor(move || clone.read(&mut [0; 8]));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(took < Duration::from_secs(10), "after {took:?}");
        assert!(took > Duration::from_millis(50), "no more than a glance: {took:?}");
        let (outcome, _) = in_destructor(move || here.write_all(&[0; 1 << 22]));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_socket_that_looks_ready_for_ever_is_given_up() {
    on_each_backend(|| {
        let here = UdpSocket::bind("127.0.0.1:0").unwrap();
        raw::keep_errors(&here);
        let gone = UdpSocket::bind((own_address(), 0)).unwrap();
        here.connect(gone.local_addr().unwrap()).unwrap();
        drop(gone);
        here.send(b"anybody there?").unwrap();
        assert_eq!(here.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let (outcome, _) = in_destructor(move || here.recv(&mut [0; 8]));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_full_backlog_is_not_waited_for() {
    on_each_backend(|| {
        use rustix::net::{self as sys, AddressFamily, SocketAddrUnix, SocketType};
        let address = nowhere();
        let name = SocketAddrUnix::new_abstract_name(address.as_abstract_name().unwrap()).unwrap();
        let listener = sys::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        sys::bind(&listener, &name).unwrap();
        sys::listen(&listener, 0).unwrap();
        let _filling = UnixStream::connect_addr(&address).unwrap();
        let (outcome, _) = in_destructor(move || UnixStream::connect_addr(&address));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}
