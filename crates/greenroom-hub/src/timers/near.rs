//! The near tier: timers that are due, or will be so soon that their exact order matters.
//!
//! A heap. It does not know where in it a timer is, so cancelling leaves a dead entry (without its
//! waiter: that is gone from its slot). Dead entries are dropped when they come first, and all of
//! them when they are more than half; so the first one is always alive, and a cancellation costs a
//! small constant on average.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{Entry, slots::Slots};

/// The timers before the horizon.
#[derive(Debug)]
pub(super) struct Near {
    heap: BinaryHeap<Reverse<Entry>>,
    /// How many entries are of cancelled timers.
    dead: usize,
}

/// So many dead entries are not worth a sweep.
pub(super) const DEAD_KEPT: usize = 64;

impl Near {
    pub(super) fn new() -> Near {
        Near { heap: BinaryHeap::new(), dead: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, entry: Entry) {
        self.heap.push(Reverse(entry));
    }

    /// The earliest timer.
    #[inline]
    pub(super) fn first(&self) -> Option<&Entry> {
        self.heap.peek().map(|Reverse(entry)| entry)
    }

    /// Drops the first entry.
    #[inline]
    pub(super) fn pop<W>(&mut self, slots: &Slots<W>) {
        self.heap.pop();
        self.drop_dead_ahead(slots);
    }

    /// To be told when one of these timers was cancelled.
    pub(super) fn forget_one<W>(&mut self, slots: &Slots<W>) {
        self.dead += 1;
        self.drop_dead_ahead(slots);
        if self.dead > DEAD_KEPT && self.dead > self.heap.len() / 2 {
            self.sweep(slots);
        }
    }

    /// Drops all dead entries, and room that is not needed.
    pub(super) fn sweep<W>(&mut self, slots: &Slots<W>) {
        self.heap.retain(|Reverse(entry)| slots.is_armed(entry));
        self.heap.shrink_to(2 * self.heap.len());
        self.dead = 0;
    }

    /// All entries, those of cancelled timers among them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.heap.iter().map(|Reverse(entry)| entry)
    }

    /// Lets the entries' slots be changed. What decides on their order must not change.
    pub(super) fn for_each_mut(&mut self, mut change: impl FnMut(&mut Entry)) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.iter_mut().for_each(|Reverse(entry)| change(entry));
        // Still in order, so making it a heap again is one pass that moves nothing.
        self.heap = entries.into();
    }

    /// Panics unless the first entry is alive, dead ones are counted and few, and room is in
    /// proportion to the slots.
    #[cfg(test)]
    pub(super) fn check<W>(&self, slots: &Slots<W>) {
        let dead = self.iter().filter(|&entry| !slots.is_armed(entry)).count();
        assert_eq!(dead, self.dead);
        assert!(dead <= DEAD_KEPT || dead <= self.heap.len() / 2);
        assert!(self.first().is_none_or(|first| slots.is_armed(first)));
        assert!(self.heap.capacity() <= 4 * (slots.room() + DEAD_KEPT));
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.heap.capacity()
    }

    #[inline]
    fn drop_dead_ahead<W>(&mut self, slots: &Slots<W>) {
        while self.dead > 0
            && let Some(first) = self.first()
            && !slots.is_armed(first)
        {
            self.heap.pop();
            self.dead -= 1;
        }
    }
}
