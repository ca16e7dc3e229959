//! What goes green in a program, told in lines: `std sleep: green`, or that it `blocks`.
//!
//! Each check ends in either case. Does not know whether the patch is in the program.
//!
//! # Safety
//!
//! The functions of a table of calls are those of `calls.c`, declared here with its types. Fds are open while
//! they are used.

#![allow(unsafe_code)]
#![deny(missing_docs)]

use std::{
    cell::Cell,
    ffi::{c_int, c_uint},
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

/// The table of `calls.c`.
#[repr(C)]
pub struct Calls {
    early: c_int,
    recv: unsafe extern "C" fn(c_int) -> c_int,
    recv_chk: unsafe extern "C" fn(c_int, usize) -> c_int,
    usleep: unsafe extern "C" fn(c_uint) -> c_int,
}

/// A call that blocks gives up after so long.
const TIMEOUT: Duration = Duration::from_millis(200);

fn tell(what: &str, is_green: bool) {
    println!("{what}: {}", if is_green { "green" } else { "blocks" });
}

/// What std does.
pub fn std_calls() {
    tell("std sleep", sleeps_overlap());
    tell("std sleep lets others run", lets_others_run(|| thread::sleep(Duration::from_millis(1)), || ()));
    let (mut ours, mut theirs) = pair();
    // Kept till the end, so that who writes too late can still write.
    let kept = ours.try_clone().unwrap();
    let read = move || ours.read(&mut [0]).is_ok();
    tell("std read", succeeds_once(read, move || theirs.write_all(b"a").unwrap()));
    drop(kept);
    tell("std net", net());
}

/// What C code does.
pub fn c_calls(who: &str, calls: &Calls) {
    println!("{who} before main: {}", if calls.early == 1 { "went well" } else { "went wrong" });
    let fd_calls: [(&str, Box<dyn Fn(RawFd) -> c_int>); 2] = [
        // SAFETY (of these): see the head of this file.
        ("recv", Box::new(|fd| unsafe { (calls.recv)(fd) })),
        ("__recv_chk", Box::new(|fd| unsafe { (calls.recv_chk)(fd, 1) })),
    ];
    for (name, call) in fd_calls {
        let (ours, mut theirs) = pair();
        let call = || call(ours.as_raw_fd()) == 1;
        let is_green = greenroom::scope(|scope| {
            let caller = scope.spawn(call);
            scope.spawn(move || theirs.write_all(b"a").unwrap());
            caller.join().unwrap()
        });
        tell(&format!("{who} {name}"), is_green);
    }
    let usleep = calls.usleep;
    // SAFETY: see the head of this file.
    tell(&format!("{who} usleep"), lets_others_run(move || assert_eq!(unsafe { usleep(1000) }, 1), || ()));
}

fn pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(TIMEOUT)).unwrap();
    (ours, theirs)
}

fn sleeps_overlap() -> bool {
    const EACH: Duration = Duration::from_millis(20);
    let begin = Instant::now();
    let sleepers: Vec<_> = (0..50).map(|_| greenroom::spawn(|| thread::sleep(EACH))).collect();
    for sleeper in sleepers {
        sleeper.join().unwrap();
    }
    begin.elapsed() < EACH * 50
}

/// Whether `other` ran before `f` returned.
fn lets_others_run(f: impl FnOnce() + 'static, other: impl FnOnce() + 'static) -> bool {
    let ran = Rc::new(Cell::new(false));
    let seen = ran.clone();
    let caller = greenroom::spawn(move || {
        f();
        seen.get()
    });
    let other = greenroom::spawn(move || {
        ran.set(true);
        other();
    });
    other.join().unwrap();
    caller.join().unwrap()
}

/// Whether `call` succeeds, for which `other` has to run meanwhile.
fn succeeds_once(
    call: impl FnOnce() -> bool + 'static,
    other: impl FnOnce() + 'static,
) -> bool {
    let caller = greenroom::spawn(call);
    greenroom::spawn(other).join().unwrap();
    caller.join().unwrap()
}

/// A server and fifty clients.
fn net() -> bool {
    const CLIENTS: usize = 50;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    limit_accept(listener.as_raw_fd());
    let address = listener.local_addr().unwrap();
    let server = greenroom::spawn(move || {
        for _ in 0..CLIENTS {
            match listener.accept() {
                Ok((mut stream, _)) => {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    stream.write_all(&byte).unwrap();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("{error}"),
            }
        }
        true
    });
    let client = move |number: u8| {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(&[number]).ok()?;
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        (byte == [number]).then_some(())
    };
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| greenroom::spawn(move || client(number as u8))).collect();
    if !server.join().unwrap() {
        return false;
    }
    clients.into_iter().all(|client| client.join().unwrap().is_some())
}

/// `accept` gives up too.
fn limit_accept(listener: RawFd) {
    let time = libc::timeval { tv_sec: 0, tv_usec: TIMEOUT.subsec_micros().into() };
    let length = size_of_val(&time) as libc::socklen_t;
    // SAFETY: as long as the value that it points to.
    let set = unsafe {
        libc::setsockopt(
            listener,
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const time).cast(),
            length,
        )
    };
    assert_eq!(set, 0);
}
