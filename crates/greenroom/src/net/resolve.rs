//! Host names, by the system's resolver, on a helper OS thread.
//!
//! So `/etc/hosts`, `nsswitch.conf`, search domains and mDNS all count. Keeps no cache.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

use crate::offload::offload_named;

/// The addresses of a host, in the system resolver's order, each with `port`.
///
/// Other green threads run meanwhile. Text that is an address already is returned at once. The
/// system's resolver has no timeout but its own; under a [`with_timeout`](crate::with_timeout) the
/// wait ends in time, while the helper OS thread goes on until the resolver is done. Costs an
/// [`offload`](crate::offload).
///
/// # Panics
///
/// As [`offload`](crate::offload).
///
/// # Errors
///
/// What the resolver says, with the name it was asked for.
///
/// # Examples
///
/// ```
/// let addresses = greenroom::net::lookup_host("localhost", 80)?;
/// assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn lookup_host(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    crate::net::ToSocketAddrs::to_socket_addrs(&(host, port)).map(Vec::from_iter)
}

pub(super) fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let owned = host.to_owned();
    let resolved = offload_named(&"a host name", move || {
        (owned.as_str(), port).to_socket_addrs().map(Vec::from_iter)
    });
    resolved
        .map_err(|error| io::Error::new(error.kind(), format!("cannot resolve {host:?}: {error}")))
}
