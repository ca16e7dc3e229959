//! TCP.
//!
//! Calls and options of [`std::net::TcpStream`] and [`std::net::TcpListener`]; each blocking one
//! waits on the hub. Knows no loop of its own.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    net::{self as std_net, Shutdown, SocketAddr},
    time::Duration,
};

use greenroom_hub::Interest;
use rustix::{
    io::Errno,
    net::{
        self as sys, AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType,
        sockopt,
    },
};

use crate::{
    io::Descriptor,
    net::{ToSocketAddrs, address::first_success},
};

/// How many connections the kernel keeps for a listener that has not accepted them yet: as many as
/// `/proc/sys/net/core/somaxconn` allows, and a server under load wants.
const BACKLOG: i32 = 4096;

/// A TCP connection. As [`std::net::TcpStream`], but waits greenly.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use greenroom::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let echo = greenroom::spawn(move || -> std::io::Result<()> {
///     let (mut stream, _) = listener.accept()?;
///     let mut bytes = [0; 64];
///     let count = stream.read(&mut bytes)?;
///     stream.write_all(&bytes[..count])
/// });
/// let mut stream = TcpStream::connect(address)?;
/// stream.write_all(b"hello")?;
/// let mut answer = Vec::new();
/// stream.read_to_end(&mut answer)?;
/// assert_eq!(answer, b"hello");
/// echo.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TcpStream {
    inner: Descriptor<std_net::TcpStream>,
}

/// Opens a connection, as [`TcpStream::connect`] does.
///
/// # Errors
///
/// As there.
pub fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
    TcpStream::connect(address)
}

impl TcpStream {
    /// Opens a connection to the first address that takes one.
    ///
    /// # Errors
    ///
    /// What the last attempt failed with: refused, unreachable, timed out; or that the name cannot
    /// be resolved.
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        first_success(address, |address| TcpStream::connect_one(address, None))
    }

    /// Opens a connection, if that takes no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As [`connect`](TcpStream::connect); [`TimedOut`](io::ErrorKind::TimedOut) after `timeout`;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `timeout` is zero.
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        TcpStream::connect_one(*address, some_time(Some(timeout))?)
    }

    fn connect_one(address: SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = sys::socket_with(family, SocketType::STREAM, flags, None)?;
        let inner = Descriptor::already_nonblocking(std_net::TcpStream::from(socket));
        match sys::connect(inner.file(), &SocketAddrAny::from(address)) {
            Ok(()) => return Ok(TcpStream { inner }),
            // EINTR does not stop a connect: it goes on as if it had said EINPROGRESS.
            Err(Errno::INPROGRESS | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        inner.when_ready(Interest::Write, timeout, |socket| {
            match sockopt::socket_error(socket)? {
                Err(errno) => Err(errno),
                // Neither failed nor connected: not yet.
                Ok(()) => match sys::getpeername(socket) {
                    Err(Errno::NOTCONN) => Err(Errno::AGAIN),
                    Err(errno) => Err(errno),
                    Ok(_) => Ok(()),
                },
            }
        })?;
        Ok(TcpStream { inner })
    }

    /// The other side's address.
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.file().peer_addr()
    }

    /// Our own address.
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpStream::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.file().local_addr()
    }

    /// Ends one direction, or both. Whoever waits in it wakes: a read returns 0.
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpStream::shutdown`].
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.file().shutdown(how)
    }

    /// Another handle of the same connection, with the same timeouts.
    ///
    /// # Errors
    ///
    /// If no fds are left.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream { inner: self.inner.duplicate(self.inner.file().try_clone()?) })
    }

    /// How long a read may wait; `None`: for ever. One that waits longer fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut).
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the time is zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.read_timeout.set(some_time(timeout)?);
        Ok(())
    }

    /// How long a write may wait; `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the time is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.write_timeout.set(some_time(timeout)?);
        Ok(())
    }

    /// How long a read may wait.
    ///
    /// # Errors
    ///
    /// None; the type is std's.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.read_timeout.get())
    }

    /// How long a write may wait.
    ///
    /// # Errors
    ///
    /// None; the type is std's.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.write_timeout.get())
    }

    /// Reads without taking: the next read returns the same bytes.
    ///
    /// # Errors
    ///
    /// As a read.
    pub fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let timeout = self.inner.read_timeout.get();
        self.inner.when_ready(Interest::Read, timeout, |fd| {
            sys::recv(fd, &mut *bytes, RecvFlags::PEEK).map(|(count, _)| count)
        })
    }

    /// Whether small writes are sent at once instead of being gathered (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpStream::set_nodelay`].
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.file().set_nodelay(nodelay)
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpStream::nodelay`].
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner.file().nodelay()
    }

    /// What happens to unsent data at the end (`SO_LINGER`). With a time, closing blocks the OS
    /// thread for so long at most; `Some(0)` resets the connection.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        Ok(sockopt::set_socket_linger(self.inner.file(), linger)?)
    }

    /// What happens to unsent data at the end.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(sockopt::socket_linger(self.inner.file())?)
    }

    /// How many routers a packet may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpStream::set_ttl`].
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.file().set_ttl(ttl)
    }

    /// How many routers a packet may pass.
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpStream::ttl`].
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.file().ttl()
    }

    /// The error the connection met since this was last asked (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpStream::take_error`].
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.file().take_error()
    }

    /// Whether calls fail with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of waiting.
    ///
    /// # Errors
    ///
    /// None; the type is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.inner.set_nonblocking(nonblocking);
        Ok(())
    }

    fn receive(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let room = bytes.len();
        let timeout = self.inner.read_timeout.get();
        let count = self.inner.when_ready(Interest::Read, timeout, |fd| {
            sys::recv(fd, &mut *bytes, RecvFlags::empty()).map(|(count, _)| count)
        })?;
        if 0 < count && count < room {
            self.inner.note_short_read();
        }
        Ok(count)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let timeout = self.inner.write_timeout.get();
        self.inner
            .when_ready(Interest::Write, timeout, |fd| sys::send(fd, bytes, SendFlags::NOSIGNAL))
    }
}

