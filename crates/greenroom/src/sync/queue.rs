//! Queues of work: bounded or not, in three orders, and with a count of what is not done yet.
//!
//! Counts what is done. Who waits and whose turn it is `handover` knows, and the order of items
//! `handover/store`.

use std::{cell::Cell, error::Error, fmt, time::Duration};

use super::{
    after,
    handover::{Handover, UNBOUNDED},
    refuse_unwinding,
};
use crate::{
    Elapsed,
    thread::{Blocked, wait_queue::WaitQueue},
};

pub use super::handover::store::{Fifo, Lifo, Priority, Store};

const FOR_ROOM: Blocked = Blocked::Call(&"room in a queue");
const FOR_AN_ITEM: Blocked = Blocked::Call(&"an item from a queue");
const FOR_ALL_DONE: Blocked = Blocked::Call(&"all items of a queue to be done");

/// A queue whose items come out in the order in which they went in.
///
/// ```
/// use std::rc::Rc;
/// use greenroom::{spawn, sync::Queue};
///
/// let jobs = Rc::new(Queue::bounded(2));
/// let workers = [(); 2].map(|()| {
///     let jobs = Rc::clone(&jobs);
///     spawn(move || {
///         let mut sum = 0;
///         while let Some(n) = jobs.get() {
///             sum += n;
///             jobs.task_done().unwrap();
///         }
///         sum
///     })
/// });
/// for n in 1..=10 {
///     jobs.put(Some(n));
/// }
/// // Every item was taken, and whoever took it is done with it.
/// jobs.join();
/// jobs.put(None);
/// jobs.put(None);
/// assert_eq!(workers.into_iter().map(|worker| worker.join().unwrap()).sum::<i32>(), 55);
/// ```
pub type Queue<T> = QueueBy<Fifo<T>>;

/// A queue that gives the item first that went in last.
///
/// ```
/// let queue = greenroom::sync::LifoQueue::unbounded();
/// for n in 1..=3 {
///     queue.put(n);
/// }
/// assert_eq!([queue.get(), queue.get(), queue.get()], [3, 2, 1]);
/// ```
pub type LifoQueue<T> = QueueBy<Lifo<T>>;

/// A queue that gives the smallest item first; of equal ones, the one that went in first.
///
/// Putting and getting compare items, which takes O(log n). What compares them, `T`'s [`Ord`], may
/// neither use the queue nor wait: whoever uses the queue meanwhile panics. If a comparison panics,
/// an item that is being put is in the queue, one that is being taken is dropped, the order of the
/// others is uncertain, and whoever waits for the room is let in when the next one is taken.
///
/// ```
/// let queue = greenroom::sync::PriorityQueue::unbounded();
/// for entry in [(2, "later"), (1, "first"), (1, "second")] {
///     queue.put(entry);
/// }
/// assert_eq!([queue.get().1, queue.get().1, queue.get().1], ["first", "second", "later"]);
/// ```
pub type PriorityQueue<T> = QueueBy<Priority<T>>;

/// A queue whose items come out as `S` says: [`Queue`], [`LifoQueue`] or [`PriorityQueue`].
///
/// To be shared in an [`Rc`](std::rc::Rc). It has no ends that could be gone: a queue from which nobody takes is
/// full some day, and one that nobody fills is empty. For that, see [`channel`](super::channel).
///
/// *FIFO.* Those who wait to put are let in in the order in which they came, those who wait to get
/// are served in the order in which they came, whatever the order of the items. Nobody who comes
/// later is served before them.
///
/// *Kill and timeout.* Whoever is thrown out while it waits to get takes no item with it, also not if one had
/// been meant for it in that very moment: that one is for the next. The item of whoever is thrown out
/// while it waits to put is dropped, unless it had been let in by then.
///
/// *Cost.* A call that need not wait takes some nanoseconds, lets nobody else run, and works everywhere, in hub
/// callbacks too.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::Queue<()>>();
/// ```
pub struct QueueBy<S: Store> {
    handover: Handover<S>,
    done: Cell<u64>,
    joiners: WaitQueue,
}

impl<S: Store> QueueBy<S> {
    /// A queue for `capacity` items.
    ///
    /// With none, items go from hand to hand: putting waits until somebody takes the item, or has been
    /// waiting for it. Such a queue is always empty and always full.
    pub fn bounded(capacity: usize) -> QueueBy<S> {
        QueueBy::new(Some(capacity))
    }

    /// A queue for as many items as there is memory for. Putting never waits.
    pub fn unbounded() -> QueueBy<S> {
        QueueBy::new(None)
    }

    fn new(capacity: Option<usize>) -> QueueBy<S> {
        QueueBy {
            handover: Handover::new(capacity.unwrap_or(UNBOUNDED)),
            done: Cell::new(0),
            joiners: WaitQueue::new(),
        }
    }

    // Putting.

