//! A semaphore that finds out if more is released than was acquired.
//!
//! Knows its bound. How permits are handed out it leaves to `permits`.

use std::{error, fmt, time::Duration};

use super::{Permit, Permits};
use crate::Elapsed;

/// A [`Semaphore`](super::Semaphore) that never has more permits than at the beginning: releasing
/// one that nobody took for good is an error.
///
/// In all else as `Semaphore`: FIFO, cost, kill and timeout.
///
/// ```
/// use greenroom::sync::BoundedSemaphore;
///
/// let semaphore = BoundedSemaphore::new(1);
/// semaphore.acquire().forget();
/// assert!(semaphore.release().is_ok());
/// assert!(semaphore.release().is_err());
///
/// // Its guard gives this one back.
/// let permit = semaphore.acquire();
/// assert!(semaphore.release().is_err());
/// # drop(permit);
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::BoundedSemaphore>();
/// ```
pub struct BoundedSemaphore {
    permits: Permits,
    bound: usize,
}

impl BoundedSemaphore {
    /// One with so many permits, and never more.
    pub const fn new(permits: usize) -> BoundedSemaphore {
        BoundedSemaphore { permits: Permits::new(&"a permit", permits), bound: permits }
    }

    /// Waits for a permit: [`Semaphore::acquire`](super::Semaphore::acquire).
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback, or in a destructor that runs because of a panic
    /// or a kill. If the bound is zero.
    #[inline]
    #[track_caller]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1)
    }

    /// Waits until `count` permits are there at once.
    ///
    /// # Panics
    ///
    /// As [`acquire`](BoundedSemaphore::acquire), and if `count` is above the bound.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::BoundedSemaphore;
    ///
    /// let semaphore = BoundedSemaphore::new(3);
    /// let two = semaphore.acquire_many(2);
    /// assert_eq!((two.count(), semaphore.available(), semaphore.waiting()), (2, 1, 0));
    /// assert!(semaphore.try_acquire_many(2).is_none());
    /// let one = semaphore.try_acquire().unwrap();
    /// drop((one, two));
    /// assert_eq!(semaphore.available(), 3);
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire_many(&self, count: usize) -> Permit<'_> {
        self.assert_possible(count);
        self.permits.acquire(count)
    }

    /// A permit, if one is there that nobody waits for. Never waits.
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.permits.try_acquire(1)
    }

    /// So many permits, if they are there and nobody waits. Never waits.
    #[inline]
    pub fn try_acquire_many(&self, count: usize) -> Option<Permit<'_>> {
        self.permits.try_acquire(count)
    }

    /// Waits for a permit, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if none was to be had in time: at once in a destructor that runs because of a
    /// panic or a kill.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback.
    #[inline]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, Elapsed> {
        self.permits.acquire_timeout(1, timeout)
    }

    /// Waits until `count` permits are there at once, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](BoundedSemaphore::acquire_timeout).
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback, or if `count` is above the bound.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::BoundedSemaphore;
    ///
    /// let (semaphore, soon) = (BoundedSemaphore::new(2), Duration::from_millis(1));
    /// let one = semaphore.acquire_timeout(soon)?;
    /// assert!(semaphore.acquire_many_timeout(2, soon).is_err());
    /// drop(one);
    /// assert!(semaphore.acquire_many_timeout(2, soon).is_ok());
    /// # Ok::<(), greenroom::Elapsed>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire_many_timeout(
        &self,
        count: usize,
        timeout: Duration,
    ) -> Result<Permit<'_>, Elapsed> {
        self.assert_possible(count);
        self.permits.acquire_timeout(count, timeout)
    }

    /// Gives back a permit that was [forgotten](Permit::forget). Never waits, and may be called
    /// anywhere.
    ///
    /// # Errors
    ///
    /// If none was: all permits are there, or are guards that will give them back.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = greenroom::sync::BoundedSemaphore::new(1);
    /// assert!(semaphore.release().is_err());
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.release(), Ok(()));
    /// ```
    #[inline]
    pub fn release(&self) -> Result<(), TooManyReleased> {
        self.release_many(1)
    }

    /// Gives back so many permits that were forgotten: all of them or, if it is an error, none.
    ///
    /// # Errors
    ///
    /// If not so many were forgotten.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = greenroom::sync::BoundedSemaphore::new(3);
    /// semaphore.acquire_many(2).forget();
    /// assert!(semaphore.release_many(3).is_err());
    /// assert_eq!(semaphore.release_many(2), Ok(()));
    /// assert_eq!(semaphore.available(), 3);
    /// ```
    pub fn release_many(&self, count: usize) -> Result<(), TooManyReleased> {
        let forgotten = self.bound - self.permits.available() - self.permits.lent();
        if count > forgotten {
            return Err(TooManyReleased { count, forgotten });
        }
        self.permits.add(count);
        Ok(())
    }

    /// How many permits are there. They may all be too few for whoever waits longest.
    #[inline]
    pub fn available(&self) -> usize {
        self.permits.available()
    }

    /// How many threads wait. Costs a look at each of them.
    pub fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    #[inline]
    #[track_caller]
    fn assert_possible(&self, count: usize) {
        assert!(
            count <= self.bound,
            "{count} permits are never there at once: this semaphore has {} at most",
            self.bound
        );
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.permits.describe("BoundedSemaphore", f).field("bound", &self.bound).finish()
    }
}

/// More permits were to be released than had been taken for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyReleased {
    count: usize,
    forgotten: usize,
}

impl fmt::Display for TooManyReleased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "releasing {} permits of which only {} are out would exceed the semaphore's bound; \
             release only what was acquired and forgotten",
            self.count, self.forgotten
        )
    }
}

impl error::Error for TooManyReleased {}
