//! Where the tests play: a hub on a virtual clock, and waiters that note what they hear.
//!
//! Knows no topic.

use std::{
    cell::{Cell, RefCell},
    fmt, fs,
    rc::Rc,
    thread,
    time::Duration,
};

use greenroom_hub::{Backend, Clock, Hub, Instant, Outcome, Waiter, Wake};

/// A waiter that notes every wake-up it was given, and refuses those that come too late.
#[derive(Clone)]
pub(crate) struct Probe(Rc<Notes>);

struct Notes {
    name: &'static str,
    waits: Cell<bool>,
    wakes: RefCell<Vec<Wake>>,
}

impl Probe {
    /// One that waits.
    pub(crate) fn new(name: &'static str) -> Probe {
        Probe(Rc::new(Notes { name, waits: Cell::new(true), wakes: RefCell::default() }))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.0.name
    }

    /// Why its waits ended, each in its turn.
    pub(crate) fn wakes(&self) -> Vec<Wake> {
        self.0.wakes.borrow().clone()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.0.waits.get()
    }

    /// Begins another wait.
    pub(crate) fn wait_again(&self) {
        assert!(!self.0.waits.replace(true), "{} waits already", self.0.name);
    }

    /// True if both are the same waiter.
    pub(crate) fn is(&self, other: &Probe) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// How many hold this waiter.
    pub(crate) fn holders(&self) -> usize {
        Rc::strong_count(&self.0)
    }
}

impl Waiter for Probe {
    fn settle(&self, wake: Wake) -> bool {
        let waited = self.0.waits.replace(false);
        if waited {
            self.0.wakes.borrow_mut().push(wake);
        }
        waited
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

/// A hub and its clock.
pub(crate) struct Stage {
    pub(crate) hub: Hub<Probe>,
    pub(crate) clock: Clock,
}

/// Keeps a turn from sleeping. Never seen by a test.
const BUSY: &str = "busy";

impl Stage {
    pub(crate) fn new(backend: Backend) -> Stage {
        let clock = Clock::manual();
        let hub = Hub::new(backend, clock.clone()).expect("the kernel has this backend");
        Stage { hub, clock }
    }

    /// So long after the stage was set.
    pub(crate) fn at(&self, millis: u64) -> Instant {
        Clock::manual().now() + Duration::from_millis(millis)
    }

    /// Lets the time pass until so long after the stage was set.
    pub(crate) fn advance_to(&self, millis: u64) {
        self.clock.advance_to(self.at(millis));
    }

    /// One turn in which the kernel is asked but not waited for. Returns who was handed out.
    pub(crate) fn turn(&mut self) -> Vec<Probe> {
        self.hub.queue(Probe::new(BUSY));
        self.hub.prepare();
        let outcome = self.hub.wait().expect("a look at the kernel never fails");
        assert_eq!(outcome, Outcome::Continue);
        self.pop_all()
    }

    /// As [`turn`](Stage::turn), by name.
    pub(crate) fn names(&mut self) -> Vec<&'static str> {
        self.turn().iter().map(Probe::name).collect()
    }

    /// One turn in which nobody is ready at first: the clock jumps to the first deadline, or the
    /// kernel waits. Who that makes ready is handed out in the next.
    pub(crate) fn sleep(&mut self) -> Outcome {
        self.hub.prepare();
        assert!(self.hub.is_idle(), "nobody is ready before the sleep");
        self.hub.wait().expect("a sleep never fails")
    }

    pub(crate) fn pop_all(&mut self) -> Vec<Probe> {
        let mut popped = Vec::new();
        while let Some(probe) = self.hub.pop() {
            if probe.name() != BUSY {
                popped.push(probe);
            }
        }
        popped
    }
}

/// Plays one test on every backend.
pub(crate) fn on_every_backend(play: impl Fn(&mut Stage)) {
    for backend in Backend::ALL {
        // Shown only if the test fails.
        eprintln!("on {backend}");
        play(&mut Stage::new(backend));
    }
}

/// Plays a test that only epoll can pass, for it needs a backend that keeps files.
pub(crate) fn on_epoll(play: impl Fn(&mut Stage)) {
    play(&mut Stage::new(Backend::Epoll));
}

/// Returns when a task of the kernel is asleep. `task` is where `/proc` has it.
pub(crate) fn until_asleep(task: &str) {
    let path = format!("{task}/stat");
    loop {
        let stat = fs::read_to_string(&path).expect("the task lives");
        // The name is in parentheses and may hold anything; the state follows it.
        let (_, after_name) = stat.rsplit_once(") ").expect("a name stands before the state");
        if after_name.starts_with('S') {
            return;
        }
        thread::yield_now();
    }
}
