//! A dump on a signal: what a hub holds, printed when somebody outside asks.
//!
//! Knows the dump and how to wait for a signal; neither what is in the one nor how the other comes.

use std::io;

use crate::{
    debug::{dump, say},
    signal::{Signal, Signals},
    thread::{Builder, JoinHandle},
};

/// Prints a [`dump`] of this OS thread's hub on standard error whenever `signal` comes, until what
/// this returns is dropped.
///
/// For a program that hangs: `kill -USR1` tells where everyone waits. A green thread of this hub waits for
/// the signal and prints, so it comes when the hub is in its loop; one that holds the loop is what
/// [`watch`](crate::debug::watch) is for. Each hub that wants to answer says so for itself.
///
/// While this is on, the hub is never *stuck*, for the signal could wake somebody: so no deadlock is
/// reported, and the dump is how to see one.
///
/// Under `panic = "abort"`, where nothing can be unwound, the thread that waits for the signal stays to the end of
/// the process.
///
/// # Errors
///
/// If the signal cannot be waited for ([`Signals::new`] says which), or no green thread can be spawned.
///
/// # Examples
///
/// ```
/// use greenroom::{debug, signal::Signal};
///
/// let _dumps = debug::dump_on_signal(Signal::USR1)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn dump_on_signal(signal: Signal) -> io::Result<DumpOnSignal> {
    let signals = Signals::new([signal])?;
    let answer = move || {
        while let Ok(signal) = signals.wait() {
            say(format_args!("on {signal}:\n{}", dump()));
        }
    };
    let thread = Builder::new().name("dump on signal").spawn(answer)?;
    Ok(DumpOnSignal { thread })
}

/// Ends the dumps on a signal when it is dropped. Made by [`dump_on_signal`].
#[derive(Debug)]
#[must_use = "dumps on the signal end when this is dropped"]
pub struct DumpOnSignal {
    thread: JoinHandle<()>,
}

impl Drop for DumpOnSignal {
    fn drop(&mut self) {
        if !cfg!(panic = "abort") {
            self.thread.kill();
        }
    }
}
