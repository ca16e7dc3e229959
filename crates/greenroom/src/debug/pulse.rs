//! A hub's heartbeat: whether somebody holds its loop up, and how many have run, readable from other OS
//! threads.
//!
//! Knows neither who is resumed nor who looks.
//!
//! One writer, the hub's own OS thread, so a count takes a load and a store, which need no lock on the
//! bus. Both counts only grow: as long as their sum is the same, neither has changed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

#[derive(Debug)]
pub(crate) struct Pulse {
    /// One beat when a green thread or a callback begins to run, one when it stops. So an odd
    /// count means that one runs, and a count that stays odd that it holds the loop.
    beats: AtomicU64,
    /// One when the root leaves the loop, one when it comes back. So an odd count means that the root is
    /// elsewhere, and nobody runs.
    root_moves: AtomicU64,
    /// Somebody may run: as the root left the loop, or since. The hub sets it, the root's leaving anew.
    somebody_is_ready: Arc<AtomicBool>,
}

/// What was seen at one look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// As long as this is the same, so is who holds the loop.
    pub(super) moves: u64,
    /// A green thread or a callback runs, or the root is elsewhere while others may run.
    pub(super) is_held: bool,
}

impl Pulse {
    /// Of a hub that is just being made, by a root that is not in the loop.
    pub(crate) fn new(somebody_is_ready: Arc<AtomicBool>) -> Arc<Pulse> {
        Arc::new(Pulse {
            beats: AtomicU64::new(0),
            root_moves: AtomicU64::new(1),
            somebody_is_ready,
        })
    }

    /// Somebody begins to run, or stops.
    #[inline]
    pub(crate) fn beat(&self) {
        increment(&self.beats);
    }

    #[inline]
    pub(crate) fn root_enters_loop(&self) {
        increment(&self.root_moves);
    }

    #[inline]
    pub(crate) fn root_leaves_loop(&self, somebody_is_ready: bool) {
        self.somebody_is_ready.store(somebody_is_ready, Ordering::Relaxed);
        increment(&self.root_moves);
    }

    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    fn root_moves(&self) -> u64 {
        self.root_moves.load(Ordering::Relaxed)
    }

    pub(super) fn look(&self) -> Look {
        let (beats, root_moves) = (self.beats(), self.root_moves());
        let root_is_awaited = is_odd(root_moves) && self.somebody_is_ready.load(Ordering::Relaxed);
        Look { moves: beats + root_moves, is_held: is_odd(beats) || root_is_awaited }
    }

    /// True if neither a green thread nor a callback runs, but the root.
    pub(super) fn is_of_root(&self) -> bool {
        is_odd(self.root_moves()) && !is_odd(self.beats())
    }

    /// How many times somebody began to run.
    pub(crate) fn runs(&self) -> u64 {
        self.beats().div_ceil(2)
    }
}

fn is_odd(count: u64) -> bool {
    count % 2 == 1
}

#[inline]
fn increment(count: &AtomicU64) {
    count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
