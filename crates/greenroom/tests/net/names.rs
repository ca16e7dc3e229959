//! What names an address, and host names.

use std::{
    cell::Cell,
    io::Read,
    net::{self as std_net, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    rc::Rc,
};

use greenroom::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket, lookup_host};

use crate::stage::{joined, on_each_backend};

/// What std makes of the same thing.
#[track_caller]
fn agrees(ours: impl ToSocketAddrs, stds: impl std_net::ToSocketAddrs) {
    let ours = ours.to_socket_addrs().map(Vec::from_iter).map_err(|error| error.kind());
    let stds = stds.to_socket_addrs().map(Vec::from_iter).map_err(|error| error.kind());
    assert_eq!(ours, stds);
}

#[test]
fn whatever_names_an_address_to_std_names_the_same_here() {
    on_each_backend(|| {
        let texts = [
            "127.0.0.1:80",
            "[::1]:443",
            "[fe80::1%3]:443",
            "::1:80",
            "localhost:0",
            "localhost:65535",
            "",
            ":80",
            "localhost",
            "localhost:",
            "localhost:http",
            "localhost:65536",
            "127.0.0.1",
            "[::1]",
        ];
        for text in &texts {
            // A reference to what names an address names it too.
            agrees(text, text);
            let text = *text;
            agrees(text, text);
            agrees(String::from(text), text);
        }
        for host in ["127.0.0.1", "::1", "localhost", "a\0b"] {
            agrees((host, 7), (host, 7));
            agrees((String::from(host), 7), (host, 7));
        }
        let v4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
        let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 2, 3, 4);
        agrees(v4, v4);
        agrees(v6, v6);
        agrees(SocketAddr::from(v4), v4);
        agrees((Ipv4Addr::LOCALHOST, 5), (Ipv4Addr::LOCALHOST, 5));
        agrees((Ipv6Addr::LOCALHOST, 5), (Ipv6Addr::LOCALHOST, 5));
        agrees((IpAddr::from(Ipv4Addr::LOCALHOST), 5), (Ipv4Addr::LOCALHOST, 5));
        let several = [SocketAddr::from(v4), SocketAddr::from(v6)];
        agrees(&several[..], &several[..]);
    });
}

#[test]
fn a_name_that_is_nobodys_is_named_in_the_error() {
    on_each_backend(|| {
        // No name may have a part of more than 63 letters: this asks no server.
        let host = "x".repeat(64);
        let error = lookup_host(&host, 80).unwrap_err();
        assert!(error.to_string().contains(&host), "{error}");
        let error = TcpStream::connect("no port here").unwrap_err();
        assert!(error.to_string().contains("no port here"), "{error}");
    });
}

#[test]
fn others_run_while_a_name_is_resolved() {
    on_each_backend(|| {
        let resolved = Rc::new(Cell::new(false));
        let over = Rc::clone(&resolved);
        let other = greenroom::spawn(move || {
            let mut turns = 0;
            while !over.get() {
                turns += 1;
                greenroom::yield_now();
            }
            turns
        });
        let addresses = lookup_host("localhost", 80).unwrap();
        resolved.set(true);
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        assert!(joined(other) > 0, "nobody ran meanwhile");
    });
}

#[test]
fn names_work_wherever_addresses_do() {
    on_each_backend(|| {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let clients = [
            greenroom::spawn(move || TcpStream::connect(("localhost", port)).unwrap()),
            greenroom::spawn(move || TcpStream::connect(format!("localhost:{port}")).unwrap()),
        ];
        // In whatever order their names were resolved.
        let accepted = [(); 2].map(|()| listener.accept().unwrap());
        drop(accepted);
        for client in clients {
            assert_eq!(joined(client).read(&mut [0; 8]).unwrap(), 0);
        }
        let receiver = UdpSocket::bind("localhost:0").unwrap();
        let sender = UdpSocket::bind("localhost:0").unwrap();
        sender.send_to(b"x", ("localhost", receiver.local_addr().unwrap().port())).unwrap();
        assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 1);
    });
}
