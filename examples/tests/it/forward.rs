//! The port forwarder, between clients and targets that are this test's.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use crate::program::{PATIENCE, Service, run};

/// A forwarder, and the listener it forwards to.
fn forwarder() -> (Service, TcpListener) {
    let target = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = target.local_addr().expect("it is bound").to_string();
    (Service::start("forward", &["127.0.0.1:0", &address]), target)
}

/// A client, and what it is connected to behind the forwarder.
fn connection(forward: &Service, target: &TcpListener) -> (TcpStream, TcpStream) {
    let client = forward.connect();
    let (far, _) = target.accept().expect("the forwarder connects");
    far.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    (client, far)
}

fn send(mut from: &TcpStream, bytes: &[u8]) {
    from.write_all(bytes).expect("it is connected");
    from.shutdown(Shutdown::Write).expect("it is connected");
}

fn rest(mut of: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    of.read_to_end(&mut bytes).expect("it ends in order");
    bytes
}

#[test]
fn the_end_of_one_direction_is_passed_on_and_the_other_lives() {
    let (forward, target) = forwarder();
    let (client, far) = connection(&forward, &target);
    send(&client, b"question");
    assert_eq!(rest(&far), b"question");
    send(&far, b"answer");
    assert_eq!(rest(&client), b"answer");

    let (client, far) = connection(&forward, &target);
    send(&far, b"greeting");
    assert_eq!(rest(&client), b"greeting");
    send(&client, b"late reply");
    assert_eq!(rest(&far), b"late reply");
}

#[test]
fn much_passes_in_both_directions_at_once() {
    const BYTES: usize = 3_000_000;
    let (forward, target) = forwarder();
    let (client, far) = connection(&forward, &target);
    let up: Vec<u8> = (0..BYTES).map(|n| (n % 253) as u8).collect();
    let down: Vec<u8> = (0..BYTES).map(|n| (n % 241) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| send(&client, &up));
        scope.spawn(|| send(&far, &down));
        let received = scope.spawn(|| rest(&client));
        assert!(rest(&far) == up, "the target did not get what was sent");
        assert!(received.join().is_ok_and(|bytes| bytes == down), "the client did not");
    });
}

#[test]
fn a_target_that_refuses_ends_that_connection_alone() {
    let (forward, target) = forwarder();
    let address = target.local_addr().expect("it is bound");
    drop(target);
    assert_eq!(rest(&forward.connect()), b"");

    let target = TcpListener::bind(address).expect("the port was ours");
    let (client, far) = connection(&forward, &target);
    send(&client, b"back again");
    assert_eq!(rest(&far), b"back again");
    drop((client, far));
    let complaint = forward.stop();
    assert!(complaint.contains("Connection refused"), "{complaint:?}");
}

#[test]
fn one_side_that_is_gone_takes_the_other_along() {
    let (forward, target) = forwarder();
    let (client, far) = connection(&forward, &target);
    (&far).write_all(b"unread").expect("it is connected");
    client.peek(&mut [0]).expect("it comes");
    // Closed with bytes unread: reset.
    drop(client);
    let ended = (&far).read(&mut [0]);
    assert!(matches!(ended, Ok(0)), "{ended:?}");
}

#[test]
fn wrong_arguments_are_explained() {
    for arguments in [&[][..], &["127.0.0.1:0"], &["a", "b", "c"]] {
        let outcome = run("forward", arguments);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.starts_with("usage: forward"), "{outcome:?}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().map(|address| (address.to_string(), taken)).expect("bound");
    let outcome = run("forward", &[&taken.0, "127.0.0.1:1"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("Address already in use"), "{outcome:?}");
}
