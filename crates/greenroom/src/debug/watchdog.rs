//! Tells who holds the loop for too long.
//!
//! An OS thread of its own looks at every watched hub's pulse, and never waits for anything but the
//! next look: symbols are resolved, and standard error is written to, by another. Knows no queue and
//! wakes no one.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use greenroom_hub::{Clock, Instant};

use crate::{
    debug::{
        Pulse,
        pulse::Look,
        report, sample,
        suspects::{Suspect, Suspects},
    },
    hub::local::{Local, local},
    per_process::{PerProcess, process_id},
};

/// The shortest time between two looks. More would take a core from those that are watched.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// A watch over this OS thread's hub, from [`watch`] until it is dropped.
#[derive(Debug)]
#[must_use = "the watch ends when this is dropped"]
pub struct Watchdog {
    watchman: &'static Watchman,
    number: u64,
}

/// Reports every green thread and callback of this OS thread that runs for longer than `limit`
/// without waiting: its name and its stack, on standard error, once each time. A destructor that the loop runs
/// is told of as a callback.
///
/// While one runs, no other does. Who must compute for long yields now and then, or goes to
/// [`offload`](crate::offload).
///
/// The OS thread's own stack, that of `main` mostly, holds everyone up as well while it computes, or waits by
/// other means than this crate's. It is reported if somebody has been ready to run all that time: one that it has
/// spawned or woken, or that it left behind when its own last wait was over. What nobody has looked for is
/// not known: fds that have become ready since, deadlines that have passed, and what other OS threads have sent.
///
/// Each hub is watched by itself, on its own OS thread's call of this; those that hang at the same
/// time are all reported. If somebody gives way before its stack was seen, or its OS thread does not
/// answer within a second, the report says that instead.
///
/// Costs nothing where it watches: an OS thread of its own looks four times per `limit`, but no more
/// than once a millisecond, and another one prints. To see the stack the first sends the watched OS
/// thread a `SIGURG`, whose handler takes some KiB of the stack it finds. A system call that a signal
/// interrupts for good, such as `poll`, fails with `EINTR`.
///
/// The watch ends when the [`Watchdog`] is dropped, or with the hub; what was seen before may be
/// printed after. A forked child is not watched until it calls this itself.
///
/// The environment variable `GREENROOM_WATCHDOG`, a number of milliseconds, does the same for
/// every hub of a process, from its making to its end. Other text makes the making of hubs fail.
///
/// # Panics
///
/// If `limit` is zero, no OS thread can be started, or this one has no hub and none can be made.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let _watchdog = greenroom::debug::watch(Duration::from_millis(100));
/// // green threads that hold the loop for longer are reported from here on
/// ```
pub fn watch(limit: Duration) -> Watchdog {
    assert!(!limit.is_zero(), "nobody can run for no time at all");
    watch_local(local(), limit)
}

/// The limit that the environment asks for, if it does.
///
/// # Errors
///
/// If it is no number of milliseconds.
pub(crate) fn limit_from_env() -> io::Result<Option<Duration>> {
    let Some(text) = std::env::var_os("GREENROOM_WATCHDOG") else { return Ok(None) };
    let millis = text.to_str().and_then(|text| text.trim().parse().ok());
    match millis.filter(|&millis: &u64| millis > 0) {
        Some(millis) => Ok(Some(Duration::from_millis(millis))),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("GREENROOM_WATCHDOG is {text:?}; it must be milliseconds, from 1 up"),
        )),
    }
}

/// Watches a hub for as long as it lives.
pub(crate) fn watch_for_good(local: &Local, limit: Duration) {
    std::mem::forget(watch_local(local, limit));
}

fn watch_local(local: &Local, limit: Duration) -> Watchdog {
    static WATCHES_TOTAL: AtomicU64 = AtomicU64::new(0);
    let number = WATCHES_TOTAL.fetch_add(1, Ordering::Relaxed);
    let watchman = watchman();
    watchman.lock().push(Watched {
        number,
        tid: rustix::thread::gettid().as_raw_nonzero().get(),
        pulse: Arc::downgrade(&local.pulse),
        limit,
        moves: local.pulse.look().moves,
        since: Clock::monotonic().now(),
        told: false,
    });
    watchman.more_to_watch.notify_one();
    Watchdog { watchman, number }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // In a forked child nobody watches for the parent, and the lock may be held for ever.
        if self.watchman.process == process_id() {
            self.watchman.lock().retain(|one| one.number != self.number);
        }
    }
}

#[derive(Debug)]
struct Watchman {
    process: u32,
    watched: Mutex<Vec<Watched>>,
    more_to_watch: Condvar,
}

#[derive(Debug)]
struct Watched {
    /// One hub may be watched more than once.
    number: u64,
    tid: i32,
    pulse: Weak<Pulse>,
    limit: Duration,
    /// The pulse as it was seen last, and since when the loop is held like that.
    moves: u64,
    since: Instant,
    told: bool,
}

/// This process's watchman, who begins now if there is none. Its parent's has no OS thread here.
fn watchman() -> &'static Watchman {
    static FAMILY: OnceLock<PerProcess<Watchman>> = OnceLock::new();
    let process = process_id();
    let family = FAMILY.get_or_init(|| PerProcess::new(process, Watchman::begin(process)));
    family.of(process, |_| Watchman::begin(process))
}

impl Watchman {
    fn begin(process: u32) -> Watchman {
        sample::forget_parents_question();
        let (teller, reports) = report::channel();
        os_thread("greenroom-reports", || report::keep_telling(reports));
        // It waits there until this function has returned.
        os_thread("greenroom-watchdog", || watchman().keep_watch(Suspects::new(teller)));
        Watchman { process, watched: Mutex::default(), more_to_watch: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_watch(&self, mut suspects: Suspects) -> ! {
        let clock = Clock::monotonic();
        let mut watched = self.lock();
        loop {
            watched.retain(|one| one.pulse.strong_count() > 0);
            let next_look = watched.iter().map(|one| (one.limit / 4).max(PAUSE_MIN)).min();
            let pause = if suspects.is_empty() { next_look } else { Some(PAUSE_MIN) };
            watched = match pause {
                None => self.more_to_watch.wait(watched).unwrap_or_else(PoisonError::into_inner),
                Some(pause) => {
                    let waited = self.more_to_watch.wait_timeout(watched, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            let now = clock.now();
            for suspect in watched.iter_mut().filter_map(|one| one.look(now)) {
                suspects.add(suspect);
            }
            suspects.question(now);
        }
    }
}

impl Watched {
    /// Who has held the loop for longer than may be, if that is not told yet.
    fn look(&mut self, now: Instant) -> Option<Suspect> {
        let Look { moves, is_held } = self.pulse.upgrade()?.look();
        if moves != self.moves || !is_held {
            (self.moves, self.since, self.told) = (moves, now, false);
            return None;
        }
        let held = now.saturating_since(self.since);
        if self.told || held < self.limit {
            return None;
        }
        self.told = true;
        Some(Suspect { tid: self.tid, held, pulse: Weak::clone(&self.pulse), moves })
    }
}

fn os_thread(name: &str, body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name(name.into());
    if let Err(error) = thread.spawn(body) {
        panic!("the watchdog's OS thread cannot be started: {error}");
    }
}
