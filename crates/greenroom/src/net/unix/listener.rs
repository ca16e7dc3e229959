//! Sockets that take Unix domain connections.

use std::{
    io,
    os::unix::net::{self as std_unix, SocketAddr},
    path::Path,
};

use rustix::net::{self as sys, AddressFamily, SocketAddrUnix, SocketType};

use super::{UnixStream, address};
use crate::{
    io::Descriptor,
    net::socket::{self, BACKLOG},
};

/// A socket that takes connections within one machine. As
/// [`std::os::unix::net::UnixListener`], but waits greenly.
///
/// [`serve`](crate::net::serve) makes a server of it. Its path is not removed when it is dropped;
/// an abstract name is.
///
/// # Examples
///
/// ```
/// use std::{io::Read, os::{linux::net::SocketAddrExt, unix::net::SocketAddr}};
/// use greenroom::net::{UnixListener, UnixStream};
///
/// let name = format!("greenroom-example-{}", std::process::id());
/// let address = SocketAddr::from_abstract_name(name)?;
/// let listener = UnixListener::bind_addr(&address)?;
/// let client = greenroom::spawn(move || UnixStream::connect_addr(&address));
/// let (mut stream, _) = listener.accept()?;
/// drop(client.join().unwrap()?);
/// assert_eq!(stream.read(&mut [0; 8])?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::net::UnixListener>();
/// ```
#[derive(Debug)]
pub struct UnixListener {
    inner: Descriptor<std_unix::UnixListener>,
}

impl UnixListener {
    /// Listens at `path`, which is made and must not exist.
    ///
    /// # Errors
    ///
    /// What the kernel says: in use, no such folder, not allowed.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        UnixListener::bind_to(&address::of_path(path.as_ref())?)
    }

    /// Listens at an address, which may be an abstract one; an unnamed one lets the system choose
    /// an abstract name.
    ///
    /// # Errors
    ///
    /// As [`bind`](UnixListener::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::bind_to(&address::to_kernel(address)?)
    }

    fn bind_to(address: &SocketAddrUnix) -> io::Result<UnixListener> {
        let inner =
            socket::open::<std_unix::UnixListener>(AddressFamily::UNIX, SocketType::STREAM)?;
        sys::bind(inner.file(), address)?;
        sys::listen(inner.file(), BACKLOG)?;
        Ok(UnixListener { inner })
    }

    /// Waits for the next connection. Its peer is mostly unnamed.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::accept`](crate::net::TcpListener::accept).
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (inner, peer) = self.inner.accept()?;
        Ok((UnixStream { inner }, address::from_kernel(peer)?))
    }
}

socket::std_shaped!(UnixListener, std_unix::UnixListener, SocketAddr);
socket::accepting!(UnixListener);
