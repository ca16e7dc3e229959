//! Things that are dear to make, a bounded number of them, lent to one borrower each.
//!
//! Counts who has one and keeps the idle ones. Never looks at the things, and holds no borrow when
//! one is made or dropped.
//!
//! A *place* is the right to have one thing. Places are handed from whoever gives back to whoever
//! waits longest; which thing goes with it is seen when that one runs: an idle one, or else one that
//! is made. Whoever makes one has a place and found none idle, so there are never more things than
//! places.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    convert::Infallible,
    fmt, mem,
    rc::Rc,
    time::Duration,
};

use greenroom_hub::{Instant, Wake};

use crate::{
    hub::local::local,
    pool::{
        builder::{Builder, Order},
        item::{GetError, Item, Place},
    },
    thread::{Blocked, park::Unwinding, wait_queue::WaitQueue},
    time::deadline_after,
};

/// Things that are dear to make, such as connections: made when they are needed, lent to one
/// borrower at a time, and kept for the next.
///
/// While as many are lent as there may be, whoever wants one waits, first come, first served: what
/// is given back goes to whoever waits longest. `E` is what making one fails with.
///
/// Borrowing what lies idle takes it out of a queue; whoever has to wait pays two switches besides.
///
/// A clone is the same pool. What lies idle is dropped with the last of them and the last item.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::pool::Pool<()>>();
/// ```
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, time::Duration};
/// use greenroom::{pool::Pool, scope, sleep};
///
/// let made = Cell::new(0).into();
/// let count = std::rc::Rc::clone(&made);
/// let pool = Pool::new(2, move || {
///     count.set(count.get() + 1);
///     String::from("connection")
/// });
/// scope(|s| {
///     for _ in 0..10 {
///         s.spawn(|| {
///             let Ok(connection) = pool.get() else { unreachable!("strings can be made") };
///             sleep(Duration::from_millis(1));
///             assert_eq!(*connection, "connection");
///         });
///     }
/// });
/// assert_eq!((made.get(), pool.idle()), (2, 2));
/// ```
pub struct Pool<T, E = Infallible> {
    shared: Rc<Shared<T, E>>,
}

pub(super) struct Shared<T, E> {
    create: Create<T, E>,
    order: Order,
    max: Cell<usize>,
    /// Places that somebody has: with a thing, or about to have one.
    taken: Cell<usize>,
    /// Things there are, or that are being made.
    things: Cell<usize>,
    idle: RefCell<VecDeque<T>>,
    waiting: WaitQueue,
}

type Create<T, E> = Box<dyn Fn() -> Result<T, E>>;

impl<T> Pool<T> {
    /// A pool of `max` things at most, which `create` makes when they are needed.
    ///
    /// [`Builder`] has more settings, and takes functions that fail.
    pub fn new(max: usize, create: impl Fn() -> T + 'static) -> Pool<T> {
        Builder::new().max(max).create(create)
    }
}

impl<T, E> Pool<T, E> {
    pub(super) fn build(settings: Builder, create: Create<T, E>) -> Result<Pool<T, E>, E> {
        let Builder { min, max, order } = settings;
        let idle = (0..min).map(|_| create()).collect::<Result<_, _>>()?;
        let shared = Shared {
            create,
            order,
            max: Cell::new(max),
            taken: Cell::new(0),
            things: Cell::new(min),
            idle: RefCell::new(idle),
            waiting: WaitQueue::new(),
        };
        Ok(Pool { shared: Rc::new(shared) })
    }

