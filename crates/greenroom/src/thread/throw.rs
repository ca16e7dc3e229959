//! What a thread is thrown out of its wait with: it was killed, or a limit of time is over.
//!
//! A throw is an unwinding that passes through user code to where it is meant to arrive: the foot of
//! the stack, or the [`with_timeout`](crate::with_timeout) whose limit it is. Whoever catches it on the way is thrown
//! again at the next wait: else a thread that catches panics could not be killed. Knows neither timers nor
//! what is waited for.

use std::{
    panic::{UnwindSafe, catch_unwind, resume_unwind},
    thread::Result as Outcome,
};

use greenroom_hub::Instant;

use crate::thread::{Control, run};

/// Whether and why a thread is to be thrown out of its next wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Throw {
    No,
    /// Its limit of time is over.
    TimeIsOver,
    /// It was killed. No limit matters any more.
    Killed,
}

/// A limit of time that a thread is under: of all those it is in, the one that is over first, and
/// of equal ones the outermost. Each knows the one that was in force before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) deadline: Instant,
    /// How many limits are in force one inside the other, itself included. Zero is none. One that cannot be over
    /// first does not count.
    // As wide as the deadline: a gap after it would be copied byte by byte into each control block.
    pub(crate) level: u64,
}

impl Limit {
    pub(crate) const NONE: Limit = Limit { deadline: Instant::NEVER, level: 0 };
}

/// What is thrown. Never seen outside: it is caught where it is meant to arrive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Thrown {
    Killed,
    /// To the limit of this level.
    TimeIsOver {
        level: u64,
    },
}

/// Throws whoever runs on this control block, if that was asked for.
#[inline]
pub(super) fn throw_if_asked(control: &Control) {
    if control.throw.get() != Throw::No {
        throw(control);
    }
}

/// The thread never gets as far as stopping again, so whoever throws it cannot count.
#[cold]
fn throw(control: &Control) {
    if control.holds_out.get() {
        return;
    }
    control.throws.set(control.throws.get() + 1);
    if control.throws.get() > run::UNWINDS_MAX {
        run::abort_for_running();
    }
    resume_unwind(Box::new(match control.throw.get() {
        Throw::Killed => Thrown::Killed,
        _ => Thrown::TimeIsOver { level: control.limit.get().level },
    }));
}

/// Why a wait that cannot be thrown out of ends, or does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The thread unwinds, and nothing may switch.
    Unwinding,
    /// Its limit of time is over.
    TimeIsOver,
    /// It was killed.
    Killed,
}

/// Whether whoever runs on this control block is to be thrown out, which must wait until its frames
/// can be unwound.
#[inline]
pub(crate) fn refusal(control: &Control) -> Option<Refusal> {
    match control.throw.get() {
        Throw::No => None,
        _ if control.holds_out.get() => None,
        Throw::TimeIsOver => Some(Refusal::TimeIsOver),
        Throw::Killed => Some(Refusal::Killed),
    }
}

/// A throw has arrived, or its reason is gone; `limit` is in force from here on.
pub(crate) fn land(control: &Control, limit: Limit, now: impl FnOnce() -> Instant) {
    control.limit.set(limit);
    if control.throw.get() == Throw::TimeIsOver {
        control.throws.set(0);
        control.refusals.set(0);
        if limit.deadline > now() {
            control.throw.set(Throw::No);
        }
    }
}

/// Calls `f` as [`std::panic::catch_unwind`] does, and catches its panics; but lets pass what a thread is thrown
/// out of a wait with when it is killed or a limit of time is over.
///
/// For code that goes on after panics of others, such as a worker that runs one job after the other: with this
/// it can be killed, and works under [`with_timeout`](crate::with_timeout).
///
/// # Errors
///
/// What `f` panicked with.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc, time::Duration};
/// use greenroom::{sleep, spawn, thread::catch_panic, yield_now};
///
/// let failed = Rc::new(Cell::new(0));
/// let count = Rc::clone(&failed);
/// let worker = spawn(move || {
///     loop {
///         if catch_panic(|| panic!("a job")).is_err() {
///             count.set(count.get() + 1);
///         }
///         let _ = catch_panic(|| sleep(Duration::MAX));
///     }
/// });
/// yield_now();
/// worker.kill();
/// assert!(worker.join().unwrap_err().is_killed());
/// assert_eq!(failed.get(), 1);
/// ```
pub fn catch_panic<T>(f: impl FnOnce() -> T + UnwindSafe) -> Outcome<T> {
    catch_unwind(f).map_err(|payload| {
        if payload.is::<Thrown>() {
            resume_unwind(payload);
        }
        payload
    })
}

/// Refuses what needs unwinding where there is none.
///
/// # Panics
///
/// Under `panic = "abort"`.
#[track_caller]
pub(crate) fn assert_can_unwind(what: &str) {
    if cfg!(panic = "abort") {
        panic!(
            "{what} unwinds a green thread, and this program was built with panic=abort, under \
             which nothing can be unwound; build it with panic=unwind, or give the calls \
             themselves timeouts"
        );
    }
}
