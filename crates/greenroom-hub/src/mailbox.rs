//! Wake-ups from other OS threads.
//!
//! Any thread may drop a [`WakeId`] into a hub's [`Mailbox`]; the hub's own thread finds out whose
//! wait that was. Never touches a waiter from a foreign thread, and never runs anyone.
//!
//! The one hard point is falling asleep. The hub looks into the box, then asks the kernel to
//! sleep; a letter dropped between the two must still wake it. `state` decides: who drops a letter
//! swaps in `LETTERS`, the hub may only go to sleep by exchanging `EMPTY` for `ASLEEP`. Whichever
//! comes first in the order of that one word, either the hub sees the letter and stays awake, or
//! the sender sees the sleeper and rings the bell. While the hub is awake nobody pays for a system
//! call.

use std::sync::PoisonError;

use crate::{
    poller::Bell,
    sync::{Arc, AtomicU8, Mutex, Ordering},
};

/// No letter since the hub last emptied the box; the hub is awake.
const EMPTY: u8 = 0;
/// At least one letter lies in the box, or is just being taken out.
const LETTERS: u8 = 1;
/// The hub sleeps or is about to: the next letter rings the bell.
const ASLEEP: u8 = 2;

/// Names one wait that may be ended from another OS thread. Harmless once that wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WakeId {
    slot: u32,
    number: u64,
}

/// The way into a hub from other OS threads; `Send` and `Sync`, cheap to clone.
///
/// A mailbox may outlive its hub; letters then go nowhere.
#[derive(Clone, Debug)]
pub struct Mailbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    letters: Mutex<Vec<WakeId>>,
    bell: Bell,
}

impl Mailbox {
    /// Ends the wait named by `id`, if it is still waited for.
    ///
    /// Never blocks beyond a short lock. Costs a system call only when the hub sleeps.
    pub fn wake(&self, id: WakeId) {
        // A thread that panicked while it held this lock left the list whole: pushes do not tear.
        let mut letters = self.shared.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.push(id);
        drop(letters);
        self.ring();
    }

    /// Has the hub take a turn, and end none of its waits: for news that the embedder keeps elsewhere.
    ///
    /// The embedder is to look for them between [`Hub::prepare`](crate::Hub::prepare), which answers the ring, and
    /// [`Hub::wait`](crate::Hub::wait), which does not sleep if one has come since.
    pub fn ring(&self) {
        if self.shared.state.swap(LETTERS, Ordering::AcqRel) == ASLEEP {
            self.shared.bell.ring();
        }
    }
}

/// The hub's side of the mailbox.
#[derive(Debug)]
pub(crate) struct Inbox {
    shared: Arc<Shared>,
}

impl Inbox {
    pub(crate) fn new(bell: Bell) -> Inbox {
        let shared = Shared { state: AtomicU8::new(EMPTY), letters: Mutex::new(Vec::new()), bell };
        Inbox { shared: Arc::new(shared) }
    }

    pub(crate) fn mailbox(&self) -> Mailbox {
        Mailbox { shared: self.shared.clone() }
    }

    /// True if somebody else holds a way in, so that a letter may still come.
    pub(crate) fn has_senders(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    #[inline]
    pub(crate) fn has_letters(&self) -> bool {
        self.shared.state.load(Ordering::Acquire) == LETTERS
    }

    /// Moves all letters to the end of `into`.
    pub(crate) fn take(&mut self, into: &mut Vec<WakeId>) {
        // First the state, then the letters: one dropped in between is taken now and found
        // missing later, which costs a look; the other order would lose it. A swap, for only
        // exchanges come in one order that all agree on.
        self.shared.state.swap(EMPTY, Ordering::AcqRel);
        let mut letters = self.shared.letters.lock().unwrap_or_else(PoisonError::into_inner);
        into.append(&mut letters);
    }

    /// Announces that the hub goes to sleep. False if letters came in: then it must not.
    pub(crate) fn fall_asleep(&self) -> bool {
        let state = &self.shared.state;
        state.compare_exchange(EMPTY, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Announces that the hub is awake again.
    pub(crate) fn wake_up(&self) {
        // Only ASLEEP is taken back: LETTERS must stay to be seen by `has_letters`.
        let state = &self.shared.state;
        let _ = state.compare_exchange(ASLEEP, EMPTY, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.shared.bell
    }
}

/// The waits of one hub that other OS threads may end.
#[derive(Debug)]
pub(crate) struct Expected<W> {
    slots: Vec<Slot<W>>,
    free: Vec<u32>,
    /// Numbers a wait, so that a late letter never ends a later wait in the same slot.
    expected_total: u64,
}

#[derive(Debug)]
struct Slot<W> {
    number: u64,
    waiter: Option<W>,
}

impl<W> Expected<W> {
    pub(crate) fn new() -> Expected<W> {
        Expected { slots: Vec::new(), free: Vec::new(), expected_total: 0 }
    }

    pub(crate) fn insert(&mut self, waiter: W) -> WakeId {
        let number = self.expected_total;
        self.expected_total += 1;
        let filled = Slot { number, waiter: Some(waiter) };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = filled;
                slot
            }
            None => {
                self.slots.push(filled);
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 remote waits")
            }
        };
        WakeId { slot, number }
    }

    pub(crate) fn remove(&mut self, id: WakeId) -> Option<W> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.number != id.number {
            return None;
        }
        let waiter = slot.waiter.take()?;
        self.free.push(id.slot);
        Some(waiter)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = W> {
        self.free.clear();
        std::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.waiter)
    }
}
