//! A lock of the OS thread that a parked green thread holds: nobody can go on, and it is said why.
//!
//! Each case hangs for good, so it has a process of its own, which is ended when it has spoken.
//!
//! # Safety
//!
//! A lock of C is called with the address of a static, initialised as C does it.

#![allow(unsafe_code)]

use std::{
    cell::UnsafeCell,
    env,
    io::{BufRead, BufReader},
    mem,
    process::{Command, Stdio},
    sync::{Condvar, Mutex, OnceLock, RwLock, mpsc},
    thread,
    time::Duration,
};

use greenroom::{spawn, thread::Builder};
use greenroom_patch as _;

/// Which case a process of its own is to play.
const CASE: &str = "GREENROOM_LOCK_CASE";

/// More lines than any report has.
const LINES_MAX: usize = 400;

fn mutex() {
    static LOCK: Mutex<()> = Mutex::new(());
    hold_and_want(|| drop(LOCK.lock().map(|_held| thread::sleep(FOREVER))), || drop(LOCK.lock()));
}

fn mutex_of_c() {
    struct Raw(UnsafeCell<libc::pthread_mutex_t>);
    // SAFETY: made to be locked by any thread, and only its functions touch it.
    unsafe impl Sync for Raw {}
    static LOCK: Raw = Raw(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
    // SAFETY: a mutex that lives for ever.
    let lock = || assert_eq!(unsafe { libc::pthread_mutex_lock(LOCK.0.get()) }, 0);
    let hold = move || {
        lock();
        thread::sleep(FOREVER);
    };
    hold_and_want(hold, lock);
}

fn rwlock() {
    static LOCK: RwLock<()> = RwLock::new(());
    hold_and_want(|| drop(LOCK.read().map(|_held| thread::sleep(FOREVER))), || drop(LOCK.write()));
}

fn once() {
    static LOCK: OnceLock<()> = OnceLock::new();
    let hold = || {
        LOCK.get_or_init(|| thread::sleep(FOREVER));
    };
    hold_and_want(hold, || {
        LOCK.get_or_init(|| ());
    });
}

fn condvar() {
    static LOCK: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    hold_and_want(|| thread::sleep(FOREVER), || drop(LOCK.1.wait(LOCK.0.lock().unwrap())));
}

fn channel() {
    let (sender, receiver) = mpsc::channel::<()>();
    let hold = move || {
        thread::sleep(FOREVER);
        drop(sender);
    };
    hold_and_want(hold, move || {
        let _ = receiver.recv();
    });
}

fn park() {
    hold_and_want(|| thread::sleep(FOREVER), thread::park);
}

const FOREVER: Duration = Duration::from_secs(3600);

fn hold_and_want(hold: impl FnOnce() + 'static, want: impl FnOnce() + 'static) {
    let holder = Builder::new().name("holder").spawn(hold).unwrap();
    greenroom::yield_now();
    let wanter = Builder::new().name("wanter").spawn(want).unwrap();
    wanter.join().unwrap();
    holder.join().unwrap();
}

const CASES: [(&str, fn()); 7] = [
    ("mutex", mutex),
    ("mutex_of_c", mutex_of_c),
    ("rwlock", rwlock),
    ("once", once),
    ("condvar", condvar),
    ("channel", channel),
    ("park", park),
];

#[test]
fn who_waits_for_a_lock_of_its_os_thread_is_told_of_with_those_who_may_hold_it() {
    if let Ok(case) = env::var(CASE) {
        let (_, play) = CASES.iter().find(|(name, _)| *name == case).expect("a case of this file");
        return play();
    }
    let test = "who_waits_for_a_lock_of_its_os_thread_is_told_of_with_those_who_may_hold_it";
    let play = |(name, _)| {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CASE, name)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        (name, child.unwrap())
    };
    for (name, mut child) in CASES.map(play) {
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut report = String::new();
        for line in lines.take(LINES_MAX) {
            report.push_str(&line);
            report.push('\n');
            if line.contains("(holder) sleeps") {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let words =
            ["green thread \"wanter\" (2) has held the loop for 1s", "1 in all", "(holder) sleeps"];
        for words in words {
            assert!(report.contains(words), "{name}: {words:?} is missing in:\n{report}");
        }
    }
}

#[test]
fn a_lock_that_another_os_thread_holds_for_a_moment_is_waited_for_in_silence() {
    static LOCK: Mutex<u32> = Mutex::new(0);
    let (held, is_held) = mpsc::channel();
    let other = thread::spawn(move || {
        let mut count = LOCK.lock().unwrap();
        held.send(()).unwrap();
        thread::sleep(Duration::from_millis(5));
        *count += 1;
    });
    is_held.recv().unwrap();
    assert_eq!(spawn(|| *LOCK.lock().unwrap()).join().unwrap(), 1);
    other.join().unwrap();
}

#[test]
fn errno_is_left_alone_by_a_wait_that_was_long_and_went_well() {
    struct Raw(UnsafeCell<libc::sem_t>);
    // SAFETY: made to be used by any thread, and only its functions touch it.
    unsafe impl Sync for Raw {}
    // SAFETY: all zeroes is a semaphore of C, with nothing to give.
    static SEMAPHORE: Raw = Raw(UnsafeCell::new(unsafe { mem::zeroed() }));
    const UNTOUCHED: i32 = 4077;
    let other = thread::spawn(|| {
        thread::sleep(Duration::from_millis(1100));
        // SAFETY: a semaphore that lives for ever.
        assert_eq!(unsafe { libc::sem_post(SEMAPHORE.0.get()) }, 0);
    });
    let waiting = spawn(|| {
        // SAFETY: this OS thread's own errno, and the semaphore as above.
        unsafe {
            *libc::__errno_location() = UNTOUCHED;
            (libc::sem_wait(SEMAPHORE.0.get()), *libc::__errno_location())
        }
    });
    assert_eq!(waiting.join().unwrap(), (0, UNTOUCHED));
    other.join().unwrap();
}
