//! A hub's heartbeat: whether a green thread runs, and how many did, readable from other OS
//! threads.
//!
//! Knows neither who is resumed nor who looks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// One beat when a green thread or a callback begins to run, one when it stops. So an odd
    /// count means that one runs, and a count that stays odd that it holds the loop.
    beats: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Arc<Pulse> {
        Arc::default()
    }

    /// Somebody begins to run, or stops. Only the hub's own OS thread counts.
    #[inline]
    pub(crate) fn beat(&self) {
        // One writer: a load and a store, which need no lock on the bus.
        let beats = self.beats.load(Ordering::Relaxed);
        self.beats.store(beats + 1, Ordering::Relaxed);
    }

    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// How many times somebody began to run.
    pub(crate) fn runs(&self) -> u64 {
        self.beats().div_ceil(2)
    }
}
