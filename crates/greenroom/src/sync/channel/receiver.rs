//! The side of a channel that items come out of.
//!
//! Knows errors and timeouts; who waits `handover` knows.

use std::{fmt, rc::Rc, time::Duration};

use greenroom_hub::Instant as HubInstant;

use super::{
    Channel,
    error::{RecvError, RecvTimeoutError, TryRecvError},
    iter::{Iter, TryIter},
};
use crate::{
    hub::local::local,
    thread::{Blocked, Waiter, wait_queue::Ticket},
    time::{Instant, deadline_after},
};

const FOR_AN_ITEM: Blocked = Blocked::Call(&"an item from a channel");

/// The receiving side of a channel. A clone receives from the same channel; each item goes to one
/// of them.
///
/// When the last one is dropped, items that are still in the channel are dropped, and senders are
/// told.
pub struct Receiver<T> {
    pub(super) channel: Rc<Channel<T>>,
}

impl<T> Receiver<T> {
    /// Takes the next item; waits while there is none.
    ///
    /// Receivers who wait are served in the order in which they came.
    ///
    /// # Errors
    ///
    /// If nothing is left and all senders are gone, before or while this waits. Also if it would
    /// have to wait in a destructor that runs because of a panic.
    ///
    /// # Panics
    ///
    /// In a hub callback, if it would have to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{spawn, sync::channel::{self, RecvError}};
    ///
    /// let (sender, receiver) = channel::unbounded();
    /// spawn(move || sender.send(1).unwrap());
    /// assert_eq!(receiver.recv(), Ok(1));
    /// assert_eq!(receiver.recv(), Err(RecvError));
    /// ```
    // As in the wait queue: one frame less to return through.
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        if let Some(item) = self.channel.handover.try_take() {
            return Ok(item);
        }
        self.wait_to_recv(None).ok_or(RecvError)
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
    /// use greenroom::sync::channel::{self, TryRecvError};
    ///
    /// let (sender, receiver) = channel::unbounded();
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(1)?;
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.channel.handover.try_take() {
            Some(item) => Ok(item),
            None if self.channel.has_senders() => Err(TryRecvError::Empty),
            None => Err(TryRecvError::Disconnected),
        }
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
    /// use greenroom::sync::channel::{self, RecvTimeoutError};
    ///
    /// let (sender, receiver) = channel::bounded::<u8>(1);
    /// let soon = Duration::from_millis(1);
    /// assert_eq!(receiver.recv_timeout(soon), Err(RecvTimeoutError::Timeout));
    /// drop(sender);
    /// assert_eq!(receiver.recv_timeout(soon), Err(RecvTimeoutError::Disconnected));
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(|| deadline_after(&local().hub.borrow(), timeout))
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
    /// use greenroom::{Instant, sync::channel::{self, RecvTimeoutError}};
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// sender.send(1)?;
    /// assert_eq!(receiver.recv_deadline(deadline), Ok(1));
    /// assert_eq!(receiver.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(|| deadline.on_hub())
    }

    fn recv_until(&self, deadline: impl FnOnce() -> HubInstant) -> Result<T, RecvTimeoutError> {
        if let Some(item) = self.channel.handover.try_take() {
            return Ok(item);
        }
        self.wait_to_recv(Some(deadline())).ok_or_else(|| {
            if self.channel.has_senders() {
                RecvTimeoutError::Timeout
            } else {
                RecvTimeoutError::Disconnected
            }
        })
    }

    #[inline(always)]
    fn wait_to_recv(&self, deadline: Option<HubInstant>) -> Option<T> {
        if !self.channel.has_senders() {
            return None;
        }
        self.channel.handover.wait_to_take(FOR_AN_ITEM, deadline)
    }

    /// Takes items until there are no more: waits for each, and ends when all senders are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenroom::sync::channel::unbounded();
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
    /// let (sender, receiver) = greenroom::sync::channel::bounded(2);
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
        self.channel.len()
    }

    /// True if no items are in the channel. In a rendezvous, there may be one to receive
    /// nevertheless.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if there is no room in the channel. A rendezvous never has any.
    pub fn is_full(&self) -> bool {
        self.channel.is_full()
    }

    /// How many items there is room for; `None`: for any number.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.capacity
    }

    /// True if all senders are gone, so that nothing will come that is not there.
    pub fn is_disconnected(&self) -> bool {
        !self.channel.has_senders()
    }

    /// True if both receive from the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Rc::ptr_eq(&self.channel, &other.channel)
    }

    // For waits on several things at once.

    /// Whether receiving needs no wait, for there is an item or there will never be one.
    pub(in crate::sync) fn is_ready(&self) -> bool {
        self.is_disconnected() || self.channel.handover.can_take()
    }

    pub(in crate::sync) fn enter(&self, waiter: Waiter, source: u32) -> Ticket {
        self.channel.handover.enter_takers(waiter, source)
    }

    pub(in crate::sync) fn leave(&self, ticket: Ticket) {
        self.channel.handover.leave_takers(ticket);
    }

    /// What comes of being called: an item, or the end.
    pub(in crate::sync) fn recv_called(&self) -> Result<T, RecvError> {
        self.channel.handover.take_reserved().ok_or(RecvError)
    }

    /// Called in vain: the item is for another.
    pub(in crate::sync) fn release(&self) {
        self.channel.handover.release();
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.channel.receivers.set(self.channel.receivers.get() + 1);
        Receiver { channel: Rc::clone(&self.channel) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.receiver_gone();
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
