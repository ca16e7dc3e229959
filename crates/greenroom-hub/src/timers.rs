//! Deadlines: which waits are due, and until when the hub may sleep.
//!
//! Knows instants and waiters. Never reads a clock, never wakes anyone itself.
//!
//! Timers are kept in two tiers. *Near* is a heap: the timers of the next few dozen microseconds in
//! exact order. *Far* holds all others, coarsely: a wheel of buckets, each a plain list. As time
//! goes on, the first bucket is opened and its timers move to finer buckets, those of the finest to
//! the near tier. So a timer that is cancelled in time, as most timeouts are, costs an append and a
//! removal; and one that fires was moved two or three times in sequential passes, and sorted among
//! few. A single heap of a hundred thousand timers misses the cache at every step instead.
//!
//! The waiter itself stays in its slot, where its key finds it, and is given back at once when the
//! timer is cancelled.

#[cfg(test)]
mod cases;
mod far;
#[cfg(test)]
mod model;
mod near;
mod slots;

use crate::Instant;
use far::Far;
use near::Near;
use slots::{Place, Slots};

/// Armed timers of one hub.
#[derive(Debug)]
pub(crate) struct Timers<W> {
    /// Every deadline in here is earlier than all of `far`.
    near: Near,
    far: Far,
    slots: Slots<W>,
}

/// Names one armed timer. Harmless once the timer fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    slot: u32,
    number: u64,
}

/// A timer in its tier. Ordered by deadline; equal deadlines by number, in the order of arming.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    deadline: Instant,
    number: u64,
    slot: u32,
}

impl<W> Timers<W> {
    pub(crate) fn new() -> Timers<W> {
        Timers { near: Near::new(), far: Far::new(), slots: Slots::new() }
    }

    pub(crate) fn arm(&mut self, deadline: Instant, waiter: W) -> TimerKey {
        let key = self.slots.fill(waiter);
        self.put(Entry { deadline, number: key.number, slot: key.slot });
        key
    }

    /// Takes a timer out and returns its waiter; `None` if it fired or was cancelled before.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<W> {
        let slot = self.slots.find(key)?;
        let place = self.slots.place(slot);
        let waiter = self.slots.empty(slot);
        match place {
            Place::Near => self.near.forget_one(&self.slots),
            Place::Far { bucket, index } => {
                if let Some(moved) = self.far.remove(bucket, index) {
                    self.slots.set_place(moved.slot, place);
                }
            }
        }
        self.shrink();
        Some(waiter)
    }

    /// The earliest deadline, or one that was cancelled and is earlier still.
    ///
    /// The latter only if it was the earliest of many in one bucket. Whoever then comes too early
    /// finds nothing due; but the look opens the bucket, so it happens once a bucket.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.near.first().map(|entry| entry.deadline).or_else(|| self.far.next_deadline())
    }

    /// Takes out the earliest timer if it is due at `now`.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<W> {
        loop {
            if let Some(first) = self.near.first() {
                if first.deadline > now {
                    return None;
                }
                let waiter = self.slots.empty(first.slot);
                self.near.pop(&self.slots);
                self.shrink();
                return Some(waiter);
            }
            let bucket = self.far.open(now)?;
            self.empty_bucket(bucket);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// All armed timers, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Instant, &W)> {
        let entries = self.near.iter().chain(self.far.iter());
        entries.filter_map(|entry| Some((entry.deadline, self.slots.waiter(entry)?)))
    }

    /// Files an entry where its deadline belongs, as seen from the present horizon.
    #[inline]
    fn put(&mut self, entry: Entry) {
        let place = match self.far.bucket_of(entry.deadline) {
            Some(bucket) => self.far.push(bucket, entry),
            None => {
                self.near.push(entry);
                Place::Near
            }
        };
        self.slots.set_place(entry.slot, place);
    }

    /// Moves the entries of a bucket that has been opened to where they belong now.
    fn empty_bucket(&mut self, bucket: usize) {
        // None of them comes back into this bucket: seen from its start they belong lower.
        // In order, since timeouts of one length lie here in the order of their deadlines, and a
        // heap is quickest when it is filled in order.
        for index in 0..self.far.bucket_len(bucket) {
            let entry = self.far.entry(bucket, index);
            self.put(entry);
        }
        self.far.clear(bucket);
    }

    /// Gives memory back when a burst of timers is over.
    #[inline]
    fn shrink(&mut self) {
        if self.slots.are_sparse() {
            self.move_together();
        }
    }

    #[cold]
    fn move_together(&mut self) {
        self.near.sweep(&self.slots);
        let mut together = Slots::following(&self.slots);
        let scattered = &mut self.slots;
        let mut move_one = |entry: &mut Entry| entry.slot = together.adopt(scattered, entry.slot);
        self.near.for_each_mut(&mut move_one);
        self.far.for_each_mut(&mut move_one);
        together.index_moved();
        self.slots = together;
    }
    #[cfg(test)]
    fn check(&self) {
        self.near.check(&self.slots);
        self.far.check();
        self.slots.check();
        let last_near = self.near.iter().filter(|&entry| self.slots.is_armed(entry)).max();
        let first_far = self.far.iter().min();
        assert!(last_near.is_none() || first_far.is_none() || last_near < first_far);
    }
}
