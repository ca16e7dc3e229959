//! A lock of the OS thread that a parked green thread holds: nobody can go on, and it is said why.
//!
//! Each case hangs for good, so it has a process of its own, which is ended when it has spoken.
//!
//! # Safety
//!
//! Locks of C are called with the addresses of statics, initialised as C does it.

#![allow(unsafe_code)]

use std::{
    cell::{Cell, RefCell, UnsafeCell},
    env,
    io::{self, BufRead, BufReader},
    mem,
    process::{Command, Stdio},
    rc::Rc,
    sync::{
        Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock,
        atomic::{AtomicI32, AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use greenroom::{spawn, thread::Builder};
use greenroom_patch as _;

/// Which case a process of its own is to play.
const CASE: &str = "GREENROOM_LOCK_CASE";

/// More lines than any report has.
const LINES_MAX: usize = 400;

/// Something of C's that any thread may use, by its functions alone.
struct Raw<T>(UnsafeCell<T>);

// SAFETY: what is kept in these is made for threads, and only its functions touch it.
unsafe impl<T> Sync for Raw<T> {}

static MUTEX: Raw<libc::pthread_mutex_t> = Raw(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
static RWLOCK: Raw<libc::pthread_rwlock_t> = Raw(UnsafeCell::new(libc::PTHREAD_RWLOCK_INITIALIZER));
static CONDITION: Raw<libc::pthread_cond_t> = Raw(UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER));
// SAFETY: all zeroes is a semaphore of C, with nothing to give.
static SEMAPHORE: Raw<libc::sem_t> = Raw(UnsafeCell::new(unsafe { mem::zeroed() }));

fn lock_of_c() {
    // SAFETY: a mutex that lives for ever.
    assert_eq!(unsafe { libc::pthread_mutex_lock(MUTEX.0.get()) }, 0);
}

fn read_lock_of_c() {
    // SAFETY: a lock that lives for ever.
    assert_eq!(unsafe { libc::pthread_rwlock_rdlock(RWLOCK.0.get()) }, 0);
}

fn write_lock_of_c() {
    // SAFETY: as above.
    assert_eq!(unsafe { libc::pthread_rwlock_wrlock(RWLOCK.0.get()) }, 0);
}

fn wait_for_condition_of_c() {
    lock_of_c();
    // SAFETY: both live for ever, and the mutex is this thread's.
    unsafe { libc::pthread_cond_wait(CONDITION.0.get(), MUTEX.0.get()) };
}

fn wait_for_semaphore_of_c() {
    // SAFETY: a semaphore that lives for ever.
    unsafe { libc::sem_wait(SEMAPHORE.0.get()) };
}

fn mutex() {
    static LOCK: Mutex<()> = Mutex::new(());
    hold_and_want(|| drop(LOCK.lock().map(|_held| thread::sleep(FOREVER))), || drop(LOCK.lock()));
}

fn read_and_write() {
    static LOCK: RwLock<()> = RwLock::new(());
    hold_and_want(|| drop(LOCK.read().map(|_held| thread::sleep(FOREVER))), || drop(LOCK.write()));
}

fn write_and_read() {
    static LOCK: RwLock<()> = RwLock::new(());
    hold_and_want(|| drop(LOCK.write().map(|_held| thread::sleep(FOREVER))), || drop(LOCK.read()));
}

fn once() {
    static LOCK: Once = Once::new();
    hold_and_want(|| LOCK.call_once(|| thread::sleep(FOREVER)), || LOCK.call_once(|| ()));
}

fn once_lock() {
    static LOCK: OnceLock<()> = OnceLock::new();
    let hold = || {
        LOCK.get_or_init(|| thread::sleep(FOREVER));
    };
    hold_and_want(hold, || {
        LOCK.get_or_init(|| ());
    });
}

fn lazy_lock() {
    static LOCK: LazyLock<()> = LazyLock::new(|| thread::sleep(FOREVER));
    hold_and_want(|| *LOCK, || *LOCK);
}

fn condvar() {
    static LOCK: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    signal_and_want(|| drop(LOCK.1.wait(LOCK.0.lock().unwrap())));
}

fn condvar_with_an_end() {
    static LOCK: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    let want = || drop(LOCK.1.wait_timeout(LOCK.0.lock().unwrap(), FOREVER));
    signal_and_want(want);
}

fn futex_with_a_span() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    signal_and_want(|| drop(wait_for_word(&WORD, FOREVER)));
}

/// As `parking_lot` waits: for a span of time, where std gives the end of one.
fn wait_for_word(word: &AtomicU32, time: Duration) -> io::Result<()> {
    let time =
        libc::timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a word and a time that outlive the call.
    let waited = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wait, 0, &raw const time) };
    if waited == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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

fn full_channel() {
    let (sender, receiver) = mpsc::sync_channel::<()>(0);
    let hold = move || {
        thread::sleep(FOREVER);
        drop(receiver);
    };
    hold_and_want(hold, move || {
        let _ = sender.send(());
    });
}

fn barrier() {
    static BARRIER: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));
    signal_and_want(|| {
        BARRIER.wait();
    });
}

