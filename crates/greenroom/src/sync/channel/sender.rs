//! The side of a channel that items go into.
//!
//! Knows errors and timeouts; who waits `handover` knows.

use std::{fmt, rc::Rc, time::Duration};

use greenroom_hub::Instant as HubInstant;

use super::{
    Channel,
    error::{SendError, SendTimeoutError, TrySendError},
};
use crate::{
    hub::local::local,
    thread::{Blocked, Waiter, wait_queue::Ticket},
    time::{Instant, deadline_after},
};

const FOR_ROOM: Blocked = Blocked::Call(&"room in a channel");

/// The sending side of a channel. A clone sends into the same channel.
///
/// When the last one is dropped, receivers take what is left and then learn that there is no more.
pub struct Sender<T> {
    pub(super) channel: Rc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends an item; waits while there is no room for it.
    ///
    /// If there is room nobody else runs, not even the receiver. Senders who wait are let in in the order in
    /// which they came.
    ///
    /// # Errors
    ///
    /// The item, if all receivers are gone, before or while this waits. Also if it would have to
    /// wait in a destructor that runs because of a panic.
    ///
    /// # Panics
    ///
    /// In a hub callback, if it would have to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{spawn, sync::channel};
    ///
    /// let (sender, receiver) = channel::bounded(0);
    /// let receives = spawn(move || receiver.recv());
    /// sender.send("from hand to hand").unwrap();
    /// assert_eq!(receives.join()?, Ok("from hand to hand"));
    /// assert_eq!(sender.send("too late").unwrap_err().into_inner(), "too late");
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    #[inline]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        match self.channel.handover.try_put(item) {
            Ok(()) => Ok(()),
            Err(item) => self.wait_to_send(item, None).map_err(SendError),
        }
    }

    /// Sends an item if there is room for it, or in a rendezvous somebody who waits for it. Never
    /// waits, and works everywhere.
    ///
    /// # Errors
    ///
    /// The item: if there is none, or if all receivers are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::channel::{self, TrySendError};
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// assert_eq!(sender.try_send(1), Ok(()));
    /// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// drop(receiver);
    /// assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    #[inline]
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        match self.channel.handover.try_put(item) {
            Ok(()) => Ok(()),
            Err(item) if self.channel.has_receivers() => Err(TrySendError::Full(item)),
            Err(item) => Err(TrySendError::Disconnected(item)),
        }
    }

    /// Sends an item; waits while there is no room for it, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// The item: if the time is over, or if all receivers are gone. What is let in in the same
    /// moment is sent.
    ///
    /// # Panics
    ///
    /// As [`send`](Sender::send).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::channel;
    ///
    /// let (sender, receiver) = channel::bounded(0);
    /// let error = sender.send_timeout(1, Duration::from_millis(1)).unwrap_err();
    /// assert!(error.is_timeout());
    /// drop(receiver);
    /// ```
    pub fn send_timeout(&self, item: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(item, || deadline_after(&local().hub.borrow(), timeout))
    }

    /// Sends an item; waits while there is no room for it, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Sender::send_timeout).
    ///
    /// # Panics
    ///
    /// As [`send`](Sender::send).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Instant, sync::channel::{self, SendTimeoutError}};
    ///
    /// let (sender, _receiver) = channel::bounded(1);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert_eq!(sender.send_deadline(1, deadline), Ok(()));
    /// assert_eq!(sender.send_deadline(2, deadline), Err(SendTimeoutError::Timeout(2)));
    /// ```
    pub fn send_deadline(&self, item: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(item, || deadline.on_hub())
    }

    fn send_until(
        &self,
        item: T,
        deadline: impl FnOnce() -> HubInstant,
    ) -> Result<(), SendTimeoutError<T>> {
        let Err(item) = self.channel.handover.try_put(item) else { return Ok(()) };
        self.wait_to_send(item, Some(deadline())).map_err(|item| {
            if self.channel.has_receivers() {
                SendTimeoutError::Timeout(item)
            } else {
                SendTimeoutError::Disconnected(item)
            }
        })
    }

    fn wait_to_send(&self, item: T, deadline: Option<HubInstant>) -> Result<(), T> {
        if !self.channel.has_receivers() {
            return Err(item);
        }
        self.channel.handover.wait_to_put(item, FOR_ROOM, deadline)
    }

    /// Items in the channel. Those of senders who wait do not count, nor do those that were
    /// given to receivers who have not run yet.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenroom::sync::channel::bounded(1);
    /// assert_eq!((sender.len(), sender.is_empty(), sender.capacity()), (0, true, Some(1)));
    /// sender.send(1)?;
    /// assert_eq!((sender.len(), sender.is_full()), (1, true));
    /// assert!(sender.same_channel(&sender.clone()) && !sender.is_disconnected());
    /// drop(receiver);
    /// assert!(sender.is_disconnected());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// True if no items are in the channel.
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

    /// True if all receivers are gone, so that nothing can be sent.
    pub fn is_disconnected(&self) -> bool {
        !self.channel.has_receivers()
    }

    /// True if both send into the same channel.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Rc::ptr_eq(&self.channel, &other.channel)
    }

    // For waits on several things at once.

    /// Whether sending needs no wait, for there is room or nobody to send to.
    pub(in crate::sync) fn is_ready(&self) -> bool {
        self.is_disconnected() || self.channel.handover.can_put()
    }

    pub(in crate::sync) fn enter(&self, item: T, waiter: Waiter, source: u32) -> Ticket {
        self.channel.handover.enter_putters(item, waiter, source)
    }

    /// Gives a place up and takes the item back. `None` if that was let in.
    pub(in crate::sync) fn leave(&self, ticket: Ticket) -> Option<T> {
        self.channel.handover.leave_putters(ticket)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.channel.senders.set(self.channel.senders.get() + 1);
        Sender { channel: Rc::clone(&self.channel) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.channel.sender_gone();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("disconnected", &self.is_disconnected())
            .finish()
    }
}
