//! Seeing what goes on: who holds the loop, who waits for what.
//!
//! Looks, and changes nothing.

mod dump;
mod on_signal;
mod watchdog;

pub(crate) mod deadlock;
mod pulse;
mod report;
mod sample;
mod suspects;
pub(crate) mod trace;

use std::{
    fmt,
    io::{Write as _, stderr},
    sync::atomic::{AtomicBool, Ordering},
};

pub(crate) use dump::take;
pub use dump::{Dump, ListenerInfo, ThreadInfo, TimerInfo, dump};
pub use on_signal::{DumpOnSignal, dump_on_signal};
pub(crate) use pulse::Pulse;
pub use trace::Trace;
pub use watchdog::{Watchdog, watch};
pub(crate) use watchdog::{limit_from_env, watch_for_good};

/// Prints a report on standard error.
///
/// Not with `eprintln!`, which panics where standard error is a pipe that nobody reads any more: a
/// report must not do more harm than what it reports, and nobody could act on its loss.
pub(crate) fn say(report: fmt::Arguments<'_>) {
    let _ = stderr().write_all(format!("greenroom: {report}\n").as_bytes());
}

/// Whether panics that nobody else is told of are printed: of timers' and listeners' functions, of
/// green threads whose handle was dropped, and of destructors that the loop runs.
///
/// They are at first. It holds for the whole process, as the standard library's panic hook does: who
/// says it in `main` means every hub. That hook is another matter: it prints its own message, with the
/// place, as the panic begins, and is changed by [`std::panic::set_hook`]. Deadlocks, the watchdog's
/// reports, a server's lack of fds and what precedes an abort are printed in any case.
///
/// # Examples
///
/// ```
/// use std::{panic, time::Duration};
/// use greenroom::{debug, hub, sleep};
///
/// debug::report_panics(false);
/// panic::set_hook(Box::new(|_| {}));
/// hub::call_after_global(Duration::ZERO, || panic!("nobody hears this"));
/// sleep(Duration::from_millis(1));
/// ```
pub fn report_panics(report: bool) {
    PANICS_ARE_REPORTED.store(report, Ordering::Relaxed);
}

static PANICS_ARE_REPORTED: AtomicBool = AtomicBool::new(true);

/// Prints the report of a panic, unless that was switched off.
#[cold]
pub(crate) fn say_panic(report: fmt::Arguments<'_>) {
    if PANICS_ARE_REPORTED.load(Ordering::Relaxed) {
        say(report);
    }
}
