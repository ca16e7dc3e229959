//! Ways to build programs and libraries, and what goes green in each.
//!
//! Only words.
#![doc = include_str!("../BUILDS.md")]
