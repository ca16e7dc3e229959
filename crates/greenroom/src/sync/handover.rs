//! Items on their way from those who put them to those who take them, on one hub.
//!
//! Keeps room and order: who came first is served first, on both sides. Knows neither handles nor
//! what the end of a side means; that is its users' business.
//!
//! A taker that is called has an item *reserved*: a count, so that whoever comes meanwhile leaves that many
//! behind. A putter that must wait leaves its item in the queue, beside the store; whoever makes room moves
//! the first one in and calls its putter. So nobody is called in vain, and no item waits for its
//! putter to run.
//!
//! While takers wait, every item is reserved. While putters wait, there is no room. Each method that
//! could break one of these mends it before it returns. The order of items may be the user's, and
//! may panic: that breaks neither count nor the first rule, and the second until the next item is taken.

pub(super) mod store;

use std::{cell::Cell, fmt, mem};

use greenroom_hub::{Instant, Wake};

use self::store::Store;
use crate::thread::{
    Blocked, Waiter,
    park::Unwinding,
    wait_queue::{Ticket, WaitQueue},
};

pub(super) const UNBOUNDED: usize = usize::MAX;

/// Items, those who wait for one, and those who wait for room.
pub(super) struct Handover<S: Store> {
    store: S,
    capacity: Cell<usize>,
    /// Items in the store that are for takers who were called and have not come yet.
    reserved: Cell<usize>,
    takers: WaitQueue,
    /// With the items for which there is no room.
    putters: WaitQueue<S::Item>,
    /// Items that were let in or passed on so far.
    accepted: Cell<u64>,
}

impl<S: Store> Handover<S> {
    pub(super) fn new(capacity: usize) -> Handover<S> {
        Handover {
            store: S::default(),
            capacity: Cell::new(capacity),
            reserved: Cell::new(0),
            takers: WaitQueue::new(),
            putters: WaitQueue::new(),
            accepted: Cell::new(0),
        }
    }

