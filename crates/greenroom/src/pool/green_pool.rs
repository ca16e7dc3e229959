//! Green threads, a bounded number at once.
//!
//! Starts threads once there is a slot for them; who gets one and when, `slots` knows. Never looks
//! at what they return.

use std::{error, fmt, rc::Rc, thread::panicking, time::Duration};

use crate::{
    hub::local::local,
    pool::{
        Apply, IMap,
        slots::{Slot, Slots},
    },
    thread::{Builder, JoinHandle, ThreadId},
    time::deadline_after,
};

/// Runs functions on green threads, of which no more than `size` are at it at once.
///
/// The threads that run in a pool are its *members*. Each has a *slot*, which it gives back when its
/// function returns, panics or is unwound. Whoever wants to spawn while no slot is free waits, first
/// come, first served: a slot that is given back is handed to whoever waits longest.
///
/// A clone is the same pool. Dropping all of them leaves the members running.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::pool::GreenPool>();
/// ```
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc, time::Duration};
/// use greenroom::{pool::GreenPool, sleep};
///
/// let pool = GreenPool::new(3);
/// let done = Rc::new(Cell::new(0));
/// for _ in 0..10 {
///     let done = Rc::clone(&done);
///     // Waits as soon as three are running.
///     pool.spawn_detached(move || {
///         sleep(Duration::from_millis(1));
///         done.set(done.get() + 1);
///     });
///     assert!(pool.running() <= 3);
/// }
/// pool.waitall();
/// assert_eq!(done.get(), 10);
/// ```
#[derive(Clone)]
pub struct GreenPool {
    slots: Rc<Slots>,
}

impl GreenPool {
    /// The size of a pool that nobody gave one.
    pub const SIZE_DEFAULT: usize = 1000;

    /// A pool for `size` members at once. In one of size zero everyone waits until it is
    /// [`resize`](GreenPool::resize)d.
    ///
    /// Costs an allocation. Members cost memory only once they are there.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{pool::GreenPool, spawn, yield_now};
    ///
    /// let pool = GreenPool::new(1);
    /// pool.spawn_detached(yield_now);
    /// let other = pool.clone();
    /// let waits = spawn(move || other.spawn_detached(|| ()));
    /// yield_now();
    /// assert_eq!((pool.size(), pool.running(), pool.free(), pool.waiting()), (1, 1, 0, 1));
    /// waits.join()?;
    /// pool.waitall();
    /// assert_eq!((pool.running(), pool.free(), pool.waiting()), (0, 1, 0));
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    pub fn new(size: usize) -> GreenPool {
        GreenPool { slots: Rc::new(Slots::new(size)) }
    }

