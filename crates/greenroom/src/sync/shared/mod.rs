//! The twins of [`sync`](super) that work between hubs and with plain OS threads.
//!
//! Joins rules that know no hub with waits on one. Knows no sockets and no time but deadlines.
//!
//! | | |
//! |---|---|
//! | [`channel`] | items from senders to receivers, until one side is gone |
//! | [`Event`] | one says it once, all hear it |
//! | [`Semaphore`] | so many at a time |
//! | [`Mutex`] | data that only one may change, also across waits |
//!
//! All of them are `Send` and `Sync`, as far as what they carry is. Their methods and errors are
//! those of the types of the same names in [`sync`](super), which are for green threads of one hub
//! and need no locks. Waiting on one of these lets the others of the same hub run. A plain OS thread
//! waits on a hub of its own, made at its first wait.
//!
//! ```
//! use std::thread;
//! use greenroom::{spawn, sync::shared::channel};
//!
//! let (questions, asked) = channel::bounded(4);
//! let (answers, answered) = channel::unbounded();
//! // Computes on another core, and is no green thread.
//! let computer = thread::spawn(move || {
//!     for n in asked {
//!         answers.send((n, n * n)).unwrap();
//!     }
//! });
//! let asks = spawn(move || (1..=3).for_each(|n| questions.send(n).unwrap()));
//! assert_eq!(answered.iter().collect::<Vec<_>>(), [(1, 1), (2, 4), (3, 9)]);
//! asks.join()?;
//! computer.join().unwrap();
//! # Ok::<(), greenroom::JoinError>(())
//! ```
//!
//! # What holds for all of them
//!
//! *First come, first served*, across hubs: what is given up is handed to whoever waits longest,
//! and is never free in between. It is decided under a lock who has it, so it is neither lost nor
//! had twice if a waiter's time runs out or it is killed in the same moment.
//!
//! *Cost.* A call that need not wait takes one lock of std's, held for a push or a pop; for a
//! [`Mutex`], two. One that waits takes two more, and two switches. Waking a waiter of another hub
//! costs a lock, and a system call if that hub sleeps; one of the same hub, neither.
//!
//! *Kill and timeout.* As in [`sync`](super): who is thrown out leaves the queue, and what it was
//! to have goes to the next. It is unwound on its own hub, when that runs it.
//!
//! *Hub callbacks* may not wait: a call that would have to panics, and says so. What never waits
//! may be called there, and anywhere else, and makes no hub: `try_…`, `is_…`, `release`, dropping a
//! guard, [`Event::send`], and sending into an unbounded channel.
//!
//! *In a destructor that runs because of a panic or a kill* nothing waits, on plain OS threads
//! neither: who holds what is wanted may be a green thread of the very OS thread that unwinds. What
//! need not wait works; what has a timeout of its own is late at once; a channel fails as if its
//! other side were gone; what could only wait panics, and a panic in such a destructor ends the
//! process. Use `try_…` there.
//!
//! *Deadlocks.* A hub does not know who else could end such a wait. So while one lasts, its root is
//! not told of a deadlock, and virtual time ([`testing`](crate::testing)) stands still unless
//! [`testing::advance`](crate::testing::advance) lets it pass.
//!
//! *Forks.* A child does not have its parent's other OS threads. Waits that began in the parent
//! panic in the child and say so. What other OS threads were using when the process forked, the
//! child must not use.

pub mod channel;
mod event;
mod mutex;
mod semaphore;

mod gate;
mod handover;
mod hold;
mod permits;

mod guarded;
mod hub_wait;
mod lock;
mod wait_queue;
mod who;

pub(super) use channel::Receives;
pub use event::Event;
pub(super) use hub_wait::refuse_orphaned;
pub use mutex::{Mutex, MutexGuard};
pub use semaphore::{Permit, Semaphore};
