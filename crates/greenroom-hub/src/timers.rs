//! Deadlines: which waits are due, and until when the hub may sleep.
//!
//! Knows instants and waiters. Never reads a clock, never wakes anyone itself.
//!
//! An implicit heap with four children a node, each entry knowing its slot and each slot its
//! place in the heap. So cancelling takes an entry out at once: a cancelled timer keeps no waiter,
//! and no share of dead entries ever needs sweeping. Server timeouts are mostly cancelled soon
//! after they were armed, while they are still near the bottom of the heap, where removal moves an
//! entry or two.
//!
//! Memory is bounded by the timers that live. When a burst is over and most slots are free, the
//! rest moves together. Keys of those that moved are out by then and name their old slots; so it is
//! noted, by number, where each has gone.

#[cfg(test)]
mod model;

use crate::Instant;

/// Armed timers of one hub.
#[derive(Debug)]
pub(crate) struct Timers<W> {
    /// Smallest (deadline, number) first; children of `i` are `4i + 1 ..= 4i + 4`.
    heap: Vec<Entry>,
    slots: Vec<Slot<W>>,
    /// Slots without a waiter, to be used again.
    free: Vec<u32>,
    /// The timers that moved when slots were last given back: number and slot, least number first.
    moved: Vec<(u64, u32)>,
    /// Timers armed so far. Numbers an entry: equal deadlines fire in the order they were armed,
    /// and a key of a spent timer never matches a later one.
    armed_total: u64,
}

/// Names one armed timer. Harmless once the timer fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    slot: u32,
    number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: Instant,
    number: u64,
    slot: u32,
}

impl Entry {
    #[inline]
    fn rank(&self) -> (Instant, u64) {
        (self.deadline, self.number)
    }
}

#[derive(Debug)]
struct Slot<W> {
    number: u64,
    place: u32,
    waiter: Option<W>,
}

const CHILDREN: usize = 4;

/// So many slots are kept, however few are in use.
const SLOTS_KEPT: usize = 1024;

/// Slots are given back when fewer than one in so many is in use. Moving a timer costs some tens of
/// nanoseconds, which at this share is a few for each that has gone.
const SLOTS_PER_TIMER_MAX: usize = 8;

impl<W> Timers<W> {
    pub(crate) fn new() -> Timers<W> {
        Timers {
            heap: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            moved: Vec::new(),
            armed_total: 0,
        }
    }

    pub(crate) fn arm(&mut self, deadline: Instant, waiter: W) -> TimerKey {
        let number = self.armed_total;
        self.armed_total += 1;
        let place = u32::try_from(self.heap.len()).expect("fewer than 2^32 timers are armed");
        let filled = Slot { number, place, waiter: Some(waiter) };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = filled;
                slot
            }
            None => {
                self.slots.push(filled);
                place_of(self.slots.len() - 1)
            }
        };
        self.heap.push(Entry { deadline, number, slot });
        self.sift_up(place as usize);
        TimerKey { slot, number }
    }

    /// Takes a timer out and returns its waiter; `None` if it fired or was cancelled before.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<W> {
        let place = self.place(key)?;
        Some(self.remove(place))
    }

    /// The earliest deadline.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// Takes out the earliest timer if it is due at `now`.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<W> {
        if self.heap.first()?.deadline > now {
            return None;
        }
        Some(self.remove(0))
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// All armed timers, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Instant, &W)> {
        self.heap.iter().map(|entry| {
            let waiter = self.slots[entry.slot as usize].waiter.as_ref();
            (entry.deadline, waiter.expect("an entry's slot holds its waiter"))
        })
    }

    fn remove(&mut self, place: usize) -> W {
        let entry = self.heap.swap_remove(place);
        let waiter = self.slots[entry.slot as usize].waiter.take();
        self.free.push(entry.slot);
        if place < self.heap.len() {
            // The entry that took the hole came from the bottom, so mostly it goes down; in
            // another branch of the heap it may also be too small for its new parent.
            self.sift_down(place);
            self.sift_up(place);
        }
        self.shrink();
        waiter.expect("an entry's slot holds its waiter")
    }

    /// Where in the heap a timer is, if it is armed.
    fn place(&self, key: TimerKey) -> Option<usize> {
        let armed = |slot: u32| {
            let slot = self.slots.get(slot as usize)?;
            let is_it = slot.number == key.number && slot.waiter.is_some();
            is_it.then_some(slot.place as usize)
        };
        armed(key.slot).or_else(|| {
            let index = self.moved.binary_search_by_key(&key.number, |&(number, _)| number).ok()?;
            armed(self.moved[index].1)
        })
    }

    /// Gives memory back when a burst of timers is over.
    #[inline]
    fn shrink(&mut self) {
        if self.slots.len() > SLOTS_KEPT && self.heap.len() < self.slots.len() / SLOTS_PER_TIMER_MAX
        {
            self.move_together();
        }
    }

    #[cold]
    fn move_together(&mut self) {
        let mut slots = Vec::with_capacity(self.heap.len());
        let mut moved = Vec::with_capacity(self.heap.len());
        for (place, entry) in self.heap.iter_mut().enumerate() {
            let waiter = self.slots[entry.slot as usize].waiter.take();
            entry.slot = place_of(place);
            slots.push(Slot { number: entry.number, place: entry.slot, waiter });
            moved.push((entry.number, entry.slot));
        }
        moved.sort_unstable();
        self.slots = slots;
        self.moved = moved;
        self.free = Vec::new();
        self.heap.shrink_to_fit();
    }

    fn sift_up(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.heap[parent].rank() <= entry.rank() {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    fn sift_down(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let first = place * CHILDREN + 1;
            let last = (first + CHILDREN).min(self.heap.len());
            let Some(least) = (first..last).min_by_key(|&child| self.heap[child].rank()) else {
                break;
            };
            if entry.rank() <= self.heap[least].rank() {
                break;
            }
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, entry);
    }

    #[inline]
    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.slots[entry.slot as usize].place = place_of(place);
    }
}

fn place_of(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 timers are armed")
}
