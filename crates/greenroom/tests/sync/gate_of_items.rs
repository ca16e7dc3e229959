//! Channels, queues and selects as gates: what is handed over is an item, or room for one.
//!
//! Those who take wait for items; those who put wait for room, in something that is full at first.
//! Knows no test.

use std::{thread::panicking, time::Duration};

use greenroom::{
    Elapsed,
    sync::{
        Fifo, Lifo, Priority, QueueBy, Select, Store,
        channel::{self, Receiver, RecvTimeoutError, Sender},
    },
};

use crate::gate::{Gate, Kind};

/// More than any test puts.
const ENOUGH: usize = 100;

pub(crate) static ALL: [Kind; 10] = [
    Kind {
        name: "channel, received from",
        waits_for: "an item from a channel",
        keeps: true,
        owes: false,
        make: || Box::new(Items::of(channel::unbounded())),
    },
    Kind {
        name: "bounded channel, received from",
        waits_for: "an item from a channel",
        keeps: true,
        owes: false,
        make: || Box::new(Items::of(channel::bounded(ENOUGH))),
    },
    Kind {
        name: "channel, sent into",
        waits_for: "room in a channel",
        keeps: true,
        owes: false,
        make: || Box::new(Room::new()),
    },
    Kind {
        name: "queue, got from",
        waits_for: "an item from a queue",
        keeps: true,
        owes: false,
        make: || Box::new(Got(QueueBy::<Fifo<u8>>::unbounded())),
    },
    Kind {
        name: "last in first out, got from",
        waits_for: "an item from a queue",
        keeps: true,
        owes: false,
        make: || Box::new(Got(QueueBy::<Lifo<u8>>::bounded(ENOUGH))),
    },
    Kind {
        name: "priority queue, got from",
        waits_for: "an item from a queue",
        keeps: true,
        owes: false,
        make: || Box::new(Got(QueueBy::<Priority<u8>>::unbounded())),
    },
    Kind {
        name: "queue, put into",
        waits_for: "room in a queue",
        keeps: true,
        owes: true,
        make: || Box::new(Put::<Fifo<u8>>::new()),
    },
    Kind {
        name: "priority queue, put into",
        waits_for: "room in a queue",
        keeps: true,
        owes: true,
        make: || Box::new(Put::<Priority<u8>>::new()),
    },
    Kind {
        name: "select of what is received",
        waits_for: "the first of several things",
        keeps: true,
        owes: false,
        make: || Box::new(Selected(Items::of(channel::unbounded()), Idle::new())),
    },
    Kind {
        name: "select of room to send",
        waits_for: "the first of several things",
        keeps: true,
        owes: false,
        make: || Box::new(Selected(Room::new(), Idle::new())),
    },
];

/// An error stands for a wait only where nothing waits; elsewhere the other side is not gone.
#[track_caller]
fn refused<T>(outcome: Result<T, impl std::error::Error>) -> T {
    outcome.unwrap_or_else(|error| {
        assert!(panicking(), "{error}");
        panic!("in a destructor that runs because of a panic or a kill nothing waits: {error}")
    })
}

struct Items {
    sender: Sender<u8>,
    receiver: Receiver<u8>,
}

impl Items {
    fn of((sender, receiver): (Sender<u8>, Receiver<u8>)) -> Items {
        Items { sender, receiver }
    }
}

impl Gate for Items {
    fn wait(&self) {
        refused(self.receiver.recv());
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        match self.receiver.recv_timeout(timeout) {
            Ok(_) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(Elapsed),
            Err(RecvTimeoutError::Disconnected) => panic!("the sender is there"),
        }
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.receiver.try_recv().is_ok())
    }

    fn give(&self) {
        self.sender.try_send(0).unwrap();
    }
}

struct Room(Items);

impl Room {
    fn new() -> Room {
        let items = Items::of(channel::bounded(ENOUGH));
        (0..ENOUGH).for_each(|_| items.give());
        Room(items)
    }
}

impl Gate for Room {
    fn wait(&self) {
        refused(self.0.sender.send(0));
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.0.sender.send_timeout(0, timeout).map_err(|error| {
            assert!(error.is_timeout());
            Elapsed
        })
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.0.sender.try_send(0).is_ok())
    }

    fn give(&self) {
        self.0.receiver.try_recv().unwrap();
    }

    fn is_used_at_once(&self) -> bool {
        true
    }
}

struct Got<S: Store<Item = u8>>(QueueBy<S>);

impl<S: Store<Item = u8>> Gate for Got<S> {
    fn wait(&self) {
        self.0.get();
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.0.get_timeout(timeout).map(drop).map_err(|_| Elapsed)
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.0.try_get().is_ok())
    }

    fn give(&self) {
        self.0.try_put(0).unwrap();
    }
}

struct Put<S: Store<Item = u8>>(QueueBy<S>);

impl<S: Store<Item = u8>> Put<S> {
    fn new() -> Put<S> {
        let queue = QueueBy::bounded(ENOUGH);
        (0..ENOUGH).for_each(|_| queue.put(0));
        Put(queue)
    }
}

impl<S: Store<Item = u8>> Gate for Put<S> {
    fn wait(&self) {
        self.0.put(0);
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.0.put_timeout(0, timeout).map_err(|_| Elapsed)
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.0.try_put(0).is_ok())
    }

    fn give(&self) {
        self.0.try_get().unwrap();
    }

    fn is_used_at_once(&self) -> bool {
        true
    }
}

/// Other things to wait for, of which nothing ever comes.
struct Idle {
    empty: Items,
    full: Room,
}

impl Idle {
    fn new() -> Idle {
        Idle { empty: Items::of(channel::unbounded()), full: Room::new() }
    }
}

/// A gate that can be waited for together with others.
trait Source: Gate {
    fn add<'a>(&'a self, item: &'a mut Option<u8>, select: Select<'a, bool>) -> Select<'a, bool>;
}

impl Source for Items {
    fn add<'a>(&'a self, _item: &'a mut Option<u8>, select: Select<'a, bool>) -> Select<'a, bool> {
        select.recv(&self.receiver, |item| item.is_ok())
    }
}

impl Source for Room {
    fn add<'a>(&'a self, item: &'a mut Option<u8>, select: Select<'a, bool>) -> Select<'a, bool> {
        select.send(&self.0.sender, item, |sent| sent.is_ok())
    }
}

struct Selected<G>(G, Idle);

impl<G: Source> Selected<G> {
    /// Waits as `wait` says. What was not sent has come back.
    fn select<R>(&self, wait: impl FnOnce(Select<'_, bool>) -> R) -> R {
        let (mut item, mut unsent) = (Some(0), Some(1));
        let select = Select::new()
            .recv(&self.1.empty.receiver, |_| panic!("nothing was sent"))
            .send(&self.1.full.0.sender, &mut unsent, |_| panic!("there was no room"));
        let outcome = wait(self.0.add(&mut item, select));
        assert_eq!(unsent, Some(1));
        outcome
    }
}

impl<G: Source> Gate for Selected<G> {
    fn wait(&self) {
        assert!(self.select(|select| select.wait()));
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.select(|select| select.wait_timeout(timeout)).map(|had| assert!(had))
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.select(|select| select.try_wait().unwrap_or(false)))
    }

    fn give(&self) {
        self.0.give();
    }

    fn is_used_at_once(&self) -> bool {
        self.0.is_used_at_once()
    }
}