/// A green thread's writing would not be waited for: see below.
fn read_after_write_of_c() {
    let (sender, receiver) = mpsc::channel::<()>();
    let (held, is_held) = mpsc::channel();
    thread::spawn(move || {
        write_lock_of_c();
        held.send(()).unwrap();
        let _ = receiver.recv();
    });
    is_held.recv().unwrap();
    let hold = move || {
        thread::sleep(FOREVER);
        drop(sender);
    };
    hold_and_want(hold, read_lock_of_c);
}

const FOREVER: Duration = Duration::from_secs(3600);

fn hold_and_want(hold: impl FnOnce() + 'static, want: impl FnOnce() + 'static) {
    let holder = Builder::new().name("holder").spawn(hold).unwrap();
    greenroom::yield_now();
    let wanter = Builder::new().name("wanter").spawn(want).unwrap();
    wanter.join().unwrap();
    holder.join().unwrap();
}

/// The holder holds nothing, but would give the signal.
fn signal_and_want(want: impl FnOnce() + 'static) {
    hold_and_want(|| thread::sleep(FOREVER), want);
}

/// By `lock`, across a wait.
fn hold_by(lock: fn()) -> impl FnOnce() {
    move || {
        lock();
        thread::sleep(FOREVER);
    }
}

const STD: &str = "a lock of the standard library or a futex";

/// What is played, and how the report names the call.
const CASES: [(&str, fn(), &str); 18] = [
    ("mutex", mutex, STD),
    ("read_and_write", read_and_write, STD),
    ("write_and_read", write_and_read, STD),
    ("once", once, STD),
    ("once_lock", once_lock, STD),
    ("lazy_lock", lazy_lock, STD),
    ("condvar", condvar, STD),
    ("condvar_with_an_end", condvar_with_an_end, STD),
    ("futex_with_a_span", futex_with_a_span, STD),
    ("channel", channel, STD),
    ("full_channel", full_channel, STD),
    ("barrier", barrier, STD),
    ("park", || signal_and_want(thread::park), STD),
    ("mutex_of_c", || hold_and_want(hold_by(lock_of_c), lock_of_c), "pthread_mutex_lock"),
    ("read_of_c", read_after_write_of_c, "pthread_rwlock_rdlock"),
    (
        "write_of_c",
        || hold_and_want(hold_by(read_lock_of_c), write_lock_of_c),
        "pthread_rwlock_wrlock",
    ),
    ("condition_of_c", || signal_and_want(wait_for_condition_of_c), "pthread_cond_wait"),
    ("semaphore_of_c", || signal_and_want(wait_for_semaphore_of_c), "sem_wait"),
];

#[test]
fn who_waits_for_a_lock_of_its_os_thread_is_told_of_with_those_who_may_hold_it() {
    if let Ok(case) = env::var(CASE) {
        let (_, play, _) =
            CASES.iter().find(|(name, ..)| *name == case).expect("a case of this file");
        return play();
    }
    let test = "who_waits_for_a_lock_of_its_os_thread_is_told_of_with_those_who_may_hold_it";
    let play = |(name, _, call)| {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CASE, name)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        (name, call, child.unwrap())
    };
    for (name, call, mut child) in CASES.map(play) {
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
        for words in [
            "green thread \"wanter\" (2) has held the loop for 1s",
            &format!("it waits in {call} with its whole OS thread"),
            "Green threads that wait meanwhile, 1 in all",
            "(holder) sleeps",
            "Do not hold such a lock across a wait, or wait for such a signal",
            "greenroom::sync has both for green threads",
            "greenroom_patch::no_switch keeps a thread that holds a lock from stepping aside",
        ] {
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

/// On an OS thread the wait is taken up again by the kernel if the handler was set up for that.
#[test]
fn a_signal_ends_no_wait_for_a_semaphore_or_a_futex() {
    static SEMAPHORE: Raw<libc::sem_t> =
        // SAFETY: all zeroes is a semaphore of C, with nothing to give.
        Raw(UnsafeCell::new(unsafe { mem::zeroed() }));
    static WORD: AtomicI32 = AtomicI32::new(0);
    extern "C" fn handler(_: libc::c_int) {}
    // SAFETY: all of it may be zero; and the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()), 0);
    }
    // SAFETY: a semaphore that lives for ever.
    let semaphore = || i64::from(unsafe { libc::sem_wait(SEMAPHORE.0.get()) });
    let futex = |operation: i32| {
        let (none, mask) = (0_usize, u32::MAX);
        // SAFETY: a word that lives for ever.
        unsafe { libc::syscall(libc::SYS_futex, WORD.as_ptr(), operation, 0, none, none, mask) }
    };
    let give = move || {
        // SAFETY: a semaphore that lives for ever.
        assert_eq!(unsafe { libc::sem_post(SEMAPHORE.0.get()) }, 0);
        WORD.store(1, Ordering::SeqCst);
        let operation = libc::FUTEX_WAKE_BITSET | libc::FUTEX_PRIVATE_FLAG;
        let (none, mask) = (0_usize, u32::MAX);
        // SAFETY: as above.
        unsafe { libc::syscall(libc::SYS_futex, WORD.as_ptr(), operation, 9, none, none, mask) };
    };
    for wait in 0..3 {
        WORD.store(0, Ordering::SeqCst);
        // SAFETY: has no conditions.
        let this = unsafe { libc::pthread_self() };
        let giver = thread::spawn(move || {
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(15));
                // SAFETY: that OS thread joins this one.
                assert_eq!(unsafe { libc::pthread_kill(this, libc::SIGUSR2) }, 0);
            }
            // Who is interrupted now would find another word.
            thread::sleep(Duration::from_millis(15));
            give();
        });
        let waiting = spawn(move || match wait {
            0 => semaphore(),
            1 => futex(libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG),
            _ => futex(libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG),
        });
        assert_eq!(waiting.join().unwrap(), 0, "{wait}: {}", io::Error::last_os_error());
        giver.join().unwrap();
        // SAFETY: as above; what was given for the others is taken away.
        unsafe { libc::sem_trywait(SEMAPHORE.0.get()) };
    }
}

