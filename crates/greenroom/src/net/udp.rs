//! UDP.
//!
//! Calls and options of [`std::net::UdpSocket`]; each blocking one waits on the hub. Knows no loop
//! of its own.

use std::{
    io,
    net::{self as std_net, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use rustix::net::{self as sys, RecvFlags, SocketAddrAny, SocketType};

use crate::{
    io::Descriptor,
    net::{
        ToSocketAddrs,
        address::{first_success, no_addresses},
        socket,
        tcp::family,
    },
};

/// A UDP socket. As [`std::net::UdpSocket`], but waits greenly.
///
/// A datagram that is longer than the buffer it is received into loses its end, as ever.
///
/// # Examples
///
/// ```
/// use greenroom::net::UdpSocket;
///
/// let here = UdpSocket::bind("127.0.0.1:0")?;
/// let there = UdpSocket::bind("127.0.0.1:0")?;
/// let address = there.local_addr()?;
/// let echo = greenroom::spawn(move || -> std::io::Result<usize> {
///     let mut bytes = [0; 64];
///     let (count, sender) = there.recv_from(&mut bytes)?;
///     there.send_to(&bytes[..count], sender)
/// });
/// here.send_to(b"hello", address)?;
/// let mut bytes = [0; 64];
/// assert_eq!(here.recv_from(&mut bytes)?, (5, address));
/// assert_eq!(&bytes[..5], b"hello");
/// echo.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::net::UdpSocket>();
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    inner: Descriptor<std_net::UdpSocket>,
}

impl UdpSocket {
    /// Takes the first address that can be had; port 0 lets the system choose one.
    ///
    /// # Errors
    ///
    /// What the last attempt failed with: in use, not ours, not allowed; or that the name cannot be
    /// resolved.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        first_success(address, |address| {
            let inner = socket::open::<std_net::UdpSocket>(family(address), SocketType::DGRAM)?;
            sys::bind(inner.file(), &SocketAddrAny::from(address))?;
            Ok(UdpSocket { inner })
        })
    }

    /// Sets whom [`send`](UdpSocket::send) sends to, and from whom alone datagrams are received:
    /// the first address that can be reached. Sends nothing, and waits for nothing but a host name.
    ///
    /// # Errors
    ///
    /// What the last attempt failed with; or that the name cannot be resolved.
    pub fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        first_success(address, |address| {
            Ok(sys::connect(self.inner.file(), &SocketAddrAny::from(address))?)
        })
    }

    /// Sends one datagram to the first of the addresses, and waits until the kernel has taken it.
    ///
    /// # Errors
    ///
    /// What the kernel says: too long (`EMSGSIZE`), unreachable, not allowed; or that the name
    /// cannot be resolved.
    pub fn send_to(&self, bytes: &[u8], address: impl ToSocketAddrs) -> io::Result<usize> {
        let address = address.to_socket_addrs()?.next().ok_or_else(no_addresses)?;
        self.inner.send_to(bytes, &address)
    }

    /// Sends one datagram to whom the socket is [connected](UdpSocket::connect) with.
    ///
    /// # Errors
    ///
    /// As [`send_to`](UdpSocket::send_to); [`ConnectionRefused`](io::ErrorKind::ConnectionRefused)
    /// if an earlier one came back because nobody was there.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.send_message(bytes)
    }

    /// Waits for a datagram. Returns its length, as far as there was room, and who sent it.
    ///
    /// # Errors
    ///
    /// What the kernel says; [`TimedOut`](io::ErrorKind::TimedOut) after the time that was
    /// [set](UdpSocket::set_read_timeout).
    pub fn recv_from(&self, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from(bytes, RecvFlags::empty())
    }

    /// Waits for a datagram from whom the socket is [connected](UdpSocket::connect) with; from
    /// anyone, if it is not.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from);
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if what was sent came back because
    /// nobody was there.
    pub fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.receive_message(bytes, RecvFlags::empty())
    }

    /// Waits for a datagram and leaves it there: the next call receives it again.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn peek_from(&self, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from(bytes, RecvFlags::PEEK)
    }

    /// Waits for a datagram and leaves it there, as [`peek_from`](UdpSocket::peek_from) does.
    ///
    /// # Errors
    ///
    /// As [`recv`](UdpSocket::recv).
    pub fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.receive_message(bytes, RecvFlags::PEEK)
    }

    fn receive_from(&self, bytes: &mut [u8], flags: RecvFlags) -> io::Result<(usize, SocketAddr)> {
        let (count, sender) = self.inner.receive_message_from(bytes, flags)?;
        match sender.map(SocketAddr::try_from) {
            Some(Ok(sender)) => Ok((count, sender)),
            Some(Err(errno)) => Err(errno.into()),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "there is no sender: the socket was shut down",
            )),
        }
    }

    /// The address the socket is [connected](UdpSocket::connect) with.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.file().peer_addr()
    }
}

/// Options that std's type sets.
macro_rules! options {
    ($($(#[doc = $set_doc:literal])* $set:ident, $get:ident: $value:ty;)*) => {
        impl UdpSocket {$(
            $(#[doc = $set_doc])*
            ///
            /// # Errors
            ///
            /// What the kernel says.
            pub fn $set(&self, value: $value) -> io::Result<()> {
                self.inner.file().$set(value)
            }

            #[doc = concat!("What [`", stringify!($set), "`](UdpSocket::", stringify!($set), ") has set.")]
            ///
            /// # Errors
            ///
            /// What the kernel says.
            pub fn $get(&self) -> io::Result<$value> {
                self.inner.file().$get()
            }
        )*}
    };
}

options! {
    /// Whether sending to a broadcast address is allowed (`SO_BROADCAST`). Not at first.
    set_broadcast, broadcast: bool;
    /// Whether this machine receives the multicast datagrams it sends (`IP_MULTICAST_LOOP`). At
    /// first it does.
    set_multicast_loop_v4, multicast_loop_v4: bool;
    /// How many routers a multicast datagram may pass (`IP_MULTICAST_TTL`). At first 1: it stays
    /// in the local network.
    set_multicast_ttl_v4, multicast_ttl_v4: u32;
    /// Whether this machine receives the multicast datagrams it sends (`IPV6_MULTICAST_LOOP`). At
    /// first it does.
    set_multicast_loop_v6, multicast_loop_v6: bool;
}

impl UdpSocket {
    /// Receives what is sent to a multicast group, on the interface with this address; if that is
    /// unspecified, the system chooses one.
    ///
    /// # Errors
    ///
    /// What the kernel says: no multicast address, no such interface, joined already.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner.file().join_multicast_v4(group, interface)
    }

    /// Receives what is sent to a multicast group, on the interface with this index; for 0 the
    /// system chooses one.
    ///
    /// # Errors
    ///
    /// As [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.file().join_multicast_v6(group, interface)
    }

    /// Ends [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// What the kernel says if the group was not joined.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner.file().leave_multicast_v4(group, interface)
    }

    /// Ends [`join_multicast_v6`](UdpSocket::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// What the kernel says if the group was not joined.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.file().leave_multicast_v6(group, interface)
    }
}

socket::std_shaped!(UdpSocket, std_net::UdpSocket, SocketAddr);
socket::data_timeouts!(UdpSocket);
socket::hop_limit!(UdpSocket);
