//! What this process does with a signal: hand it to who wants it, or what it does by default.
//!
//! The one place that speaks to `signal-hook`. Knows who wants a signal by count only; never waits.

use std::{
    collections::btree_map::{BTreeMap, Entry},
    ffi::c_int,
    fs, io,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{SigId, flag, low_level};

use crate::signal::Signal;

/// What is known of a signal that was wanted at some time.
///
/// Its handler stays in the process for ever, for another may have been put on top of it.
#[derive(Debug)]
struct Caught {
    wanted: usize,
    /// True while nobody wants it, if then the default action is to be done; the handler asks.
    by_default: Option<Arc<AtomicBool>>,
}

static CAUGHT: Mutex<BTreeMap<c_int, Caught>> = Mutex::new(BTreeMap::new());

/// A signal that somebody wants, until this is dropped.
#[derive(Debug)]
pub(super) struct Catch {
    pub(super) signal: Signal,
    came: Arc<AtomicBool>,
    actions: [SigId; 2],
}

impl Catch {
    /// From here on each `signal` is noted, and then a byte is sent from `bell`.
    pub(super) fn new(signal: Signal, bell: UnixStream) -> io::Result<Catch> {
        refuse(signal)?;
        let number = signal.as_raw();
        let mut all = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner);
        let caught = match all.entry(number) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(Caught { wanted: 0, by_default: default_when_unwanted(number)? })
            }
        };
        let came = Arc::new(AtomicBool::new(false));
        let noted = flag::register(number, Arc::clone(&came))?;
        // Registered second, so it runs second: who is woken finds the note.
        let rung = match low_level::pipe::register(number, bell) {
            Ok(rung) => rung,
            Err(error) => {
                low_level::unregister(noted);
                return Err(error);
            }
        };
        caught.wanted += 1;
        if let Some(by_default) = &caught.by_default {
            by_default.store(false, Ordering::SeqCst);
        }
        Ok(Catch { signal, came, actions: [noted, rung] })
    }

    /// Whether the signal has come since this was last asked.
    pub(super) fn take(&self) -> bool {
        self.came.load(Ordering::SeqCst) && self.came.swap(false, Ordering::SeqCst)
    }
}

impl Drop for Catch {
    fn drop(&mut self) {
        let mut all = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner);
        let caught = all.get_mut(&self.signal.as_raw()).expect("what is wanted was caught");
        caught.wanted -= 1;
        // First this, then the actions: a signal in between does too much rather than nothing.
        if caught.wanted == 0
            && let Some(by_default) = &caught.by_default
        {
            by_default.store(true, Ordering::SeqCst);
        }
        for action in self.actions {
            low_level::unregister(action);
        }
    }
}

/// Signals that cannot be put off until somebody has heard of them.
fn refuse(signal: Signal) -> io::Result<()> {
    let why = match signal.as_raw() {
        libc::SIGKILL | libc::SIGSTOP => "the kernel lets nobody catch it",
        libc::SIGILL | libc::SIGFPE | libc::SIGSEGV | libc::SIGBUS => {
            "it tells of a fault in the code that runs, which cannot go on before it is handled"
        }
        number if libc::SIGSYS < number && number < libc::SIGRTMIN() => {
            "the C library keeps it for itself"
        }
        _ => return Ok(()),
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{signal} cannot be waited for: {why}"),
    ))
}

/// For a signal that is wanted for the first time: the switch of its default action, if that is what
/// it does so far.
fn default_when_unwanted(number: c_int) -> io::Result<Option<Arc<AtomicBool>>> {
    let by_default = fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| has_default_action(&status, number) == Some(true));
    if !by_default || low_level::signal_name(number).is_none() {
        return Ok(None);
    }
    let switch = Arc::new(AtomicBool::new(false));
    flag::register_conditional_default(number, Arc::clone(&switch))?;
    Ok(Some(switch))
}

/// Whether a signal is neither ignored nor caught, as `/proc/self/status` tells.
fn has_default_action(status: &str, number: c_int) -> Option<bool> {
    let mask = |name: &str| {
        let mut lines = status.lines();
        let hex = lines.find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(hex.trim(), 16).ok()
    };
    let not_default = mask("SigIgn:")? | mask("SigCgt:")?;
    Some(not_default & (1 << (number - 1)) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_is_ignored_and_what_is_caught() {
        let status =
            "Name:\tx\nSigBlk:\tffff\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000442\n";
        let default = |number| has_default_action(status, number);
        assert_eq!(default(libc::SIGPIPE), Some(false));
        assert_eq!(default(libc::SIGINT), Some(false));
        assert_eq!(default(libc::SIGSEGV), Some(false));
        assert_eq!(default(libc::SIGTERM), Some(true));
        assert_eq!(default(64), Some(true));
        assert_eq!(has_default_action("Name:\tx\n", 2), None);
        // Rust's runtime has these set before any test runs.
        let own = fs::read_to_string("/proc/self/status").unwrap();
        assert_eq!(has_default_action(&own, libc::SIGPIPE), Some(false));
        assert_eq!(has_default_action(&own, libc::SIGALRM), Some(true));
    }
}