/// A time for a timeout: zero would mean "for ever" to the kernel, so std refuses it, and so does
/// this.
pub(super) fn some_time(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a timeout of zero is refused; give None to wait for ever",
        ));
    }
    Ok(timeout)
}

impl Read for &TcpStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.receive(bytes)
    }

    fn read_vectored(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let timeout = self.inner.read_timeout.get();
        self.inner.when_ready(Interest::Read, timeout, |fd| rustix::io::readv(fd, parts))
    }
}

impl Write for &TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let timeout = self.inner.write_timeout.get();
        self.inner.when_ready(Interest::Write, timeout, |fd| rustix::io::writev(fd, parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that takes TCP connections. As [`std::net::TcpListener`], but waits greenly.
#[derive(Debug)]
pub struct TcpListener {
    inner: Descriptor<std_net::TcpListener>,
}

impl TcpListener {
    /// Listens on the first address that can be had; port 0 lets the system choose one.
    ///
    /// As std does, this sets `SO_REUSEADDR`, so that a server can start again at once.
    ///
    /// # Errors
    ///
    /// What the last attempt failed with: in use, not ours, not allowed; or that the name cannot be
    /// resolved.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        first_success(address, TcpListener::bind_one)
    }

    fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = sys::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sys::bind(&socket, &SocketAddrAny::from(address))?;
        sys::listen(&socket, BACKLOG)?;
        Ok(TcpListener { inner: Descriptor::already_nonblocking(socket.into()) })
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    ///
    /// What the kernel says. `EMFILE`, `ENFILE`, `ENOBUFS` and `ENOMEM` pass when fds or memory are
    /// freed: [`serve`](crate::net::serve) waits a little and goes on.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let timeout = self.inner.read_timeout.get();
        let (socket, address) = self.inner.when_ready(Interest::Read, timeout, |fd| {
            match sys::acceptfrom_with(fd, flags) {
                // It was gone before we got to it: there may be another one.
                Err(Errno::CONNABORTED) => Err(Errno::INTR),
                outcome => outcome,
            }
        })?;
        let address = address.and_then(|address| SocketAddr::try_from(address).ok());
        let stream = TcpStream { inner: Descriptor::already_nonblocking(socket.into()) };
        let address = match address {
            Some(address) => address,
            None => stream.peer_addr()?,
        };
        Ok((stream, address))
    }

    /// Connections, one after the other, for ever.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Our own address, with the port the system chose.
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.file().local_addr()
    }

    /// Another handle of the same listener.
    ///
    /// # Errors
    ///
    /// If no fds are left.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener { inner: self.inner.duplicate(self.inner.file().try_clone()?) })
    }

    /// How many routers a packet may pass, for connections that are accepted.
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpListener::set_ttl`].
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.file().set_ttl(ttl)
    }

    /// How many routers a packet may pass.
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpListener::ttl`].
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.file().ttl()
    }

    /// The error the listener met since this was last asked.
    ///
    /// # Errors
    ///
    /// As [`std::net::TcpListener::take_error`].
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.file().take_error()
    }

    /// Whether accepting fails with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of waiting.
    ///
    /// # Errors
    ///
    /// None; the type is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.inner.set_nonblocking(nonblocking);
        Ok(())
    }
}

/// A listener's connections. Made by [`TcpListener::incoming`]; never ends.
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

super::socket::std_shaped!(TcpStream, std_net::TcpStream);
super::socket::std_shaped!(TcpListener, std_net::TcpListener);
super::socket::read_write_by_value!(TcpStream);