    /// Starts `f` on a green thread of its own, as soon as there is a slot.
    ///
    /// Waits for one if none is free, behind those who wait already. Whoever is killed or out of
    /// time meanwhile has spawned nothing, and `f` is dropped unrun.
    ///
    /// *A member* that spawns while the pool is full would wait for itself. Instead it lends the
    /// child its own slot: the child starts, and this returns when it has ended, with a handle that
    /// joins at once. A panic is what joining returns, as always. If the member is thrown out of that
    /// wait, the child is killed too. Only the member itself lends: a thread that it has spawned
    /// elsewhere waits as everybody does.
    ///
    /// *In a destructor that runs because of a panic* nothing waits: if the pool is full, it has one
    /// member more than it should until one ends.
    ///
    /// Costs what [`spawn`](crate::spawn) does and an entry in a hash table.
    ///
    /// # Panics
    ///
    /// If there is no memory or address space for another stack. In a hub callback, if the pool is
    /// full: [`try_spawn`](GreenPool::try_spawn) works there.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::GreenPool;
    ///
    /// fn sum(pool: &GreenPool, from: u64, to: u64) -> u64 {
    ///     if to - from < 10 {
    ///         return (from..to).sum();
    ///     }
    ///     let (middle, half) = ((from + to) / 2, pool.clone());
    ///     let left = pool.spawn(move || sum(&half, from, middle));
    ///     sum(pool, middle, to) + left.join().unwrap()
    /// }
    ///
    /// // However deep it goes, two are enough.
    /// assert_eq!(sum(&GreenPool::new(2), 0, 1000), 499_500);
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        match self.slots.try_take() {
            Some(slot) => start(slot, f),
            None if !panicking() && self.slots.are_of_current() => self.lend(f),
            None => start(self.slots.take(None).expect("there is no deadline"), f),
        }
    }

    /// Starts `f` as [`spawn`](GreenPool::spawn) does, and lets go of it: nobody will join it. If it
    /// panics, that is printed.
    ///
    /// # Panics
    ///
    /// As [`spawn`](GreenPool::spawn).
    #[track_caller]
    pub fn spawn_detached<F, T>(&self, f: F)
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        drop(self.spawn(f));
    }

    /// Starts `f` if there is a slot for it now. Never waits, so it works in hub callbacks and
    /// destructors too.
    ///
    /// # Errors
    ///
    /// [`Full`], with `f`, if no slot is free.
    ///
    /// # Panics
    ///
    /// If there is no memory or address space for another stack.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::GreenPool;
    ///
    /// let pool = GreenPool::new(1);
    /// let first = pool.try_spawn(|| 1)?;
    /// let second = pool.try_spawn(|| 2).unwrap_err().into_inner();
    /// first.join().unwrap();
    /// assert_eq!(pool.try_spawn(second)?.join().unwrap(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<JoinHandle<T>, Full<F>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        match self.slots.try_take() {
            Some(slot) => Ok(start(slot, f)),
            None => Err(Full(f)),
        }
    }

    /// Starts `f` as soon as there is a slot, but waits for `timeout` at most. Zero does not wait
    /// longer than until the others had their turn.
    ///
    /// A member waits here as everybody does: it lends nothing. In a destructor that runs because of a
    /// panic nothing waits, and a full pool has one member more, as with [`spawn`](GreenPool::spawn).
    ///
    /// # Errors
    ///
    /// [`Full`], with `f`, if no slot was free all that time.
    ///
    /// # Panics
    ///
    /// As [`spawn`](GreenPool::spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{pool::GreenPool, sleep};
    ///
    /// let pool = GreenPool::new(1);
    /// pool.spawn_detached(|| sleep(Duration::from_millis(20)));
    /// assert!(pool.spawn_timeout(Duration::from_millis(1), || ()).is_err());
    /// assert!(pool.spawn_timeout(Duration::from_secs(60), || ()).is_ok());
    /// ```
    #[track_caller]
    pub fn spawn_timeout<F, T>(&self, timeout: Duration, f: F) -> Result<JoinHandle<T>, Full<F>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let deadline = deadline_after(&local().hub.borrow(), timeout);
        match self.slots.take(Some(deadline)) {
            Some(slot) => Ok(start(slot, f)),
            None => Err(Full(f)),
        }
    }

    /// Calls `f` for each item of `items`, as many at once as the pool has slots, and gives the
    /// results in the order of the items.
    ///
    /// Lazy: nothing happens before the first result is asked for, and items are taken only as slots
    /// are free for them. No more results are under way or kept than the pool's size, so `items` may
    /// be endless. `items` is asked by whoever asks for a result.
    ///
    /// Costs a green thread for each item, as [`spawn`](GreenPool::spawn) does. What a panic, a kill or
    /// the end of one's time does to the results, [`IMap`] tells. For a function of several arguments
    /// there is [`starmap`](GreenPool::starmap).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::GreenPool;
    ///
    /// let pool = GreenPool::new(4);
    /// let squares: Vec<_> = pool.imap(1.., |n| n * n).take(5).collect();
    /// assert_eq!(squares, [1, 4, 9, 16, 25]);
    /// ```
    #[doc(alias = "map")]
    pub fn imap<I, F, T>(&self, items: I, f: F) -> IMap<I::IntoIter, F, T>
    where
        I: IntoIterator<Item: 'static>,
        F: Fn(I::Item) -> T + 'static,
        T: 'static,
    {
        IMap::new(self.clone(), items.into_iter(), f)
    }

    /// Calls `f` for each tuple of `items` with what is in it for arguments, one to six of them.
    ///
    /// Everything else is as with [`imap`](GreenPool::imap): it is lazy, the results are in order,
    /// and no more of them are under way than the pool's size.
    ///
    /// Where a closure calls a method of an argument, that argument's type must be written down, as
    /// below: it is not inferred from the items, as it is with `imap` and a closure that takes the tuple
    /// apart.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::GreenPool;
    ///
    /// let pool = GreenPool::new(2);
    /// let powers: Vec<_> = pool.starmap([(2, 3), (4, 5)], u32::pow).collect();
    /// assert_eq!(powers, [8, 1024]);
    ///
    /// let lines = pool.starmap([("ab", 2), ("-", 3)], |text: &str, n| text.repeat(n));
    /// assert_eq!(lines.collect::<Vec<_>>(), ["abab", "---"]);
    ///
    /// let mut lengths = pool.imap([("a", "bc")], |(left, right)| left.len() + right.len());
    /// assert_eq!(lengths.next(), Some(3));
    /// ```
    pub fn starmap<I, F>(
        &self,
        items: I,
        f: F,
    ) -> IMap<I::IntoIter, impl Fn(I::Item) -> F::Output + 'static + use<I, F>, F::Output>
    where
        I: IntoIterator<Item: 'static>,
        F: Apply<I::Item, Output: 'static> + 'static,
    {
        self.imap(items, move |arguments| f.apply(arguments))
    }

    /// Waits until nothing runs in the pool. Returns at once if nothing does.
    ///
    /// What is spawned while this waits is waited for as well. Panics of members are no concern of
    /// this; [`GreenPile`](crate::pool::GreenPile) has them. In a destructor that runs because of a
    /// panic nothing waits: there it returns at once.
    ///
    /// Costs a wake-up for each time the pool is empty. Several may wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::GreenPool;
    ///
    /// let pool = GreenPool::new(2);
    /// (0..5).for_each(|n| pool.spawn_detached(move || println!("{n}")));
    /// pool.waitall();
    /// assert_eq!(pool.running(), 0);
    /// ```
    ///
    /// # Panics
    ///
    /// If a member of the pool calls it, which would wait for its own end. In a hub callback, if
    /// something runs.
    #[track_caller]
    pub fn waitall(&self) {
        assert!(
            !self.slots.are_of_current(),
            "a member of a pool cannot wait for all members to end: it would wait for its own end; \
             keep the handles of those it spawned and join them"
        );
        self.slots.wait_empty();
    }

    /// Changes how many may run at once. Never waits.
    ///
    /// If it grows, those who wait longest get the slots that are new. If it shrinks, nobody is
    /// interrupted: until enough have ended, [`free`](GreenPool::free) is negative.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::GreenPool;
    ///
    /// let pool = GreenPool::new(2);
    /// let members = [pool.spawn(|| 1), pool.spawn(|| 2)];
    /// pool.resize(1);
    /// assert_eq!(pool.free(), -1);
    /// assert_eq!(members.map(|member| member.join().unwrap()), [1, 2]);
    /// assert_eq!(pool.free(), 1);
    /// ```
    pub fn resize(&self, size: usize) {
        self.slots.resize(size);
    }

    /// How many may run at once.
    pub fn size(&self) -> usize {
        self.slots.size()
    }

    /// How many slots are taken: by members, and by those who have waited for one and are about to
    /// start something.
    pub fn running(&self) -> usize {
        self.slots.taken()
    }

    /// How many more could start now. Negative as long as more run than the size allows.
    pub fn free(&self) -> isize {
        isize::try_from(self.size()).unwrap_or(isize::MAX).saturating_sub_unsigned(self.running())
    }

    /// How many wait for a slot. Takes as long as there are many.
    pub fn waiting(&self) -> usize {
        self.slots.waiting()
    }

    pub(super) fn slots(&self) -> &Rc<Slots> {
        &self.slots
    }

    #[track_caller]
    fn lend<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let handle = start(self.slots.lend(), f);
        self.wait_lent(&handle);
        handle
    }

    /// Waits for the end of a child that has this member's slot.
    pub(super) fn wait_lent<T>(&self, handle: &JoinHandle<T>) {
        let lent = Lent { pool: self, handle };
        let waited = lent.handle.wait_end();
        debug_assert!(waited.is_ok(), "whoever unwinds from a panic lends nothing");
    }
}

