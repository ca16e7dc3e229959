//! Addresses of Unix sockets, from std's type to the kernel's and back.
//!
//! Only conversions; no call in here waits.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{ffi::OsStrExt, net::SocketAddr},
    },
    path::Path,
};

use rustix::net::{SocketAddrAny, SocketAddrUnix};

/// Bytes of an address before its name begins: the family.
const FAMILY_LEN: u32 = 2;

/// The longest address with room for its path's terminating zero.
const TERMINATED_LEN_MAX: u32 = FAMILY_LEN + 108;

/// The address of a path, or why it is none.
pub(super) fn of_path(path: &Path) -> io::Result<SocketAddrUnix> {
    // Std decides which paths are addresses: not too long, and no zero in them.
    to_kernel(&SocketAddr::from_pathname(path)?)
}

pub(super) fn to_kernel(address: &SocketAddr) -> io::Result<SocketAddrUnix> {
    Ok(match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => SocketAddrUnix::new(path)?,
        (None, Some(name)) => SocketAddrUnix::new_abstract_name(name)?,
        (None, None) => SocketAddrUnix::new_unnamed(),
    })
}

/// The address the kernel told, or that there is none: sockets need not have a name.
pub(super) fn from_kernel(address: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    // A path may fill the kernel's structure to the last byte. With its terminating zero it is then
    // longer than the structure, and none of the two types takes it: such a peer has no name here.
    let named =
        address.filter(|it| FAMILY_LEN < it.addr_len() && it.addr_len() <= TERMINATED_LEN_MAX);
    let Some(address) = named else { return SocketAddr::from_pathname("") };
    let address = SocketAddrUnix::try_from(address)?;
    match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => {
            // Of the longest path there is, rustix takes the terminating zero for a part.
            let path = path.strip_suffix(&[0]).unwrap_or(path);
            SocketAddr::from_pathname(OsStr::from_bytes(path))
        }
        (None, name) => SocketAddr::from_abstract_name(name.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_there_and_back() {
        let there_and_back = |address: &SocketAddr| {
            from_kernel(Some(SocketAddrAny::from(to_kernel(address).unwrap()))).unwrap()
        };
        let longest = "x".repeat(107);
        for path in ["/a/b.sock", "relative", longest.as_str()] {
            let address = SocketAddr::from_pathname(path).unwrap();
            assert_eq!(there_and_back(&address).as_pathname(), Some(Path::new(path)));
        }
        for name in [&b"name"[..], b"", b"with\0zero", &[7; 107]] {
            let address = SocketAddr::from_abstract_name(name).unwrap();
            assert_eq!(there_and_back(&address).as_abstract_name(), Some(name));
        }
        assert!(there_and_back(&SocketAddr::from_pathname("").unwrap()).is_unnamed());
        assert!(from_kernel(None).unwrap().is_unnamed());
    }

    #[test]
    fn paths_that_are_no_addresses_are_refused_as_std_does() {
        for path in ["x".repeat(108), "a\0b".to_owned()] {
            let refused = of_path(Path::new(&path)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
    }
}
