//! A number of permits, and a queue of those who want more of them than there are.
//!
//! Knows how many are there and how many are out. Decides by the order in which they came who is
//! next. Knows no bounds.

use std::{cell::Cell, fmt, time::Duration};

use greenroom_hub::{Instant, Wake};

use crate::{
    Elapsed,
    sync::after,
    thread::{Blocked, park::Unwinding, wait_queue::WaitQueue},
};

pub(super) struct Permits {
    /// What those who wait for one are said to wait for.
    name: &'static &'static str,
    available: Cell<usize>,
    /// Held by somebody who is going to give them back.
    lent: Cell<usize>,
    /// With the number that each wants.
    queue: WaitQueue<usize>,
}

impl Permits {
    pub(super) const fn new(name: &'static &'static str, count: usize) -> Permits {
        let available = Cell::new(count);
        Permits { name, available, lent: Cell::new(0), queue: WaitQueue::new() }
    }

    pub(super) fn available(&self) -> usize {
        self.available.get()
    }

    pub(super) fn lent(&self) -> usize {
        self.lent.get()
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes permits if so many are there and nobody waits. None are always there.
    #[inline]
    pub(super) fn try_take(&self, count: usize) -> bool {
        let is_free = count == 0 || (self.available.get() >= count && self.queue.first().is_none());
        if is_free {
            self.lend(count);
        }
        is_free
    }

    /// Waits for permits at the end of the queue. They are lent if what ended the wait was a call.
    pub(super) fn wait(&self, count: usize, deadline: Option<Instant>) -> Result<Wake, Unwinding> {
        let blocked = Blocked::Call(self.name);
        let _leaving = Leaving(self);
        self.queue.wait_noted(count, blocked, deadline, || self.give_back(count))
    }

    /// Takes permits, and waits for them until `timeout` is over.
    #[inline]
    pub(super) fn take_until(&self, count: usize, timeout: Duration) -> Result<(), Elapsed> {
        if self.try_take(count) || self.wait(count, Some(after(timeout))) == Ok(Wake::Called) {
            return Ok(());
        }
        Err(Elapsed)
    }

    /// Takes permits back that were lent.
    #[inline]
    pub(super) fn give_back(&self, count: usize) {
        self.forget(count);
        self.available.set(self.available.get() + count);
        self.hand_out();
    }

    /// Does not expect back what was lent.
    #[inline]
    pub(super) fn forget(&self, count: usize) {
        self.lent.set(self.lent.get() - count);
    }

    /// Adds permits that nobody was lent.
    ///
    /// # Panics
    ///
    /// If there were too many to be counted.
    #[inline]
    #[track_caller]
    pub(super) fn add(&self, count: usize) {
        let all = (self.available.get() + self.lent.get()).checked_add(count);
        assert!(all.is_some(), "{count} permits more cannot be counted: {self:?}");
        self.available.set(self.available.get() + count);
        self.hand_out();
    }

    #[inline]
    fn lend(&self, count: usize) {
        self.available.set(self.available.get() - count);
        self.lent.set(self.lent.get() + count);
    }

    /// Lends what there is to those who are next.
    #[inline]
    fn hand_out(&self) {
        while let Some(wanted) = self.queue.first()
            && wanted <= self.available.get()
        {
            self.lend(wanted);
            let called = self.queue.call_one();
            debug_assert!(called, "who is first can be called");
        }
    }

    /// Tells of them under their owner's name.
    pub(super) fn describe<'a, 'f>(
        &self,
        name: &str,
        f: &'a mut fmt::Formatter<'f>,
    ) -> fmt::DebugStruct<'a, 'f> {
        let mut fields = f.debug_struct(name);
        fields.field("available", &self.available()).field("waiting", &self.waiting());
        fields
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe("Permits", f).field("lent", &self.lent()).finish()
    }
}

/// Somebody leaves the queue: if it was not called, those behind it may have waited for it alone.
struct Leaving<'a>(&'a Permits);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.hand_out();
    }
}
