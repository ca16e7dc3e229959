//! Taking connections, whatever carries them.
//!
//! Knows one system call and the kinds of listeners there are; knows no addresses.

use std::{
    io,
    iter::FusedIterator,
    net::SocketAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net as std_unix,
    },
};

use greenroom_hub::Interest;
use rustix::{
    io::Errno,
    net::{SocketAddrAny, acceptfrom_with},
};

use crate::{
    io::Descriptor,
    net::{
        TcpListener, TcpStream, UnixListener, UnixStream,
        socket::{OPEN_FLAGS, name_timeout},
    },
};

/// Something that takes connections, for [`serve`](crate::net::serve): a listener, or what is made
/// of one.
///
/// # Examples
///
/// Connections that are greeted before anybody else sees them:
///
/// ```
/// use std::{io::{self, Read, Write}, net::SocketAddr, os::fd::{AsFd, BorrowedFd}};
/// use greenroom::net::{Accept, TcpListener, TcpStream, listen, serve};
///
/// struct Greeting(TcpListener);
///
/// impl AsFd for Greeting {
///     fn as_fd(&self) -> BorrowedFd<'_> {
///         self.0.as_fd()
///     }
/// }
///
/// impl Accept for Greeting {
///     type Stream = TcpStream;
///     type Peer = SocketAddr;
///
///     fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
///         let (mut stream, peer) = self.0.accept()?;
///         // If it is gone already, whoever serves it finds out.
///         let _ = stream.write_all(b"welcome, ");
///         Ok((stream, peer))
///     }
///
///     fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
///         self.0.set_nonblocking(nonblocking)
///     }
/// }
///
/// let listener = Greeting(listen("127.0.0.1:0")?);
/// let address = listener.0.local_addr()?;
/// let server = serve(listener, 10, |mut stream, _peer| stream.write_all(b"stranger").unwrap());
/// let mut text = String::new();
/// TcpStream::connect(address)?.read_to_string(&mut text)?;
/// assert_eq!(text, "welcome, stranger");
/// server.stop()?;
/// # Ok::<(), io::Error>(())
/// ```
pub trait Accept: AsFd {
    /// A connection.
    type Stream: 'static;
    /// Who is at its other end.
    type Peer: 'static;

    /// Waits for the next connection. What else it waits for, the server's other clients wait for
    /// too: a handshake is better made by the handler.
    ///
    /// # Errors
    ///
    /// What the kernel says. An error ends the server that called this, unless it has the number
    /// of one of those that pass: no fds or memory left, or what accept(2) says of one connection
    /// alone.
    fn accept(&self) -> io::Result<(Self::Stream, Self::Peer)>;

    /// Whether accepting says [`WouldBlock`](io::ErrorKind::WouldBlock) instead of waiting. A
    /// server that stops asks for it, to take who is there and not wait for more.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
}

/// Implements the trait by the listener's own methods.
macro_rules! accepts {
    ($listener:ty, $stream:ty, $peer:ty) => {
        impl Accept for $listener {
            type Stream = $stream;
            type Peer = $peer;

            fn accept(&self) -> io::Result<($stream, $peer)> {
                <$listener>::accept(self)
            }

            fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                <$listener>::set_nonblocking(self, nonblocking)
            }
        }
    };
}

accepts!(TcpListener, TcpStream, SocketAddr);
accepts!(UnixListener, UnixStream, std_unix::SocketAddr);

/// A listener's connections. Made by its `incoming`; never ends.
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::net::Incoming<'_>>();
/// ```
#[derive(Debug)]
pub struct Incoming<'a, L = TcpListener> {
    listener: &'a L,
}

impl<'a, L> Incoming<'a, L> {
    pub(super) fn new(listener: &'a L) -> Incoming<'a, L> {
        Incoming { listener }
    }
}

impl<L: Accept> Iterator for Incoming<'_, L> {
    type Item = io::Result<L::Stream>;

    fn next(&mut self) -> Option<io::Result<L::Stream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl<L: Accept> FusedIterator for Incoming<'_, L> {}

impl<L: AsFd> Descriptor<L> {
    /// Waits for the next connection; the address is there if the kernel told it.
    pub(super) fn accept<S: From<OwnedFd> + AsFd>(
        &self,
    ) -> io::Result<(Descriptor<S>, Option<SocketAddrAny>)> {
        let accepted = self.when_ready(Interest::Read, |listener| {
            match acceptfrom_with(listener, OPEN_FLAGS) {
                // It was gone before we got to it: there may be another one.
                Err(Errno::CONNABORTED) => Err(Errno::INTR),
                outcome => outcome,
            }
        });
        let (socket, address) =
            accepted.map_err(|error| name_timeout(error, format_args!("the accept")))?;
        Ok((Descriptor::already_nonblocking(socket.into()), address))
    }
}
