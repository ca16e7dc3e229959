//! Tells who holds the loop for too long.
//!
//! An OS thread of its own looks at every watched hub's pulse. Knows no queue and wakes no one.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use greenroom_hub::{Clock, Instant};

use crate::{
    debug::{Pulse, sample, say, trace},
    hub::local::{Local, local},
};

/// A watch over this OS thread's hub, from [`watch`] until it is dropped.
#[derive(Debug)]
#[must_use = "the watch ends when this is dropped"]
pub struct Watchdog {
    number: u64,
}

/// Reports every green thread and callback of this OS thread that runs for longer than `limit`
/// without waiting: its name and its stack, on standard error, once each time.
///
/// While one runs, no other does. Who must compute for long yields now and then, or goes to
/// [`offload`](crate::offload).
///
/// Costs nothing where it watches: an OS thread of its own looks four times per `limit`. To see
/// the stack it sends the watched OS thread a `SIGURG`, whose handler takes some KiB of the stack
/// it finds.
///
/// The environment variable `GREENROOM_WATCHDOG`, a number of milliseconds, does the same for
/// every hub of a process, from its making to its end.
///
/// # Panics
///
/// If `limit` is zero, or no OS thread can be started.
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
    Watchdog { number: watch_local(local(), limit) }
}

/// Watches a hub that is being made, if the environment asks for it.
pub(crate) fn watch_if_asked(local: &Local) {
    let Some(setting) = std::env::var_os("GREENROOM_WATCHDOG") else { return };
    let millis = setting.to_str().and_then(|text| text.trim().parse().ok());
    match millis.filter(|&millis: &u64| millis > 0) {
        Some(millis) => {
            watch_local(local, Duration::from_millis(millis));
        }
        None => panic!("GREENROOM_WATCHDOG is {setting:?}; it must be milliseconds, from 1 up"),
    }
}

/// The watch ends when the hub's pulse is gone, or when somebody takes it back by its number.
fn watch_local(local: &Local, limit: Duration) -> u64 {
    static WATCHES_TOTAL: AtomicU64 = AtomicU64::new(0);
    assert!(!limit.is_zero(), "nobody can run for no time at all");
    let number = WATCHES_TOTAL.fetch_add(1, Ordering::Relaxed);
    watchman().add(Watched {
        number,
        tid: rustix::thread::gettid().as_raw_nonzero().get(),
        pulse: Arc::downgrade(&local.pulse),
        limit,
        beats: local.pulse.beats(),
        since: Clock::monotonic().now(),
        told: false,
    });
    number
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let mut watched = watchman().watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|one| one.number != self.number);
    }
}

struct Watchman {
    watched: Mutex<Vec<Watched>>,
    more_to_watch: Condvar,
}

struct Watched {
    /// One hub may be watched more than once.
    number: u64,
    tid: i32,
    pulse: Weak<Pulse>,
    limit: Duration,
    /// The pulse as it was seen last, and since when.
    beats: u64,
    since: Instant,
    told: bool,
}

fn watchman() -> &'static Watchman {
    static WATCHMAN: OnceLock<Watchman> = OnceLock::new();
    let mut is_new = false;
    let watchman = WATCHMAN.get_or_init(|| {
        is_new = true;
        Watchman { watched: Mutex::default(), more_to_watch: Condvar::new() }
    });
    if is_new {
        let thread = std::thread::Builder::new().name("greenroom-watchdog".into());
        if let Err(error) = thread.spawn(|| watchman.keep_watch()) {
            panic!("the watchdog's OS thread cannot be started: {error}");
        }
    }
    watchman
}

impl Watchman {
    fn add(&self, watched: Watched) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
        self.more_to_watch.notify_one();
    }

    fn keep_watch(&self) {
        let clock = Clock::monotonic();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            watched.retain(|one| one.pulse.strong_count() > 0);
            let next_look = watched.iter().map(|one| one.limit / 4).min();
            watched = match next_look {
                None => self.more_to_watch.wait(watched).unwrap_or_else(PoisonError::into_inner),
                Some(pause) => {
                    let waited = self.more_to_watch.wait_timeout(watched, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            let now = clock.now();
            for one in watched.iter_mut() {
                if let Some(held) = one.look(now) {
                    tell(one.tid, held);
                }
            }
        }
    }
}

impl Watched {
    /// How long somebody has held the loop, if that is longer than it may be and not yet told.
    fn look(&mut self, now: Instant) -> Option<Duration> {
        let beats = self.pulse.upgrade()?.beats();
        if beats != self.beats {
            (self.beats, self.since, self.told) = (beats, now, false);
            return None;
        }
        let held = now.saturating_since(self.since);
        let somebody_runs = beats % 2 == 1;
        if !somebody_runs || self.told || held < self.limit {
            return None;
        }
        self.told = true;
        Some(held)
    }
}

fn tell(tid: i32, held: Duration) {
    let mut report = String::new();
    let sample = sample::of_thread(tid);
    let who = match sample.as_ref().map(|sample| &sample.thread) {
        Some(Some((id, Some(name)))) => format!("green thread {name:?} ({id})"),
        Some(Some((id, None))) => format!("green thread {id}"),
        Some(None) => "a hub callback".into(),
        None => "somebody who does not answer".into(),
    };
    let _ = writeln!(
        report,
        "{who} has held the loop of OS thread {tid} for {held:.0?}; nobody else runs \
         meanwhile"
    );
    if let Some(sample) = &sample {
        trace::write(&sample.frames, &mut report);
    }
    say(format_args!("{}", report.trim_end()));
}