/// glibc notes who writes, by OS thread.
#[test]
fn whose_sibling_writes_under_a_lock_of_c_is_refused_to_read_and_to_write() {
    static LOCK: Raw<libc::pthread_rwlock_t> =
        Raw(UnsafeCell::new(libc::PTHREAD_RWLOCK_INITIALIZER));
    // SAFETY: a lock that lives for ever.
    let write = || unsafe { libc::pthread_rwlock_wrlock(LOCK.0.get()) };
    // SAFETY: as above.
    let read = || unsafe { libc::pthread_rwlock_rdlock(LOCK.0.get()) };
    let holder = spawn(move || {
        assert_eq!(write(), 0);
        thread::sleep(Duration::from_millis(1));
        // SAFETY: as above, and it is this thread's.
        assert_eq!(unsafe { libc::pthread_rwlock_unlock(LOCK.0.get()) }, 0);
    });
    let sibling = spawn(move || (read(), write()));
    assert_eq!(sibling.join().unwrap(), (libc::EDEADLK, libc::EDEADLK));
    holder.join().unwrap();
}

#[test]
fn a_recursive_lock_that_is_held_across_a_wait_lets_a_sibling_in() {
    static LOCK: Raw<libc::pthread_mutex_t> =
        Raw(UnsafeCell::new(libc::PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP));
    // SAFETY: a mutex that lives for ever.
    let (lock, unlock) = (
        || unsafe { libc::pthread_mutex_lock(LOCK.0.get()) },
        || unsafe { libc::pthread_mutex_unlock(LOCK.0.get()) },
    );
    let is_inside = Rc::new(Cell::new(false));
    let holder = spawn({
        let is_inside = Rc::clone(&is_inside);
        move || {
            assert_eq!(lock(), 0);
            is_inside.set(true);
            thread::sleep(Duration::from_millis(1));
            is_inside.set(false);
            assert_eq!(unlock(), 0);
        }
    });
    let sibling = spawn(move || {
        assert_eq!(lock(), 0);
        assert!(is_inside.get(), "they are inside together");
        assert_eq!(unlock(), 0);
    });
    holder.join().unwrap();
    sibling.join().unwrap();
}

#[test]
fn a_refcell_of_a_thread_local_that_is_borrowed_across_a_wait_is_met_borrowed_by_a_sibling() {
    thread_local! { static SHARED: RefCell<u32> = const { RefCell::new(0) }; }
    let borrow = || SHARED.with_borrow_mut(|_| thread::sleep(Duration::from_millis(1)));
    let [first, second] = [(); 2].map(|()| spawn(borrow));
    first.join().unwrap();
    assert!(second.join().unwrap_err().is_panic());
}

#[test]
fn a_wait_that_was_told_of_ends_when_its_own_time_is_over() {
    static LOCK: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    static WORD: AtomicU32 = AtomicU32::new(0);
    const TIME: Duration = Duration::from_millis(1200);
    let timed = |wait: fn() -> bool| {
        let begin = Instant::now();
        let is_over = spawn(wait).join().unwrap();
        (is_over, begin.elapsed())
    };
    let waits: [fn() -> bool; 2] = [
        || LOCK.1.wait_timeout(LOCK.0.lock().unwrap(), TIME).unwrap().1.timed_out(),
        || wait_for_word(&WORD, TIME).is_err_and(|error| error.kind() == io::ErrorKind::TimedOut),
    ];
    for wait in waits {
        let (is_over, time) = timed(wait);
        assert!(is_over && time >= TIME && time < TIME * 3, "{is_over}, after {time:?}");
    }
}
