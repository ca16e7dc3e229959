//! An end to what hangs: a test that is not done in time ends the process, by a helper OS thread that no
//! green thread can keep from it.
//!
//! Servers end with the process, by the kernel's doing.

use std::{
    process,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use crate::need::tell;

/// While this lives, time runs.
pub(crate) struct Limit {
    _alive: Sender<()>,
}

impl Limit {
    pub(crate) fn start(name: &'static str, time: Duration) -> Limit {
        let (alive, ended) = channel();
        thread::spawn(move || {
            if ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                tell(format_args!("{name} hangs: it is not done after {time:?}"));
                process::abort();
            }
        });
        Limit { _alive: alive }
    }
}
