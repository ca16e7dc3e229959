//! Channels between threads of any hubs: bounded, unbounded, or from hand to hand.
//!
//! Makes the two sides. Who waits and whose turn it is `handover` knows.
//!
//! The twins of [`sync::channel`](crate::sync::channel), with the same methods and the same errors.
//! Either side may be on a green thread of any hub or on a plain OS thread.
//!
//! ```
//! use std::thread;
//! use greenroom::sync::shared::channel;
//!
//! let (sender, receiver) = channel::bounded(8);
//! let producer = thread::spawn(move || {
//!     for n in 1..=100 {
//!         sender.send(n).unwrap();
//!     }
//! });
//! // Ends when the last sender is dropped. The other green threads of this hub run meanwhile.
//! assert_eq!(receiver.iter().sum::<u32>(), 5050);
//! producer.join().unwrap();
//! ```
//!
//! # What holds for all of them
//!
//! - Items come out in the order in which they went in. Those who wait are called in the order in
//!   which they came, senders as well as receivers, and nobody who comes later is served before
//!   them. Receivers of different hubs that were called at the same time come for their items as
//!   fast as each can.
//! - A call that cannot wait works everywhere and makes no hub: `try_send`, `try_recv`, `send` into
//!   an unbounded channel, `clone` and dropping a side. One that may wait lets the others of its
//!   hub have their turn after 128 calls in a row that did not have to, since another OS thread can
//!   keep up for ever.
//! - A receiver that is killed or out of time while it waits takes no item with it, also not if one
//!   had been meant for it in that very moment: that one stays first. A sender that is killed while
//!   it waits has its item dropped, unless the item had been let in by then.
//! - In a destructor that runs because of a panic or a kill nothing waits. A call that would have
//!   to fails at once: as if the other side were gone, or as if its time were over if it has a
//!   timeout.
//! - A call that does not wait costs a lock; waiting and waking are told of [here](super). Nothing
//!   is allocated once a channel has held as many items, and as many have waited, as ever will.
//!
//! What may not change OS thread cannot be sent:
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>() {}
//! is_send::<greenroom::sync::shared::channel::Sender<std::rc::Rc<u8>>>();
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>() {}
//! is_send::<greenroom::sync::shared::channel::Receiver<std::rc::Rc<u8>>>();
//! ```

mod iter;
mod receiver;
mod sender;

use std::sync::Arc;

pub(in crate::sync) use self::receiver::Receives;
pub use self::{
    iter::{IntoIter, Iter, TryIter},
    receiver::Receiver,
    sender::Sender,
};
use super::{guarded::Guarded, handover::Handover, hub_wait::HubBell, lock::Mutex};
pub use crate::sync::channel::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};

/// A channel that holds `capacity` items. A sender for whose item there is no room waits.
///
/// With a capacity of zero it is a rendezvous: items go from hand to hand, and a send returns once
/// a receiver has the item, or was waiting for one and has been given it. Such a channel is always
/// empty and always full.
///
/// # Examples
///
/// ```
/// use greenroom::{offload, sync::shared::channel::{self, TrySendError}};
///
/// let (sender, receiver) = channel::bounded(1);
/// assert_eq!(sender.try_send('a'), Ok(()));
/// assert_eq!(sender.try_send('b'), Err(TrySendError::Full('b')));
/// assert_eq!(offload(move || receiver.recv()), Ok('a'));
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    new(Some(capacity))
}

/// A channel that holds as many items as there is memory for. Sending never waits.
///
/// ```
/// use std::thread;
/// use greenroom::sync::shared::channel;
///
/// let (sender, receiver) = channel::unbounded();
/// thread::spawn(move || {
///     sender.send("a").unwrap();
///     sender.send("b").unwrap();
/// });
/// assert_eq!(receiver.iter().collect::<String>(), "ab");
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    new(None)
}

fn new<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let guarded = Guarded { lock: Mutex::new(Handover::new(capacity)) };
    let channel = Arc::new(Channel { guarded, capacity });
    (Sender { channel: Arc::clone(&channel) }, Receiver { channel })
}

/// What both sides share.
struct Channel<T> {
    guarded: Guarded<Handover<T, HubBell>>,
    /// `None`: room for any number.
    capacity: Option<usize>,
}
