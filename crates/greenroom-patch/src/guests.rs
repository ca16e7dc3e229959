//! Which crates and programs go green.
//!
//! Only words: what was run is in the folder `guests`.
#![doc = include_str!("../GUESTS.md")]
