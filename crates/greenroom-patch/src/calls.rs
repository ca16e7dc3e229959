//! Each call, and what it does on a green thread.
//!
//! Only words: the functions themselves stand in front of libc's, and are called as libc's are.
#![doc = include_str!("../CALLS.md")]
