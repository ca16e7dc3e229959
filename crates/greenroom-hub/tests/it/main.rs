//! The hub through its public face, on every backend.
//!
//! One module a topic. Time is virtual and looks at the kernel do not wait, but where the kernel's
//! own wake-up is what is tested. Knows nothing of the hub's insides.

#![forbid(unsafe_code)]
#![allow(missing_docs)]

mod fds;
mod stage;

#[path = "../../src/seeds.rs"]
mod seeds;

mod attached;
mod cost;
mod errors;
mod foreign;
mod mailbox;
mod reuse;
mod simulation;
mod stuck;
mod timers;
mod turns;
