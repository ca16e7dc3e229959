//! A handler of a signal may call what it may call by the rules of C: `write`, `read`, `poll` and `close` of ours
//! as well as of libc. Wherever it strikes, nothing is allocated, nobody waits for a lock, and no
//! green thread is switched away from in the middle of what the signal interrupted.
//!
//! # Safety
//!
//! The handler touches atomics, a thread-local without a destructor, and fds that it opened itself.

#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, RefCell},
    ffi::c_int,
    io::{Read, Write},
    mem,
    net::{TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixStream},
    ptr,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering},
    },
    time::Duration,
};

use greenroom_patch as _;
use rustix::process::{Resource, getrlimit, setrlimit};

thread_local! {
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
}

static ALLOCATED_IN_HANDLER: AtomicU32 = AtomicU32::new(0);
static WENT_WELL: AtomicU32 = AtomicU32::new(0);
static WENT_WRONG: AtomicU32 = AtomicU32::new(0);

/// Fds that handlers make and close, each in its turn, up to the first that is zero. Somebody may wait for their
/// namesakes.
static NAMESAKES: [AtomicI32; NAMESAKES_MAX] = [const { AtomicI32::new(0) }; NAMESAKES_MAX];

/// More closings than a hub keeps one by one until it hears of them.
const NAMESAKES_MAX: usize = 100;

/// The patch keeps count of waits by the remainder that this leaves of a number.
const NAMESAKES_APART: c_int = 4096;

struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IN_HANDLER.get() {
            ALLOCATED_IN_HANDLER.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if IN_HANDLER.get() {
            ALLOCATED_IN_HANDLER.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Zero if there is none.
fn next_namesake() -> c_int {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed) as usize % NAMESAKES_MAX;
    match NAMESAKES[turn].load(Ordering::Relaxed) {
        0 => NAMESAKES[0].load(Ordering::Relaxed),
        namesake => namesake,
    }
}

fn set_namesakes(namesakes: &[c_int]) {
    let none = [0].iter().cycle();
    for (place, &namesake) in NAMESAKES.iter().zip(namesakes.iter().chain(none)) {
        place.store(namesake, Ordering::Relaxed);
    }
}

/// Whether the calls of a handler did what they do for everybody.
fn calls_of_handler() -> bool {
    let mut ends = [0; 2];
    let mut byte = [0u8];
    // SAFETY: buffers of the length that is said, and fds of our own.
    unsafe {
        if libc::pipe(ends.as_mut_ptr()) != 0 {
            return false;
        }
        let mut question = libc::pollfd { fd: ends[0], events: libc::POLLIN, revents: 0 };
        let went_well = libc::write(ends[1], b"a".as_ptr().cast(), 1) == 1
            && libc::poll(&raw mut question, 1, 0) == 1
            && libc::read(ends[0], byte.as_mut_ptr().cast(), 1) == 1
            && byte == *b"a"
            && libc::poll(&raw mut question, 1, 0) == 0
            && libc::read(-1, byte.as_mut_ptr().cast(), 1) == -1
            && *libc::__errno_location() == libc::EBADF;
        let namesake = next_namesake();
        let closed = (namesake == 0
            || libc::dup2(ends[0], namesake) == namesake && libc::close(namesake) == 0)
            && libc::close(ends[0]) == 0
            && libc::close(ends[1]) == 0;
        went_well && closed
    }
}

extern "C" fn handler(_: c_int) {
    // SAFETY: this OS thread's own.
    let errno = unsafe { *libc::__errno_location() };
    let outer = IN_HANDLER.replace(true);
    let counter = if calls_of_handler() { &WENT_WELL } else { &WENT_WRONG };
    counter.fetch_add(1, Ordering::Relaxed);
    IN_HANDLER.set(outer);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// The counters belong to one test at a time.
fn begin(flags: c_int) -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for counter in [&ALLOCATED_IN_HANDLER, &WENT_WELL, &WENT_WRONG] {
        counter.store(0, Ordering::Relaxed);
    }
    // SAFETY: all zeroes is an action, and the handler is a function of this kind.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()), 0);
    }
    turn
}

