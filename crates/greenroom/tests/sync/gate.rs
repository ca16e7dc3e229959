//! What is handed from one to the next, under one face: a wait that ends when somebody gives.
//!
//! Each primitive plugs in with a few lines and a row in `ALL`. A gate begins with nothing to be
//! had. Knows no test.

use std::{cell::RefCell, collections::VecDeque, time::Duration};

use crate::gate_of_items;
use greenroom::{
    Elapsed, spawn,
    sync::{
        BoundedSemaphore, CappedSemaphore, Condvar, Mutex, MutexGuard, Permit, RwLock,
        RwLockReadGuard, RwLockWriteGuard, Semaphore,
    },
};

pub(crate) trait Gate {
    /// Waits until something is given to it, and keeps that.
    fn wait(&self);
    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed>;
    /// `None` if there is no such thing here.
    fn try_wait(&self) -> Option<bool>;
    /// Gives to whoever waits longest. What is given to nobody is there for the next, if `try_wait`
    /// is there.
    fn give(&self);

    /// What is given is used by the giver, on behalf of whoever waits longest: so it is also used
    /// if that one is killed then.
    fn is_used_at_once(&self) -> bool {
        false
    }
}

pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How the dump of green threads calls what is waited for.
    pub(crate) waits_for: &'static str,
    /// What is given while nobody waits is there for the next.
    pub(crate) keeps: bool,
    /// In a destructor that may not wait, a wait is done without what it is for, which is owed from
    /// then on.
    pub(crate) owes: bool,
    pub(crate) make: fn() -> Box<dyn Gate>,
}

static ALL: [Kind; 10] = [
    Kind {
        name: "mutex",
        waits_for: "a mutex",
        keeps: true,
        owes: false,
        make: || Box::new(Locked::new()),
    },
    Kind {
        name: "rwlock, written",
        waits_for: "a lock, to write",
        keeps: true,
        owes: false,
        make: || Box::new(Written::new()),
    },
    Kind {
        name: "rwlock, read and written",
        waits_for: "a lock, to write",
        keeps: true,
        owes: false,
        make: || Box::new(ReadFirst::new()),
    },
    Kind {
        name: "condvar",
        waits_for: "a condition",
        keeps: false,
        owes: false,
        make: || Box::<Notified>::default(),
    },
    Kind {
        name: "semaphore",
        waits_for: "a permit",
        keeps: true,
        owes: false,
        make: || Box::new(Semaphore::new(0)),
    },
    Kind {
        name: "semaphore, three at once",
        waits_for: "a permit",
        keeps: true,
        owes: false,
        make: || Box::new(Three(Semaphore::new(0))),
    },
    Kind {
        name: "semaphore, guards",
        waits_for: "a permit",
        keeps: true,
        owes: false,
        make: || Box::new(Seats::new()),
    },
    Kind {
        name: "bounded semaphore",
        waits_for: "a permit",
        keeps: true,
        owes: false,
        make: || Box::new(bounded()),
    },
    Kind {
        name: "capped semaphore, acquired",
        waits_for: "a permit",
        keeps: true,
        owes: false,
        make: || Box::new(Empty(CappedSemaphore::new(0, 100))),
    },
    Kind {
        name: "capped semaphore, released",
        waits_for: "room for a permit",
        keeps: true,
        owes: true,
        make: || Box::new(Full(CappedSemaphore::new(100, 100))),
    },
];

/// All of them, with those of items.
pub(crate) fn all() -> impl Iterator<Item = &'static Kind> {
    ALL.iter().chain(&gate_of_items::ALL)
}

/// Guards that are alive, the oldest first. What they lock is leaked: a test's process is short.
struct Guards<G>(RefCell<VecDeque<G>>);

impl<G> Guards<G> {
    fn of(first: G) -> Guards<G> {
        Guards(RefCell::new(VecDeque::from([first])))
    }

    fn keep(&self, guard: G) {
        self.0.borrow_mut().push_back(guard);
    }

    fn drop_one(&self) {
        let oldest = self.0.borrow_mut().pop_front();
        drop(oldest.expect("what is given was had"));
    }
}

/// A guard as a thread of its own has taken it, so that everybody else may wait.
fn had_by_another<G: 'static>(take: impl FnOnce() -> G + 'static) -> G {
    spawn(take).join().unwrap()
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

struct Locked(&'static Mutex<()>, Guards<MutexGuard<'static, ()>>);

impl Locked {
    fn new() -> Locked {
        let mutex = leak(Mutex::new(()));
        Locked(mutex, Guards::of(had_by_another(move || mutex.lock().unwrap())))
    }
}

impl Gate for Locked {
    fn wait(&self) {
        self.1.keep(self.0.lock().unwrap());
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.1.keep(self.0.lock_timeout(timeout)?.unwrap());
        Ok(())
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.0.try_lock().map(|guard| self.1.keep(guard)).is_ok())
    }

    fn give(&self) {
        self.1.drop_one();
        // Guards are also dropped in the middle of panics here.
        self.0.clear_poison();
    }
}

