//! Blocking code goes green, unchanged.
//!
//! ```
//! use greenroom_patch as _;
//! ```
//!
//! That line in any crate of a program makes libc's blocking calls cooperative on green threads:
//! while one waits in `recv`, others run. On every other OS thread, and where there is no hub, each call
//! is libc's own.

#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
compile_error!("greenroom-patch builds for Linux with glibc");

#[macro_use]
mod raw;
#[macro_use]
mod hook;
mod next;

mod wait;

mod file;

mod accept;
mod close;
mod messages;
mod receive;
mod send;
mod sleep;

mod lock;
mod transfer;

mod parts;

pub use greenroom::foreign::no_switch;
