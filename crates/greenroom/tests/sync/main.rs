//! What green threads of one hub wait for each other with.
//!
//! One module a primitive, and one suite for what those have in common that hand something from one
//! to the next. Time is virtual: nobody sleeps and hopes. Knows nothing of the library's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

mod scenes;
#[path = "../core/seeds.rs"]
mod seeds;
#[path = "../core/trace.rs"]
#[expect(dead_code, reason = "shared with another suite, which uses the rest")]
mod trace;

mod gate;
mod gate_of_items;
mod handed_on;

mod barrier;
mod channel;
mod condvar;
mod event;
mod mutex;
mod once_cell;
mod queue;
mod rwlock;
mod select;
mod semaphore;

mod seeded_handing_on;
mod seeded_meeting;
mod seeded_sharing;
mod seeded_traffic;
