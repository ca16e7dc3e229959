//! For tests: virtual time, a seeded order, and a wait until everyone is parked.
//!
//! Knows how to make a hub that is not the usual one; the rest of the library does not notice.
//!
//! Time in a test is virtual: it stands still while anybody runs, and when everyone waits it jumps
//! to the first deadline. So a test that sleeps for an hour takes microseconds, and what it sees is
//! the same every time. Sockets stay real: one that another OS thread or process feeds is waited
//! for in real time, but a deadline that is armed meanwhile passes at once. While somebody waits for
//! another OS thread itself, as in [`sync::shared`](crate::sync::shared) or
//! [`offload`](crate::offload()), time does not jump, for nobody knows how long that takes:
//! [`advance`] lets it pass.
//!
//! ```
//! use std::time::Duration;
//! use greenroom::{Instant, sleep, spawn, testing};
//!
//! testing::run(|| {
//!     let begin = Instant::now();
//!     let nap = spawn(|| sleep(Duration::from_secs(3600)));
//!     testing::wait_all_parked();
//!     assert!(!nap.is_finished());
//!     nap.join().unwrap();
//!     assert_eq!(begin.elapsed(), Duration::from_secs(3600));
//! });
//! ```

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use greenroom_hub::{Backend, Chance, Clock, Instant as HubInstant, Wake};

use crate::{
    debug::say,
    hub::local::{existing, install, local},
    thread::{
        self, Blocked, ThreadId, Waiter,
        park::{self, Unwinding},
    },
};

/// Runs `f` on an OS thread of its own whose hub keeps virtual time, and returns what it returns.
///
/// The caller's OS thread waits meanwhile, with its green threads. Green threads that are alive when
/// `f` returns are unwound, as at the end of any OS thread. If nothing could ever wake `f`, its wait
/// panics and says who waits for what; a timer that arms itself for ever keeps that from being seen.
///
/// # Panics
///
/// With what `f` panics with, or if no OS thread or hub can be made.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenroom::{Instant, sleep, testing};
///
/// let day = testing::run(|| {
///     let begin = Instant::now();
///     sleep(Duration::from_secs(86_400));
///     begin.elapsed()
/// });
/// assert_eq!(day, Duration::from_secs(86_400));
/// ```
pub fn run<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    on_fresh_hub(Backend::default(), None, f)
}

/// Runs `f` as [`run`] does, waiting with a given backend.
///
/// # Panics
///
/// As [`run`].
///
/// # Examples
///
/// ```
/// use greenroom::{hub::{self, Backend}, testing};
///
/// for backend in Backend::ALL {
///     assert_eq!(testing::run_on(backend, || hub::get().backend()), backend);
/// }
/// ```
pub fn run_on<T: Send>(backend: Backend, f: impl FnOnce() -> T + Send) -> T {
    on_fresh_hub(backend, None, f)
}

/// Runs `f` as [`run`] does, but who of those that may run goes next is drawn from `seed`.
///
/// An order that breaks `f` breaks it again with the same seed, which is printed if `f` panics. What
/// other OS threads and processes do is not drawn: with them a run may differ from the next.
///
/// # Panics
///
/// As [`run`].
///
/// # Examples
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// use greenroom::{spawn, testing};
///
/// let order = |seed| {
///     testing::run_seeded(seed, || {
///         let order = Rc::new(RefCell::new(Vec::new()));
///         for n in 0..10 {
///             let order = Rc::clone(&order);
///             drop(spawn(move || order.borrow_mut().push(n)));
///         }
///         testing::wait_all_parked();
///         order.take()
///     })
/// };
/// assert_eq!(order(7), order(7));
/// assert_ne!(order(7), order(8));
/// ```
pub fn run_seeded<T: Send>(seed: u64, f: impl FnOnce() -> T + Send) -> T {
    match catch_unwind(AssertUnwindSafe(|| on_fresh_hub(Backend::default(), Some(seed), f))) {
        Ok(value) => value,
        Err(payload) => {
            say(format_args!("this run's seed is {seed}"));
            resume_unwind(payload);
        }
    }
}

/// Waits until nobody else can run: every other green thread waits for a deadline, for an fd that
/// is not ready, or for somebody who waits too.
///
/// Who waits for work on another OS thread counts as parked. Virtual time does not move meanwhile. If
/// several wait for this, all are woken at the same moment, in the order in which they came. It
/// works on any hub, but one that is fed from outside may never be quiet.
///
/// A green thread that is killed while it waits is unwound from here. In a destructor that runs
/// because of a panic there is no waiting: it returns at once.
///
/// # Panics
///
/// In a hub callback, which may not wait.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use greenroom::{spawn, testing, yield_now};
///
/// testing::run(|| {
///     let steps = Rc::new(Cell::new(0));
///     let count = Rc::clone(&steps);
///     drop(spawn(move || {
///         for _ in 0..3 {
///             count.set(count.get() + 1);
///             yield_now();
///         }
///     }));
///     testing::wait_all_parked();
///     assert_eq!(steps.get(), 3);
/// });
/// ```
pub fn wait_all_parked() {
    // Whoever unwinds from a panic waits for nothing.
    let _ = until_quiet();
}

