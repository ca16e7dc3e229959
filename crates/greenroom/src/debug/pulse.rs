//! A hub's heartbeat: how many times it resumed a green thread, readable from other OS threads.
//!
//! Knows neither who is resumed nor who looks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

#[derive(Debug, Default)]
pub(crate) struct Pulse {
    beats: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Arc<Pulse> {
        Arc::default()
    }

    /// A green thread is about to run. Only the hub's own OS thread counts.
    #[inline]
    pub(crate) fn beat(&self) {
        // One writer: a load and a store, which need no lock on the bus.
        let beats = self.beats.load(Ordering::Relaxed);
        self.beats.store(beats + 1, Ordering::Relaxed);
    }

    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}