#[track_caller]
fn assert_handled(least: u32) {
    let well = WENT_WELL.load(Ordering::Relaxed);
    assert!(well >= least, "the handler ran {well} times, and was to run {least} times");
    assert_eq!(WENT_WRONG.load(Ordering::Relaxed), 0, "of {well} and these");
    assert_eq!(ALLOCATED_IN_HANDLER.load(Ordering::Relaxed), 0, "allocations in {well} runs");
}

fn raise() {
    // SAFETY: a signal that is handled.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
}

#[test]
fn calls_of_a_handler_go_well_without_a_hub_and_on_its_root() {
    let _turn = begin(libc::SA_RESTART);
    (0..100).for_each(|_| raise());
    greenroom::spawn(|| ()).join().unwrap();
    (0..100).for_each(|_| raise());
    assert_handled(200);
}

#[test]
fn calls_of_a_handler_on_a_green_thread_never_switch() {
    raise_on_green_thread(libc::SA_RESTART);
}

#[test]
fn calls_of_a_handler_on_a_stack_of_its_own_never_switch() {
    raise_on_green_thread(libc::SA_RESTART | libc::SA_ONSTACK);
}

fn raise_on_green_thread(flags: c_int) {
    let _turn = begin(flags);
    let handled = Rc::new(Cell::new(false));
    let sibling = greenroom::spawn({
        let handled = handled.clone();
        move || {
            while !handled.get() {
                assert!(!IN_HANDLER.get(), "the sibling runs in the middle of a handler");
                greenroom::yield_now();
            }
        }
    });
    let raising = greenroom::spawn(move || {
        (0..1000).for_each(|_| raise());
        handled.set(true);
    });
    raising.join().unwrap();
    sibling.join().unwrap();
    assert_handled(1000);
}

#[test]
fn closings_of_handlers_of_which_nobody_has_heard_yet_take_no_memory() {
    let _turn = begin(libc::SA_RESTART);
    greenroom::spawn(|| {
        let (awaited, ends): (Vec<_>, Vec<_>) =
            (0..NAMESAKES_MAX).map(|_| UnixStream::pair().unwrap()).unzip();
        let namesakes: Vec<_> =
            awaited.iter().map(|awaited| awaited.as_raw_fd() + NAMESAKES_APART).collect();
        raise_limit_of_fds(*namesakes.iter().max().unwrap());
        let waiting: Vec<_> = awaited
            .into_iter()
            .map(|mut awaited| greenroom::spawn(move || awaited.read(&mut [0])))
            .collect();
        greenroom::yield_now();
        set_namesakes(&namesakes);
        // The hub takes no turn meanwhile.
        (0..3 * NAMESAKES_MAX).for_each(|_| raise());
        set_namesakes(&[]);
        drop(ends);
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap().unwrap(), 0, "the awaited fd itself was not closed");
        }
    })
    .join()
    .unwrap();
    assert_handled(3 * NAMESAKES_MAX as u32);
}

/// Signals come by a timer, so they strike in the hub's own code too, with its state borrowed.
#[test]
fn calls_of_a_handler_that_strikes_anywhere_go_well() {
    for flags in [libc::SA_RESTART, libc::SA_RESTART | libc::SA_ONSTACK] {
        let _turn = begin(flags);
        let target = rustix::thread::gettid();
        let stop = Arc::new(AtomicBool::new(false));
        let shooter = std::thread::spawn({
            let stop = stop.clone();
            let process = std::process::id();
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // SAFETY: a signal that is handled, to a thread that waits for this one.
                    unsafe {
                        libc::syscall(
                            libc::SYS_tgkill,
                            process,
                            target.as_raw_nonzero(),
                            libc::SIGUSR1,
                        )
                    };
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
        });
        busy_until(2000);
        stop.store(true, Ordering::Relaxed);
        shooter.join().unwrap();
        assert_handled(2000);
    }
}