/// Lets so much virtual time pass, also while somebody waits for another OS thread.
///
/// First everyone else runs until all are parked, as in [`wait_all_parked`]. Then the clock goes to
/// the first deadline, those who waited for it run until all are parked again, and so on to the
/// end of the span. So each deadline up to the end, that one included, is met at its own time and
/// those at the same time in the order in which they were armed; a thread that sleeps again and again
/// does so as often as it would in real time. When this returns nobody can run, and so much time has
/// passed.
///
/// Takes a few turns of the hub for each different deadline in the span, and no real time. Of two
/// who let time pass at once, neither waits for the other: time goes to the later end. Like
/// [`wait_all_parked`], it never ends if somebody yields for ever.
///
/// A green thread that is killed or out of time in this is unwound from here, and the clock stays
/// at what it had come to. In a destructor that runs because of a panic nobody runs: the clock goes
/// to the end at once.
///
/// # Panics
///
/// If this hub's clock is the real one: only under [`run`] and its like it can be advanced. In a hub
/// callback, which may not wait. If `time` is longer than virtual time can last, some 500 years.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use greenroom::{spawn, sync::shared::Semaphore, testing};
///
/// testing::run(|| {
///     let permits = Arc::new(Semaphore::new(0));
///     let theirs = Arc::clone(&permits);
///     let hour = Duration::from_secs(3600);
///     // Another OS thread may release one at any time, so this hub's time stands still.
///     let late = spawn(move || theirs.acquire_timeout(hour).is_err());
///     testing::advance(hour - Duration::from_nanos(1));
///     assert!(!late.is_finished());
///     testing::advance(Duration::from_nanos(1));
///     assert!(late.join().unwrap());
/// });
/// ```
#[track_caller]
pub fn advance(time: Duration) {
    let clock = local().hub.borrow().clock().clone();
    assert!(
        clock.is_virtual(),
        "only virtual time can be advanced, and this hub's clock is the real one: use \
         testing::advance inside testing::run"
    );
    let end = clock.now() + time;
    assert!(end < HubInstant::NEVER, "virtual time is over before {time:?} have passed");
    loop {
        let quiet = until_quiet();
        if clock.now() >= end {
            return;
        }
        let first = quiet.ok().and_then(|()| local().hub.borrow().next_deadline());
        clock.advance_to(first.map_or(end, |first| first.min(end)));
    }
}

fn until_quiet() -> Result<(), Unwinding> {
    // Taken back also if this wait is unwound.
    let _waiting = WaitsForQuiet(thread::current().id());
    let wake = park::until_called(Blocked::Quiet, None, |waiter| {
        local().quiet.borrow_mut().push(waiter);
    });
    match wake? {
        Wake::Called => Ok(()),
        wake => unreachable!("quiet is not announced by {wake:?}"),
    }
}

/// A place among those who wait for quiet.
struct WaitsForQuiet(ThreadId);

impl Drop for WaitsForQuiet {
    fn drop(&mut self) {
        let Some(local) = existing() else { return };
        // Whoever this is runs, so it is not its last handle that is dropped here.
        local.quiet.borrow_mut().retain(|waiter| match waiter {
            Waiter::Thread(fiber) => ThreadId(fiber.id()) != self.0,
            Waiter::Root(_) => self.0 != ThreadId(0),
            _ => true,
        });
    }
}

fn on_fresh_hub<T: Send>(backend: Backend, seed: Option<u64>, f: impl FnOnce() -> T + Send) -> T {
    let on_thread = move || {
        let local = match install(backend, Clock::manual()) {
            Ok(local) => local,
            Err(error) => panic!("no hub could be made for the test: {error}"),
        };
        if let Some(seed) = seed {
            local.hub.borrow_mut().shuffle(Chance::from_seed(seed));
            local.draws.replace(Chance::from_seed(seed));
        }
        f()
    };
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name).spawn_scoped(scope, on_thread);
        match thread {
            Ok(thread) => thread.join().unwrap_or_else(|payload| resume_unwind(payload)),
            Err(error) => panic!("no OS thread could be started for the test: {error}"),
        }
    })
}
