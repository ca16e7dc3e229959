//! Fds for tests that close them and use their numbers again, beside other tests in one process.
//!
//! The kernel gives out the lowest free number, so a number that one test has closed is another's
//! next moment. Numbers from the top of the allowed range are given to one test each. Knows nothing
//! of hubs.

use std::{
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    io::{dup2, fcntl_dupfd_cloexec},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// The tests open some thousands.
const OPEN_MIN: u64 = 4096;

/// A hub's table is as long as the highest number, so that should not be the kernel's bound.
const OPEN_MAX: u64 = 20_000;

/// How many fds may be open, after asking for as many as the tests want.
pub(crate) fn open_max() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.unwrap_or(OPEN_MAX).min(OPEN_MAX);
        assert!(most >= OPEN_MIN, "these tests open {OPEN_MIN} fds: raise `ulimit -Hn`");
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum })
            .expect("the limit may be changed up to the maximum");
        most
    })
}

/// The same file under a number that no other test is given, and that stays free once closed.
pub(crate) fn with_own_number(file: impl AsFd) -> OwnedFd {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let number = open_max() - 1 - TAKEN.fetch_add(1, Ordering::Relaxed);
    let number = i32::try_from(number).expect("fds are small numbers");
    let fd = fcntl_dupfd_cloexec(file, number).expect("few numbers up there are in use");
    assert_eq!(fd.as_raw_fd(), number, "a number from the top is nobody else's");
    fd
}

/// Closes the file under a number and opens another there, with nothing in between.
pub(crate) fn reopen(number: &mut OwnedFd, file: impl AsFd) {
    dup2(file, number).expect("any open file fits under an open number");
}

/// Two connected sockets that never block.
pub(crate) fn pair() -> (UnixStream, UnixStream) {
    open_max();
    let (here, there) = UnixStream::pair().expect("a socket pair");
    here.set_nonblocking(true).expect("sockets need not block");
    there.set_nonblocking(true).expect("sockets need not block");
    (here, there)
}
