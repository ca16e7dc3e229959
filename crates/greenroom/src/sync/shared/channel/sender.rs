//! The side of a channel that items go into.
//!
//! Knows errors and timeouts; who waits `handover` knows.

use std::{fmt, sync::Arc, time::Duration};

use greenroom_hub::Instant as HubInstant;

use super::{Channel, SendError, SendTimeoutError, TrySendError};
use crate::{
    sync::{
        after,
        shared::{
            handover::{Handover, Put},
            hub_wait::{count_call, wait},
        },
    },
    time::Instant,
};

/// The sending side of a channel. A clone sends into the same channel.
///
/// `Send` and `Sync` if the items are `Send`. When the last one is dropped, receivers take what is
/// left and then learn that there is no more.
pub struct Sender<T> {
    pub(super) channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends an item; waits while there is no room for it.
    ///
    /// Senders who wait are let in in the order in which they came.
    ///
    /// # Errors
    ///
    /// The item, if all receivers are gone, before or while this waits. Also if it would have to
    /// wait in a destructor that runs because of a panic or a kill.
    ///
    /// # Panics
    ///
    /// In a hub callback, if it would have to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use greenroom::sync::shared::channel;
    ///
    /// let (sender, receiver) = channel::bounded(0);
    /// let receives = thread::spawn(move || receiver.recv());
    /// sender.send("from hand to hand").unwrap();
    /// assert_eq!(receives.join().unwrap(), Ok("from hand to hand"));
    /// assert_eq!(sender.send("too late").unwrap_err().into_inner(), "too late");
    /// ```
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.send_until(item, || None).map_err(|error| SendError(error.into_inner()))
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
    /// use greenroom::sync::shared::channel::{self, TrySendError};
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// assert_eq!(sender.try_send(1), Ok(()));
    /// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// drop(receiver);
    /// assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.channel.guarded.change(|handover, calls| handover.try_put(item, calls))
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
    /// use greenroom::sync::shared::channel;
    ///
    /// let (sender, receiver) = channel::bounded(0);
    /// let error = sender.send_timeout(1, Duration::from_millis(1)).unwrap_err();
    /// assert!(error.is_timeout());
    /// drop(receiver);
    /// ```
    pub fn send_timeout(&self, item: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(item, || Some(after(timeout))).map_err(late)
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
    /// use greenroom::{Instant, sync::shared::channel::{self, SendTimeoutError}};
    ///
    /// let (sender, _receiver) = channel::bounded(1);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert_eq!(sender.send_deadline(1, deadline), Ok(()));
    /// assert_eq!(sender.send_deadline(2, deadline), Err(SendTimeoutError::Timeout(2)));
    /// ```
    pub fn send_deadline(&self, item: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(item, || Some(deadline.on_hub())).map_err(late)
    }

    fn send_until(
        &self,
        item: T,
        deadline: impl FnOnce() -> Option<HubInstant>,
    ) -> Result<(), TrySendError<T>> {
        if self.channel.capacity.is_some() {
            count_call();
        }
        let item = match self.try_send(item) {
            Err(TrySendError::Full(item)) => item,
            done => return done,
        };
        match wait(&self.channel.guarded, Put::new(item), &"room in a channel", deadline()) {
            Ok(outcome) => outcome,
            Err(put) => Err(TrySendError::Full(put.into_item().expect("it was not put"))),
        }
    }

    /// Items in the channel. Those of senders who wait do not count, nor do those that were
    /// given to receivers who have not run yet.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = greenroom::sync::shared::channel::bounded(1);
    /// assert_eq!((sender.len(), sender.is_empty(), sender.capacity()), (0, true, Some(1)));
    /// sender.send(1)?;
    /// assert_eq!((sender.len(), sender.is_full()), (1, true));
    /// assert!(sender.same_channel(&sender.clone()) && !sender.is_disconnected());
    /// drop(receiver);
    /// assert!(sender.is_disconnected());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        self.channel.guarded.look(Handover::len)
    }

    /// True if no items are in the channel.
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

    /// True if all receivers are gone, so that nothing can be sent.
    pub fn is_disconnected(&self) -> bool {
        !self.channel.guarded.look(Handover::has_receivers)
    }

    /// True if both send into the same channel.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel)
    }
}

fn late<T>(error: TrySendError<T>) -> SendTimeoutError<T> {
    match error {
        TrySendError::Full(item) => SendTimeoutError::Timeout(item),
        TrySendError::Disconnected(item) => SendTimeoutError::Disconnected(item),
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.channel.guarded.change(|handover, _| handover.sender_came());
        Sender { channel: Arc::clone(&self.channel) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.channel.guarded.change(Handover::sender_gone);
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
