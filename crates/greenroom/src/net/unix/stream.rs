//! Unix domain streams.

use std::{
    io,
    os::unix::net::{self as std_unix, SocketAddr},
    path::Path,
};

use rustix::net::{self as sys, AddressFamily, SocketAddrUnix, SocketType};

use super::address;
use crate::{
    io::Descriptor,
    net::socket::{self, OPEN_FLAGS},
};

/// A connection within one machine. As [`std::os::unix::net::UnixStream`], but waits greenly.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use greenroom::net::UnixStream;
///
/// let (mut here, mut there) = UnixStream::pair()?;
/// let echo = greenroom::spawn(move || -> std::io::Result<()> {
///     let mut bytes = [0; 64];
///     let count = there.read(&mut bytes)?;
///     there.write_all(&bytes[..count])
/// });
/// here.write_all(b"hello")?;
/// let mut answer = String::new();
/// here.read_to_string(&mut answer)?;
/// assert_eq!(answer, "hello");
/// echo.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::net::UnixStream>();
/// ```
#[derive(Debug)]
pub struct UnixStream {
    pub(super) inner: Descriptor<std_unix::UnixStream>,
}

impl UnixStream {
    /// Opens a connection to who listens at `path`. Waits while the listener's backlog is full,
    /// however long that is.
    ///
    /// The kernel does not tell when there is room in a backlog, so it is asked again and again,
    /// after pauses of 100 µs at first and 10 ms in the end. Of several who wait, anyone may be
    /// next.
    ///
    /// # Errors
    ///
    /// What the kernel says: nobody listens, no such path, not allowed.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        UnixStream::connect_to(&address::of_path(path.as_ref())?)
    }

    /// Opens a connection to an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As [`connect`](UnixStream::connect).
    pub fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect_to(&address::to_kernel(address)?)
    }

    fn connect_to(address: &SocketAddrUnix) -> io::Result<UnixStream> {
        let inner = socket::open::<std_unix::UnixStream>(AddressFamily::UNIX, SocketType::STREAM)?;
        // Such a connect is never in progress: there is room in the listener's backlog, or there
        // is not. In that case the kernel says EAGAIN to a non-blocking socket, forgets that it
        // was asked, and reports no readiness later: so it must be asked again.
        inner.when_other_has_room(|socket| sys::connect(socket, address))?;
        Ok(UnixStream { inner })
    }

    /// Two streams that are connected with each other.
    ///
    /// # Errors
    ///
    /// If no fds are left.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (a, b) = sys::socketpair(AddressFamily::UNIX, SocketType::STREAM, OPEN_FLAGS, None)?;
        let stream = |socket: rustix::fd::OwnedFd| Descriptor::already_nonblocking(socket.into());
        Ok((UnixStream { inner: stream(a) }, UnixStream { inner: stream(b) }))
    }
}

socket::std_shaped!(UnixStream, std_unix::UnixStream, SocketAddr);
socket::connected!(UnixStream, SocketAddr);
socket::data_timeouts!(UnixStream);
// A read stops short after a message that carried fds or credentials, although more may be there.
socket::read_write!(UnixStream, receive, receive_parts);
