//! What wakes a hub that sleeps, in place of the kernel's.
//!
//! Knows nothing of who rings it, nor of the poller that would wait for it.

use loom::sync::{Condvar, Mutex};

#[derive(Debug)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(crate) fn new() -> Bell {
        Bell { rung: Mutex::new(false), heard: Condvar::new() }
    }

    pub(crate) fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.heard.notify_one();
    }

    pub(crate) fn mute(&self) {
        *self.rung.lock().unwrap() = false;
    }

    /// Sleeps until it rings and makes it silent again, as a poller does.
    pub(crate) fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.heard.wait(rung).unwrap();
        }
        *rung = false;
    }
}
