//! What names an address: an address, a pair of host and port, or text.
//!
//! The same types std takes. Text that is no address goes to `resolve`, off the loop.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

use crate::net::resolve::lookup;

/// Something that can be turned into socket addresses, as
/// [`std::net::ToSocketAddrs`] is; but host names are resolved without blocking the OS thread.
pub trait ToSocketAddrs {
    /// The addresses, in the order to try them.
    ///
    /// # Errors
    ///
    /// If text is no address and no `host:port`, or if the host cannot be resolved.
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>>;
}

/// Implements the trait for a type that is an address already.
macro_rules! is_an_address {
    ($($address:ty),*) => {$(
        impl ToSocketAddrs for $address {
            fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
                Ok(vec![SocketAddr::from(*self)])
            }
        }
    )*};
}

is_an_address!(SocketAddr, SocketAddrV4, SocketAddrV6);
is_an_address!((IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for (&str, u16) {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        match self.0.parse::<IpAddr>() {
            Ok(address) => Ok(vec![SocketAddr::new(address, self.1)]),
            Err(_) => lookup(self.0, self.1),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address]);
        }
        let malformed = || {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{self:?} is no address; it must be \"host:port\""),
            )
        };
        let (host, port) = self.rsplit_once(':').ok_or_else(malformed)?;
        lookup(host, port.parse().map_err(|_| malformed())?)
    }
}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.to_vec())
    }
}

impl<A: ToSocketAddrs + ?Sized> ToSocketAddrs for &A {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

/// Tries each address until one succeeds; the last error is the one that is told.
pub(super) fn first_success<T>(
    addresses: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the name has no addresses")
    }))
}