    /// Borrows a thing: an idle one, or one that is made now, by whoever calls this.
    ///
    /// Waits while as many are lent as there may be, behind those who wait already. Whoever is
    /// killed or out of time meanwhile, or while the thing is made, leaves its place to the next.
    ///
    /// # Errors
    ///
    /// [`GetError::Create`] if it cannot be made; the next in line then tries in its turn.
    /// [`GetError::Unwinding`] in a destructor that runs because of a panic, where nothing waits, if
    /// all are lent.
    ///
    /// # Panics
    ///
    /// With what `create` panics with. In a hub callback, if all are lent.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::Pool;
    ///
    /// let pool = Pool::new(1, String::new);
    /// // What cannot fail to be made is always lent in the end.
    /// let Ok(mut text) = pool.get() else { unreachable!("nobody unwinds") };
    /// text.push_str("used");
    /// drop(text);
    /// assert_eq!(pool.get().as_deref().map(String::as_str), Ok("used"));
    /// ```
    pub fn get(&self) -> Result<Item<T, E>, GetError<E>> {
        self.shared.get(None)
    }

    /// Borrows a thing as [`get`](Pool::get) does, but waits for `timeout` at most.
    ///
    /// The limit is on the wait for one that is given back. If one has to be made, that takes as
    /// long as it takes; [`with_timeout`](crate::with_timeout) limits both.
    ///
    /// # Errors
    ///
    /// As [`get`](Pool::get), and [`GetError::Elapsed`] if all were lent all that time.
    ///
    /// # Panics
    ///
    /// As [`get`](Pool::get).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::pool::{GetError, Pool};
    ///
    /// let pool = Pool::new(1, || ());
    /// let item = pool.get();
    /// let other = pool.get_timeout(Duration::from_millis(1));
    /// assert!(matches!(other, Err(GetError::Elapsed)));
    /// drop(item);
    /// assert!(pool.get_timeout(Duration::from_millis(1)).is_ok());
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Result<Item<T, E>, GetError<E>> {
        let deadline = deadline_after(&local().hub.borrow(), timeout);
        self.shared.get(Some(deadline))
    }

    /// Borrows an idle thing, if there is one that nobody waits for. Never waits and makes none, so
    /// it works in hub callbacks and destructors too.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::{Builder, Pool};
    ///
    /// let pool: Pool<_> = Builder::new().min(1).max(2).create(|| 7);
    /// let item = pool.try_get().unwrap();
    /// assert_eq!((*item, pool.max(), pool.free(), pool.idle(), pool.waiting()), (7, 2, 1, 0, 0));
    /// // There is room for another, but none is made by this.
    /// assert!(pool.try_get().is_none());
    /// drop(item);
    /// assert_eq!((pool.free(), pool.idle()), (2, 1));
    /// ```
    pub fn try_get(&self) -> Option<Item<T, E>> {
        if self.shared.idle.borrow().is_empty() {
            return None;
        }
        let place = self.shared.try_place()?;
        let thing = self.shared.pop_idle()?;
        Some(Item::new(place, thing))
    }

    /// Gives the pool a thing: one that was [detached](Item::detach) from it, or any other.
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// The thing, if there are as many as there may be.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::{Item, Pool};
    ///
    /// let pool = Pool::new(1, || 0);
    /// let Ok(item) = pool.get() else { unreachable!("it is not lent") };
    /// let mut number = Item::detach(item);
    /// number += 1;
    /// assert_eq!(pool.put(number), Ok(()));
    /// assert_eq!(pool.put(7), Err(7));
    /// assert_eq!(pool.try_get().as_deref(), Some(&1));
    /// ```
    pub fn put(&self, thing: T) -> Result<(), T> {
        let things = self.shared.things.get();
        if things >= self.max() {
            return Err(thing);
        }
        self.shared.things.set(things + 1);
        self.shared.idle.borrow_mut().push_back(thing);
        Ok(())
    }

    /// Changes how many there are at most. Never waits.
    ///
    /// If it grows, those who wait longest get the places that are new. If it shrinks, idle ones are
    /// dropped, and of those that are lent the surplus is dropped as it is given back; until then
    /// [`free`](Pool::free) is negative.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::Builder;
    ///
    /// let pool = Builder::new().min(4).max(4).create(|| ());
    /// pool.resize(1);
    /// assert_eq!((pool.max(), pool.idle()), (1, 1));
    /// ```
    pub fn resize(&self, max: usize) {
        let shared = &self.shared;
        shared.max.set(max);
        while shared.taken.get() < max && shared.waiting.call_one() {
            shared.taken.set(shared.taken.get() + 1);
        }
        let mut idle = shared.idle.borrow_mut();
        let surplus = shared.things.get().saturating_sub(max).min(idle.len());
        shared.things.set(shared.things.get() - surplus);
        // Those that have lain there longest.
        let surplus: Vec<T> = idle.drain(..surplus).collect();
        drop(idle);
        drop(surplus);
    }

