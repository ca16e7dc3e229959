//! What green threads of several hubs and plain OS threads wait for each other with.
//!
//! One suite for what those primitives have in common that hand something from one to the next, and
//! a module for each. OS threads are real, and time is virtual wherever a limit of it must pass.
//! Knows nothing of the library's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

#[path = "../core/dice.rs"]
#[expect(dead_code, reason = "shared with other suites, which use the rest")]
mod dice;
#[path = "../sync/scenes.rs"]
#[allow(dead_code, reason = "another test program has the rest")]
mod scenes;
#[path = "../core/seeds.rs"]
mod seeds;
mod site;

mod gate;
mod handed_on;

mod channel;
mod event;
mod mutex;
mod select;
mod semaphore;

mod deadlock;
mod many;
mod seeded_traffic;
