//! The ready queue: waiters whose wait is over, first come first run.
//!
//! Never runs anyone, and never asks why a waiter is here.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{Stats, Waiter, Wake};

/// Waiters that may run, oldest first, or in an order drawn from a seed.
#[derive(Debug)]
pub(crate) struct Ready<W> {
    queue: VecDeque<W>,
    chance: Option<Chance>,
    /// Set by each push, for other OS threads to see.
    pushed: Arc<AtomicBool>,
    /// Waits ended so far, by cause.
    counts: Stats,
}

impl<W> Ready<W> {
    pub(crate) fn new() -> Ready<W> {
        let pushed = Arc::default();
        Ready { queue: VecDeque::new(), chance: None, pushed, counts: Stats::default() }
    }

    #[inline]
    pub(crate) fn push(&mut self, waiter: W) {
        self.pushed.store(true, Ordering::Relaxed);
        self.queue.push_back(waiter);
    }

    pub(crate) fn pushed(&self) -> &Arc<AtomicBool> {
        &self.pushed
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<W> {
        match &mut self.chance {
            None => self.queue.pop_front(),
            Some(chance) => {
                let index = chance.below(self.queue.len().max(1));
                self.queue.swap_remove_front(index)
            }
        }
    }

    /// Asks for the memory of the next `count` waiters.
    #[inline(never)]
    pub(crate) fn prefetch(&self, count: usize)
    where
        W: Waiter,
    {
        self.queue.iter().take(count).for_each(W::prefetch);
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &W> {
        self.queue.iter()
    }

    /// Ends a wait, unless something else already has: then false.
    #[inline]
    pub(crate) fn wake(&mut self, waiter: W, wake: Wake) -> bool
    where
        W: Waiter,
    {
        if !waiter.settle(wake) {
            return false;
        }
        self.push(waiter);
        match wake {
            Wake::Expired => self.counts.expired += 1,
            Wake::Ready(_) => self.counts.fd_ready += 1,
            Wake::Closed => self.counts.closed += 1,
            Wake::Called | Wake::Orphaned => self.counts.called += 1,
        }
        true
    }

    /// How many waits were ended by what; the other counts are zero.
    pub(crate) fn counts(&self) -> Stats {
        self.counts
    }

    /// From now on the order is drawn by `chance`.
    pub(crate) fn shuffle(&mut self, chance: Chance) {
        self.chance = Some(chance);
    }
}

/// A stream of numbers that repeats from its seed (SplitMix64: Steele, Lea, Flood 2014).
///
/// For test schedules, not for secrets.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream of `seed`.
    pub fn from_seed(seed: u64) -> Chance {
        Chance(seed)
    }

    /// The next number, all 64 bits of it.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    ///
    /// If `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "no number is below zero");
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// True `percent` times in a hundred.
    pub fn percent(&mut self, percent: u8) -> bool {
        self.below(100) < usize::from(percent)
    }
}