    /// Items that whoever comes now could take from the store.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.store.count() - self.reserved.get()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity.get()
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.get()
    }

    pub(super) fn takers_waiting(&self) -> usize {
        self.takers.len()
    }

    pub(super) fn putters_waiting(&self) -> usize {
        self.putters.len()
    }

    // Putting.

    /// Whether [`try_put`](Handover::try_put) would succeed.
    pub(super) fn can_put(&self) -> bool {
        self.len() < self.capacity.get() || self.has_taker_without_room()
    }

    /// With no room at all an item may still go to a taker who waits for it.
    #[inline]
    fn has_taker_without_room(&self) -> bool {
        self.capacity.get() == 0 && self.takers.first().is_some()
    }

    /// Puts an item if there is room or a taker for it.
    #[inline]
    pub(super) fn try_put(&self, item: S::Item) -> Result<(), S::Item> {
        if self.len() < self.capacity.get() || self.has_taker_without_room() {
            self.accept(item);
            Ok(())
        } else {
            Err(item)
        }
    }

    /// Puts an item whether or not there is room.
    #[inline]
    pub(super) fn accept(&self, item: S::Item) {
        let unwound = Inserting { handover: self, before: self.store.count() };
        self.store.insert(item);
        mem::forget(unwound);
        self.inserted();
    }

    /// An item was inserted: whoever waits longest is called for it.
    #[inline]
    fn inserted(&self) {
        self.accepted.set(self.accepted.get() + 1);
        if self.takers.call_one() {
            self.reserved.set(self.reserved.get() + 1);
        }
    }

    /// Puts an item once there is room, in the order in which putters came. Gives it back if
    /// `deadline` passes before, if [`call_putters`](Handover::call_putters) ends the wait, or if nothing
    /// can wait because the thread unwinds.
    pub(super) fn wait_to_put(
        &self,
        item: S::Item,
        blocked: Blocked,
        deadline: Option<Instant>,
    ) -> Result<(), S::Item> {
        // There may be room since the deadline passed.
        self.putters.wait_with(item, blocked, deadline).or_else(|item| self.try_put(item))
    }

    /// Leaves an item beside the store until there is room.
    pub(super) fn enter_putters(&self, item: S::Item, waiter: Waiter, source: u32) -> Ticket {
        self.putters.enter_noted(item, waiter, source)
    }

    /// Takes such an item back; `None` if it was let in before.
    pub(super) fn leave_putters(&self, ticket: Ticket) -> Option<S::Item> {
        self.putters.leave(ticket)
    }

    /// Lets putters' items in while there is room.
    fn admit(&self) {
        while self.len() < self.capacity.get() {
            let Some(item) = self.putters.take_one() else { break };
            self.accept(item);
        }
    }

    // Taking.

    /// Whether [`try_take`](Handover::try_take) would succeed.
    pub(super) fn can_take(&self) -> bool {
        self.len() > 0 || self.putters.is_at_least(1)
    }

    /// Takes an item if there is one that is not reserved.
    #[inline(always)]
    pub(super) fn try_take(&self) -> Option<S::Item> {
        if self.len() == 0 {
            return if self.putters.is_empty() { None } else { self.take_without_room() };
        }
        let item = self.store.remove();
        // Not if that is unwound, for letting an item in might panic as well: the next one does it.
        self.removed();
        item
    }

    /// An item was removed: there may be room for another.
    #[inline]
    fn removed(&self) {
        if !self.putters.is_empty() {
            self.admit();
        }
    }

    /// Where there is no room at all, items go from hand to hand: but through the store, in which
    /// there may be one for a taker who was called. That one came first, so it is taken first.
    fn take_without_room(&self) -> Option<S::Item> {
        let offered = self.putters.take_one()?;
        self.accept(offered);
        self.store.remove()
    }

    /// Waits for an item, in the order in which takers came. `None` if `deadline` passes before, if
    /// [`call_takers`](Handover::call_takers) ends the wait, or if nothing can wait because the
    /// thread unwinds.
    #[inline(always)]
    pub(super) fn wait_to_take(
        &self,
        blocked: Blocked,
        deadline: Option<Instant>,
    ) -> Option<S::Item> {
        match self.takers.wait(blocked, deadline, || self.release()) {
            Ok(Wake::Called) => self.take_reserved(),
            // One may have come since the deadline passed.
            Ok(_) => self.try_take(),
            Err(Unwinding) => None,
        }
    }

    /// Takes a place among those who wait for an item. Whoever is called there owes
    /// [`take_reserved`](Handover::take_reserved) or [`release`](Handover::release).
    pub(super) fn enter_takers(&self, waiter: Waiter, source: u32) -> Ticket {
        self.takers.enter(waiter, source)
    }

    pub(super) fn leave_takers(&self, ticket: Ticket) {
        self.takers.leave(ticket);
    }

    /// What a taker was called for. `None` only after [`call_takers`](Handover::call_takers).
    #[inline(always)]
    pub(super) fn take_reserved(&self) -> Option<S::Item> {
        if self.reserved.get() == 0 {
            return self.try_take();
        }
        let unwound = RemovingReserved { handover: self, before: self.store.count() };
        let item = self.store.remove();
        mem::forget(unwound);
        self.reserved.set(self.reserved.get() - 1);
        item
    }

    /// A taker was called and cannot come: its item is for the next.
    #[cold]
    pub(super) fn release(&self) {
        let Some(others) = self.reserved.get().checked_sub(1) else { return };
        if !self.takers.call_one() {
            self.reserved.set(others);
        }
    }

    // Both.

    /// Ends the waits of all takers, without items.
    pub(super) fn call_takers(&self) {
        self.takers.call_all();
    }

    /// Ends the waits of all putters. They take their items back.
    pub(super) fn call_putters(&self) {
        self.putters.wake_all();
    }

    /// Changes how many items there is room for. Items for which there is none any more stay.
    pub(super) fn resize(&self, capacity: usize) {
        self.capacity.set(capacity);
        self.admit();
    }

    /// Gives all items away, to be dropped by whoever knows that nothing is borrowed.
    pub(super) fn take_all(&self) -> S {
        self.store.take_all()
    }
}

/// An item is being inserted. Dropped only if that is unwound.
struct Inserting<'a, S: Store> {
    handover: &'a Handover<S>,
    before: usize,
}

impl<S: Store> Drop for Inserting<'_, S> {
    #[cold]
    fn drop(&mut self) {
        if self.handover.store.count() > self.before {
            self.handover.inserted();
        }
    }
}

/// A reserved item is being removed. Dropped only if that is unwound.
struct RemovingReserved<'a, S: Store> {
    handover: &'a Handover<S>,
    before: usize,
}

impl<S: Store> Drop for RemovingReserved<'_, S> {
    #[cold]
    fn drop(&mut self) {
        let handover = self.handover;
        if handover.store.count() < self.before {
            handover.reserved.set(handover.reserved.get() - 1);
        } else {
            handover.release();
        }
    }
}

impl<S: Store> fmt::Debug for Handover<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("len", &self.len())
            .field("reserved", &self.reserved.get())
            .field("takers_waiting", &self.takers_waiting())
            .field("putters_waiting", &self.putters_waiting())
            .finish_non_exhaustive()
    }
}
