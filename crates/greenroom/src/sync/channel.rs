//! Channels between the green threads of one hub: bounded, unbounded, or from hand to hand.
//!
//! Counts handles and says what the end of a side means. Who waits and whose turn it is `handover`
//! knows.
//!
//! ```
//! use greenroom::{spawn, sync::channel};
//!
//! let (sender, receiver) = channel::bounded(8);
//! let producer = spawn(move || {
//!     for n in 1..=100 {
//!         sender.send(n).unwrap();
//!     }
//! });
//! // Ends when the last sender is dropped.
//! assert_eq!(receiver.iter().sum::<u32>(), 5050);
//! producer.join()?;
//! # Ok::<(), greenroom::JoinError>(())
//! ```
//!
//! # What holds for all of them
//!
//! - Items come out in the order in which they went in. Those who wait are served in the order in
//!   which they came, senders as well as receivers, and nobody who comes later is served before
//!   them.
//! - A call that need not wait returns at once and lets nobody else run. Then it works everywhere: in
//!   hub callbacks, in destructors, and under a borrow.
//! - A receiver that is killed or out of time while it waits takes no item with it, also not if one had been
//!   meant for it in that very moment: that one stays first. A sender that is killed while it waits has its
//!   item dropped, unless the item had been let in by then.
//! - In a destructor that runs because of a panic nothing waits. A call that would have to fails at once: as
//!   if the other side were gone, or as if its time were over if it has a timeout.
//! - A call that does not wait costs some nanoseconds, one that does two switches more. Nothing is
//!   allocated once a channel has held as many items, and as many have waited, as ever will.
//!
//! A channel belongs to the hub of one OS thread:
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>() {}
//! is_send::<greenroom::sync::channel::Sender<()>>();
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>() {}
//! is_send::<greenroom::sync::channel::Receiver<()>>();
//! ```

mod error;
mod iter;
mod receiver;
mod sender;

use std::{cell::Cell, rc::Rc};

pub use self::{
    error::{RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError},
    iter::{IntoIter, Iter, TryIter},
    receiver::Receiver,
    sender::Sender,
};
use super::handover::{Handover, UNBOUNDED, store::Fifo};
pub(in crate::sync) use iter::iterators;

/// A channel that holds `capacity` items. A sender for whose item there is no room waits.
///
/// With a capacity of zero it is a rendezvous: items go from hand to hand, and a send returns once a
/// receiver has the item, or was waiting for one and has been given it. Such a channel is always
/// empty and always full.
///
/// # Examples
///
/// ```
/// use greenroom::sync::channel::{self, TrySendError};
///
/// let (sender, receiver) = channel::bounded(1);
/// assert_eq!(sender.try_send('a'), Ok(()));
/// assert_eq!(sender.try_send('b'), Err(TrySendError::Full('b')));
/// assert_eq!(receiver.recv(), Ok('a'));
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    new(Some(capacity))
}

/// A channel that holds as many items as there is memory for. Sending never waits.
///
/// ```
/// use greenroom::sync::channel;
///
/// let (sender, receiver) = channel::unbounded();
/// sender.send("a").unwrap();
/// sender.send("b").unwrap();
/// assert_eq!(receiver.try_iter().collect::<String>(), "ab");
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    new(None)
}

fn new<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let channel = Rc::new(Channel {
        handover: Handover::new(capacity.unwrap_or(UNBOUNDED)),
        capacity,
        senders: Cell::new(1),
        receivers: Cell::new(1),
    });
    (Sender { channel: Rc::clone(&channel) }, Receiver { channel })
}

/// What both sides share.
struct Channel<T> {
    handover: Handover<Fifo<T>>,
    capacity: Option<usize>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
}

impl<T> Channel<T> {
    fn len(&self) -> usize {
        self.handover.len()
    }

    fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| self.len() >= capacity)
    }

    fn has_senders(&self) -> bool {
        self.senders.get() > 0
    }

    fn has_receivers(&self) -> bool {
        self.receivers.get() > 0
    }

    /// One sender less. After the last, nothing will come that is not there.
    fn sender_gone(&self) {
        self.senders.set(self.senders.get() - 1);
        if !self.has_senders() {
            self.handover.call_takers();
        }
    }

    /// One receiver less. After the last, nothing can be sent, and what was is dropped.
    fn receiver_gone(&self) {
        self.receivers.set(self.receivers.get() - 1);
        if !self.has_receivers() {
            self.handover.resize(0);
            self.handover.call_putters();
            drop(self.handover.take_all());
        }
    }
}
