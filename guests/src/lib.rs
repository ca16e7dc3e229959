//! Guests: crates and C programs of others, none of them changed, in calls that wait for a server.
//!
//! What stands here is what their tests share: servers as child processes on ports of the loopback, in
//! folders of their own; what the machine lacks; and the proof that each guest has to pass. The tests
//! have one file for each guest. Nothing here is published.

#![deny(unsafe_code)]

use greenroom_patch as _;

mod need;
pub use need::{Missing, skip};

mod folder;
mod limit;
mod server;
pub use server::Server;

mod mariadb;
mod postgresql;
mod redis;
mod slow;
pub use slow::{Order, Slow, Tongue};

#[cfg(feature = "libpq")]
pub mod libpq;

mod proof;
pub use proof::{Answer, CALLS, Guest, PATIENCE, WAIT, measure, prove};
