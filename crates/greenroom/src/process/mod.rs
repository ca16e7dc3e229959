//! Child processes: started as std starts them, waited for greenly.
//!
//! A [`Command`] is std's with the same builder. A [`Child`]'s pipes wait as any [pipe](crate::io::pipe)
//! does, and its end is an event of the hub: the kernel makes an fd of a process readable when it ends
//! (`pidfd_open`, since Linux 5.3). Nobody polls, no helper OS thread waits, and no handler of
//! `SIGCHLD` is needed or disturbed.
//!
//! ```
//! use greenroom::process::{Command, Stdio};
//! use std::io::{Read, Write};
//!
//! let mut child = Command::new("tr")
//!     .args(["a-z", "A-Z"])
//!     .stdin(Stdio::piped())
//!     .stdout(Stdio::piped())
//!     .spawn()?;
//! child.stdin.take().unwrap().write_all(b"hello")?;
//! let mut text = String::new();
//! child.stdout.take().unwrap().read_to_string(&mut text)?;
//! assert_eq!(text, "HELLO");
//! assert!(child.wait()?.success());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Starting holds the loop
//!
//! [`spawn`](Command::spawn) runs on the calling OS thread, and nobody else on its hub does meanwhile:
//! about a tenth of a millisecond, until the kernel has loaded the program, however large the
//! process is. It is not given to a helper OS thread, because a child takes after the OS thread
//! that starts it: its signal mask, its priority and processors, its namespaces and its parent-death
//! signal, which the child of a helper would get when that helper ends. And a caller that is thrown
//! out of such a wait would leave a child that nobody has.
//!
//! Where a closure runs before `exec`, or another user or group is asked for, std forks instead, and
//! that takes the longer the more memory the process has: one to two tenths of a second for each
//! gigabyte. If that is too long, [`offload`](crate::offload) the start of a `std::process::Command`,
//! and make a [`Child`] of what comes back.
//!
//! # Under virtual time
//!
//! Children live in real time. A wait for one passes in real time, but a deadline that is armed
//! meanwhile is over at once.
//!
//! `command` knows how a child is started, `child` how it is waited for, `unwaited` those that were killed
//! with their handles.

mod child;
mod command;
mod unwaited;

pub use child::Child;
pub use command::Command;
pub use std::process::{ExitStatus, Output, Stdio};
