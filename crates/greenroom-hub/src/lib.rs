//! The hub: who may run next, and when.
//!
//! A [`Hub`] belongs to one OS thread. It keeps timers, fd listeners, a ready queue and a mailbox
//! for wake-ups from other OS threads; it asks the kernel what is ready and hands back the waiters
//! whose wait is over. What a waiter *is* the hub never knows: it is generic over `W`, so the same
//! hub serves Rust green threads, callbacks and Python greenlets.
//!
//! The hub knows no stacks, no sockets and no Python, and it never runs anyone. Sources of
//! wake-ups collect waiters into the ready queue; the embedder pops them and runs them while the
//! hub is not borrowed:
//!
//! ```
//! use std::{cell::Cell, rc::Rc, time::Duration};
//! use greenroom_hub::{Backend, Clock, Hub, Waiter, Wake};
//!
//! #[derive(Clone)]
//! struct Flag(Rc<Cell<Option<Wake>>>);
//!
//! impl Waiter for Flag {
//!     fn settle(&self, wake: Wake) -> bool {
//!         let first = self.0.get().is_none();
//!         self.0.set(Some(wake));
//!         first
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let mut hub = Hub::new(Backend::default(), Clock::monotonic())?;
//! let flag = Flag(Rc::default());
//! let soon = hub.clock().now() + Duration::from_millis(1);
//! hub.arm(soon, flag.clone());
//! let woken = loop {
//!     hub.prepare();
//!     if let Some(waiter) = hub.pop() {
//!         break waiter;
//!     }
//!     hub.wait()?;
//! };
//! assert_eq!(woken.0.get(), Some(Wake::Expired));
//! # Ok(())
//! # }
//! ```
//!
//! Under the `testing` feature the poller can be simulated and the clock virtual; a whole run then
//! repeats from its seed.

#![deny(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("greenroom's hub waits with epoll and eventfd: it builds for Linux only");

mod hub;
mod turn;
mod wait;

mod listeners;
mod mailbox;
mod ready;
mod timers;

mod clock;
mod fork;
mod sync;

#[cfg(test)]
mod seeds;

pub mod poller;

pub use clock::{Clock, Instant};
pub use fork::era;
pub use hub::{Hub, Stats};
pub use listeners::{ListenError, ListenerKey, SourceKey};
pub use mailbox::{Mailbox, WakeId};
#[cfg(any(test, feature = "testing"))]
pub use poller::sim::{Changes, Faults, Sim};
pub use poller::{Backend, Interest, Readiness, UnknownBackend};
pub use ready::Chance;
pub use timers::TimerKey;
pub use turn::Outcome;
pub use wait::{Waiter, Wake};
