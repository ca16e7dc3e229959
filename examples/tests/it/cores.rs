//! The echo server on all cores.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener},
};

use crate::program::{Service, run};

#[test]
fn it_tests_itself_on_any_number_of_hubs() {
    for hubs in ["1", "2", "4"] {
        let outcome = run("cores", &["--self-test", "--hubs", hubs]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let expected = format!("{hubs} hubs served 400 connections: [");
        assert!(outcome.stdout.starts_with(&expected), "{outcome:?}");
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn it_serves_until_it_is_interrupted_and_says_who_served_whom() {
    let cores = Service::start("cores", &["--hubs", "2", "127.0.0.1:0"]);
    for n in 0..10 {
        let mut stream = cores.connect();
        stream.write_all(&[n; 1000]).expect("it reads");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("it answers");
        assert_eq!(received, [n; 1000]);
    }
    let outcome = cores.interrupt();
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
    let served = outcome.stdout.lines().map(|line| {
        let count = line.split(' ').nth(3).and_then(|count| count.parse::<u32>().ok());
        count.unwrap_or_else(|| panic!("{line:?} has no count"))
    });
    assert_eq!(served.sum::<u32>(), 10, "{outcome:?}");
}

#[test]
fn an_address_in_use_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let outcome = run("cores", &[&address]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let expected = format!("cores: cannot listen on {address}: Address already in use");
    assert!(outcome.stderr.starts_with(&expected), "{outcome:?}");
}

#[test]
fn a_wrong_command_line_is_explained() {
    for arguments in [&[][..], &["--nonsense"], &["a", "b"], &["--hubs", "0", "a"], &["--hubs"]] {
        let outcome = run("cores", arguments);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.starts_with("usage: cores"), "{outcome:?}");
    }
}
