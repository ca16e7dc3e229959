//! Who has what only one may have at a time, and who is next: what a mutex shares.
//!
//! Knows neither data nor guards, and of its holders only that they can be told apart.

use super::{
    guarded::{Bell, Calls, Place, Shared, Wish},
    wait_queue::WaitQueue,
};

pub(super) struct Hold<B, H> {
    holder: Option<H>,
    /// With who it is that waits.
    queue: WaitQueue<B, H>,
}

impl<B: Bell, H> Shared for Hold<B, H> {
    type Bell = B;
}

impl<B: Bell, H: Copy> Hold<B, H> {
    pub(super) const fn new() -> Hold<B, H> {
        Hold { holder: None, queue: WaitQueue::new() }
    }

    pub(super) fn holder(&self) -> Option<H> {
        self.holder
    }

    /// Takes it if nobody has it.
    pub(super) fn try_take(&mut self, me: H) -> bool {
        let is_free = self.holder.is_none();
        if is_free {
            self.holder = Some(me);
        }
        is_free
    }

    /// Gives it up, to the next if there is one: it is not free in between.
    pub(super) fn hand_on(&mut self, calls: &mut Calls<B>) {
        self.holder = self.queue.call_one(calls);
    }
}

/// Somebody wants it. The outcome is whether it was had.
pub(super) struct Claim<H>(pub(super) H);

impl<H: Copy> Claim<H> {
    fn leave<B: Bell>(&self, hold: &mut Hold<B, H>, place: Place) -> bool {
        match place {
            Place::Granted => true,
            Place::Refused => false,
            Place::Queued(ticket) => hold.queue.leave(ticket).is_none(),
        }
    }
}

impl<B: Bell, H: Copy> Wish<Hold<B, H>> for Claim<H> {
    type Outcome = bool;

    fn enter(&mut self, hold: &mut Hold<B, H>, bell: &B, _: &mut Calls<B>) -> Place {
        if hold.try_take(self.0) {
            Place::Granted
        } else {
            Place::Queued(hold.queue.enter(bell.clone(), self.0))
        }
    }

    fn end(self, hold: &mut Hold<B, H>, place: Place, _: &mut Calls<B>) -> bool {
        self.leave(hold, place)
    }

    fn give_up(self, hold: &mut Hold<B, H>, place: Place, calls: &mut Calls<B>) -> Option<bool> {
        if self.leave(hold, place) {
            hold.hand_on(calls);
        }
        None
    }
}
