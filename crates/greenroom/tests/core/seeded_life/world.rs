//! What the threads of one life share, and the accounts that must balance.
//!
//! Knows no thread; those who act tell it what they did.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use greenroom::{Instant, hub::Listener, thread};
use greenroom_hub::Chance;

use super::{Plan, wire::Wire};

const WIRES: usize = 4;

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) wires: Vec<Wire>,
    pub(super) timers: Accounts,
    chance: RefCell<Chance>,
    begin: Instant,
    ids: Cell<u64>,
    aborted: Cell<bool>,
    closed: Cell<bool>,
    listeners: RefCell<Vec<Listener>>,
    trace: RefCell<Vec<(u64, &'static str, Duration)>>,
    /// Rules that were seen broken. Told at the end, for a panic would only be one more event.
    broken: RefCell<Vec<String>>,
}

/// What became of the timers.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) armed: Cell<u64>,
    pub(super) fired: Cell<u64>,
    pub(super) cancelled: Cell<u64>,
    /// Functions that are gone, called or not.
    pub(super) dropped: Cell<u64>,
}

pub(super) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan) -> Rc<World> {
        Rc::new(World {
            plan,
            wires: (0..WIRES).map(|_| Wire::open()).collect(),
            timers: Accounts::default(),
            chance: RefCell::new(Chance::from_seed(seed)),
            begin: Instant::now(),
            ids: Cell::new(0),
            aborted: Cell::new(false),
            closed: Cell::new(false),
            listeners: RefCell::default(),
            trace: RefCell::default(),
            broken: RefCell::default(),
        })
    }

    pub(super) fn below(&self, bound: usize) -> usize {
        self.chance.borrow_mut().below(bound)
    }

    /// A short time, none now and then.
    pub(super) fn moment(&self) -> Duration {
        Duration::from_millis(self.below(20) as u64)
    }

    pub(super) fn new_id(&self) -> u64 {
        count(&self.ids);
        self.ids.get()
    }

    /// Notes an event.
    pub(super) fn tell(&self, what: &'static str) {
        let who = thread::current().id().to_string().parse().expect("an id is a number");
        self.trace.borrow_mut().push((who, what, self.begin.elapsed()));
    }

    pub(super) fn take_trace(&self) -> Vec<(u64, &'static str, Duration)> {
        self.trace.take()
    }

    /// Notes that a rule does not hold.
    pub(super) fn expect(&self, holds: bool, rule: impl FnOnce() -> String) {
        if !holds {
            self.broken.borrow_mut().push(rule());
        }
    }

    /// What lasted from `begin` to now should have taken `time`: virtual clocks are exact.
    pub(super) fn expect_took(&self, what: &str, begin: Instant, time: Duration) {
        let took = begin.elapsed();
        self.expect(took == time, || format!("{what} took {took:?} instead of {time:?}"));
    }

    pub(super) fn note_abort(&self) {
        self.aborted.set(true);
    }

    pub(super) fn was_aborted(&self) -> bool {
        self.aborted.get()
    }

    /// Nothing new begins.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(super) fn keep_listener(&self, listener: Listener) {
        self.listeners.borrow_mut().push(listener);
    }

    pub(super) fn remove_listeners(&self) {
        for listener in self.listeners.take() {
            listener.remove();
        }
    }

    /// Ends all waits for wires, and lets nobody begin another.
    pub(super) fn close(&self) {
        self.closed.set(true);
        for wire in &self.wires {
            wire.hang_up();
        }
    }

    /// Holds while everyone is parked: who waits for bytes has none to read.
    pub(super) fn check_quiet(&self) {
        for (n, wire) in self.wires.iter().enumerate() {
            let (unread, waiting) = (wire.unread(), wire.waiting());
            self.expect(unread == 0 || waiting == 0, || {
                format!(
                    "a wake-up was lost: {waiting} wait for wire {n}, on which are {unread} bytes"
                )
            });
        }
    }

    #[track_caller]
    pub(super) fn check_end(&self) {
        let Accounts { armed, fired, cancelled, dropped } = &self.timers;
        assert_eq!(armed.get(), dropped.get(), "functions of timers that are not gone");
        assert!(fired.get() + cancelled.get() <= armed.get(), "{:?}", self.timers);
        for wire in &self.wires {
            wire.check_end(self.was_aborted());
        }
        let broken = self.broken.take();
        assert!(broken.is_empty(), "{:?}: {broken:#?}", self.plan);
    }
}