fn raise_limit_of_fds(least: c_int) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.current.max(Some(least as u64 + 1));
    setrlimit(Resource::Nofile, limit).expect("so many fds are allowed at most");
}

/// Reads, writes, sleeps, starts and ends of green threads, until the handler has run so often.
fn busy_until(handled: u32) {
    let total = Rc::new(RefCell::new(0u64));
    let (mut awaited, end) = UnixStream::pair().unwrap();
    let namesake = awaited.as_raw_fd() + NAMESAKES_APART;
    let waiting = greenroom::spawn(move || {
        assert_eq!(awaited.read(&mut [0]).unwrap(), 0, "the awaited fd itself was not closed");
    });
    greenroom::yield_now();
    raise_limit_of_fds(namesake);
    set_namesakes(&[namesake]);
    while WENT_WELL.load(Ordering::Relaxed) + WENT_WRONG.load(Ordering::Relaxed) < handled {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let writer = greenroom::spawn(move || {
            (0..200u8).for_each(|number| theirs.write_all(&[number; 100]).unwrap());
        });
        let reader = greenroom::spawn({
            let total = total.clone();
            move || {
                let mut all = Vec::new();
                ours.read_to_end(&mut all).unwrap();
                assert_eq!(all.len(), 20_000);
                *total.borrow_mut() += all.iter().map(|&byte| u64::from(byte)).sum::<u64>();
            }
        });
        let sleeper = greenroom::spawn(|| std::thread::sleep(Duration::from_micros(20)));
        for thread in [writer, reader, sleeper] {
            thread.join().unwrap();
        }
    }
    drop(end);
    waiting.join().unwrap();
    set_namesakes(&[]);
    assert_eq!(*total.borrow() % (199 * 100 * 100), 0);
}

/// A listener at which nobody knocks; non-blocking.
static QUIET: AtomicI32 = AtomicI32::new(-1);
static ASKED: AtomicU32 = AtomicU32::new(0);

extern "C" fn take_a_connection(_: c_int) {
    // SAFETY: the listener is open as long as the handler is there; errno is set back.
    unsafe {
        let errno = *libc::__errno_location();
        libc::accept(QUIET.load(Ordering::Relaxed), ptr::null_mut(), ptr::null_mut());
        *libc::__errno_location() = errno;
    }
    ASKED.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_handler_that_takes_a_connection_while_one_is_made_does_not_wait_for_itself() {
    let _turn = begin(libc::SA_RESTART);
    let quiet = TcpListener::bind("127.0.0.1:0").unwrap();
    quiet.set_nonblocking(true).unwrap();
    QUIET.store(quiet.as_raw_fd(), Ordering::Relaxed);
    // SAFETY: a handler of this file, for a signal that nobody else sends.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = take_a_connection as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &action, ptr::null_mut()), 0);
    }
    let (process, target) = (rustix::process::getpid(), rustix::thread::gettid());
    let is_over = Arc::new(AtomicBool::new(false));
    let shooter = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            while !is_over.load(Ordering::Relaxed) {
                // SAFETY: a signal that is handled, to a thread that waits for this one.
                unsafe {
                    let (process, target) = (process.as_raw_nonzero(), target.as_raw_nonzero());
                    libc::syscall(libc::SYS_tgkill, process, target, libc::SIGUSR2)
                };
                std::thread::sleep(Duration::from_micros(30));
            }
        }
    });
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap();
    let server = greenroom::spawn(move || {
        while ASKED.load(Ordering::Relaxed) < 200 {
            drop(busy.accept().unwrap());
        }
    });
    let client = greenroom::spawn(move || while TcpStream::connect(address).is_ok() {});
    server.join().unwrap();
    client.join().unwrap();
    is_over.store(true, Ordering::Relaxed);
    shooter.join().unwrap();
}
