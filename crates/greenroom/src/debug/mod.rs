//! Seeing what goes on: who holds the loop, who waits for what.
//!
//! Looks, and changes nothing.

mod dump;
mod watchdog;

pub(crate) mod deadlock;
mod pulse;
mod sample;
mod trace;

use std::{
    fmt,
    io::{Write as _, stderr},
};

pub use dump::{Dump, ListenerInfo, ThreadInfo, TimerInfo, dump};
pub(crate) use pulse::Pulse;
pub(crate) use watchdog::watch_if_asked;
pub use watchdog::{Watchdog, watch};

/// Prints a report on standard error.
///
/// Not with `eprintln!`, which panics where standard error is a pipe that nobody reads any more: a
/// report must not do more harm than what it reports, and nobody could act on its loss.
pub(crate) fn say(report: fmt::Arguments<'_>) {
    let _ = stderr().write_all(format!("greenroom: {report}\n").as_bytes());
}
