//! So many at a time: a semaphore that is filled up at will.
//!
//! Knows permits and hands them out as guards. What they permit is the users' business.

mod bounded;
mod capped;
mod permits;

use std::{fmt, time::Duration};

use super::refuse_unwinding;
use crate::{Elapsed, thread::park::Unwinding};

pub use bounded::{BoundedSemaphore, TooManyReleased};
pub use capped::CappedSemaphore;
use permits::Permits;

/// A number of permits, for the green threads of one OS thread: whoever wants one that is not there
/// waits until one is released.
///
/// FIFO, however many are wanted: behind somebody who waits for five nobody gets even one, so none
/// who want many are starved by those who want few.
///
/// A permit comes as a guard that gives it back when it is dropped. [`Permit::forget`] keeps it for
/// good, and [`release`](Semaphore::release) adds one, by whomever; together they let one thread
/// acquire and another release.
///
/// *Kill and timeout.* Whoever is thrown out of its wait leaves the queue; permits it was just
/// being handed go to the next, and those it held up by wanting many go on.
///
/// Acquiring costs some nanoseconds if the permit is there; waiting, two switches. Nothing is
/// allocated.
///
/// ```
/// use std::{cell::Cell, rc::Rc, time::Duration};
/// use greenroom::{sleep, spawn, sync::Semaphore};
///
/// let seats = Rc::new(Semaphore::new(2));
/// let (seated, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
/// let guests: Vec<_> = (0..6)
///     .map(|_| {
///         let (seats, seated, most) = (Rc::clone(&seats), Rc::clone(&seated), Rc::clone(&most));
///         spawn(move || {
///             let _seat = seats.acquire();
///             seated.set(seated.get() + 1);
///             most.set(most.get().max(seated.get()));
///             sleep(Duration::from_millis(1));
///             seated.set(seated.get() - 1);
///         })
///     })
///     .collect();
/// for guest in guests {
///     guest.join()?;
/// }
/// assert_eq!(most.get(), 2);
/// # Ok::<(), greenroom::JoinError>(())
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::Semaphore>();
/// ```
pub struct Semaphore {
    permits: Permits,
}

impl Semaphore {
    /// One with so many permits.
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore { permits: Permits::new(&"a permit", permits) }
    }

    /// Waits for a permit.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback, or in a destructor that runs because of a panic
    /// or a kill; [`try_acquire`](Semaphore::try_acquire) works there.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = greenroom::sync::Semaphore::new(2);
    /// let permit = semaphore.acquire();
    /// assert_eq!(semaphore.available(), 1);
    /// drop(permit);
    /// assert_eq!(semaphore.available(), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire(&self) -> Permit<'_> {
        self.permits.acquire(1)
    }

    /// Waits until `count` permits are there at once. None are at once.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Semaphore::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = greenroom::sync::Semaphore::new(5);
    /// let permit = semaphore.acquire_many(3);
    /// assert_eq!((permit.count(), semaphore.available()), (3, 2));
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire_many(&self, count: usize) -> Permit<'_> {
        self.permits.acquire(count)
    }

    /// A permit, if one is there that nobody waits for. Never waits.
    ///
    /// ```
    /// use greenroom::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.try_acquire();
    /// assert!(permit.is_some() && semaphore.try_acquire().is_none());
    /// drop(permit);
    /// assert!(semaphore.try_acquire().is_some());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.permits.try_acquire(1)
    }

    /// So many permits, if they are there and nobody waits. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = greenroom::sync::Semaphore::new(2);
    /// assert!(semaphore.try_acquire_many(3).is_none());
    /// assert_eq!(semaphore.try_acquire_many(2).unwrap().count(), 2);
    /// assert_eq!((semaphore.available(), semaphore.waiting()), (2, 0));
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(0);
    /// assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_err());
    /// ```
    #[inline]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, Elapsed> {
        self.permits.acquire_timeout(1, timeout)
    }

    /// Waits until `count` permits are there at once, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Semaphore::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire_timeout`](Semaphore::acquire_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Elapsed, sync::Semaphore};
    ///
    /// let (semaphore, soon) = (Semaphore::new(2), Duration::from_millis(1));
    /// assert_eq!(semaphore.acquire_many_timeout(2, soon)?.count(), 2);
    /// assert_eq!(semaphore.acquire_many_timeout(3, soon).err(), Some(Elapsed));
    /// # Ok::<(), Elapsed>(())
    /// ```
    #[inline]
    pub fn acquire_many_timeout(
        &self,
        count: usize,
        timeout: Duration,
    ) -> Result<Permit<'_>, Elapsed> {
        self.permits.acquire_timeout(count, timeout)
    }

    /// Adds a permit, which goes to whoever waits longest. Never waits, and may be called anywhere.
    ///
    /// # Panics
    ///
    /// If there were more than [`usize::MAX`].
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.available(), 0);
    /// semaphore.release();
    /// assert_eq!(semaphore.available(), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn release(&self) {
        self.permits.add(1);
    }

    /// Adds so many permits at once.
    ///
    /// # Panics
    ///
    /// As [`release`](Semaphore::release).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = greenroom::sync::Semaphore::new(0);
    /// semaphore.release_many(3);
    /// assert_eq!(semaphore.available(), 3);
    /// ```
    #[inline]
    #[track_caller]
    pub fn release_many(&self, count: usize) {
        self.permits.add(count);
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
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.permits.describe("Semaphore", f).finish()
    }
}

/// Permits that were acquired. Dropping it gives them back, anywhere and without waiting.
#[must_use = "permits are given back as soon as their guard is dropped"]
pub struct Permit<'a> {
    permits: &'a Permits,
    count: usize,
}

impl Permit<'_> {
    /// How many permits it is.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Does not give the permits back: there are fewer until somebody releases some.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = greenroom::sync::Semaphore::new(1);
    /// semaphore.acquire().forget();
    /// assert!(semaphore.try_acquire().is_none());
    /// ```
    pub fn forget(mut self) {
        self.permits.forget(self.count);
        self.count = 0;
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.permits.give_back(self.count);
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Permits as guards.
impl Permits {
    #[inline]
    #[track_caller]
    fn acquire(&self, count: usize) -> Permit<'_> {
        if !self.try_take(count)
            && let Err(Unwinding) = self.wait(count, None)
        {
            refuse_unwinding("a permit");
        }
        Permit { permits: self, count }
    }

    #[inline]
    fn try_acquire(&self, count: usize) -> Option<Permit<'_>> {
        self.try_take(count).then(|| Permit { permits: self, count })
    }

    #[inline]
    fn acquire_timeout(&self, count: usize, timeout: Duration) -> Result<Permit<'_>, Elapsed> {
        self.take_until(count, timeout)?;
        Ok(Permit { permits: self, count })
    }
}