/// A slot lent to a child, until the child's end or that of the wait for it.
struct Lent<'a, T> {
    pool: &'a GreenPool,
    handle: &'a JoinHandle<T>,
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if self.pool.slots.part(ThreadId(self.handle.fiber().id())) {
            self.handle.kill();
        }
    }
}

#[track_caller]
pub(super) fn start<F, T>(slot: Slot, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let member = move |slot: Slot| {
        let _slot = slot;
        f()
    };
    match slot.spawn(Builder::new(), member) {
        Ok(handle) => handle,
        Err(error) => panic!("failed to spawn a green thread: {error}"),
    }
}

impl Default for GreenPool {
    /// A pool of [`SIZE_DEFAULT`](GreenPool::SIZE_DEFAULT).
    fn default() -> GreenPool {
        GreenPool::new(GreenPool::SIZE_DEFAULT)
    }
}

impl fmt::Debug for GreenPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreenPool")
            .field("size", &self.size())
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .finish()
    }
}

/// The pool had no free slot, so the function was not started. Here it is back.
pub struct Full<F>(F);

impl<F> Full<F> {
    /// The function that was not started.
    pub fn into_inner(self) -> F {
        self.0
    }
}

impl<F> fmt::Debug for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Full").finish_non_exhaustive()
    }
}

impl<F> fmt::Display for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no slot of the pool is free; wait for one, or make the pool larger")
    }
}

impl<F> error::Error for Full<F> {}
