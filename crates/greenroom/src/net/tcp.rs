//! TCP.
//!
//! Calls and options of [`std::net::TcpStream`] and [`std::net::TcpListener`]; each blocking one
//! waits on the hub. Knows no loop of its own.

use std::{
    io,
    net::{self as std_net, SocketAddr},
    os::linux::net::TcpStreamExt,
    time::Duration,
};

use greenroom_hub::Interest;
use rustix::{
    io::Errno,
    net::{self as sys, AddressFamily, SocketAddrAny, SocketType, sockopt},
};

use crate::{
    io::Descriptor,
    net::{
        ToSocketAddrs,
        address::first_success,
        socket::{self, BACKLOG, name_timeout, some_time},
    },
};

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
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::net::TcpStream>();
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
    /// Opens a connection to the first address that takes one, waiting for each as long as the
    /// kernel tries: some minutes, if nobody answers.
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
        let inner = socket::open::<std_net::TcpStream>(family(address), SocketType::STREAM)?;
        match sys::connect(inner.file(), &SocketAddrAny::from(address)) {
            Ok(()) => return Ok(TcpStream { inner }),
            // EINTR does not stop a connect: it goes on as if it had said EINPROGRESS.
            Err(Errno::INPROGRESS | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let connected = inner.when_ready_within(timeout, Interest::Write, |socket| {
            match sockopt::socket_error(socket)? {
                Err(errno) => Err(errno),
                // Neither failed nor connected: not yet.
                Ok(()) => match sys::getpeername(socket) {
                    Err(Errno::NOTCONN) => Err(Errno::AGAIN),
                    Err(errno) => Err(errno),
                    Ok(_) => Ok(()),
                },
            }
        });
        connected.map_err(|error| name_timeout(error, format_args!("connecting to {address}")))?;
        Ok(TcpStream { inner })
    }

    /// Reads without taking: the next read returns the same bytes. Waits as a read does.
    ///
    /// # Errors
    ///
    /// As a read.
    pub fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.peek(bytes)
    }

    /// Whether small writes are sent at once instead of being gathered (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.file().set_nodelay(nodelay)
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner.file().nodelay()
    }

    /// Whether what is received is acknowledged at once (`TCP_QUICKACK`), as in
    /// [`TcpStreamExt`]. The kernel goes back to its own judgement by and by.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.inner.file().set_quickack(quickack)
    }

    /// Whether what is received is acknowledged at once.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn quickack(&self) -> io::Result<bool> {
        self.inner.file().quickack()
    }

    /// What happens to unsent data at the end (`SO_LINGER`), in whole seconds, rounded up. With a
    /// time, closing blocks the OS thread for so long at most, though the socket is non-blocking;
    /// a time of zero resets the connection. Std has no such call that is stable.
    ///
    /// # Errors
    ///
    /// What the kernel says; and if there are more seconds than 31 bits hold.
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
}

pub(super) fn family(address: SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

/// A socket that takes TCP connections. As [`std::net::TcpListener`], but waits greenly.
///
/// [`serve`](crate::net::serve) makes a server of it.
///
/// # Examples
///
/// ```
/// use std::io::Read;
/// use greenroom::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let client = greenroom::spawn(move || TcpStream::connect(address));
/// let (mut stream, peer) = listener.accept()?;
/// assert_eq!(peer, client.join().unwrap()?.local_addr()?);
/// assert_eq!(stream.read(&mut [0; 8])?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::net::TcpListener>();
/// ```
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
        first_success(address, |address| TcpListener::bind_one(address, false))
    }

    /// Listens on an address that others of the same user listen on as well, if they too were
    /// bound like this (`SO_REUSEPORT`): the kernel deals new connections out among them. One for each of
    /// [`hubs::run`](crate::hubs::run)'s hubs lets a server use all cores.
    ///
    /// A connection dealt to a listener that is closed before it accepts is reset: stop accepting last.
    ///
    /// # Errors
    ///
    /// As [`bind`](TcpListener::bind).
    pub fn bind_reuse_port(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        first_success(address, |address| TcpListener::bind_one(address, true))
    }

    fn bind_one(address: SocketAddr, shares_port: bool) -> io::Result<TcpListener> {
        let inner = socket::open::<std_net::TcpListener>(family(address), SocketType::STREAM)?;
        sockopt::set_socket_reuseaddr(inner.file(), true)?;
        if shares_port {
            sockopt::set_socket_reuseport(inner.file(), true)?;
        }
        sys::bind(inner.file(), &SocketAddrAny::from(address))?;
        sys::listen(inner.file(), BACKLOG)?;
        Ok(TcpListener { inner })
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    ///
    /// What the kernel says. `EMFILE`, `ENFILE`, `ENOBUFS` and `ENOMEM` pass when fds or memory are
    /// freed: [`serve`](crate::net::serve) waits a little and goes on.
    /// [`TimedOut`](io::ErrorKind::TimedOut) after the time that was
    /// [set](TcpListener::set_accept_timeout).
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.inner.accept()?;
        let stream = TcpStream { inner: stream };
        let address = match address.map(SocketAddr::try_from) {
            Some(Ok(address)) => address,
            _ => stream.peer_addr()?,
        };
        Ok((stream, address))
    }
}

socket::std_shaped!(TcpStream, std_net::TcpStream, SocketAddr);
socket::connected!(TcpStream, SocketAddr);
socket::data_timeouts!(TcpStream);
socket::hop_limit!(TcpStream);
socket::read_write!(TcpStream, receive_all_there_is, receive_all_there_is_in_parts);

socket::std_shaped!(TcpListener, std_net::TcpListener, SocketAddr);
socket::accepting!(TcpListener);
socket::hop_limit!(TcpListener);
