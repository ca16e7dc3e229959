//! Those on one hub who wait for each other: first come, first served.
//!
//! Knows neither what is waited for nor who may go on; it only keeps the order. Runs no one.
//!
//! A call is meant for one waiter, and it must not be lost with that one. Whose time ran out, or who was thrown
//! out, before the call is passed over. Who was called and is thrown out before it could go on
//! gives back what the call was for. Where it is the waiter that gives, its note is what it gives: taken by the
//! call, or taken back.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt, mem,
};

use greenroom_hub::{Instant, Wake};

use crate::{
    hub::local::local,
    thread::{
        Blocked, Reason, Waiter, control,
        park::{self, Unwinding},
    },
};

/// Waiters in the order in which they came, each with a note: of what it wants where not all want the
/// same, or the very thing it has for whoever calls it.
#[derive(Default)]
pub(crate) struct WaitQueue<N = ()> {
    places: RefCell<VecDeque<Place<N>>>,
    tickets: Cell<u64>,
}

struct Place<N> {
    ticket: Ticket,
    note: N,
    /// Which of its sources this queue is to a waiter that waits for several.
    source: u32,
    waiter: Waiter,
}

/// Names a place in a queue. Later places have greater tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl WaitQueue {
    /// Waits at the end of the queue: [`Wake::Called`] if it was called, [`Wake::Expired`] if
    /// `deadline` passed before.
    ///
    /// If it is called and then thrown out before it could go on, `give_back` is called in its
    /// stead. That happens while the thread unwinds, so `give_back` may not wait.
    // One frame less to return through: a return that follows a switch is never predicted.
    #[inline(always)]
    pub(crate) fn wait<'a>(
        &self,
        reason: impl Into<Reason<'a>>,
        deadline: Option<Instant>,
        give_back: impl FnOnce(),
    ) -> Result<Wake, Unwinding> {
        self.wait_noted((), reason, deadline, give_back)
    }

    /// Takes a place at the end.
    #[inline]
    pub(crate) fn enter(&self, waiter: Waiter, source: u32) -> Ticket {
        self.enter_noted((), waiter, source)
    }
}

impl<N: Copy> WaitQueue<N> {
    /// As [`wait`](WaitQueue::wait), with a note of what is wanted.
    #[inline(always)]
    pub(crate) fn wait_noted<'a>(
        &self,
        note: N,
        reason: impl Into<Reason<'a>>,
        deadline: Option<Instant>,
        give_back: impl FnOnce(),
    ) -> Result<Wake, Unwinding> {
        let mut placed = Placed { queue: self, ticket: None, give_back: Some(give_back) };
        let wake = park::until_called(reason, deadline, |waiter| {
            placed.ticket = Some(self.enter_noted(note, waiter, 0));
        })?;
        placed.give_back = None;
        if wake == Wake::Called {
            // Who was called has no place any more, and nothing is left to be dropped.
            mem::forget(placed);
        }
        Ok(wake)
    }

    /// Ends the wait of whoever waits longest. False if nobody waits.
    ///
    /// Whose wait something else has ended in this very moment is passed over: the call is for the
    /// next.
    #[inline]
    pub(crate) fn call_one(&self) -> bool {
        loop {
            let first = self.places.borrow_mut().pop_front();
            let Some(Place { waiter, source, .. }) = first else { return false };
            if waiter.is_parked() {
                waiter.note_source(source);
                let called = local().hub.borrow_mut().call(waiter);
                debug_assert!(called, "whoever is parked can be called");
                return true;
            }
        }
    }

    /// Ends the wait of everybody who waits now, in order. Returns how many that were.
    pub(crate) fn call_all(&self) -> usize {
        let mut called = 0;
        while self.call_one() {
            called += 1;
        }
        called
    }

    /// What whoever waits longest wants, if anybody waits: it is who the next call is for.
    #[inline]
    pub(crate) fn first(&self) -> Option<N> {
        loop {
            let mut places = self.places.borrow_mut();
            let first = places.front()?;
            if first.waiter.is_parked() {
                return Some(first.note);
            }
            let passed_over = places.pop_front();
            drop(places);
            drop(passed_over);
        }
    }
}

impl<N> WaitQueue<N> {
    pub(crate) const fn new() -> WaitQueue<N> {
        WaitQueue { places: RefCell::new(VecDeque::new()), tickets: Cell::new(0) }
    }

