//! Waiting for each other: locks, signals and meeting points for the green threads of one hub.
//!
//! Knows the wait queue and time. Nothing here is shared between OS threads, so there are no atomic
//! operations, nothing spins, and everything works from `main` as well. Between hubs, and with plain
//! OS threads, there is [`shared`].
//!
//! | | |
//! |---|---|
//! | [`Event`] | one says it once, all hear it |
//! | [`Mutex`], [`RwLock`], [`Condvar`] | data that only one may change, also across waits |
//! | [`Semaphore`], [`BoundedSemaphore`], [`CappedSemaphore`] | so many at a time |
//! | [`Barrier`] | nobody goes on before all have come |
//! | [`OnceCell`] | made by the first who needs it |
//! | [`channel`] | items from senders to receivers, until one side is gone |
//! | [`Queue`], [`LifoQueue`], [`PriorityQueue`] | work to do, and whether it is done |
//! | [`Select`] | the first of several of these, of sockets, signals, and ends of threads and children |
//!
//! Between two waits a green thread has its OS thread to itself, so a [`Cell`](std::cell::Cell) or
//! a [`RefCell`](std::cell::RefCell) is enough for whoever does not wait in between. A lock is for
//! data that must not be touched while its holder waits.
//!
//! # What holds for all of them
//!
//! *First come, first served.* What is given up is handed to whoever waits longest, and is never
//! free in between: nobody who comes later can be faster.
//!
//! *Cost.* A call that need not wait takes some nanoseconds and makes no system call. One that
//! waits takes two switches, and allocates nothing once the queue has grown.
//!
//! *Kill and timeout.* A thread that is killed, or whose [`with_timeout`](crate::with_timeout) is
//! over, is unwound from its wait and leaves the queue. If it had been chosen already, what it was
//! to have goes to the next. Calls with a timeout of their own do the same and return.
//!
//! *Hub callbacks* may not wait: a call that would have to panics, and says so. What never waits
//! may be called there, and anywhere else: `try_…`, `is_…`, `notify_…`, dropping a guard, and what
//! says so of itself, such as [`Event::send`] and [`Semaphore::release`].
//!
//! *In a destructor that runs because of a panic or a kill* nothing waits either. What need not
//! wait works; what has a timeout of its own is late at once. What could only wait panics, unless
//! it says how it does without; a panic in such a destructor ends the process, so use `try_…`
//! there.
//!
//! *They stay on their OS thread*: nothing here is `Send` or `Sync`.

mod barrier;
pub mod channel;
mod condvar;
mod event;
mod handover;
mod mutex;
mod once_cell;
mod poison;
mod queue;
mod rwlock;
mod select;
mod semaphore;
pub mod shared;

use std::time::Duration;

use greenroom_hub::Instant;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::{AlreadySent, Event};
pub use mutex::{Mutex, MutexGuard};
pub use once_cell::OnceCell;
pub use queue::{
    Empty, Fifo, Full, Lifo, LifoQueue, Priority, PriorityQueue, Queue, QueueBy, Store, TooManyDone,
};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use select::Select;
pub use semaphore::{BoundedSemaphore, CappedSemaphore, Permit, Semaphore, TooManyReleased};

use crate::{hub::local::local, time::deadline_after};

fn after(timeout: Duration) -> Instant {
    deadline_after(&local().hub.borrow(), timeout)
}

/// For a call that has to wait, and nothing to return without.
#[cold]
#[track_caller]
fn refuse_unwinding(what: &str) -> ! {
    panic!(
        "{what} would have to be waited for in a destructor that runs because of a panic or a \
         kill, and nothing waits there; use a call that does not (try_…), or one with a timeout, \
         which is late at once"
    )
}
