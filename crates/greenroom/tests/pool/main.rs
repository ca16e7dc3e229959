//! Pools: of green threads, of things, and of tasks that need each other's results.
//!
//! One module a topic, one behaviour a test, and for each kind of pool a random life whose invariants
//! are checked all along. Time is virtual. Knows nothing of the library's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

mod child;
mod scenes;
#[path = "../core/seeds.rs"]
mod seeds;
#[path = "../core/trace.rs"]
#[expect(dead_code, reason = "shared with another suite, which uses the rest")]
mod trace;

mod green_pile;
mod green_pool;
mod imap;
mod lending;

mod things;
mod things_thrown;

mod dag;
mod dag_ends;
mod no_stack;
mod stalled;

mod seeded_dag;
mod seeded_slots;
mod seeded_things;
