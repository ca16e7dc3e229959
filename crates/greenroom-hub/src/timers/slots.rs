//! Where each timer's waiter is, and where its entry is: what a key leads to.
//!
//! Knows no deadlines and no order.
//!
//! Memory is bounded by the timers that live. When a burst is over and most slots are free, the
//! rest moves together. Keys of those that moved are out by then and name their old slots; so it is
//! noted, by number, where each has gone.

use super::{Entry, TimerKey};

/// The waiters of all armed timers.
#[derive(Debug)]
pub(super) struct Slots<W> {
    slots: Vec<Slot<W>>,
    /// Slots without a waiter, to be used again.
    free: Vec<u32>,
    /// The timers that moved when slots were last given back: number and slot, least number first.
    moved: Vec<(u64, u32)>,
    /// Timers armed so far. Numbers them: equal deadlines fire in the order they were armed, and a
    /// key of a spent timer never matches a later one.
    armed_total: u64,
}

/// The tier a timer's entry is in, and where there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the heap, which is not told where: it lets dead entries lie.
    Near,
    Far {
        bucket: u16,
        index: u32,
    },
}

#[derive(Debug)]
struct Slot<W> {
    number: u64,
    place: Place,
    waiter: Option<W>,
}

/// So many slots are kept, however few are in use.
pub(super) const SLOTS_KEPT: usize = 1024;

/// Slots are given back when fewer than one in so many is in use. Moving a timer costs some tens of
/// nanoseconds, which at this share is a few for each that has gone.
pub(super) const SLOTS_PER_TIMER_MAX: usize = 8;

impl<W> Slots<W> {
    pub(super) fn new() -> Slots<W> {
        Slots { slots: Vec::new(), free: Vec::new(), moved: Vec::new(), armed_total: 0 }
    }

    /// Numbers a timer and keeps its waiter. Its place is not known yet.
    #[inline]
    pub(super) fn fill(&mut self, waiter: W) -> TimerKey {
        let number = self.armed_total;
        self.armed_total += 1;
        let slot = match self.free.pop() {
            Some(index) => {
                // Field by field: a slot built aside is written in small pieces and copied in large
                // ones, and the processor waits until the pieces are through.
                let slot = &mut self.slots[index as usize];
                slot.number = number;
                slot.waiter = Some(waiter);
                index
            }
            None => self.push(Slot { number, place: Place::Near, waiter: Some(waiter) }),
        };
        TimerKey { slot, number }
    }

    /// Takes the waiter of an armed timer.
    #[inline]
    pub(super) fn empty(&mut self, slot: u32) -> W {
        self.free.push(slot);
        self.slots[slot as usize].waiter.take().expect("an armed timer's slot holds its waiter")
    }

    /// The slot of a timer, if it is armed.
    #[inline]
    pub(super) fn find(&self, key: TimerKey) -> Option<u32> {
        if self.holds(key.slot, key.number) {
            return Some(key.slot);
        }
        let index = self.moved.binary_search_by_key(&key.number, |&(number, _)| number).ok()?;
        let slot = self.moved[index].1;
        self.holds(slot, key.number).then_some(slot)
    }

    #[inline]
    pub(super) fn place(&self, slot: u32) -> Place {
        self.slots[slot as usize].place
    }

    #[inline]
    pub(super) fn set_place(&mut self, slot: u32, place: Place) {
        self.slots[slot as usize].place = place;
    }

    /// False if the timer of this entry was cancelled.
    #[inline]
    pub(super) fn is_armed(&self, entry: &Entry) -> bool {
        self.holds(entry.slot, entry.number)
    }

    /// The waiter of this entry, unless its timer was cancelled.
    pub(super) fn waiter(&self, entry: &Entry) -> Option<&W> {
        let slot = &self.slots[entry.slot as usize];
        slot.waiter.as_ref().filter(|_| slot.number == entry.number)
    }

    /// How many timers are armed.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// True if so few slots are in use that the rest should be given back.
    #[inline]
    pub(super) fn are_sparse(&self) -> bool {
        self.slots.len() > SLOTS_KEPT && self.len() < self.slots.len() / SLOTS_PER_TIMER_MAX
    }

    /// No slots yet, but room for the timers of `scattered`; the numbering goes on.
    pub(super) fn following(scattered: &Slots<W>) -> Slots<W> {
        Slots {
            slots: Vec::with_capacity(scattered.len()),
            free: Vec::new(),
            moved: Vec::with_capacity(scattered.len()),
            armed_total: scattered.armed_total,
        }
    }

    /// Takes a timer over from `scattered`, and returns its slot here.
    pub(super) fn adopt(&mut self, scattered: &mut Slots<W>, slot: u32) -> u32 {
        let Slot { number, place, ref mut waiter } = scattered.slots[slot as usize];
        let slot = self.push(Slot { number, place, waiter: waiter.take() });
        self.moved.push((number, slot));
        slot
    }

    /// To be called when all have been adopted: from then on their old keys lead here.
    pub(super) fn index_moved(&mut self) {
        self.moved.sort_unstable();
    }

    fn push(&mut self, slot: Slot<W>) -> u32 {
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 timers are armed");
        self.slots.push(slot);
        index
    }

    #[inline]
    fn holds(&self, slot: u32, number: u64) -> bool {
        let slot = self.slots.get(slot as usize);
        slot.is_some_and(|slot| slot.number == number && slot.waiter.is_some())
    }

    /// Panics unless memory is in proportion to the armed timers.
    #[cfg(test)]
    pub(super) fn check(&self) {
        // A vector grows to twice what it needs.
        let room_max = 2 * SLOTS_KEPT.max((self.len() + 1) * SLOTS_PER_TIMER_MAX);
        let rooms = [self.slots.capacity(), self.free.capacity(), self.moved.capacity()];
        assert!(rooms.iter().all(|&room| room <= room_max), "{} timers: {rooms:?}", self.len());
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.slots.capacity()
    }
}
