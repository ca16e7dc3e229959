//! Seeing what goes on: who holds the loop, who waits for what.
//!
//! Looks, and changes nothing.

mod dump;
mod watchdog;

pub(crate) mod deadlock;
mod pulse;
mod sample;

pub use dump::{Dump, ListenerInfo, ThreadInfo, TimerInfo, dump};
pub(crate) use pulse::Pulse;
pub use watchdog::{Watchdog, watch};
pub(crate) use watchdog::watch_if_asked;
