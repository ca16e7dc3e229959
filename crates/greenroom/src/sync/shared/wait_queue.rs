//! Those on any hub who wait for the same thing: first come, first served.
//!
//! Kept under the lock of what is waited for. Knows neither hubs nor what that is; it wakes nobody,
//! but says who is to be woken once the lock is free.
//!
//! A place in the queue is all there is to a wait. Who takes it out decides how the wait ends:
//! whoever calls takes out the first, and the waiter itself, when it is thrown out or its time is
//! over. Only one of them can, for the lock is held meanwhile. So a waiter whose place is gone was
//! called, whatever woke it, and has what it was called for; and one that still finds its place was
//! not, and nobody will call it.

use std::collections::VecDeque;

use super::guarded::{Bell, Calls};

/// Waiters in the order in which they came, each with a note of what it wants.
pub(super) struct WaitQueue<B, N = ()> {
    places: VecDeque<Place<B, N>>,
    tickets: u64,
}

struct Place<B, N> {
    ticket: Ticket,
    note: N,
    bell: B,
}

/// Names a place in a queue. Later places have greater tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

impl<B: Bell, N> WaitQueue<B, N> {
    pub(super) const fn new() -> WaitQueue<B, N> {
        WaitQueue { places: VecDeque::new(), tickets: 0 }
    }

    /// Takes a place at the end.
    pub(super) fn enter(&mut self, bell: B, note: N) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.places.push_back(Place { ticket, note, bell });
        ticket
    }

    /// Gives a place up and returns its note; `None` if its waiter was called before.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<N> {
        let place = self.places.binary_search_by_key(&ticket, |place| place.ticket).ok()?;
        self.places.remove(place).map(|place| place.note)
    }

    /// Calls whoever waits longest, and returns its note. `None` if nobody waits.
    pub(super) fn call_one(&mut self, calls: &mut Calls<B>) -> Option<N> {
        let first = self.places.pop_front()?;
        calls.add(first.bell);
        Some(first.note)
    }

    /// Calls everybody who waits now, in order.
    pub(super) fn call_all(&mut self, calls: &mut Calls<B>) {
        while self.call_one(calls).is_some() {}
    }

    /// Wakes everybody without a call: each keeps its place until it has found out why.
    pub(super) fn wake_all(&self, calls: &mut Calls<B>) {
        for place in &self.places {
            calls.add(place.bell.clone());
        }
    }

    /// What whoever waits longest wants.
    pub(super) fn first(&self) -> Option<&N> {
        self.places.front().map(|place| &place.note)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
