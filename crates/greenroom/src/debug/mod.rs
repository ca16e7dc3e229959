//! Seeing what goes on: who holds the loop, who waits for what.
//!
//! Looks, and changes nothing.

pub(crate) mod deadlock;
mod dump;
mod pulse;

pub use dump::{Dump, dump};
pub(crate) use pulse::Pulse;
