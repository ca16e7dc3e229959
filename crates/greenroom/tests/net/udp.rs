//! UDP: each call means what std's means.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use greenroom::{net::UdpSocket, spawn};

use crate::{
    raw,
    stage::{joined, on_each_backend, own_address},
};

fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[test]
fn datagrams_arrive_whole_with_their_senders_address() {
    on_each_backend(|| {
        let ((here, here_address), (there, there_address)) = (socket(), socket());
        let receiver = spawn(move || {
            let mut bytes = [0; 16];
            assert_eq!(there.recv_from(&mut bytes).unwrap(), (5, here_address));
            assert_eq!(&bytes[..5], b"first");
            // An empty one is a datagram too.
            assert_eq!(there.recv_from(&mut bytes).unwrap(), (0, here_address));
            // What does not fit is lost.
            assert_eq!(there.recv_from(&mut bytes[..3]).unwrap(), (3, here_address));
            assert_eq!(there.recv(&mut bytes).unwrap(), 4);
            assert_eq!(&bytes[..4], b"last");
        });
        greenroom::yield_now();
        for datagram in [&b"first"[..], b"", b"longer", b"last"] {
            assert_eq!(here.send_to(datagram, there_address).unwrap(), datagram.len());
        }
        joined(receiver);
        let too_long = vec![0; 70_000];
        let error = here.send_to(&too_long, there_address).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        let error = here.send_to(b"x", &[][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_connected_socket_hears_nobody_else() {
    on_each_backend(|| {
        let ((here, here_address), (there, there_address), (third, _)) =
            (socket(), socket(), socket());
        assert_eq!(here.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        let unconnected = here.send(b"x").unwrap_err();
        assert_eq!(unconnected.raw_os_error(), Some(libc::EDESTADDRREQ));
        here.connect(there_address).unwrap();
        assert_eq!(here.peer_addr().unwrap(), there_address);
        third.send_to(b"intruder", here_address).unwrap();
        there.send_to(b"answer", here_address).unwrap();
        let mut bytes = [0; 16];
        assert_eq!(here.recv(&mut bytes).unwrap(), 6);
        assert_eq!(&bytes[..6], b"answer");
        assert_eq!(here.send(b"to you").unwrap(), 6);
        assert_eq!(there.recv_from(&mut bytes).unwrap(), (6, here_address));
    });
}

#[test]
fn peeking_leaves_the_datagram_where_it_is() {
    on_each_backend(|| {
        let ((here, here_address), (there, there_address)) = (socket(), socket());
        let peeker = spawn(move || {
            let mut bytes = [0; 16];
            assert_eq!(there.peek_from(&mut bytes).unwrap(), (5, here_address));
            assert_eq!(there.peek(&mut bytes).unwrap(), 5);
            assert_eq!(there.recv_from(&mut bytes).unwrap(), (5, here_address));
            there.set_nonblocking(true).unwrap();
            for error in [
                there.peek(&mut bytes).unwrap_err(),
                there.peek_from(&mut bytes).unwrap_err(),
                there.recv(&mut bytes).unwrap_err(),
                there.recv_from(&mut bytes).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
            }
        });
        greenroom::yield_now();
        here.send_to(b"hello", there_address).unwrap();
        joined(peeker);
    });
}

#[test]
fn a_datagram_that_came_back_is_told_to_who_waits_for_an_answer() {
    on_each_backend(|| {
        let here = Rc::new(socket().0);
        let gone = UdpSocket::bind((own_address(), 0)).unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);
        here.connect(address).unwrap();
        let reader = {
            let here = Rc::clone(&here);
            spawn(move || here.recv(&mut [0; 8]).unwrap_err().kind())
        };
        greenroom::yield_now();
        here.send(b"anybody there?").unwrap();
        assert_eq!(joined(reader), ErrorKind::ConnectionRefused);
        here.send(b"really?").unwrap();
        let error = here.take_error().unwrap().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // Once told, it is over: the socket is neither broken nor at an end.
        here.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(here.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_socket_that_looks_ready_for_ever_times_out_nevertheless() {
    on_each_backend(|| {
        let (here, _) = socket();
        raw::keep_errors(&here);
        let gone = UdpSocket::bind((own_address(), 0)).unwrap();
        here.connect(gone.local_addr().unwrap()).unwrap();
        drop(gone);
        here.send(b"anybody there?").unwrap();
        assert_eq!(here.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // The error was told, but is still listed.
        here.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        for _ in 0..2 {
            assert_eq!(here.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        }
    });
}

#[test]
fn shutting_down_wakes_who_waits_as_it_does_in_std() {
    on_each_backend(|| {
        let (receiver, _) = socket();
        let waiting = {
            let receiver = receiver.try_clone().unwrap();
            spawn(move || receiver.recv(&mut [0; 8]).unwrap())
        };
        greenroom::yield_now();
        // The kernel does it, and complains: a socket without a peer is not connected.
        let complaint = rustix::net::shutdown(&receiver, rustix::net::Shutdown::Read);
        assert_eq!(complaint, Err(rustix::io::Errno::NOTCONN));
        assert_eq!(joined(waiting), 0);
        let ours = receiver.recv_from(&mut [0; 8]).unwrap_err();
        let stds = receiver.into_std().recv_from(&mut [0; 8]).unwrap_err();
        assert_eq!(ours.kind(), stds.kind());
    });
}

#[test]
fn timeouts_end_the_wait_and_nothing_else() {
    on_each_backend(|| {
        let ((here, _), (there, there_address)) = (socket(), socket());
        assert_eq!(there.read_timeout().unwrap(), None);
        there.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(there.read_timeout().unwrap(), Some(Duration::from_millis(5)));
        let mut bytes = [0; 8];
        assert_eq!(there.recv(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(there.recv_from(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(there.peek(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
        here.send_to(b"late", there_address).unwrap();
        there.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(there.recv(&mut bytes).unwrap(), 4);
        there.set_write_timeout(Some(Duration::from_millis(7))).unwrap();
        assert_eq!(there.write_timeout().unwrap(), Some(Duration::from_millis(7)));
        let zero = there.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn options_are_those_of_std() {
    on_each_backend(|| {
        let (socket, _) = socket();
        assert!(!socket.broadcast().unwrap());
        let refused = socket.send_to(b"x", (Ipv4Addr::BROADCAST, 9)).unwrap_err();
        assert!(
            matches!(refused.kind(), ErrorKind::PermissionDenied | ErrorKind::NetworkUnreachable),
            "{refused}"
        );
        socket.set_broadcast(true).unwrap();
        socket.set_ttl(17).unwrap();
        socket.set_multicast_ttl_v4(3).unwrap();
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(socket.broadcast().unwrap());
        assert_eq!(socket.ttl().unwrap(), 17);
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 3);
        assert!(!socket.multicast_loop_v4().unwrap());
        let std = socket.into_std();
        assert!(std.broadcast().unwrap() && !std.multicast_loop_v4().unwrap());
        assert_eq!((std.ttl().unwrap(), std.multicast_ttl_v4().unwrap()), (17, 3));

        let six = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        assert!(six.multicast_loop_v6().unwrap());
        six.set_multicast_loop_v6(false).unwrap();
        assert!(!six.multicast_loop_v6().unwrap());
    });
}

#[test]
fn who_joins_a_group_receives_what_is_sent_to_it() {
    on_each_backend(|| {
        let group = Ipv4Addr::new(239, 255, 77, 1);
        let member = UdpSocket::bind((group, 0)).unwrap();
        let port = member.local_addr().unwrap().port();
        member.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        let twice = member.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::AddrInUse);
        let (sender, sender_address) = socket();
        let receiver = spawn(move || {
            let mut bytes = [0; 8];
            assert_eq!(member.recv_from(&mut bytes).unwrap(), (3, sender_address));
            member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
            let twice = member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap_err();
            assert_eq!(twice.kind(), ErrorKind::AddrNotAvailable);
        });
        greenroom::yield_now();
        // A socket bound to the loopback address sends there, also to a group.
        sender.send_to(b"all", (group, port)).unwrap();
        joined(receiver);

        let six = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let no_group = six.join_multicast_v6(&Ipv6Addr::LOCALHOST, 1).unwrap_err();
        assert_eq!(no_group.kind(), ErrorKind::InvalidInput);
        let not_joined = six.leave_multicast_v6(&"ff01::77".parse().unwrap(), 1).unwrap_err();
        assert_eq!(not_joined.kind(), ErrorKind::AddrNotAvailable);
        six.join_multicast_v6(&"ff01::77".parse().unwrap(), 1).unwrap();
        six.leave_multicast_v6(&"ff01::77".parse().unwrap(), 1).unwrap();
    });
}
