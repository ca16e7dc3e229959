//! The green threads that are alive on this hub.
//!
//! Keeps one handle of each, so that a thread lives until it ends, whether or not anyone holds
//! its `JoinHandle`. Runs nothing and wakes no one.

use greenroom_fiber::Fiber;

use crate::thread::Control;

#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: Vec<Option<Fiber<Control>>>,
    free: Vec<u32>,
    /// The most that were ever alive at once.
    peak: usize,
    next_id: u64,
}

impl Registry {
    /// A number no thread of this hub had before. Zero is the root's.
    #[inline]
    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    #[inline]
    pub(crate) fn insert(&mut self, fiber: Fiber<Control>) {
        match self.free.pop() {
            Some(slot) => {
                fiber.slot.set(slot);
                self.slots[slot as usize] = Some(fiber);
            }
            None => {
                let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 threads");
                fiber.slot.set(slot);
                self.slots.push(Some(fiber));
            }
        }
        self.peak = self.peak.max(self.len());
    }

    #[inline]
    pub(crate) fn remove(&mut self, fiber: &Fiber<Control>) -> Option<Fiber<Control>> {
        let slot = fiber.slot.get();
        let removed = self.slots[slot as usize].take();
        debug_assert!(removed.as_ref().is_some_and(|found| found.ptr_eq(fiber)));
        self.free.push(slot);
        removed
    }

    /// Asks the processor to fetch the place of a thread that may end soon.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        if let Some(place) = self.slots.get(slot as usize) {
            greenroom_fiber::prefetch(place);
        }
    }

    /// The thread `id`, which was given `slot`, if it has not ended.
    pub(crate) fn find(&self, slot: u32, id: u64) -> Option<&Fiber<Control>> {
        let fiber = self.slots.get(slot as usize).and_then(Option::as_ref);
        fiber.filter(|fiber| fiber.id() == id)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Fiber<Control>> {
        self.slots.iter().flatten()
    }
}
