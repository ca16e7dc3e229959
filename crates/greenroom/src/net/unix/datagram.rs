//! Unix domain datagrams.

use std::{
    io,
    os::unix::net::{self as std_unix, SocketAddr},
    path::Path,
};

use rustix::net::{self as sys, AddressFamily, RecvFlags, SocketAddrUnix, SocketType};

use super::address;
use crate::{
    io::Descriptor,
    net::socket::{self, OPEN_FLAGS},
};

/// A socket for messages within one machine. As [`std::os::unix::net::UnixDatagram`], but waits
/// greenly.
///
/// Messages arrive whole and in order, and none is lost: if the receiver's queue is full (see
/// `/proc/sys/net/unix/max_dgram_qlen`), the sender waits.
///
/// # Examples
///
/// ```
/// use greenroom::net::UnixDatagram;
///
/// let (here, there) = UnixDatagram::pair()?;
/// let receiver = greenroom::spawn(move || -> std::io::Result<usize> {
///     let mut bytes = [0; 64];
///     Ok(there.recv(&mut bytes)? + there.recv(&mut bytes)?)
/// });
/// here.send(b"hello")?;
/// here.send(b"again!")?;
/// assert_eq!(receiver.join().unwrap()?, 5 + 6);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::net::UnixDatagram>();
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    inner: Descriptor<std_unix::UnixDatagram>,
}

impl UnixDatagram {
    /// A socket that receives what is sent to `path`, which is made and must not exist.
    ///
    /// # Errors
    ///
    /// What the kernel says: in use, no such folder, not allowed.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_to(&address::of_path(path.as_ref())?)
    }

    /// A socket with an address, which may be an abstract one; an unnamed one lets the system
    /// choose an abstract name.
    ///
    /// # Errors
    ///
    /// As [`bind`](UnixDatagram::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_to(&address::to_kernel(address)?)
    }

    fn bind_to(address: &SocketAddrUnix) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        sys::bind(socket.inner.file(), address)?;
        Ok(socket)
    }

    /// A socket without an address: it can send, and nobody can answer.
    ///
    /// # Errors
    ///
    /// If no fds are left.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { inner: socket::open(AddressFamily::UNIX, SocketType::DGRAM)? })
    }

    /// Two sockets that are connected with each other.
    ///
    /// # Errors
    ///
    /// If no fds are left.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = sys::socketpair(AddressFamily::UNIX, SocketType::DGRAM, OPEN_FLAGS, None)?;
        let datagram = |socket: rustix::fd::OwnedFd| Descriptor::already_nonblocking(socket.into());
        Ok((UnixDatagram { inner: datagram(a) }, UnixDatagram { inner: datagram(b) }))
    }

    /// Sets whom [`send`](UnixDatagram::send) sends to, and from whom alone messages are received.
    /// Waits for nothing.
    ///
    /// # Errors
    ///
    /// What the kernel says: nobody there, no such path, not allowed.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        Ok(sys::connect(self.inner.file(), &address::of_path(path.as_ref())?)?)
    }

    /// [`connect`](UnixDatagram::connect) with an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        Ok(sys::connect(self.inner.file(), &address::to_kernel(address)?)?)
    }

    /// Sends a message to whom the socket is [connected](UnixDatagram::connect) with, waiting while
    /// the receiver's queue is full.
    ///
    /// # Errors
    ///
    /// What the kernel says: nobody there any more, message too long;
    /// [`TimedOut`](io::ErrorKind::TimedOut) after the time that was
    /// [set](UnixDatagram::set_write_timeout).
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.send_message(bytes)
    }

    /// Sends a message to a path, waiting while the receiver's queue is full.
    ///
    /// The kernel tells only a [connected](UnixDatagram::connect) sender when there is room. This
    /// one asks again and again, after pauses of 100 µs at first and 10 ms in the end; of several
    /// who wait, anyone may be next.
    ///
    /// # Errors
    ///
    /// As [`send`](UnixDatagram::send).
    pub fn send_to(&self, bytes: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.send_to_kernel_address(bytes, &address::of_path(path.as_ref())?)
    }

    /// Sends a message to an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As [`send`](UnixDatagram::send).
    pub fn send_to_addr(&self, bytes: &[u8], address: &SocketAddr) -> io::Result<usize> {
        self.send_to_kernel_address(bytes, &address::to_kernel(address)?)
    }

    /// A full receiver makes the kernel say EAGAIN. It reports readiness when there is room again
    /// only to senders that are connected with that receiver; to any other our socket looks
    /// writable all the time.
    fn send_to_kernel_address(&self, bytes: &[u8], address: &SocketAddrUnix) -> io::Result<usize> {
        self.inner.send_to_neighbour(bytes, address)
    }

    /// Waits for a message. Returns its length, as far as there was room, and who sent it.
    ///
    /// # Errors
    ///
    /// What the kernel says; [`TimedOut`](io::ErrorKind::TimedOut) after the time that was
    /// [set](UnixDatagram::set_read_timeout).
    pub fn recv_from(&self, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, sender) = self.inner.receive_message_from(bytes, RecvFlags::empty())?;
        Ok((count, address::from_kernel(sender)?))
    }

    /// Waits for a message. Returns its length, as far as there was room.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UnixDatagram::recv_from).
    pub fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.receive_message(bytes, RecvFlags::empty())
    }
}

socket::std_shaped!(UnixDatagram, std_unix::UnixDatagram, SocketAddr);
socket::connected!(UnixDatagram, SocketAddr);
socket::data_timeouts!(UnixDatagram);
