//! Items on their way from those who put them to those who take them, on any hubs: what a channel
//! shares.
//!
//! Keeps room and order: who came first is served first, on both sides; and says what the end of a
//! side means. Knows neither handles nor OS threads.
//!
//! A taker that is called has an item *reserved*: a count, so that whoever comes meanwhile leaves
//! that many behind. So if it is thrown out, the item is still in its place. A putter that must
//! wait leaves its item in the queue; whoever makes room moves the first one in and calls its
//! putter. While takers wait, every item is reserved; while putters wait, there is no room.

use std::{collections::VecDeque, mem};

use super::{
    guarded::{Bell, Calls, Place, Shared, Wish},
    wait_queue::WaitQueue,
};
use crate::sync::channel::{TryRecvError, TrySendError};

const EXPECT_RESERVED: &str = "an item is kept for each taker who was called";

pub(super) struct Handover<T, B> {
    items: VecDeque<T>,
    /// `None`: room for any number.
    capacity: Option<usize>,
    /// Items that are for takers who were called and have not come yet.
    reserved: usize,
    takers: WaitQueue<B>,
    /// With the items for which there is no room.
    putters: WaitQueue<B, T>,
    senders: usize,
    receivers: usize,
}

impl<T, B: Bell> Shared for Handover<T, B> {
    type Bell = B;
}

impl<T, B: Bell> Handover<T, B> {
    /// With one sender and one receiver.
    pub(super) fn new(capacity: Option<usize>) -> Handover<T, B> {
        Handover {
            items: VecDeque::new(),
            capacity,
            reserved: 0,
            takers: WaitQueue::new(),
            putters: WaitQueue::new(),
            senders: 1,
            receivers: 1,
        }
    }

    /// Items that whoever comes now could take.
    pub(super) fn len(&self) -> usize {
        self.items.len() - self.reserved
    }

    pub(super) fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| self.len() >= capacity)
    }

    pub(super) fn has_senders(&self) -> bool {
        self.senders > 0
    }

    pub(super) fn has_receivers(&self) -> bool {
        self.receivers > 0
    }

    // Putting.

    /// Puts an item if there is room for it, or with no room at all a taker who waits.
    pub(super) fn try_put(&mut self, item: T, calls: &mut Calls<B>) -> Result<(), TrySendError<T>> {
        if self.receivers == 0 {
            Err(TrySendError::Disconnected(item))
        } else if !self.is_full() || (self.capacity == Some(0) && !self.takers.is_empty()) {
            self.accept(item, calls);
            Ok(())
        } else {
            Err(TrySendError::Full(item))
        }
    }

    fn accept(&mut self, item: T, calls: &mut Calls<B>) {
        self.items.push_back(item);
        if self.takers.call_one(calls).is_some() {
            self.reserved += 1;
        }
    }

    /// Moves items of putters in while there is room.
    fn admit(&mut self, calls: &mut Calls<B>) {
        while !self.is_full()
            && let Some(item) = self.putters.call_one(calls)
        {
            self.accept(item, calls);
        }
    }

    // Taking.

    /// Takes an item that is not reserved, or with no room at all that of a putter who waits.
    pub(super) fn try_take(&mut self, calls: &mut Calls<B>) -> Result<T, TryRecvError> {
        if !self.reserve(calls) {
            return Err(self.nothing());
        }
        Ok(self.take_reserved())
    }

    fn nothing(&self) -> TryRecvError {
        if self.has_senders() { TryRecvError::Empty } else { TryRecvError::Disconnected }
    }

    /// Reserves an item, if there is one.
    fn reserve(&mut self, calls: &mut Calls<B>) -> bool {
        if self.len() > 0 {
            self.reserved += 1;
            self.admit(calls);
            return true;
        }
        // Where there is room, nobody waits for it; so here items go from hand to hand.
        let item = self.putters.call_one(calls);
        let is_there = item.is_some();
        self.items.extend(item);
        self.reserved += usize::from(is_there);
        is_there
    }

    fn take_reserved(&mut self) -> T {
        self.reserved = self.reserved.checked_sub(1).expect(EXPECT_RESERVED);
        self.items.pop_front().expect(EXPECT_RESERVED)
    }

    /// A taker that was called cannot come: its item is for the next.
    fn release(&mut self, calls: &mut Calls<B>) {
        if self.takers.call_one(calls).is_none() {
            self.reserved = self.reserved.checked_sub(1).expect(EXPECT_RESERVED);
        }
    }

    // The end of a side.

    pub(super) fn sender_came(&mut self) {
        self.senders += 1;
    }

    pub(super) fn receiver_came(&mut self) {
        self.receivers += 1;
    }

    /// One sender less. After the last, nothing will come that is not there.
    pub(super) fn sender_gone(&mut self, calls: &mut Calls<B>) {
        self.senders -= 1;
        if self.senders == 0 {
            self.takers.wake_all(calls);
        }
    }

    /// One receiver less. After the last, nothing can be sent, and what was is returned, to be
    /// dropped.
    pub(super) fn receiver_gone(&mut self, calls: &mut Calls<B>) -> VecDeque<T> {
        self.receivers -= 1;
        if self.receivers > 0 {
            return VecDeque::new();
        }
        assert_eq!(self.reserved, 0, "who waits to receive has a receiver");
        self.putters.wake_all(calls);
        mem::take(&mut self.items)
    }
}

