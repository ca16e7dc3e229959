//! Blocking calls are the same on green threads as on OS threads: each script here is played by both, and what
//! its actors note of every call must be equal. Where it differs by design, `by_design.rs` says why.

#![deny(unsafe_code)]

use greenroom_patch as _;

mod alone;
mod by_design;
mod c_programs;
mod calls;
mod closing;
mod connections;
mod files;
mod kinds;
mod mode;
mod raw;
mod signals;
mod stage;
mod stops;
#[path = "../multiplex/terminal.rs"]
mod terminal;

mod messages;
mod receive_all;
mod sleeping;
mod stream_receive;
mod stream_send;
mod transfers;
mod waits;