    /// Waits at the end of the queue with a note that is for whoever calls. Gives it back if nobody
    /// has [taken](WaitQueue::take_one) it: if `deadline` passes before, if
    /// [`wake_all`](WaitQueue::wake_all) ends the wait, or if nothing can wait because the thread unwinds.
    ///
    /// If it is thrown out before the note was taken, the note is dropped.
    pub(crate) fn wait_with(
        &self,
        note: N,
        blocked: Blocked,
        deadline: Option<Instant>,
    ) -> Result<(), N> {
        let mut note = Some(note);
        let mut placed = Placed { queue: self, ticket: None, give_back: None::<fn()> };
        let waited = park::until_called(blocked, deadline, |waiter| {
            placed.ticket = note.take().map(|note| self.enter_noted(note, waiter, 0));
        });
        debug_assert_eq!(
            waited.is_err(),
            note.is_some(),
            "the note is in the queue while one waits"
        );
        let left = placed.ticket.take().and_then(|ticket| self.leave(ticket));
        left.or(note).map_or(Ok(()), Err)
    }

    /// Takes a place at the end, with a note.
    #[inline(always)]
    pub(crate) fn enter_noted(&self, note: N, waiter: Waiter, source: u32) -> Ticket {
        let ticket = Ticket(self.tickets.get());
        self.tickets.set(ticket.0 + 1);
        let mut places = self.places.borrow_mut();
        let place = Place { ticket, note, source, waiter };
        if places.len() == places.capacity() {
            grow(&mut places, place);
        } else {
            // Told by the condition that this needs no growing, the compiler writes the place where it
            // belongs, and not to the stack first to be copied from there before the stores are done.
            places.push_back(place);
        }
        ticket
    }

    /// Gives a place up and returns its note; `None` if it was called or given up before.
    pub(crate) fn leave(&self, ticket: Ticket) -> Option<N> {
        let mut places = self.places.borrow_mut();
        let place = places.binary_search_by_key(&ticket, |place| place.ticket);
        let left = place.ok().and_then(|place| places.remove(place));
        drop(places);
        left.map(|Place { note, .. }| note)
    }

    /// Ends the wait of whoever waits longest, and takes its note. `None` if nobody waits.
    ///
    /// Whose wait something else has ended in this very moment keeps its place and its note, and
    /// gives them up when it runs.
    pub(crate) fn take_one(&self) -> Option<N> {
        let mut places = self.places.borrow_mut();
        let first = places.iter().position(|place| place.waiter.is_parked())?;
        let taken = places.remove(first);
        drop(places);
        let Place { note, source, waiter, .. } = taken?;
        waiter.note_source(source);
        let called = local().hub.borrow_mut().call(waiter);
        debug_assert!(called, "whoever is parked can be called");
        Some(note)
    }

    /// Ends the wait of everybody who waits now, in order. They keep their places and their notes,
    /// and give them up when they run.
    pub(crate) fn wake_all(&self) {
        for place in self.places.borrow().iter().filter(|place| place.waiter.is_parked()) {
            place.waiter.note_source(place.source);
            local().hub.borrow_mut().call(place.waiter.clone());
        }
    }

    /// True if nobody has a place, not even one whose wait has just been ended by something else.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// True if so many wait, those not counted whose wait has just been ended by something else.
    pub(crate) fn is_at_least(&self, count: usize) -> bool {
        let places = self.places.borrow();
        let parked = places.iter().filter(|place| place.waiter.is_parked());
        places.len() >= count && parked.take(count).count() == count
    }

    /// How many wait. Whose wait has just been ended by something else does not.
    pub(crate) fn len(&self) -> usize {
        self.places.borrow().iter().filter(|place| place.waiter.is_parked()).count()
    }
}

// Says nothing of the notes: they may be the user's.
impl<N> fmt::Debug for WaitQueue<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cold]
fn grow<N>(places: &mut VecDeque<Place<N>>, place: Place<N>) {
    places.push_back(place);
}

/// A wait in the queue, from its beginning until it is over or is thrown out of.
struct Placed<'a, N, F: FnOnce()> {
    queue: &'a WaitQueue<N>,
    ticket: Option<Ticket>,
    /// For a call that does not arrive. Taken once the wait is over.
    give_back: Option<F>,
}

impl<N, F: FnOnce()> Drop for Placed<'_, N, F> {
    #[inline]
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        if let Some(give_back) = self.give_back.take()
            && control::with_current(local(), control::Control::was_called)
        {
            give_back();
        } else {
            drop(self.queue.leave(ticket));
        }
    }
}
