//! A number of permits, and a queue of those who want more of them than there are: what a semaphore
//! shares.
//!
//! Decides by the order in which they came who is next. Knows neither guards nor OS threads.

use super::{
    guarded::{Bell, Calls, Place, Shared, Wish},
    wait_queue::WaitQueue,
};

pub(super) struct Permits<B> {
    available: usize,
    /// Held by somebody who is going to give them back.
    lent: usize,
    /// With the number that each wants.
    queue: WaitQueue<B, usize>,
}

impl<B: Bell> Shared for Permits<B> {
    type Bell = B;
}

impl<B: Bell> Permits<B> {
    pub(super) const fn new(count: usize) -> Permits<B> {
        Permits { available: count, lent: 0, queue: WaitQueue::new() }
    }

    pub(super) fn available(&self) -> usize {
        self.available
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes permits if so many are there and nobody waits. None are always there.
    pub(super) fn try_take(&mut self, count: usize) -> bool {
        let is_free = count == 0 || (self.available >= count && self.queue.is_empty());
        if is_free {
            self.lend(count);
        }
        is_free
    }

    /// Takes permits back that were lent.
    pub(super) fn give_back(&mut self, count: usize, calls: &mut Calls<B>) {
        self.forget(count);
        self.available += count;
        self.hand_out(calls);
    }

    /// Does not expect back what was lent.
    pub(super) fn forget(&mut self, count: usize) {
        self.lent -= count;
    }

    /// Adds permits that nobody was lent. False if there were too many to be counted.
    pub(super) fn add(&mut self, count: usize, calls: &mut Calls<B>) -> bool {
        let fits = (self.available + self.lent).checked_add(count).is_some();
        if fits {
            self.available += count;
            self.hand_out(calls);
        }
        fits
    }

    fn lend(&mut self, count: usize) {
        self.available -= count;
        self.lent += count;
    }

    /// Lends what there is to those who are next.
    fn hand_out(&mut self, calls: &mut Calls<B>) {
        while let Some(&wanted) = self.queue.first()
            && wanted <= self.available
        {
            self.lend(wanted);
            self.queue.call_one(calls);
        }
    }
}

/// So many permits are wanted. The outcome is whether they were lent.
pub(super) struct Wanted(pub(super) usize);

impl Wanted {
    /// Whether the permits were lent. If not, those behind may have waited for this one alone.
    fn leave<B: Bell>(&self, permits: &mut Permits<B>, place: Place, calls: &mut Calls<B>) -> bool {
        let Place::Queued(ticket) = place else { return place == Place::Granted };
        let is_lent = permits.queue.leave(ticket).is_none();
        if !is_lent {
            permits.hand_out(calls);
        }
        is_lent
    }
}

impl<B: Bell> Wish<Permits<B>> for Wanted {
    type Outcome = bool;

    fn enter(&mut self, permits: &mut Permits<B>, bell: &B, _: &mut Calls<B>) -> Place {
        if permits.try_take(self.0) {
            Place::Granted
        } else {
            Place::Queued(permits.queue.enter(bell.clone(), self.0))
        }
    }

    fn end(self, permits: &mut Permits<B>, place: Place, calls: &mut Calls<B>) -> bool {
        self.leave(permits, place, calls)
    }

    fn give_up(self, permits: &mut Permits<B>, place: Place, calls: &mut Calls<B>) -> Option<bool> {
        if self.leave(permits, place, calls) {
            permits.give_back(self.0, calls);
        }
        None
    }
}