    /// How many there are at most.
    pub fn max(&self) -> usize {
        self.shared.max.get()
    }

    /// How many could be borrowed without waiting for another borrower. Negative as long as more
    /// are lent than there may be.
    pub fn free(&self) -> isize {
        let max = isize::try_from(self.max()).unwrap_or(isize::MAX);
        max.saturating_sub_unsigned(self.shared.taken.get())
    }

    /// How many are made and not lent.
    pub fn idle(&self) -> usize {
        self.shared.idle.borrow().len()
    }

    /// How many wait for one. Takes as long as there are many.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.len()
    }
}

impl<T, E> Shared<T, E> {
    fn get(self: &Rc<Self>, deadline: Option<Instant>) -> Result<Item<T, E>, GetError<E>> {
        let place = self.place(deadline)?;
        let thing = match self.pop_idle() {
            Some(thing) => thing,
            None => self.make().map_err(GetError::Create)?,
        };
        Ok(Item::new(place, thing))
    }

    fn make(&self) -> Result<T, E> {
        self.things.set(self.things.get() + 1);
        let making = Making(self);
        let thing = (self.create)()?;
        mem::forget(making);
        Ok(thing)
    }

    /// Those who wait find no place free, so a free one can be taken at once.
    fn try_place(self: &Rc<Self>) -> Option<Place<T, E>> {
        let is_free = self.taken.get() < self.max.get();
        is_free.then(|| {
            self.taken.set(self.taken.get() + 1);
            Place::new(self)
        })
    }

    fn place(self: &Rc<Self>, deadline: Option<Instant>) -> Result<Place<T, E>, GetError<E>> {
        if let Some(place) = self.try_place() {
            return Ok(place);
        }
        let blocked = Blocked::Call(&"a thing that a pool has lent");
        match self.waiting.wait(blocked, deadline, || self.release()) {
            Ok(Wake::Called) => Ok(Place::new(self)),
            Ok(Wake::Expired) => Err(GetError::Elapsed),
            Ok(wake) => unreachable!("a place is not announced by {wake:?}"),
            Err(Unwinding) => Err(GetError::Unwinding),
        }
    }

    fn pop_idle(&self) -> Option<T> {
        let mut idle = self.idle.borrow_mut();
        match self.order {
            Order::Queue => idle.pop_front(),
            Order::Stack => idle.pop_back(),
        }
    }

    pub(super) fn release(&self) {
        assert!(self.taken.get() > 0, "a place is given back once");
        if self.taken.get() > self.max.get() || !self.waiting.call_one() {
            self.taken.set(self.taken.get() - 1);
        }
    }

    /// Keeps a thing that comes back for the next, or gives it back, if it is one too many.
    pub(super) fn keep(&self, thing: T) -> Option<T> {
        if self.things.get() > self.max.get() {
            self.one_less();
            return Some(thing);
        }
        self.idle.borrow_mut().push_back(thing);
        None
    }

    pub(super) fn one_less(&self) {
        self.things.set(self.things.get() - 1);
    }
}

/// A thing is being made. If it is not finished, there is none.
struct Making<'a, T, E>(&'a Shared<T, E>);

impl<T, E> Drop for Making<'_, T, E> {
    fn drop(&mut self) {
        self.0.one_less();
    }
}

impl<T, E> Clone for Pool<T, E> {
    fn clone(&self) -> Pool<T, E> {
        Pool { shared: Rc::clone(&self.shared) }
    }
}

impl<T, E> fmt::Debug for Pool<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("max", &self.max())
            .field("free", &self.free())
            .field("idle", &self.idle())
            .field("waiting", &self.waiting())
            .finish()
    }
}
