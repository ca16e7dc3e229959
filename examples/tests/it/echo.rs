//! The echo server.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener},
};

use crate::program::{Service, run};

#[test]
fn it_tests_itself() {
    let outcome = run("echo", &["--self-test"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("200 clients got their 100000 bytes back"), "{outcome:?}");
    assert_eq!(outcome.stderr, "");
}

#[test]
fn what_is_sent_comes_back_also_after_somebody_broke_off() {
    let echo = Service::start("echo", &["127.0.0.1:0"]);
    let mut rude = echo.connect();
    rude.write_all(&[7; 1_000_000]).expect("it reads");
    drop(rude);

    let mut polite = echo.connect();
    let sent: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    polite.write_all(&sent).expect("it reads");
    polite.shutdown(Shutdown::Write).expect("it is connected");
    let mut received = Vec::new();
    polite.read_to_end(&mut received).expect("it answers");
    assert!(received == sent, "{} bytes came back", received.len());
}

#[test]
fn an_address_in_use_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let outcome = run("echo", &[&address]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let expected = format!("echo: cannot listen on {address}: Address already in use");
    assert!(outcome.stderr.starts_with(&expected), "{outcome:?}");
}

#[test]
fn a_wrong_command_line_is_explained() {
    for arguments in [&[][..], &["--nonsense"], &["a", "b"]] {
        let outcome = run("echo", arguments);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.starts_with("usage: echo"), "{outcome:?}");
    }
    let outcome = run("echo", &["nowhere"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("it must be \"host:port\""), "{outcome:?}");
}
