//! Each example, run as a user would run it: as a process of its own, from outside.
//!
//! Knows the programs by what they print and by how they end, and nothing of their code.

#![deny(unsafe_code)]

mod program;

mod crawl;
mod hostile;

mod chat;
mod cores;
mod echo;
mod forward;
mod pages;
mod pipeline;
mod producer;
mod sleepers;
mod watch;