struct Written(&'static RwLock<()>, Guards<RwLockWriteGuard<'static, ()>>);

impl Written {
    fn new() -> Written {
        let lock = leak(RwLock::new(()));
        Written(lock, Guards::of(had_by_another(move || lock.write().unwrap())))
    }
}

impl Gate for Written {
    fn wait(&self) {
        self.1.keep(self.0.write().unwrap());
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.1.keep(self.0.write_timeout(timeout)?.unwrap());
        Ok(())
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.0.try_write().map(|guard| self.1.keep(guard)).is_ok())
    }

    fn give(&self) {
        self.1.drop_one();
        // Guards are also dropped in the middle of panics here.
        self.0.clear_poison();
    }
}

/// As `Written`, but what is had is kept as a reader: those who want to write still wait.
struct ReadFirst(&'static RwLock<()>, Guards<RwLockReadGuard<'static, ()>>);

impl ReadFirst {
    fn new() -> ReadFirst {
        let lock = leak(RwLock::new(()));
        ReadFirst(lock, Guards::of(lock.read().unwrap()))
    }

    fn keep(&self, guard: RwLockWriteGuard<'static, ()>) {
        self.1.keep(RwLockWriteGuard::downgrade(guard));
    }
}

impl Gate for ReadFirst {
    fn wait(&self) {
        self.keep(self.0.write().unwrap());
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.keep(self.0.write_timeout(timeout)?.unwrap());
        Ok(())
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.0.try_write().map(|guard| self.keep(guard)).is_ok())
    }

    fn give(&self) {
        self.1.drop_one();
    }
}

#[derive(Default)]
struct Notified(Mutex<()>, Condvar);

impl Gate for Notified {
    fn wait(&self) {
        drop(self.1.wait(self.0.lock().unwrap()).unwrap());
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        let (_guard, result) = self.1.wait_timeout(self.0.lock().unwrap(), timeout).unwrap();
        if result.timed_out() { Err(Elapsed) } else { Ok(()) }
    }

    fn try_wait(&self) -> Option<bool> {
        None
    }

    fn give(&self) {
        self.1.notify_one();
    }
}

impl Gate for Semaphore {
    fn wait(&self) {
        self.acquire().forget();
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.acquire_timeout(timeout)?.forget();
        Ok(())
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.try_acquire().map(Permit::forget).is_some())
    }

    fn give(&self) {
        self.release();
    }
}

struct Three(Semaphore);

impl Gate for Three {
    fn wait(&self) {
        self.0.acquire_many(3).forget();
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.0.acquire_many_timeout(3, timeout)?.forget();
        Ok(())
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.0.try_acquire_many(3).map(Permit::forget).is_some())
    }

    fn give(&self) {
        self.0.release();
        self.0.release_many(2);
    }
}

struct Seats(&'static Semaphore, Guards<Permit<'static>>);

impl Seats {
    fn new() -> Seats {
        let semaphore = leak(Semaphore::new(1));
        Seats(semaphore, Guards::of(semaphore.acquire()))
    }
}

impl Gate for Seats {
    fn wait(&self) {
        self.1.keep(self.0.acquire());
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.1.keep(self.0.acquire_timeout(timeout)?);
        Ok(())
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.0.try_acquire().map(|permit| self.1.keep(permit)).is_some())
    }

    fn give(&self) {
        self.1.drop_one();
    }
}

fn bounded() -> BoundedSemaphore {
    let semaphore = BoundedSemaphore::new(100);
    semaphore.acquire_many(100).forget();
    semaphore
}

impl Gate for BoundedSemaphore {
    fn wait(&self) {
        self.acquire().forget();
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.acquire_timeout(timeout)?.forget();
        Ok(())
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.try_acquire().map(Permit::forget).is_some())
    }

    fn give(&self) {
        self.release().unwrap();
    }
}

struct Empty(CappedSemaphore);

impl Gate for Empty {
    fn wait(&self) {
        self.0.acquire();
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.0.acquire_timeout(timeout)
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.0.try_acquire())
    }

    fn give(&self) {
        assert!(self.0.try_release(), "there is room");
    }
}

struct Full(CappedSemaphore);

impl Gate for Full {
    fn wait(&self) {
        self.0.release();
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.0.release_timeout(timeout)
    }

    fn try_wait(&self) -> Option<bool> {
        Some(self.0.try_release())
    }

    fn give(&self) {
        assert!(self.0.try_acquire(), "a permit is there");
    }
}
