//! All primitives together, in random order, with kills and timeouts: what holds for each of them
//! must hold for all of them at once.
//!
//! Time is virtual. Knows nothing of the library's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

#[path = "../core/dice.rs"]
mod dice;
#[path = "../core/seeds.rs"]
mod seeds;

mod actor;
mod seeded_toolbox;
mod world;
