//! One of each primitive, and what must hold of each at every moment and at the end.
//!
//! Knows no actors.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
};

use greenroom::{
    pool::{GreenPool, Pool},
    sync::{
        CappedSemaphore, Condvar, Event, Mutex, OnceCell, PriorityQueue, Queue, RwLock, Semaphore,
        channel::{self, Receiver, Sender},
    },
};

pub(crate) const PERMITS: usize = 3;
pub(crate) const THINGS: usize = 2;
pub(crate) const MEMBERS: usize = 3;
pub(crate) const CAP: usize = 2;

/// How many are inside of something, and how many may be.
#[derive(Default)]
pub(crate) struct Gauge(Cell<usize>);

impl Gauge {
    /// Enters, together with `most - 1` others at most.
    pub(crate) fn enter(&self, most: usize) -> Inside<'_> {
        self.0.set(self.0.get() + 1);
        assert!(self.0.get() <= most, "{} are inside, of {most} at most", self.0.get());
        Inside(self)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }
}

pub(crate) struct Inside<'a>(&'a Gauge);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

/// Items on their way: each is sent once and arrives once, or comes back.
#[derive(Default)]
pub(crate) struct Ledger {
    next: Cell<u32>,
    under_way: RefCell<BTreeSet<u32>>,
}

/// One item. Dropped wherever it is lost, and then it is accounted for too.
pub(crate) struct Item {
    pub(crate) number: u32,
    ledger: Rc<Ledger>,
}

impl Ledger {
    pub(crate) fn item(self: &Rc<Self>) -> Item {
        let number = self.next.get();
        self.next.set(number + 1);
        assert!(self.under_way.borrow_mut().insert(number));
        Item { number, ledger: Rc::clone(self) }
    }

    fn left(&self) -> usize {
        self.under_way.borrow().len()
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let was_there = self.ledger.under_way.borrow_mut().remove(&self.number);
        // A double delivery would be a double drop. In an unwind a panic would end the process.
        assert!(was_there || std::thread::panicking(), "item {} came twice", self.number);
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        self.number == other.number
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Item) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Item) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

pub(crate) struct Channel {
    pub(crate) sender: Sender<Item>,
    pub(crate) receiver: Receiver<Item>,
}

pub(crate) struct World {
    pub(crate) mutex: Mutex<u32>,
    pub(crate) turned: Condvar,
    pub(crate) in_mutex: Gauge,
    pub(crate) rwlock: RwLock<u32>,
    pub(crate) reading: Gauge,
    pub(crate) writing: Gauge,
    pub(crate) semaphore: Semaphore,
    pub(crate) in_semaphore: Gauge,
    pub(crate) capped: CappedSemaphore,
    /// Acquired less released, of `capped`.
    pub(crate) capped_taken: Cell<isize>,
    pub(crate) event: Event<u32>,
    pub(crate) once: OnceCell<u32>,
    pub(crate) inits: Cell<u32>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) queue: Queue<Item>,
    pub(crate) sorted: PriorityQueue<Item>,
    pub(crate) ledger: Rc<Ledger>,
    pub(crate) things: Pool<Item>,
    pub(crate) lent: Gauge,
    pub(crate) workers: GreenPool,
    pub(crate) working: Gauge,
}

impl World {
    pub(crate) fn new() -> Rc<World> {
        let ledger = Rc::<Ledger>::default();
        let made = Rc::clone(&ledger);
        let channels = [channel::bounded(0), channel::bounded(2), channel::unbounded()];
        Rc::new(World {
            mutex: Mutex::new(0),
            turned: Condvar::new(),
            in_mutex: Gauge::default(),
            rwlock: RwLock::new(0),
            reading: Gauge::default(),
            writing: Gauge::default(),
            semaphore: Semaphore::new(PERMITS),
            in_semaphore: Gauge::default(),
            capped: CappedSemaphore::new(CAP, CAP),
            capped_taken: Cell::new(0),
            event: Event::new(),
            once: OnceCell::new(),
            inits: Cell::new(0),
            channels: channels
                .into_iter()
                .map(|(sender, receiver)| Channel { sender, receiver })
                .collect(),
            queue: Queue::bounded(2),
            sorted: PriorityQueue::unbounded(),
            ledger,
            things: Pool::new(THINGS, move || made.item()),
            lent: Gauge::default(),
            workers: GreenPool::new(MEMBERS),
            working: Gauge::default(),
        })
    }

    /// Nobody is inside of anything, everything was given back, nothing is lost or left.
    pub(crate) fn check_end(&self) {
        let inside = [
            ("mutex", self.in_mutex.count()),
            ("read lock", self.reading.count()),
            ("write lock", self.writing.count()),
            ("semaphore", self.in_semaphore.count()),
            ("things", self.lent.count()),
            ("workers", self.working.count()),
        ];
        assert!(inside.iter().all(|&(_, count)| count == 0), "{inside:?}");
        assert!(self.mutex.try_lock().is_ok() || self.mutex.is_poisoned());
        assert!(self.rwlock.try_write().is_ok() || self.rwlock.is_poisoned());
        assert_eq!((self.semaphore.available(), self.semaphore.waiting()), (PERMITS, 0));
        assert_eq!((self.things.free(), self.things.waiting()), (THINGS as isize, 0));
        assert_eq!((self.workers.running(), self.workers.waiting()), (0, 0));
        let capped = self.capped.available() as isize + self.capped_taken.get();
        assert_eq!(capped, CAP as isize);
        assert_eq!((self.queue.putting(), self.queue.getting()), (0, 0));
        for Channel { receiver, .. } in &self.channels {
            drop(receiver.try_iter().collect::<Vec<_>>());
            assert!(receiver.is_empty());
        }
        while let Ok(item) = self.queue.try_get() {
            drop(item);
            self.queue.task_done().unwrap();
        }
        while let Ok(item) = self.sorted.try_get() {
            drop(item);
            self.sorted.task_done().unwrap();
        }
        assert_eq!((self.queue.unfinished(), self.sorted.unfinished()), (0, 0));
        assert!(self.inits.get() <= 1, "one value was made {} times", self.inits.get());
        // What is left are the things that lie in their pool.
        assert_eq!(self.ledger.left(), self.things.idle());
    }
}
