//! Unix streams: each call means what std's means, and a full backlog is waited for.

use std::{
    cell::Cell,
    fs,
    io::{ErrorKind, Read, Write},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{self as std_unix, SocketAddr},
    },
    path::PathBuf,
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
};

use greenroom::{
    net::{UnixListener, UnixStream},
    spawn,
};
use rustix::net::{self as sys, AddressFamily, SocketAddrUnix, SocketType};

use crate::stage::{echo, joined, on_each_backend, spawn_named};

/// A number no other socket of these tests has.
fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A path for a socket, removed at the end.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Place {
        let name = format!("greenroom-{}-{}.sock", std::process::id(), unique());
        Place(std::env::temp_dir().join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Not every test comes to the point where the socket is made.
        let _ = fs::remove_file(&self.0);
    }
}

/// An abstract name.
pub(crate) fn nowhere() -> SocketAddr {
    let name = format!("greenroom-{}-{}", std::process::id(), unique());
    SocketAddr::from_abstract_name(name).unwrap()
}

#[test]
fn streams_meet_at_a_path() {
    on_each_backend(|| {
        let place = Place::new();
        let listener = UnixListener::bind(&place.0).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*place.0));
        let path = place.0.clone();
        let client = spawn(move || {
            let mut stream = UnixStream::connect(&path).unwrap();
            assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
            assert!(stream.local_addr().unwrap().is_unnamed());
            stream.write_all(b"hello").unwrap();
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).unwrap();
            answer
        });
        let (stream, peer) = listener.accept().unwrap();
        assert!(peer.is_unnamed(), "{peer:?}");
        assert_eq!(echo(stream).unwrap(), 5);
        assert_eq!(&joined(client), b"hello");
        assert_eq!(UnixListener::bind(&place.0).unwrap_err().kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn streams_meet_at_an_abstract_name() {
    on_each_backend(|| {
        let address = nowhere();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let name = address.as_abstract_name().map(<[u8]>::to_vec);
        assert_eq!(listener.local_addr().unwrap().as_abstract_name(), name.as_deref());
        let client = spawn(move || {
            let stream = UnixStream::connect_addr(&address).unwrap();
            assert_eq!(stream.peer_addr().unwrap().as_abstract_name(), name.as_deref());
        });
        assert_eq!(listener.accept().unwrap().0.read(&mut [0; 8]).unwrap(), 0);
        joined(client);
        // The system chooses a name for who gives none.
        let chosen = UnixListener::bind_addr(&SocketAddr::from_pathname("").unwrap()).unwrap();
        assert!(chosen.local_addr().unwrap().as_abstract_name().is_some());
    });
}

#[test]
fn a_peer_is_known_by_its_name_even_by_one_that_fills_the_address() {
    on_each_backend(|| {
        let folder = std::env::temp_dir();
        // The kernel takes 108 bytes for a path; with a zero at its end it has room for 107.
        for length in [1, 107, 108] {
            let name = format!("greenroom-{}-{}-", std::process::id(), unique());
            let mut path = folder.join(name).into_os_string();
            while path.len() < length {
                path.push("x");
            }
            let place = Place(path.into());
            let path = place.0.as_os_str();
            let listener = UnixListener::bind_addr(&nowhere()).unwrap();
            let address = listener.local_addr().unwrap();
            let name = address.as_abstract_name().unwrap();
            let client = sys::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
            sys::bind(&client, &SocketAddrUnix::new(path).unwrap()).unwrap();
            sys::connect(&client, &SocketAddrUnix::new_abstract_name(name).unwrap()).unwrap();
            let (_stream, peer) = listener.accept().unwrap();
            match path.len() {
                108 => assert!(peer.is_unnamed(), "std's type has no room for it: {peer:?}"),
                _ => assert_eq!(peer.as_pathname(), Some(path.as_ref())),
            }
        }
    });
}

#[test]
fn connecting_fails_with_what_std_fails_with() {
    on_each_backend(|| {
        let place = Place::new();
        let both = || (UnixStream::connect(&place.0), std_unix::UnixStream::connect(&place.0));
        let (ours, stds) = both();
        assert_eq!(ours.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(stds.unwrap_err().kind(), ErrorKind::NotFound);
        drop(UnixListener::bind(&place.0).unwrap());
        let (ours, stds) = both();
        assert_eq!(ours.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(stds.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let long = "x".repeat(108);
        assert_eq!(UnixStream::connect(long).unwrap_err().kind(), ErrorKind::InvalidInput);
        let unnamed = SocketAddr::from_pathname("").unwrap();
        let ours = UnixStream::connect_addr(&unnamed).unwrap_err();
        let stds = std_unix::UnixStream::connect_addr(&unnamed).unwrap_err();
        assert_eq!(ours.raw_os_error(), stds.raw_os_error());
    });
}

/// A listener with room for two who wait to be accepted.
pub(crate) fn narrow() -> (UnixListener, SocketAddr) {
    let address = nowhere();
    let name = SocketAddrUnix::new_abstract_name(address.as_abstract_name().unwrap()).unwrap();
    let socket = sys::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    sys::bind(&socket, &name).unwrap();
    sys::listen(&socket, 1).unwrap();
    (UnixListener::try_from(socket).unwrap(), address)
}

#[test]
fn connecting_waits_while_the_backlog_is_full() {
    on_each_backend(|| {
        let (listener, address) = narrow();
        let connected = Rc::new(Cell::new(0));
        let clients: Vec<_> = (0..6)
            .map(|n| {
                let (address, connected) = (address.clone(), Rc::clone(&connected));
                spawn_named(&format!("client {n}"), move || {
                    let stream = UnixStream::connect_addr(&address).unwrap();
                    connected.set(connected.get() + 1);
                    echo(stream).unwrap()
                })
            })
            .collect();
        greenroom::yield_now();
        assert_eq!(connected.get(), 2);
        for _ in 0..6 {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"you are in").unwrap();
            drop(stream);
        }
        for client in clients {
            // Some are thrown out in the middle of their answer.
            drop(client.join().unwrap_err().into_panic().err());
        }
    });
}

#[test]
fn a_connect_that_waits_hears_that_the_listener_is_gone() {
    on_each_backend(|| {
        let (listener, address) = narrow();
        let _filling = [(); 2].map(|()| UnixStream::connect_addr(&address).unwrap());
        let client = spawn(move || UnixStream::connect_addr(&address).unwrap_err().kind());
        greenroom::yield_now();
        assert!(!client.is_finished());
        drop(listener);
        assert_eq!(joined(client), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_pair_is_two_ends_of_one_stream() {
    on_each_backend(|| {
        let (mut here, there) = UnixStream::pair().unwrap();
        let echoing = spawn(move || echo(there).unwrap());
        here.write_all(b"to and fro").unwrap();
        here.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        here.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "to and fro");
        assert_eq!(joined(echoing), 10);
        assert!(here.take_error().unwrap().is_none());
        here.set_nonblocking(true).unwrap();
        // The other end is gone: nothing blocks any more.
        assert_eq!(here.read(&mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn a_message_with_a_file_in_it_does_not_hide_what_follows() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let reader = spawn(move || {
            let mut all = Vec::new();
            let mut bytes = [0; 64];
            // The kernel ends a read behind a message that carried files.
            while all.len() < 15 {
                let count = there.read(&mut bytes).unwrap();
                all.extend_from_slice(&bytes[..count]);
            }
            all
        });
        greenroom::yield_now();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = sys::SendAncillaryBuffer::new(&mut space);
        let files = [rustix::fd::AsFd::as_fd(&here)];
        assert!(control.push(sys::SendAncillaryMessage::ScmRights(&files)));
        let parts = [std::io::IoSlice::new(b"carried")];
        sys::sendmsg(&here, &parts, &mut control, sys::SendFlags::empty()).unwrap();
        (&here).write_all(b"followed").unwrap();
        assert_eq!(joined(reader), b"carriedfollowed");
    });
}
