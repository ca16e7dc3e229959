//! TCP: each call means what std's means.

use std::{
    io::{ErrorKind, Read, Write},
    net::{self as std_net, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use greenroom::{
    net::{TcpListener, TcpStream, connect},
    spawn,
};

use crate::stage::{joined, on_each_backend, own_address, tcp_pair};

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = std_net::TcpListener::bind((own_address(), 0)).unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn a_connection_carries_bytes_both_ways_between_its_two_addresses() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        assert_eq!(here.local_addr().unwrap(), there.peer_addr().unwrap());
        assert_eq!(here.peer_addr().unwrap(), there.local_addr().unwrap());
        here.write_all(b"ping").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(there.read(&mut bytes).unwrap(), 4);
        there.write_all(b"pong!").unwrap();
        assert_eq!(here.read(&mut bytes).unwrap(), 5);
        assert_eq!(&bytes[..5], b"pong!");
        here.flush().unwrap();
    });
}

#[test]
fn version_six_works_as_version_four_does() {
    on_each_backend(|| {
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.is_ipv6() && address.port() != 0);
        let client = spawn(move || connect(address).unwrap());
        let (accepted, peer) = listener.accept().unwrap();
        let client = joined(client);
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(accepted.local_addr().unwrap(), address);
    });
}

#[test]
fn connecting_fails_with_what_std_fails_with() {
    on_each_backend(|| {
        let addresses = [
            nobody(),
            // The kernel has no way for a connection to everyone, whatever network there is.
            SocketAddr::from((Ipv4Addr::BROADCAST, 9)),
            SocketAddr::from(([224, 0, 0, 1], 9)),
        ];
        for address in addresses {
            let ours = TcpStream::connect(address).unwrap_err();
            let stds = std_net::TcpStream::connect(address).unwrap_err();
            assert_eq!(ours.raw_os_error(), stds.raw_os_error(), "{address}");
            let ours = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap_err();
            assert_eq!(ours.raw_os_error(), stds.raw_os_error(), "{address}");
        }
    });
}

#[test]
fn the_first_address_that_answers_is_taken_and_the_last_error_told() {
    on_each_backend(|| {
        let listener = TcpListener::bind((own_address(), 0)).unwrap();
        let good = listener.local_addr().unwrap();
        let stream = TcpStream::connect(&[nobody(), good, nobody()][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);

        let unreachable = SocketAddr::from((Ipv4Addr::BROADCAST, 9));
        let error = TcpStream::connect(&[unreachable, nobody()][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = TcpStream::connect(&[nobody(), unreachable][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
        let error = TcpStream::connect(&[][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);

        let taken = TcpListener::bind(&[good, SocketAddr::from(([127, 0, 0, 1], 0))][..]).unwrap();
        assert_ne!(taken.local_addr().unwrap(), good);
        assert_eq!(TcpListener::bind(good).unwrap_err().kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn a_server_can_start_again_where_a_connection_was_a_moment_ago() {
    on_each_backend(|| {
        let listener = TcpListener::bind((own_address(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let client = spawn(move || TcpStream::connect(address).unwrap());
        let (accepted, _) = listener.accept().unwrap();
        // The side that closes first is the one whose address rests.
        drop((accepted, listener));
        joined(client).read_to_end(&mut Vec::new()).unwrap();
        TcpListener::bind(address).unwrap();
    });
}

#[test]
fn options_are_those_of_std() {
    on_each_backend(|| {
        let (stream, _peer) = tcp_pair();
        assert!(!stream.nodelay().unwrap());
        stream.set_nodelay(true).unwrap();
        assert!(stream.nodelay().unwrap());
        stream.set_ttl(17).unwrap();
        assert_eq!(stream.ttl().unwrap(), 17);
        assert_eq!(stream.linger().unwrap(), None);
        stream.set_linger(Some(Duration::from_secs(3))).unwrap();
        assert_eq!(stream.linger().unwrap(), Some(Duration::from_secs(3)));
        // Zero would mean something else.
        stream.set_linger(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(stream.linger().unwrap(), Some(Duration::from_secs(1)));
        assert!(stream.set_linger(Some(Duration::MAX)).is_err());
        stream.set_linger(None).unwrap();
        assert!(stream.take_error().unwrap().is_none());
        for quickack in [false, true] {
            stream.set_quickack(quickack).unwrap();
            assert_eq!(stream.quickack().unwrap(), quickack);
        }

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_ttl(9).unwrap();
        assert_eq!(listener.ttl().unwrap(), 9);
        assert!(listener.take_error().unwrap().is_none());
        // Std sees what was set.
        assert_eq!(listener.into_std().ttl().unwrap(), 9);
        let stream = stream.into_std();
        assert!(stream.nodelay().unwrap());
        assert_eq!(stream.ttl().unwrap(), 17);
    });
}

#[test]
fn peeking_leaves_the_bytes_where_they_are() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        let peeker = spawn(move || {
            let mut bytes = [0; 3];
            for _ in 0..3 {
                // The first waits, and even what filled the buffer to the end is there again.
                assert_eq!(there.peek(&mut bytes).unwrap(), 3);
                assert_eq!(&bytes, b"abc");
            }
            let mut all = String::new();
            there.read_to_string(&mut all).unwrap();
            assert_eq!(there.peek(&mut bytes).unwrap(), 0);
            all
        });
        greenroom::yield_now();
        here.write_all(b"abcdef").unwrap();
        drop(here);
        assert_eq!(joined(peeker), "abcdef");
    });
}

#[test]
fn who_wants_to_hear_would_block_hears_it() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        there.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4];
        assert_eq!(there.read(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(there.peek(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
        let full = there.write_all(&[0; 32 << 20]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        here.write_all(b"data").unwrap();
        there.set_nonblocking(false).unwrap();
        there.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"data");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn incoming_connections_come_one_after_the_other() {
    on_each_backend(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients = spawn(move || {
            let mut clients = Vec::new();
            for n in 0..5 {
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(&[n]).unwrap();
                clients.push(client);
            }
            clients
        });
        let mut seen = Vec::new();
        for stream in listener.incoming().take(3).chain(&listener).take(5) {
            let mut byte = [0];
            stream.unwrap().read_exact(&mut byte).unwrap();
            seen.extend(byte);
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        drop(joined(clients));
    });
}

#[test]
fn out_of_band_data_does_not_hide_what_follows_it() {
    on_each_backend(|| {
        let (here, mut there) = tcp_pair();
        let reader = spawn(move || {
            let mut all = Vec::new();
            let mut bytes = [0; 64];
            // A read stops short at the mark, though more is behind it.
            while all.len() < 11 {
                let count = there.read(&mut bytes).unwrap();
                all.extend_from_slice(&bytes[..count]);
            }
            all
        });
        greenroom::yield_now();
        (&here).write_all(b"before").unwrap();
        rustix::net::send(&here, b"!", rustix::net::SendFlags::OOB).unwrap();
        (&here).write_all(b"after").unwrap();
        assert_eq!(joined(reader), b"beforeafter");
    });
}
