//! More hubs than one: spawning on another, and one for each core.
//!
//! Knows nothing of the library's insides. OS threads are real, and so is the time they take; tests
//! wait for what they do, never for time to pass.

#![deny(unsafe_code)]
#![allow(missing_docs)]

#[path = "../core/dice.rs"]
#[expect(dead_code, reason = "shared with other suites, which use the rest")]
mod dice;
#[path = "../core/seeds.rs"]
mod seeds;

mod many;
mod remote;
mod seeded_remote;
