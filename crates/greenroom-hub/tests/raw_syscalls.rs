//! The hub calls none of libc's functions that another library may have put its own in place of.
//!
//! This program does just that: it defines the functions by which libc waits, reads, writes and
//! tells the time, counts their calls, and passes them on. If the hub called one, a library that
//! makes them wait on the hub would have the hub wait for itself.
//!
//! # Safety
//!
//! The unsafe code replaces functions of libc for the whole program. Each replacement has the
//! signature of the one it replaces and passes its arguments on unchanged, so it does what the
//! caller asked for. Those with a variable number of arguments are defined with as many as there
//! can be; on the platforms that the hub builds for, the surplus is whatever lay in the registers,
//! and the real function does not look at it.

#![allow(unsafe_code)]
#![allow(missing_docs)]

#[path = "it/stage.rs"]
#[allow(dead_code)]
mod stage;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    io::Write,
    os::{fd::AsRawFd, unix::net::UnixStream},
    rc::Rc,
    sync::atomic::{AtomicPtr, Ordering},
    thread,
    time::Duration,
};

use greenroom_hub::{Backend, Clock, Hub, Interest, Waiter, Wake};
use libc::{c_int, c_long, c_uint, c_void, size_t, ssize_t};

thread_local! {
    /// Whether this OS thread's calls are noted. Those of the test harness are not.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static CALLED: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

fn note(name: &'static str) {
    if WATCHED.replace(false) {
        // Not watched for this moment, for a set may ask for memory.
        CALLED.with_borrow_mut(|called| called.insert(name));
        WATCHED.set(true);
    }
}

/// Runs `work` and returns which of the functions it called on this OS thread.
fn calls_of(work: impl FnOnce()) -> BTreeSet<&'static str> {
    WATCHED.set(true);
    work();
    WATCHED.set(false);
    CALLED.take()
}

/// Defines functions in the place of libc's.
macro_rules! replace {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        // SAFETY: the signature is libc's, and the call is passed on; see the head of this file.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
            note(stringify!($name));
            let mut real = REAL.load(Ordering::Relaxed);
            if real.is_null() {
                let name = concat!(stringify!($name), "\0");
                // SAFETY: the name ends with a zero.
                real = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast()) };
                assert!(!real.is_null(), "libc has this function");
                REAL.store(real, Ordering::Relaxed);
            }
            // SAFETY: what libc calls by this name has this signature.
            unsafe {
                let real: unsafe extern "C" fn($($type),*) -> $result = std::mem::transmute(real);
                real($($argument),*)
            }
        }
    )*};
}

replace! {
    epoll_create(size: c_int) -> c_int;
    epoll_create1(flags: c_int) -> c_int;
    epoll_ctl(set: c_int, operation: c_int, fd: c_int, event: *mut c_void) -> c_int;
    epoll_wait(set: c_int, events: *mut c_void, count: c_int, millis: c_int) -> c_int;
    epoll_pwait(
        set: c_int, events: *mut c_void, count: c_int, millis: c_int, mask: *const c_void
    ) -> c_int;
    epoll_pwait2(
        set: c_int, events: *mut c_void, count: c_int, time: *const c_void, mask: *const c_void
    ) -> c_int;
    poll(fds: *mut c_void, count: libc::nfds_t, millis: c_int) -> c_int;
    ppoll(
        fds: *mut c_void, count: libc::nfds_t, time: *const c_void, mask: *const c_void
    ) -> c_int;
    select(
        count: c_int, read: *mut c_void, write: *mut c_void, except: *mut c_void, time: *mut c_void
    ) -> c_int;
    eventfd(value: c_uint, flags: c_int) -> c_int;
    read(fd: c_int, bytes: *mut c_void, count: size_t) -> ssize_t;
    write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t;
    readv(fd: c_int, parts: *const c_void, count: c_int) -> ssize_t;
    writev(fd: c_int, parts: *const c_void, count: c_int) -> ssize_t;
    close(fd: c_int) -> c_int;
    fcntl(fd: c_int, command: c_int, argument: c_long) -> c_int;
    fcntl64(fd: c_int, command: c_int, argument: c_long) -> c_int;
    clock_gettime(clock: c_int, time: *mut c_void) -> c_int;
    gettimeofday(time: *mut c_void, zone: *mut c_void) -> c_int;
    nanosleep(time: *const c_void, rest: *mut c_void) -> c_int;
    clock_nanosleep(
        clock: c_int, flags: c_int, time: *const c_void, rest: *mut c_void
    ) -> c_int;
    usleep(micros: c_uint) -> c_int;
    sched_yield() -> c_int;
    madvise(start: *mut c_void, len: size_t, advice: c_int) -> c_int;
    mmap(
        start: *mut c_void, len: size_t, access: c_int, flags: c_int, fd: c_int, offset: libc::off_t
    ) -> *mut c_void;
    syscall(
        number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long
    ) -> c_long;
}

