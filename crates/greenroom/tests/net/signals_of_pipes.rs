//! No write raises `SIGPIPE`, by which a program dies that std's runtime did not start.

use std::io::{ErrorKind, IoSlice, Read, Write};

use greenroom::net::{UnixDatagram, UnixStream};

use crate::{
    child, raw,
    stage::{PATIENCE, on_each_backend, tcp_pair},
};

const TEST: &str = "signals_of_pipes::writing_to_who_is_gone_is_an_error_and_no_signal";

/// Tries until it fails: the first write to a TCP peer that is gone is only answered by a reset.
fn until_broken(mut write: impl FnMut() -> std::io::Result<usize>) {
    let error = loop {
        if let Err(error) = write() {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn writing_to_who_is_gone_is_an_error_and_no_signal() {
    child::play_if_child(|| {
        raw::die_of_broken_pipes();
        on_each_backend(|| {
            let parts = [IoSlice::new(b"in "), IoSlice::new(b"parts")];
            let gone = || {
                let (mut here, there) = tcp_pair();
                drop(there);
                assert_eq!(here.read(&mut [0; 8]).unwrap(), 0);
                here
            };
            let mut stream = gone();
            until_broken(|| stream.write(b"whole"));
            let mut stream = gone();
            until_broken(|| stream.write_vectored(&parts));

            let gone = || UnixStream::pair().unwrap().0;
            until_broken(|| gone().write(b"whole"));
            until_broken(|| gone().write_vectored(&parts));

            let (here, _there) = UnixDatagram::pair().unwrap();
            here.shutdown(std::net::Shutdown::Write).unwrap();
            until_broken(|| here.send(b"message"));
        });
    });
    child::start(TEST).finished(PATIENCE);
}

#[test]
fn such_a_signal_would_have_been_noticed() {
    const TEST: &str = "signals_of_pipes::such_a_signal_would_have_been_noticed";
    child::play_if_child(|| {
        raw::die_of_broken_pipes();
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        let _ = rustix::io::write(&here, b"x");
        child::say("survived", "");
    });
    let told = std::panic::catch_unwind(|| child::start(TEST).told("survived"));
    assert!(told.is_err(), "the signal is blocked or ignored here, so the test above is no test");
}
