//! A list of every green thread, listener and timer of this OS thread's hub.
//!
//! Reads the hub's state and prints it; suspends and wakes no one.

use std::{fmt, os::fd::RawFd, panic::Location, time::Duration};

use greenroom_fiber::Fiber;

use crate::{
    debug::Trace,
    hub::local::{Local, existing},
    io::Interest,
    thread::{Blocked, Control, ThreadId, control::State, holder::Holders, run},
};

/// What a hub held at one moment. Made by [`dump`], printed with `{}`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Dump {
    /// Every green thread that is alive, oldest first.
    pub threads: Vec<ThreadInfo>,
    /// Every wait for an fd.
    pub listeners: Vec<ListenerInfo>,
    /// Every armed timer, earliest first; those of equal deadlines in no order.
    pub timers: Vec<TimerInfo>,
}

/// One green thread in a [`Dump`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// Its id.
    pub id: ThreadId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// What it does or waits for, in words; of a [`Mutex`](crate::sync::Mutex) or an
    /// [`RwLock`](crate::sync::RwLock) also who holds it.
    pub state: String,
    /// How long it has been waiting for that; `None` if it does not wait: it runs, or may as soon as
    /// it is its turn.
    pub since: Option<Duration>,
    /// How long ago it was spawned.
    pub age: Duration,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// Where it waits, or where it called [`dump`]; `None` if it has not started.
    pub trace: Option<Trace>,
}

/// One wait for an fd in a [`Dump`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenerInfo {
    /// The fd.
    pub fd: RawFd,
    /// The direction.
    pub interest: Interest,
    /// Who waits.
    pub waiter: String,
}

/// One armed timer in a [`Dump`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TimerInfo {
    /// How long until it fires; zero if it is due.
    pub left: Duration,
    /// Whose it is.
    pub waiter: String,
}

/// Lists everything alive on this OS thread's hub, each green thread with its stack trace, parked
/// ones too.
///
/// Costs some microseconds for each green thread, and a kilobyte; printing it costs more, for
/// addresses are turned into names then. It wakes nobody: a parked thread is resumed only to walk its own
/// stack, for which it needs some kilobytes of it, and to tell who holds the lock it waits for, and stops
/// again at once. Can be called from
/// anywhere on the OS thread, callbacks and destructors included. Without a hub it is empty, and
/// none is made.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let sleeper = greenroom::thread::Builder::new()
///     .name("sleeper")
///     .spawn(|| greenroom::sleep(Duration::from_millis(5)))?;
/// greenroom::yield_now();
/// let dump = greenroom::debug::dump();
/// assert_eq!(dump.threads[0].name.as_deref(), Some("sleeper"));
/// assert!(dump.to_string().contains("sleeps"));
/// sleeper.join()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn dump() -> Dump {
    let Some(local) = existing() else { return Dump::default() };
    take(local, usize::MAX)
}

/// Lists everything, and looks at so many threads, oldest first.
pub(crate) fn take(local: &Local, looked_at_max: usize) -> Dump {
    let fibers = alive(local);
    let mut dump = list(local, &fibers);
    for (thread, fiber) in dump.threads.iter_mut().zip(&fibers).take(looked_at_max) {
        look_at(local, fiber, thread, &fibers);
    }
    dump
}

/// All green threads, oldest first.
pub(super) fn alive(local: &Local) -> Vec<Fiber<Control>> {
    let mut fibers: Vec<_> = local.threads.borrow().iter().cloned().collect();
    fibers.sort_by_key(Fiber::id);
    fibers
}

/// Notes what a thread tells of itself.
fn look_at(local: &Local, fiber: &Fiber<Control>, thread: &mut ThreadInfo, all: &[Fiber<Control>]) {
    let runs = Fiber::<Control>::with_current(|me| me.is_some_and(|me| me.ptr_eq(fiber)));
    if runs {
        thread.trace = Some(Trace::here());
    } else if let Some(sight) = run::look_at(local, fiber) {
        thread.trace = Some(Trace::new(sight.frames));
        if fiber.state() == State::Parked {
            say_holders(sight.holders, all, &mut thread.state);
        }
    }
}

/// Says who holds what is waited for, if that is something to be held.
pub(super) fn say_holders(holders: Option<Holders>, all: &[Fiber<Control>], words: &mut String) {
    if let Some(holders) = holders {
        words.push_str(", held by ");
        // A String takes everything.
        let _ = holders.describe(all, words);
    }
}

fn list(local: &Local, fibers: &[Fiber<Control>]) -> Dump {
    let hub = local.hub.borrow();
    let now = hub.clock().now();
    let running = crate::thread::current().id();
    let threads = fibers
        .iter()
        .map(|fiber| ThreadInfo {
            id: ThreadId(fiber.id()),
            name: fiber.name().map(str::to_owned),
            state: state_of(fiber, running),
            since: (fiber.state() == State::Parked)
                .then(|| now.saturating_since(fiber.blocked_since.get())),
            age: now.saturating_since(fiber.spawned),
            spawned_at: fiber.spawned_at,
            trace: None,
        })
        .collect();
    let mut listeners: Vec<_> = hub
        .listeners()
        .map(|(fd, interest, waiter)| ListenerInfo { fd, interest, waiter: waiter.to_string() })
        .collect();
    listeners.sort_by_key(|listener| (listener.fd, listener.interest == Interest::Write));
    let mut timers: Vec<_> = hub
        .timers()
        .map(|(deadline, waiter)| TimerInfo {
            left: deadline.saturating_since(now),
            waiter: waiter.to_string(),
        })
        .collect();
    timers.sort_by_key(|timer| timer.left);
    Dump { threads, listeners, timers }
}

fn state_of(fiber: &Fiber<Control>, running: ThreadId) -> String {
    match fiber.state() {
        _ if fiber.id() == running.0 => "runs now".into(),
        // What it has waited for is over.
        State::Woken => Blocked::No.to_string(),
        _ => fiber.blocked.get().to_string(),
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "green threads: {}", self.threads.len())?;
        for thread in &self.threads {
            let ThreadInfo { id, state, since, age, spawned_at, .. } = thread;
            let name = thread.name.as_deref().unwrap_or("-");
            write!(f, "  {id:>6} {name}: {state}")?;
            if let Some(since) = since {
                write!(f, ", for {since:.1?}")?;
            }
            writeln!(f, "; {age:.1?} old, {spawned_at}")?;
            if let Some(trace) = &thread.trace {
                for line in trace.to_string().lines() {
                    writeln!(f, "       {line}")?;
                }
            }
        }
        writeln!(f, "listeners: {}", self.listeners.len())?;
        for ListenerInfo { fd, interest, waiter } in &self.listeners {
            writeln!(f, "  fd {fd} to {interest}: {waiter}")?;
        }
        writeln!(f, "timers: {}", self.timers.len())?;
        for TimerInfo { left, waiter } in &self.timers {
            writeln!(f, "  in {left:.1?}: {waiter}")?;
        }
        Ok(())
    }
}