#[derive(Clone, Debug)]
struct Flag(Rc<Cell<bool>>);

impl Flag {
    fn new() -> Flag {
        Flag(Rc::default())
    }
}

impl Waiter for Flag {
    fn settle(&self, _wake: Wake) -> bool {
        !self.0.replace(true)
    }
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a socket pair")
}

/// Takes turns until a waiter is woken.
fn run_until(hub: &mut Hub<Flag>, flag: &Flag) {
    while !flag.0.get() {
        hub.prepare();
        hub.wait().expect("a sleep never fails");
        hub.extend_turn();
        while hub.pop().is_some() {}
    }
}

fn timers(hub: &mut Hub<Flag>) {
    for time in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(2)] {
        let flag = Flag::new();
        hub.arm(hub.clock().now() + time, flag.clone());
        run_until(hub, &flag);
    }
}

/// The sockets come from outside, with a byte in each: they are not the hub's.
fn fds(hub: &mut Hub<Flag>, attached: &UnixStream, foreign: &UnixStream) {
    let (one, other, lasting) = (Flag::new(), Flag::new(), Flag::new());
    let source = hub.attach(attached.as_raw_fd()).expect("it is open");
    hub.listen(source, Interest::Read, one.clone()).expect("nobody else waits");
    let fd = foreign.as_raw_fd();
    hub.listen_fd(fd, Interest::Read, other.clone(), false).expect("nobody else waits");
    let key = hub.listen_fd(fd, Interest::Write, lasting.clone(), true).expect("nor here");
    for flag in [one, other, lasting] {
        run_until(hub, &flag);
    }
    hub.unlisten(key);
    hub.listen_fd(fd, Interest::Read, Flag::new(), false).expect("nobody waits any more");
    hub.notify_close(fd);
    hub.detach(source);
    hub.look().expect("a look never fails");
}

#[test]
fn a_hub_at_work_calls_no_function_of_libc_that_can_be_replaced() {
    for backend in Backend::ALL {
        let ((attached, mut peer), (foreign, mut other_peer)) = (pair(), pair());
        for peer in [&mut peer, &mut other_peer] {
            peer.write_all(b"x").expect("there is room");
        }
        let called = calls_of(|| {
            let mut hub = Hub::new(backend, Clock::monotonic()).expect("the kernel has it");
            timers(&mut hub);
            fds(&mut hub, &attached, &foreign);
            for other in Backend::ALL {
                hub.change_backend(other).expect("the kernel has it");
                timers(&mut hub);
            }
            drop(hub);
        });
        assert_eq!(called, BTreeSet::new(), "on {backend}");
    }
}

#[test]
fn neither_does_its_mailbox() {
    for backend in Backend::ALL {
        let mut hub = Hub::new(backend, Clock::monotonic()).expect("the kernel has it");
        let remote = Flag::new();
        let (mailbox, id) = (hub.mailbox(), hub.expect(remote.clone()));
        let sleeper = format!("/proc/self/task/{}", rustix::thread::gettid().as_raw_nonzero());
        let caller = thread::spawn(move || {
            // Only a hub that sleeps is rung for.
            stage::until_asleep(&sleeper);
            calls_of(|| mailbox.wake(id))
        });
        let called = calls_of(|| run_until(&mut hub, &remote));
        assert_eq!(called, BTreeSet::new(), "on {backend}");
        let called = caller.join().expect("a call never fails");
        assert_eq!(called, BTreeSet::new(), "on {backend}");
    }
}

#[test]
fn the_watch_sees_who_does_call_them() {
    let (here, there) = pair();
    let fd = here.as_raw_fd();
    let called = calls_of(|| {
        let _ = std::time::Instant::now();
        (&there).write_all(b"x").expect("there is room");
        drop(there);
        // SAFETY: no fds are handed over, and a time of zero does not wait.
        unsafe {
            libc::poll(std::ptr::null_mut(), 0, 0);
            libc::close(libc::epoll_create1(0));
            libc::syscall(libc::SYS_getpid);
            libc::fcntl(fd, libc::F_GETFD);
        }
        thread::sleep(Duration::from_nanos(1));
    });
    for name in ["clock_gettime", "close", "poll", "epoll_create1", "syscall", "fcntl"] {
        assert!(called.contains(name), "{name} is not among {called:?}");
    }
    assert!(calls_of(|| ()).is_empty());
}
