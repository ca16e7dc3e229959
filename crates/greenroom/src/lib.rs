//! Green threads on a hub: ordinary blocking code, waiting by the hundred thousand on one OS
//! thread.
//!
//! ```
//! use std::io::{Read, Write};
//! use greenroom::net::{TcpListener, TcpStream};
//!
//! fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     let server = greenroom::spawn(move || {
//!         let (mut stream, _) = listener.accept()?;
//!         stream.write_all(b"hello from the same OS thread")
//!     });
//!     let mut text = String::new();
//!     TcpStream::connect(address)?.read_to_string(&mut text)?;
//!     assert_eq!(text, "hello from the same OS thread");
//!     server.join().unwrap()
//! }
//! ```
//!
//! There is no `async`, no `Send` bound and no runtime to start. A green thread is a closure on a
//! stack of its own that stays on the OS thread it was spawned on, so it may hold an `Rc`, a
//! `RefCell` or a thread-local as any single-threaded code may. When it would block it steps
//! aside, and others run; that is the only time they do.
//!
//! The loop that decides who runs, the *hub*, is made at first use, one for each OS thread. It
//! runs on the OS thread's own stack, inside whatever blocking call that stack made: `join`,
//! `sleep`, `accept` and all others work from `main`. When `main` returns, the process ends, and
//! green threads with it.
//!
//! # What to know
//!
//! - Between two waits a green thread has the OS thread to itself. One that computes for long
//!   holds everyone up.
//! - Only this crate's calls step aside. A lock, sleep or read of the standard library blocks the
//!   whole OS thread. [`sync`] has locks that step aside.
//! - Nothing may be held across a wait that a sibling could want: a `RefCell` that is borrowed in the
//!   head of a `while let` stays borrowed in its body, and the panic comes later and elsewhere.
//! - A stack has a size: 256 KiB unless told otherwise ([`thread::Builder::stack_size`]). Whoever
//!   overflows it is named before the process aborts.
//! - If nothing could ever wake the root again, its wait panics and says who waits for what.

#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
compile_error!("greenroom builds for Linux with glibc");

pub mod thread;
pub mod time;

pub mod sync;

pub mod pool;

pub mod fs;
pub mod io;
pub mod net;
mod offload;

pub mod foreign;

pub mod process;
pub mod signal;

pub mod hub;
pub mod hubs;
mod per_process;

pub mod debug;

pub mod testing;

pub use offload::offload;
pub use pool::{GreenPile, GreenPool};
pub use thread::{JoinError, JoinHandle, scope, spawn, spawn_after, spawn_after_local};
pub use time::{Elapsed, Instant, sleep, sleep_until, with_timeout, yield_now};