    /// Puts an item in; waits while there is no room for it.
    ///
    /// In a destructor that runs because of a panic or a kill it does not wait, and puts it in
    /// although there is no room.
    ///
    /// # Panics
    ///
    /// In a hub callback, if it would have to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use greenroom::{spawn, sync::Queue};
    ///
    /// let queue = Rc::new(Queue::bounded(1));
    /// let theirs = Rc::clone(&queue);
    /// let puts = spawn(move || (0..3).for_each(|n| theirs.put(n)));
    /// assert_eq!([queue.get(), queue.get(), queue.get()], [0, 1, 2]);
    /// puts.join()?;
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    #[inline]
    pub fn put(&self, item: S::Item) {
        if let Err(item) = self.handover.try_put(item)
            && let Err(item) = self.handover.wait_to_put(item, FOR_ROOM, None)
        {
            self.handover.accept(item);
        }
    }

    /// Puts an item in if there is room for it, or if there is none at all and somebody waits for
    /// it. Never waits.
    ///
    /// # Errors
    ///
    /// The item, if there is no room.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::{Full, Queue};
    ///
    /// let queue = Queue::bounded(1);
    /// assert_eq!(queue.try_put('a'), Ok(()));
    /// assert_eq!(queue.try_put('b'), Err(Full('b')));
    /// ```
    #[inline]
    pub fn try_put(&self, item: S::Item) -> Result<(), Full<S::Item>> {
        self.handover.try_put(item).map_err(Full)
    }

    /// Puts an item in; waits while there is no room for it, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// The item, if the time is over; at once in a destructor that runs because of a panic or a
    /// kill. What is let in in the same moment is in.
    ///
    /// # Panics
    ///
    /// As [`put`](QueueBy::put).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::{Full, Queue};
    ///
    /// let queue = Queue::bounded(1);
    /// assert_eq!(queue.put_timeout('a', Duration::from_millis(1)), Ok(()));
    /// let full = queue.put_timeout('b', Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(full.into_inner(), 'b');
    /// ```
    pub fn put_timeout(&self, item: S::Item, timeout: Duration) -> Result<(), Full<S::Item>> {
        let Err(item) = self.handover.try_put(item) else { return Ok(()) };
        self.handover.wait_to_put(item, FOR_ROOM, Some(after(timeout))).map_err(Full)
    }

    // Getting.

