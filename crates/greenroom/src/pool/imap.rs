//! An iterator whose items are made by the members of a pool.
//!
//! Keeps the handles of those it has started, in order. Knows no slots but by asking the pool.

use std::{
    collections::VecDeque,
    fmt,
    iter::{Fuse, FusedIterator},
    panic::resume_unwind,
    rc::Rc,
    thread::panicking,
};

use crate::{
    pool::{GreenPool, green_pool},
    thread::{JoinError, JoinHandle},
};

/// Results in the order of the items, made as they are asked for. Made by [`GreenPool::imap`] and
/// [`GreenPool::starmap`].
///
/// Asking for the next result starts as many members as there are slots and items, then waits for
/// the one whose turn it is. Whoever is killed or out of time in that wait loses nothing: the next
/// call waits for the same result. Only a *member of the pool* that asks while it is full, and so lends
/// its slot to the item's thread, has that killed when it is thrown out; the next call says so. In a
/// destructor that runs because of a panic it gives results that are there already, and `None`
/// otherwise.
///
/// Dropping it early kills the members that are still at it, since nobody will want their results:
/// they unwind at their next wait, and their slots are free again then. Under `panic = "abort"`,
/// where nothing can be unwound, those that have started run to their end instead.
///
/// # Examples
///
/// A panic is met where its item would be:
///
/// ```
/// use std::panic::{AssertUnwindSafe, catch_unwind};
/// use greenroom::pool::GreenPool;
///
/// let pool = GreenPool::new(2);
/// let mut results = pool.imap(["1", "two", "3"], |text| text.parse::<u32>().unwrap());
/// assert_eq!(results.next(), Some(1));
/// assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
/// assert_eq!(results.next(), Some(3));
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>(_: T) {}
/// is_send(greenroom::pool::GreenPool::new(1).imap(0..3, |n| n));
/// ```
///
/// # Panics
///
/// [`next`](Iterator::next) panics with what the function panicked with, at that item's place. What
/// comes after it can still be asked for. If an item's thread was killed, it panics saying so.
#[must_use = "an iterator does nothing until it is asked for an item"]
pub struct IMap<I: Iterator, F, T> {
    pool: GreenPool,
    items: Fuse<I>,
    /// Was taken from `items` for a slot that somebody else then had.
    item: Option<I::Item>,
    f: Rc<F>,
    /// No more than the pool's size.
    results: VecDeque<JoinHandle<T>>,
}

impl<I, F, T> IMap<I, F, T>
where
    I: Iterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    pub(super) fn new(pool: GreenPool, items: I, f: F) -> IMap<I, F, T> {
        IMap { pool, items: items.fuse(), item: None, f: Rc::new(f), results: VecDeque::new() }
    }

    /// Starts as many as there are slots for, and one in any case: else there would be nobody to
    /// wait for.
    #[track_caller]
    fn start(&mut self) {
        loop {
            let must = self.results.is_empty();
            let may = self.results.len() < self.pool.size() && self.pool.free() > 0;
            if !must && !may {
                return;
            }
            // This may wait and see others take the slots.
            self.item = self.item.take().or_else(|| self.items.next());
            if self.item.is_none() {
                return;
            }
            let slots = self.pool.slots();
            let slot = match slots.try_take() {
                Some(slot) => slot,
                None if !must => return,
                None if slots.are_of_current() => return self.start_lent(),
                // The item stays where it is: whoever is thrown out of this wait has lost none.
                None => slots.take(None).expect("there is no deadline"),
            };
            let member = self.member();
            self.results.push_back(green_pool::start(slot, member));
        }
    }

    /// The pool is full, and its member asks, who lends its slot as with [`GreenPool::spawn`]. The handle is in
    /// its place before the wait: whoever is thrown out of that is told of the kill later, and misses no item.
    #[cold]
    #[track_caller]
    fn start_lent(&mut self) {
        let member = self.member();
        let slot = self.pool.slots().lend();
        self.results.push_back(green_pool::start(slot, member));
        self.pool.wait_lent(self.results.back().expect("it has just been put there"));
    }

    fn member(&mut self) -> impl FnOnce() -> T + use<I, F, T> + 'static {
        let item = self.item.take().expect("an item was taken for this member");
        let f = Rc::clone(&self.f);
        move || f(item)
    }

    /// What is there without a wait. A panic would end the process here.
    #[cold]
    fn next_in_destructor(&mut self) -> Option<T> {
        let handle = self.results.pop_front_if(|handle| handle.is_finished())?;
        handle.join().ok()
    }
}

impl<I, F, T> Iterator for IMap<I, F, T>
where
    I: Iterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        if panicking() {
            return self.next_in_destructor();
        }
        self.start();
        let waited = self.results.front()?.wait_end();
        debug_assert!(waited.is_ok(), "only whoever unwinds from a panic cannot wait");
        match self.results.pop_front()?.join().map_err(JoinError::into_panic) {
            Ok(value) => Some(value),
            Err(Ok(payload)) => resume_unwind(payload),
            Err(Err(error)) => panic!("an item has no result: {error}"),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = self.results.len() + usize::from(self.item.is_some());
        let (min, max) = self.items.size_hint();
        (min.saturating_add(here), max.and_then(|max| max.checked_add(here)))
    }
}

impl<I, F, T> FusedIterator for IMap<I, F, T>
where
    I: Iterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
}

impl<I: Iterator, F, T> Drop for IMap<I, F, T> {
    fn drop(&mut self) {
        for handle in &self.results {
            if cfg!(panic = "abort") {
                handle.cancel();
            } else {
                handle.kill();
            }
        }
    }
}

impl<I: Iterator, F, T> fmt::Debug for IMap<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IMap")
            .field("pool", &self.pool)
            .field("results", &self.results.len())
            .finish_non_exhaustive()
    }
}
