//! What is handed from one to the next, under one face: a wait that ends when somebody gives.
//!
//! Each primitive plugs in with a few lines and a row in `ALL`. A gate begins with nothing to be
//! had. Knows no test.

use std::{sync::Arc, time::Duration};

use greenroom::sync::shared::{
    Permit, Semaphore,
    channel::{self, Receiver, Sender},
};

/// All may be called on any OS thread.
pub(crate) trait Gate: Send + Sync {
    /// Waits until something is given to it, and keeps that. False if that cannot be.
    fn wait(&self) -> bool;
    /// False if nothing was given in time.
    fn wait_timeout(&self, timeout: Duration) -> bool;
    /// Whether there was something that had been given to nobody.
    fn try_wait(&self) -> bool;
    /// Gives to whoever waits longest, or to the next who comes. False if nobody waits and it would
    /// not be there for the next.
    fn try_give(&self) -> bool;

    fn give(&self) {
        assert!(self.try_give(), "nobody waits");
    }
}

pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How the dump of green threads calls what is waited for.
    pub(crate) waits_for: &'static str,
    /// What is given while nobody waits is there for the next.
    pub(crate) keeps: bool,
    /// Who was called and is killed before it runs has used what it was given: its item was let in.
    pub(crate) spends: bool,
    /// In a destructor that may not wait, a wait panics, and does not merely fail.
    pub(crate) panics: bool,
    pub(crate) make: fn() -> Arc<dyn Gate>,
}

pub(crate) static ALL: [Kind; 4] = [
    Kind {
        name: "semaphore",
        waits_for: "a permit",
        keeps: true,
        spends: false,
        panics: true,
        make: || Arc::new(Semaphore::new(0)),
    },
    Kind {
        name: "channel, received from",
        waits_for: "an item from a channel",
        keeps: true,
        spends: false,
        panics: false,
        make: || Arc::new(Items(channel::unbounded())),
    },
    Kind {
        name: "channel, sent into",
        waits_for: "room in a channel",
        keeps: true,
        spends: true,
        panics: false,
        make: || {
            let room = Room(channel::bounded(1));
            room.0.0.send(()).unwrap();
            Arc::new(room)
        },
    },
    Kind {
        name: "rendezvous",
        waits_for: "an item from a channel",
        keeps: false,
        spends: false,
        panics: false,
        make: || Arc::new(Items(channel::bounded(0))),
    },
];

impl Gate for Semaphore {
    fn wait(&self) -> bool {
        self.acquire().forget();
        true
    }

    fn wait_timeout(&self, timeout: Duration) -> bool {
        self.acquire_timeout(timeout).map(Permit::forget).is_ok()
    }

    fn try_wait(&self) -> bool {
        self.try_acquire().map(Permit::forget).is_some()
    }

    fn try_give(&self) -> bool {
        self.release();
        true
    }
}

/// Items are given.
struct Items((Sender<()>, Receiver<()>));

impl Gate for Items {
    fn wait(&self) -> bool {
        self.0.1.recv().is_ok()
    }

    fn wait_timeout(&self, timeout: Duration) -> bool {
        self.0.1.recv_timeout(timeout).is_ok()
    }

    fn try_wait(&self) -> bool {
        self.0.1.try_recv().is_ok()
    }

    fn try_give(&self) -> bool {
        self.0.0.try_send(()).is_ok()
    }
}

/// Room for an item is given.
struct Room((Sender<()>, Receiver<()>));

impl Gate for Room {
    fn wait(&self) -> bool {
        self.0.0.send(()).is_ok()
    }

    fn wait_timeout(&self, timeout: Duration) -> bool {
        self.0.0.send_timeout((), timeout).is_ok()
    }

    fn try_wait(&self) -> bool {
        self.0.0.try_send(()).is_ok()
    }

    fn try_give(&self) -> bool {
        self.0.1.try_recv().is_ok()
    }
}