    /// Takes the next item; waits while there is none.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback, or in a destructor that runs because of a panic
    /// or a kill.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> S::Item {
        if let Some(item) = self.handover.try_take() {
            return item;
        }
        match self.handover.wait_to_take(FOR_AN_ITEM, None) {
            Some(item) => item,
            None => refuse_unwinding("an item from a queue"),
        }
    }

    /// Takes the next item if there is one. Never waits.
    ///
    /// # Errors
    ///
    /// If there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::{Empty, LifoQueue, PriorityQueue};
    ///
    /// let (last, least) = (LifoQueue::unbounded(), PriorityQueue::unbounded());
    /// for n in [2, 1, 3] {
    ///     last.put(n);
    ///     least.put(n);
    /// }
    /// assert_eq!((last.try_get(), least.try_get()), (Ok(3), Ok(1)));
    /// assert_eq!(LifoQueue::<u8>::bounded(1).try_get(), Err(Empty));
    /// ```
    #[inline]
    pub fn try_get(&self) -> Result<S::Item, Empty> {
        self.handover.try_take().ok_or(Empty)
    }

    /// Takes the next item; waits while there is none, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over; at once in a destructor that runs because of a panic or a kill. What comes in the
    /// same moment is taken.
    ///
    /// # Panics
    ///
    /// In a hub callback, if it would have to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::{Empty, Queue};
    ///
    /// let queue = Queue::<u8>::unbounded();
    /// assert_eq!(queue.get_timeout(Duration::from_millis(1)), Err(Empty));
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Result<S::Item, Empty> {
        if let Some(item) = self.handover.try_take() {
            return Ok(item);
        }
        self.handover.wait_to_take(FOR_AN_ITEM, Some(after(timeout))).ok_or(Empty)
    }

    // What is done.

    /// Says that whoever took an item is done with it. The last one lets those go on who wait in
    /// [`join`](QueueBy::join). Never waits.
    ///
    /// # Errors
    ///
    /// If that was said of every item already: somebody says it twice.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = greenroom::sync::Queue::unbounded();
    /// queue.put(1);
    /// assert_eq!(queue.unfinished(), 1);
    /// queue.get();
    /// assert_eq!(queue.task_done(), Ok(()));
    /// assert!(queue.task_done().is_err());
    /// ```
    pub fn task_done(&self) -> Result<(), TooManyDone> {
        if self.unfinished() == 0 {
            return Err(TooManyDone);
        }
        self.done.set(self.done.get() + 1);
        if self.unfinished() == 0 {
            self.joiners.call_all();
        }
        Ok(())
    }

    /// How many items were put in, or passed on, and are not done.
    pub fn unfinished(&self) -> u64 {
        self.handover.accepted() - self.done.get()
    }

    /// Waits until every item that was put in is done: see [`task_done`](QueueBy::task_done). Items
    /// of those who wait to put do not count.
    ///
    /// Goes on also if somebody puts another item in before it comes to run. In a destructor that
    /// runs because of a panic or a kill it returns at once.
    ///
    /// # Panics
    ///
    /// In a hub callback, if it would have to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use greenroom::{spawn, sync::Queue};
    ///
    /// let (queue, sum) = (Rc::new(Queue::unbounded()), Rc::new(Cell::new(0)));
    /// let (theirs, total) = (Rc::clone(&queue), Rc::clone(&sum));
    /// drop(spawn(move || {
    ///     loop {
    ///         total.set(total.get() + theirs.get());
    ///         theirs.task_done().unwrap();
    ///     }
    /// }));
    /// (1..=4).for_each(|n| queue.put(n));
    /// queue.join();
    /// assert_eq!((sum.get(), queue.unfinished()), (10, 0));
    /// ```
    pub fn join(&self) {
        if self.unfinished() > 0 {
            // An error says that nothing can be waited for, and there is nothing to return.
            let _ = self.joiners.wait(FOR_ALL_DONE, None, || {});
        }
    }

    /// As [`join`](QueueBy::join), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if the time is over and something is not done; at once in a destructor that runs
    /// because of a panic or a kill.
    ///
    /// # Panics
    ///
    /// As [`join`](QueueBy::join).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Elapsed, sync::Queue};
    ///
    /// let queue = Queue::unbounded();
    /// assert_eq!(queue.join_timeout(Duration::from_millis(1)), Ok(()));
    /// queue.put(1);
    /// assert_eq!(queue.join_timeout(Duration::from_millis(1)), Err(Elapsed));
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        if self.unfinished() == 0 {
            return Ok(());
        }
        match self.joiners.wait(FOR_ALL_DONE, Some(after(timeout)), || {}) {
            Ok(greenroom_hub::Wake::Called) => Ok(()),
            _ if self.unfinished() == 0 => Ok(()),
            _ => Err(Elapsed),
        }
    }

    // To look at, and to change.

    /// Items in the queue. Those of threads that wait to put do not count, nor do those that were
    /// given to threads that have not run yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use greenroom::{spawn, sync::Queue, yield_now};
    ///
    /// let queue = Rc::new(Queue::bounded(1));
    /// assert_eq!((queue.len(), queue.is_empty(), queue.capacity()), (0, true, Some(1)));
    /// let theirs = Rc::clone(&queue);
    /// let puts = spawn(move || (0..2).for_each(|n| theirs.put(n)));
    /// yield_now();
    /// assert_eq!((queue.len(), queue.is_full()), (1, true));
    /// assert_eq!((queue.putting(), queue.getting()), (1, 0));
    /// assert_eq!((queue.get(), queue.get()), (0, 1));
    /// puts.join()?;
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    pub fn len(&self) -> usize {
        self.handover.len()
    }

    /// True if no items are in the queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if there is no room in the queue.
    pub fn is_full(&self) -> bool {
        self.len() >= self.handover.capacity()
    }

    /// How many items there is room for; `None`: for any number.
    pub fn capacity(&self) -> Option<usize> {
        Some(self.handover.capacity()).filter(|&capacity| capacity != UNBOUNDED)
    }

    /// Changes how many items there is room for; `None`: for any number. Never waits.
    ///
    /// If that is more, those who wait to put are let in; if it is less, nothing is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = greenroom::sync::Queue::bounded(2);
    /// queue.put('a');
    /// queue.put('b');
    /// queue.resize(Some(1));
    /// assert_eq!((queue.len(), queue.is_full()), (2, true));
    /// queue.resize(None);
    /// assert_eq!((queue.capacity(), queue.is_full()), (None, false));
    /// ```
    pub fn resize(&self, capacity: Option<usize>) {
        self.handover.resize(capacity.unwrap_or(UNBOUNDED));
    }

    /// How many wait to put.
    pub fn putting(&self) -> usize {
        self.handover.putters_waiting()
    }

    /// How many wait to get.
    pub fn getting(&self) -> usize {
        self.handover.takers_waiting()
    }
}

impl<S: Store> fmt::Debug for QueueBy<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueBy")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("unfinished", &self.unfinished())
            .field("putting", &self.putting())
            .field("getting", &self.getting())
            .finish()
    }
}

/// There is no room in the queue for this item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> Full<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("putting into a full queue")
    }
}

impl<T> Error for Full<T> {}

/// There is no item in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Empty;

impl fmt::Display for Empty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("getting from an empty queue")
    }
}

impl Error for Empty {}

/// More items were said to be done than were put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyDone;

impl fmt::Display for TooManyDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task_done was called more often than items were put in")
    }
}

impl Error for TooManyDone {}
