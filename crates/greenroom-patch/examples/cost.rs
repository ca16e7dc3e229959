//! What it costs that a call is ours where no green thread runs: each call is timed through the patch, and once
//! more as libc has it. Prints nanoseconds a call.
//!
//! Run it with `cargo run --release -p greenroom-patch --example cost`.
//!
//! # Safety
//!
//! Functions are found by name in the C library, and called by the types that the `libc` crate declares for
//! those names. Buffers and fds live while they are used.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_int, c_void},
    fs::File,
    hint::black_box,
    mem,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    ptr,
    time::Instant,
};

use greenroom::foreign::Here;
use greenroom_patch as _;
use libc::{pollfd, size_t, ssize_t};

const CALLS: u32 = 20_000;
const ROUNDS: u32 = 30;

/// The same call, through the patch and past it.
type Pair = (&'static str, Box<dyn Fn()>, Box<dyn Fn()>);

/// libc's own function, whoever stands in front of it.
fn libc_own(name: &CStr) -> *mut c_void {
    // SAFETY: both are strings of C; what is loaded already is only looked up.
    let own = unsafe {
        let libc = libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        assert!(!libc.is_null(), "this is for programs that load libc");
        libc::dlsym(libc, name.as_ptr())
    };
    assert!(!own.is_null(), "libc has {name:?}");
    own
}

fn once(call: &dyn Fn()) -> f64 {
    let begin = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    begin.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

/// The fastest rounds, which are made in turns.
fn nanoseconds(calls: &[&dyn Fn()]) -> Vec<f64> {
    let mut best = vec![f64::MAX; calls.len()];
    for _ in 0..ROUNDS {
        for (call, best) in calls.iter().zip(&mut best) {
            *best = best.min(once(*call));
        }
    }
    best
}

type Receive = unsafe extern "C" fn(c_int, *mut c_void, size_t, c_int) -> ssize_t;
type Read = unsafe extern "C" fn(c_int, *mut c_void, size_t) -> ssize_t;
type Write = unsafe extern "C" fn(c_int, *const c_void, size_t) -> ssize_t;
type Poll = unsafe extern "C" fn(*mut pollfd, libc::nfds_t, c_int) -> c_int;
type Dup2 = unsafe extern "C" fn(c_int, c_int) -> c_int;
type Close = unsafe extern "C" fn(c_int) -> c_int;

fn calls(socket: c_int, null: c_int) -> Vec<Pair> {
    // SAFETY: of these names these are the types.
    let (recv, read, write, poll, dup2, close): (Receive, Read, Write, Poll, Dup2, Close) = unsafe {
        (
            mem::transmute::<*mut c_void, Receive>(libc_own(c"recv")),
            mem::transmute::<*mut c_void, Read>(libc_own(c"read")),
            mem::transmute::<*mut c_void, Write>(libc_own(c"write")),
            mem::transmute::<*mut c_void, Poll>(libc_own(c"poll")),
            mem::transmute::<*mut c_void, Dup2>(libc_own(c"dup2")),
            mem::transmute::<*mut c_void, Close>(libc_own(c"close")),
        )
    };
    let receiving = move |recv: Receive| {
        move || {
            let mut byte = [0u8; 1];
            // SAFETY: one byte.
            let got = unsafe { recv(socket, byte.as_mut_ptr().cast(), 1, libc::MSG_DONTWAIT) };
            assert_eq!(got, -1);
        }
    };
    let reading = move |read: Read| {
        move || {
            let mut byte = [0u8; 1];
            // SAFETY: one byte.
            assert_eq!(unsafe { read(null, byte.as_mut_ptr().cast(), 1) }, 0);
        }
    };
    let writing = move |write: Write| {
        move || {
            // SAFETY: one byte.
            assert_eq!(unsafe { write(null, b"a".as_ptr().cast(), 1) }, 1);
        }
    };
    let polling = |poll: Poll| {
        move || {
            // SAFETY: no fds.
            assert_eq!(unsafe { poll(ptr::null_mut(), 0, 0) }, 0);
        }
    };
    let duplicating = move |dup2: Dup2| {
        move || {
            // SAFETY: the fd becomes itself.
            assert_eq!(unsafe { dup2(null, null) }, null);
        }
    };
    let closing = |close: Close| {
        move || {
            // SAFETY: no file has this number.
            assert_eq!(unsafe { close(1 << 20) }, -1);
        }
    };
    vec![
        (
            "recv of nothing, MSG_DONTWAIT",
            Box::new(receiving(libc::recv)),
            Box::new(receiving(recv)),
        ),
        ("read of /dev/null", Box::new(reading(libc::read)), Box::new(reading(read))),
        ("write to /dev/null", Box::new(writing(libc::write)), Box::new(writing(write))),
        ("poll of no fds", Box::new(polling(libc::poll)), Box::new(polling(poll))),
        ("dup2 onto itself", Box::new(duplicating(libc::dup2)), Box::new(duplicating(dup2))),
        ("close of no file", Box::new(closing(libc::close)), Box::new(closing(close))),
    ]
}

fn print_table(place: &str, pairs: &[Pair]) {
    println!("{place}: ns a call, through the patch, past it, and what the patch adds");
    for (name, ours, own) in pairs {
        let best = nanoseconds(&[&**ours, &**own]);
        println!("{name:32} {:8.1} {:8.1} {:+6.1}", best[0], best[1], best[0] - best[1]);
    }
    let ask = || assert!(black_box(Here::get()).is_none());
    let best = nanoseconds(&[&ask, &|| ()]);
    println!("{:32} {:8.1} {:8.1} {:+6.1}", "Here::get()", best[0], best[1], best[0] - best[1]);
}

fn main() {
    let (socket, _other): (UnixDatagram, UnixDatagram) = UnixDatagram::pair().unwrap();
    let null = OwnedFd::from(File::options().read(true).write(true).open("/dev/null").unwrap());
    let pairs = calls(socket.as_raw_fd(), null.as_raw_fd());
    print_table("no hub", &pairs);
    greenroom::spawn(|| ()).join().unwrap();
    print_table("on the root of a hub", &pairs);
}
