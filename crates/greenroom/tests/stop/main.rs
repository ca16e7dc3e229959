//! How green threads are stopped: killed, cancelled, timed out, and held together by a scope.
//!
//! Time is virtual. Knows nothing of the library's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

#[path = "../core/dice.rs"]
mod dice;
#[path = "../core/seeds.rs"]
mod seeds;
#[path = "../core/trace.rs"]
#[expect(dead_code, reason = "shared with another suite, which uses the rest")]
mod trace;

mod cancel;
mod kill;
mod link;

mod deadline;
mod timeout;

mod scope;

mod seeded_scopes;
mod seeded_stops;
