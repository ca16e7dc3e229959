//! The side of a channel that items come out of.
//!
//! Knows errors and timeouts; who waits `handover` knows.

use std::{fmt, sync::Arc, time::Duration};

use greenroom_hub::{Instant as HubInstant, WakeId};

use super::{
    Channel, RecvError, RecvTimeoutError, TryRecvError,
    iter::{Iter, TryIter},
};
use crate::{
    hub::local::local,
    sync::{
        after,
        shared::{
            guarded::Waiting,
            handover::{Handover, Take},
            hub_wait::{HubBell, count_call, wait},
        },
    },
    thread::Waiter,
    time::Instant,
};

/// The receiving side of a channel. A clone receives from the same channel; each item goes to one
/// of them.
///
/// `Send` and `Sync` if the items are `Send`. When the last one is dropped, items that are still in
/// the channel are dropped, and senders are told.
pub struct Receiver<T> {
    pub(super) channel: Arc<Channel<T>>,
}

impl<T> Receiver<T> {
    /// Takes the next item; waits while there is none.
    ///
    /// Receivers who wait are called in the order in which they came.
    ///
    /// # Errors
    ///
    /// If nothing is left and all senders are gone, before or while this waits. Also if it would
    /// have to wait in a destructor that runs because of a panic or a kill.
    ///
    /// # Panics
    ///
    /// In a hub callback, if it would have to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use greenroom::sync::shared::channel::{self, RecvError};
    ///
    /// let (sender, receiver) = channel::unbounded();
    /// thread::spawn(move || sender.send(1).unwrap());
    /// assert_eq!(receiver.recv(), Ok(1));
    /// assert_eq!(receiver.recv(), Err(RecvError));
    /// ```
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(|| None).map_err(|_| RecvError)
    }

    /// Takes the next item if there is one. Never waits, and works everywhere.
    ///
    /// In a rendezvous, that is the item of a sender who waits.
    ///
    /// # Errors
    ///
    /// If there is none: now, or for ever, because all senders are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::shared::channel::{self, TryRecvError};
    ///
    /// let (sender, receiver) = channel::unbounded();
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(1)?;
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.channel.guarded.change(Handover::try_take)
    }

    /// Takes the next item; waits while there is none, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or if nothing is left and all senders are gone. What comes in the same
    /// moment is received.
    ///
    /// # Panics
    ///
    /// As [`recv`](Receiver::recv).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::shared::channel::{self, RecvTimeoutError};
    ///
    /// let (sender, receiver) = channel::bounded::<u8>(1);
    /// let soon = Duration::from_millis(1);
    /// assert_eq!(receiver.recv_timeout(soon), Err(RecvTimeoutError::Timeout));
    /// drop(sender);
    /// assert_eq!(receiver.recv_timeout(soon), Err(RecvTimeoutError::Disconnected));
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(|| Some(after(timeout))).map_err(late)
    }

    /// Takes the next item; waits while there is none, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Receiver::recv_timeout).
    ///
    /// # Panics
    ///
    /// As [`recv`](Receiver::recv).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Instant, sync::shared::channel::{self, RecvTimeoutError}};
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// sender.send(1)?;
    /// assert_eq!(receiver.recv_deadline(deadline), Ok(1));
    /// assert_eq!(receiver.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(|| Some(deadline.on_hub())).map_err(late)
    }

    fn recv_until(&self, deadline: impl FnOnce() -> Option<HubInstant>) -> Result<T, TryRecvError> {
        count_call();
        match self.try_recv() {
            Err(TryRecvError::Empty) => {}
            done => return done,
        }
        let waited = wait(&self.channel.guarded, Take, &"an item from a channel", deadline());
        waited.unwrap_or(Err(TryRecvError::Empty))
    }

    /// Takes items until there are no more: waits for each, and ends when all senders are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenroom::sync::shared::channel::unbounded();
    /// (0..3).for_each(|n| sender.send(n).unwrap());
    /// // Does not wait, and ends for now.
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    /// sender.send(3)?;
    /// drop(sender);
    /// // Waits, and ends with the last sender.
    /// assert_eq!(receiver.iter().collect::<Vec<_>>(), [3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// Takes items as long as there are any now. Never waits.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter::new(self)
    }

    /// Items in the channel. Those of senders who wait do not count, nor do those that were
    /// given to receivers who have not run yet.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenroom::sync::shared::channel::bounded(2);
    /// assert_eq!((receiver.len(), receiver.is_empty(), receiver.capacity()), (0, true, Some(2)));
    /// sender.send(1)?;
    /// sender.send(2)?;
    /// assert_eq!((receiver.len(), receiver.is_full()), (2, true));
    /// assert!(receiver.same_channel(&receiver.clone()) && !receiver.is_disconnected());
    /// drop(sender);
    /// assert!(receiver.is_disconnected());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        self.channel.guarded.look(Handover::len)
    }

    /// True if no items are in the channel. In a rendezvous, there may be one to receive
    /// nevertheless.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if there is no room in the channel. A rendezvous never has any.
    pub fn is_full(&self) -> bool {
        self.channel.guarded.look(Handover::is_full)
    }

    /// How many items there is room for; `None`: for any number.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.capacity
    }

    /// True if all senders are gone, so that nothing will come that is not there.
    pub fn is_disconnected(&self) -> bool {
        !self.channel.guarded.look(Handover::has_senders)
    }

    /// True if both receive from the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel)
    }
}

/// A wait for an item, in parts, for whoever waits for several things at once. It is given up when this is
/// dropped, and an item that was meant for it is for the next.
pub(in crate::sync) struct Receives<'a, T> {
    waiting: Option<Waiting<'a, Handover<T, HubBell>, Take>>,
    id: WakeId,
}

impl<'a, T> Receives<'a, T> {
    /// Takes a place in the queue; `waiter` is called when it is worth an [`end`](Receives::end).
    pub(in crate::sync) fn begin(receiver: &'a Receiver<T>, waiter: Waiter) -> Receives<'a, T> {
        let id = local().hub.borrow_mut().expect(waiter);
        let waiting = Waiting::new(&receiver.channel.guarded, Take);
        let mut receives = Receives { waiting: Some(waiting), id };
        if let Some(waiting) = &mut receives.waiting {
            waiting.enter(HubBell::new(id));
        }
        receives
    }

    /// Leaves the queue, with what has come of it.
    pub(in crate::sync) fn end(mut self) -> Result<T, TryRecvError> {
        self.waiting.take().expect("a wait ends once").end()
    }

    /// The process forked: whoever could have ended this wait is not in the child.
    pub(in crate::sync) fn orphaned(mut self) {
        self.waiting.take().expect("a wait ends once").give_up_if_free();
    }
}

impl<T> Drop for Receives<'_, T> {
    fn drop(&mut self) {
        drop(self.waiting.take());
        let waiter = local().hub.borrow_mut().unexpect(self.id);
        drop(waiter);
    }
}

fn late(error: TryRecvError) -> RecvTimeoutError {
    match error {
        TryRecvError::Empty => RecvTimeoutError::Timeout,
        TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.channel.guarded.change(|handover, _| handover.receiver_came());
        Receiver { channel: Arc::clone(&self.channel) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.channel.guarded.change(Handover::receiver_gone);
        drop(left);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("disconnected", &self.is_disconnected())
            .finish()
    }
}
