//! Work that would block the OS thread, done on a helper OS thread while the green thread waits.
//!
//! Knows OS threads, a queue and the mailbox; knows nothing of what the work is. The helpers are
//! shared by all hubs of the process.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError},
    thread::{Result as Outcome, panicking},
    time::Duration,
};

use greenroom_hub::{Wake, WakeId};

use crate::{
    hub::local::local,
    per_process::{PerProcess, process_id},
    thread::{Blocked, park, throw::Refusal},
};

/// Helper OS threads at most, unless `GREENROOM_OFFLOAD_THREADS` says otherwise.
const HELPERS_DEFAULT: usize = 20;

/// A helper that has had nothing to do for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Runs `f` on a helper OS thread and waits for what it returns; other green threads run meanwhile.
///
/// For what blocks and cannot be waited for otherwise: files, name lookups, long computations,
/// foreign libraries. At most 20 helpers run at once, or as many as the environment variable
/// `GREENROOM_OFFLOAD_THREADS` says; more work than that queues, first come first served. A helper
/// idle for ten seconds ends.
///
/// Work may offload more work, but keeps its helper while it waits for that. When every helper
/// waits so, none is left to do any work, and all wait for ever.
///
/// Costs some microseconds, for two OS thread switches. If the waiting green thread is killed or out of
/// time, the work goes on and what it returns is dropped on the helper. Under virtual time
/// ([`testing`](crate::testing)) the wait is for real, and no virtual time passes.
///
/// # Panics
///
/// With what `f` panics with. If no helper can be started, or the environment variable is no number
/// from 1 up. In a hub callback, which may not wait. In a forked child, if `f` was given to the
/// helpers of its parent, of which the child has none.
///
/// In a destructor that runs because of a panic there is no waiting: `f` runs on this OS thread.
///
/// # Examples
///
/// ```
/// let text = greenroom::offload(|| std::fs::read_to_string("/proc/self/comm"))?;
/// assert!(!text.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn offload<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    offload_named(&"offloaded work", f)
}

/// [`offload`], with a name for the work in reports.
pub(crate) fn offload_named<F, T>(what: &'static &'static str, f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if panicking() {
        return f();
    }
    let slot = Slot::default();
    let result = Arc::clone(&slot);
    let wake = park::until_posted(Blocked::Offload(what), None, |id| {
        if let Err(error) = submit(f, result, id) {
            panic!("no helper OS thread can be started: {error}");
        }
    });
    match wake {
        Ok(Wake::Called) => {}
        Ok(Wake::Orphaned) => panic!("{what} was lost: the process forked, without its helpers"),
        Ok(wake) => unreachable!("offloaded work is not ended by {wake:?}"),
        Err(park::Unwinding) => unreachable!("nobody who unwinds comes here"),
    }
    outcome(&slot)
}

/// Why offloaded work has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// The waiter is to be stopped.
    Refused(Refusal),
    /// The process forked meanwhile.
    Forked,
    /// There is no helper, and none can be started.
    NoHelper,
}

/// [`offload_named`] beneath frames that cannot be unwound.
pub(crate) fn offload_or_missed<F, T>(what: &'static &'static str, f: F) -> Result<T, Missed>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let slot = Slot::default();
    let result = Arc::clone(&slot);
    let blocked = Blocked::Offload(what);
    let mut submitted = Ok(());
    let wake = park::until_posted_or_refused(blocked, None, |id| {
        submitted = submit(f, result, id);
        if submitted.is_err() {
            // Nobody else will: the wait was announced.
            local().hub.borrow().mailbox().wake(id);
        }
    });
    match wake {
        Err(refusal) => Err(Missed::Refused(refusal)),
        Ok(_) if submitted.is_err() => Err(Missed::NoHelper),
        Ok(Wake::Called) => Ok(outcome(&slot)),
        Ok(_) => Err(Missed::Forked),
    }
}

/// Where a helper leaves what came out.
type Slot<T> = Arc<Mutex<Option<Outcome<T>>>>;

/// Has `f` done, and the waiter of `id` woken then.
///
/// # Errors
///
/// If there is no helper, and none can be started. `f` is dropped then.
fn submit<F, T>(f: F, result: Slot<T>, id: WakeId) -> io::Result<()>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // Asked for after the wait was announced: a child of a fork has a new one from then on.
    let mailbox = local().hub.borrow().mailbox();
    helpers().submit(Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(f));
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        drop(result);
        mailbox.wake(id);
    }))
}

fn outcome<T>(slot: &Slot<T>) -> T {
    let outcome = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    match outcome.expect("who calls has left an outcome") {
        Ok(value) => value,
        Err(payload) => resume_unwind(payload),
    }
}

type Job = Box<dyn FnOnce() + Send>;

struct Helpers {
    state: Mutex<State>,
    work_came: Condvar,
    threads_max: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

/// This process's helpers. A forked child can use nothing of its parent's: it has none of those OS threads.
fn helpers() -> &'static Helpers {
    static HELPERS: OnceLock<PerProcess<Helpers>> = OnceLock::new();
    let process = process_id();
    // Made before one has the place to itself, which a forked child might wait for in vain: for a move at most.
    let helpers = HELPERS.get().unwrap_or_else(|| {
        let made = PerProcess::new(process, Helpers::new());
        HELPERS.get_or_init(|| made)
    });
    helpers.of(process, |_| Helpers::new())
}

fn threads_max(setting: Option<&str>) -> usize {
    let Some(setting) = setting else { return HELPERS_DEFAULT };
    match setting.trim().parse() {
        Ok(count) if count > 0 => count,
        _ => panic!("GREENROOM_OFFLOAD_THREADS is {setting:?}; it must be a number from 1 up"),
    }
}

impl Helpers {
    fn new() -> Helpers {
        Helpers {
            state: Mutex::default(),
            work_came: Condvar::new(),
            threads_max: threads_max(std::env::var("GREENROOM_OFFLOAD_THREADS").ok().as_deref()),
        }
    }

    fn submit(&'static self, job: Job) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.work_came.notify_one();
            return Ok(());
        }
        if state.threads == self.threads_max {
            return Ok(());
        }
        let started =
            std::thread::Builder::new().name("greenroom-offload".into()).spawn(move || self.work());
        match started {
            Ok(_) => state.threads += 1,
            // Those that run will come to it.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                let job = state.jobs.pop_back();
                drop(state);
                // What it owns is not ours: dropped, it may offload.
                drop(job);
                return Err(error);
            }
        }
        Ok(())
    }

    fn work(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A job catches its own panics; but a result that nobody waits for any more is
                // dropped here, and that may panic too.
                std::mem::forget(catch_unwind(AssertUnwindSafe(job)));
                state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.idle += 1;
            let (woken, timeout) = self
                .work_came
                .wait_timeout(state, IDLE_MAX)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_a_number_from_one_up() {
        assert_eq!(threads_max(None), HELPERS_DEFAULT);
        assert_eq!(threads_max(Some(" 3 ")), 3);
        for bad in ["0", "-1", "many", ""] {
            assert!(catch_unwind(|| threads_max(Some(bad))).is_err(), "{bad:?} was taken");
        }
    }
}
