//! Results in the order in which they were spawned.
//!
//! A queue of join handles over a pool. Nothing is borrowed while somebody waits for the first.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
};

use crate::{
    pool::GreenPool,
    thread::{JoinError, JoinHandle},
};

/// Spawns into a pool, and gives the results in the order of spawning.
///
/// The pile is an iterator, and so is a reference to it: it waits for the first result that nobody
/// has taken, and ends when there is none left. More can be spawned meanwhile and afterwards, by
/// members too. A result is what [`JoinHandle::join`] returns: a panic harms only its own place.
///
/// Whoever is killed or out of time while it waits for a result has not taken it: it is the first for
/// whoever asks next. Costs what spawning into the pool does, and an entry in a queue.
///
/// What has ended is kept until it is taken, so nothing bounds a pile but that it is iterated.
/// Dropping the pile leaves what it has spawned running; panics are printed then.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::pool::GreenPile<()>>();
/// ```
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenroom::{pool::GreenPile, sleep};
///
/// let pile = GreenPile::new(2);
/// for n in [3, 1, 2] {
///     pile.spawn(move || {
///         sleep(Duration::from_millis(n));
///         n
///     });
/// }
/// pile.spawn(|| panic!("no"));
/// assert_eq!(pile.len(), 4);
/// let results: Vec<_> = pile.map(|result| result.ok()).collect();
/// assert_eq!(results, [Some(3), Some(1), Some(2), None]);
/// ```
pub struct GreenPile<T> {
    pool: GreenPool,
    places: RefCell<VecDeque<Place<T>>>,
    spawned: Cell<u64>,
}

struct Place<T> {
    number: u64,
    handle: JoinHandle<T>,
}

impl<T: 'static> GreenPile<T> {
    /// A pile over a pool of its own, of `size`.
    pub fn new(size: usize) -> GreenPile<T> {
        GreenPile::over(&GreenPool::new(size))
    }

    /// A pile over a pool that others use as well. Several piles may be over one pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::{GreenPile, GreenPool};
    ///
    /// let pool = GreenPool::new(2);
    /// let (first, second) = (GreenPile::over(&pool), GreenPile::over(&pool));
    /// first.spawn(|| 1);
    /// second.spawn(|| 2);
    /// assert_eq!((first.pool().running(), first.len(), second.is_empty()), (2, 1, false));
    /// assert_eq!(second.chain(first).map(Result::unwrap).collect::<Vec<_>>(), [2, 1]);
    /// ```
    pub fn over(pool: &GreenPool) -> GreenPile<T> {
        GreenPile { pool: pool.clone(), places: RefCell::default(), spawned: Cell::new(0) }
    }

    /// Starts `f` as [`GreenPool::spawn`] does, which may wait, and keeps its place in the order.
    ///
    /// Its place is taken once it has a slot: of two who wait for one, whoever came first is first.
    /// A spawn that is killed or out of time has none.
    ///
    /// # Panics
    ///
    /// As [`GreenPool::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::GreenPile;
    ///
    /// let pile = GreenPile::new(2);
    /// (0..3).for_each(|n| pile.spawn(move || n * n));
    /// assert_eq!(pile.map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 4]);
    /// ```
    #[track_caller]
    pub fn spawn(&self, f: impl FnOnce() -> T + 'static) {
        let handle = self.pool.spawn(f);
        let number = self.spawned.get();
        self.spawned.set(number + 1);
        self.places.borrow_mut().push_back(Place { number, handle });
    }

    /// Waits for the first result that nobody has taken. Whoever is thrown out of this puts it back.
    ///
    /// In a destructor that runs because of a panic nothing waits: what has not ended is an error
    /// there, and runs on.
    fn take_first(&self) -> Option<Result<T, JoinError>> {
        let place = self.places.borrow_mut().pop_front()?;
        let mut taken = Taken { pile: self, place: Some(place) };
        if let Some(place) = &taken.place {
            // If it cannot wait, joining says so.
            let _ = place.handle.wait_end();
        }
        taken.place.take().map(|place| place.handle.join())
    }
}

impl<T> GreenPile<T> {
    /// How many results are yet to be taken. One that somebody waits for is not among them.
    pub fn len(&self) -> usize {
        self.places.borrow().len()
    }

    /// True if iterating would end at once.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pool it spawns into.
    pub fn pool(&self) -> &GreenPool {
        &self.pool
    }
}

/// Has a place of a pile until its result is there.
struct Taken<'a, T> {
    pile: &'a GreenPile<T>,
    place: Option<Place<T>>,
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let mut places = self.pile.places.borrow_mut();
            let at = places.partition_point(|other| other.number < place.number);
            places.insert(at, place);
        }
    }
}

impl<T: 'static> Iterator for GreenPile<T> {
    type Item = Result<T, JoinError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take_first()
    }
}

impl<T: 'static> Iterator for &GreenPile<T> {
    type Item = Result<T, JoinError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take_first()
    }
}

impl<T> fmt::Debug for GreenPile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreenPile").field("len", &self.len()).field("pool", &self.pool).finish()
    }
}