/// An item is wanted.
pub(super) struct Take;

impl Take {
    /// Whether an item is reserved.
    fn leave<T, B: Bell>(handover: &mut Handover<T, B>, place: Place) -> bool {
        match place {
            Place::Granted => true,
            Place::Refused => false,
            Place::Queued(ticket) => handover.takers.leave(ticket).is_none(),
        }
    }
}

impl<T, B: Bell> Wish<Handover<T, B>> for Take {
    type Outcome = Result<T, TryRecvError>;

    fn enter(&mut self, handover: &mut Handover<T, B>, bell: &B, calls: &mut Calls<B>) -> Place {
        if handover.reserve(calls) {
            Place::Granted
        } else if handover.has_senders() {
            Place::Queued(handover.takers.enter(bell.clone(), ()))
        } else {
            Place::Refused
        }
    }

    fn end(
        self,
        handover: &mut Handover<T, B>,
        place: Place,
        _: &mut Calls<B>,
    ) -> Result<T, TryRecvError> {
        if Take::leave(handover, place) {
            Ok(handover.take_reserved())
        } else {
            Err(handover.nothing())
        }
    }

    fn give_up(
        self,
        handover: &mut Handover<T, B>,
        place: Place,
        calls: &mut Calls<B>,
    ) -> Option<Result<T, TryRecvError>> {
        if Take::leave(handover, place) {
            handover.release(calls);
        }
        None
    }
}

/// An item is to be let in. It is in the queue while it waits.
pub(super) struct Put<T>(Option<T>);

impl<T> Put<T> {
    pub(super) fn new(item: T) -> Put<T> {
        Put(Some(item))
    }

    /// The item, if it was not let in and is not in the queue.
    pub(super) fn into_item(self) -> Option<T> {
        self.0
    }
}

impl<T, B: Bell> Wish<Handover<T, B>> for Put<T> {
    type Outcome = Result<(), TrySendError<T>>;

    fn enter(&mut self, handover: &mut Handover<T, B>, bell: &B, calls: &mut Calls<B>) -> Place {
        let item = self.0.take().expect("an item is put once");
        match handover.try_put(item, calls) {
            Ok(()) => Place::Granted,
            Err(TrySendError::Full(item)) => {
                Place::Queued(handover.putters.enter(bell.clone(), item))
            }
            Err(TrySendError::Disconnected(item)) => {
                self.0 = Some(item);
                Place::Refused
            }
        }
    }

    fn end(
        self,
        handover: &mut Handover<T, B>,
        place: Place,
        _: &mut Calls<B>,
    ) -> Result<(), TrySendError<T>> {
        let back = match place {
            Place::Granted => None,
            Place::Refused => self.0,
            Place::Queued(ticket) => handover.putters.leave(ticket),
        };
        match back {
            None => Ok(()),
            Some(item) if handover.has_receivers() => Err(TrySendError::Full(item)),
            Some(item) => Err(TrySendError::Disconnected(item)),
        }
    }

    fn give_up(
        self,
        handover: &mut Handover<T, B>,
        place: Place,
        calls: &mut Calls<B>,
    ) -> Option<Result<(), TrySendError<T>>> {
        Some(self.end(handover, place, calls))
    }
}
