//! Something that is shut until it is opened, once, and those who wait for that: what an event
//! shares.
//!
//! Knows nothing of what is behind the gate.

use super::{
    guarded::{Bell, Calls, Place, Shared, Wish},
    wait_queue::WaitQueue,
};

pub(super) struct Gate<B> {
    is_open: bool,
    queue: WaitQueue<B>,
}

impl<B: Bell> Shared for Gate<B> {
    type Bell = B;
}

impl<B: Bell> Gate<B> {
    pub(super) const fn new() -> Gate<B> {
        Gate { is_open: false, queue: WaitQueue::new() }
    }

    /// Lets everybody through who waits, and everybody who comes.
    pub(super) fn open(&mut self, calls: &mut Calls<B>) {
        self.is_open = true;
        self.queue.call_all(calls);
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }
}

/// Somebody wants to go through. Whether they may, they see.
pub(super) struct Passage;

impl<B: Bell> Wish<Gate<B>> for Passage {
    type Outcome = ();

    fn enter(&mut self, gate: &mut Gate<B>, bell: &B, _: &mut Calls<B>) -> Place {
        if gate.is_open {
            Place::Granted
        } else {
            Place::Queued(gate.queue.enter(bell.clone(), ()))
        }
    }

    fn end(self, gate: &mut Gate<B>, place: Place, _: &mut Calls<B>) {
        if let Place::Queued(ticket) = place {
            gate.queue.leave(ticket);
        }
    }

    fn give_up(self, gate: &mut Gate<B>, place: Place, calls: &mut Calls<B>) -> Option<()> {
        self.end(gate, place, calls);
        None
    }
}
