//! So many at a time, among the threads of all hubs.
//!
//! Lends permits as guards and waits for them. Whose turn it is `permits` knows.

use std::{fmt, time::Duration};

use greenroom_hub::Instant;

use super::{
    guarded::Guarded,
    hub_wait::{HubBell, wait},
    lock::Mutex,
    permits::{Permits, Wanted},
};
use crate::{
    Elapsed,
    sync::{after, refuse_unwinding},
};

/// A number of permits, for green threads of any hub and for plain OS threads: whoever wants one
/// that is not there waits until one is released. The twin of
/// [`sync::Semaphore`](crate::sync::Semaphore), with the same methods.
///
/// FIFO across hubs, however many are wanted: behind somebody who waits for five nobody gets even
/// one.
///
/// A permit comes as a guard that gives it back when it is dropped, on whatever OS thread.
/// [`Permit::forget`] keeps it for good, and [`release`](Semaphore::release) adds one, by whomever.
///
/// *Kill and timeout.* Whoever is thrown out of its wait leaves the queue; permits it was just
/// being handed go to the next, and those it held up by wanting many go on.
///
/// Acquiring costs a lock if the permit is there; waiting and waking are told of [here](super).
///
/// ```
/// use std::{sync::atomic::{AtomicUsize, Ordering}, time::Duration};
/// use greenroom::{hubs, sleep, sync::shared::Semaphore};
///
/// static SEATS: Semaphore = Semaphore::new(2);
/// static SEATED: AtomicUsize = AtomicUsize::new(0);
/// let most = hubs::run(4, |_| {
///     let _seat = SEATS.acquire();
///     let seated = SEATED.fetch_add(1, Ordering::Relaxed) + 1;
///     sleep(Duration::from_millis(1));
///     SEATED.fetch_sub(1, Ordering::Relaxed);
///     seated
/// });
/// assert!(most.into_iter().all(|seated| seated <= 2));
/// ```
pub struct Semaphore {
    guarded: Guarded<Permits<HubBell>>,
}

impl Semaphore {
    /// One with so many permits.
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore { guarded: Guarded { lock: Mutex::new(Permits::new(permits)) } }
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
    /// use greenroom::sync::shared::Semaphore;
    ///
    /// let semaphore = Semaphore::new(2);
    /// let permit = semaphore.acquire();
    /// assert_eq!((permit.count(), semaphore.available(), semaphore.waiting()), (1, 1, 0));
    /// drop(permit);
    /// assert_eq!(semaphore.available(), 2);
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.available(), 1);
    /// ```
    #[track_caller]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1)
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
    /// let semaphore = greenroom::sync::shared::Semaphore::new(5);
    /// let permits = semaphore.acquire_many(3);
    /// assert_eq!((permits.count(), semaphore.available()), (3, 2));
    /// ```
    #[track_caller]
    pub fn acquire_many(&self, count: usize) -> Permit<'_> {
        let permit = self.try_acquire_many(count).or_else(|| match self.wait(count, None) {
            Ok(permit) => permit,
            Err(_) => refuse_unwinding("a permit"),
        });
        permit.expect("only a call ends a wait without a deadline")
    }

    /// A permit, if one is there that nobody waits for. Never waits, and works anywhere.
    ///
    /// ```
    /// use greenroom::sync::shared::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.try_acquire();
    /// assert!(permit.is_some() && semaphore.try_acquire().is_none());
    /// drop(permit);
    /// assert!(semaphore.try_acquire().is_some());
    /// ```
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_acquire_many(1)
    }

    /// So many permits, if they are there and nobody waits. Never waits, and works anywhere.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = greenroom::sync::shared::Semaphore::new(2);
    /// assert!(semaphore.try_acquire_many(3).is_none());
    /// assert_eq!(semaphore.try_acquire_many(2).unwrap().count(), 2);
    /// assert_eq!((semaphore.available(), semaphore.waiting()), (2, 0));
    /// ```
    pub fn try_acquire_many(&self, count: usize) -> Option<Permit<'_>> {
        let is_lent = self.guarded.change(|permits, _| permits.try_take(count));
        is_lent.then(|| Permit { semaphore: self, count })
    }

    /// Waits for a permit, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if none was to be had in time: at once in a destructor that runs because of a
    /// panic or a kill. What is released in the same moment is had.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::shared::Semaphore;
    ///
    /// let semaphore = Semaphore::new(0);
    /// assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_err());
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, Elapsed> {
        self.acquire_many_timeout(1, timeout)
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
    /// use greenroom::{Elapsed, sync::shared::Semaphore};
    ///
    /// let (semaphore, soon) = (Semaphore::new(2), Duration::from_millis(1));
    /// assert_eq!(semaphore.acquire_many_timeout(2, soon)?.count(), 2);
    /// assert_eq!(semaphore.acquire_many_timeout(3, soon).err(), Some(Elapsed));
    /// # Ok::<(), Elapsed>(())
    /// ```
    pub fn acquire_many_timeout(
        &self,
        count: usize,
        timeout: Duration,
    ) -> Result<Permit<'_>, Elapsed> {
        let permit = self.try_acquire_many(count);
        permit.or_else(|| self.wait(count, Some(after(timeout))).ok().flatten()).ok_or(Elapsed)
    }

    /// Adds a permit, which goes to whoever waits longest. Never waits, and works anywhere.
    ///
    /// # Panics
    ///
    /// If there were more than [`usize::MAX`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, thread};
    /// use greenroom::sync::shared::Semaphore;
    ///
    /// let done = Arc::new(Semaphore::new(0));
    /// let theirs = Arc::clone(&done);
    /// let worker = thread::spawn(move || theirs.release());
    /// done.acquire().forget();
    /// assert_eq!(done.available(), 0);
    /// # worker.join().unwrap();
    /// ```
    #[track_caller]
    pub fn release(&self) {
        self.release_many(1);
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
    /// let semaphore = greenroom::sync::shared::Semaphore::new(0);
    /// semaphore.release_many(3);
    /// assert_eq!(semaphore.available(), 3);
    /// ```
    #[track_caller]
    pub fn release_many(&self, count: usize) {
        let fits = self.guarded.change(|permits, calls| permits.add(count, calls));
        assert!(fits, "{count} permits more cannot be counted: {self:?}");
    }

    /// How many permits are there. They may all be too few for whoever waits longest.
    pub fn available(&self) -> usize {
        self.guarded.look(Permits::available)
    }

    /// How many threads wait.
    pub fn waiting(&self) -> usize {
        self.guarded.look(Permits::waiting)
    }

    /// `None` if the deadline has passed; an error if nothing waits here.
    fn wait(&self, count: usize, deadline: Option<Instant>) -> Result<Option<Permit<'_>>, Wanted> {
        let is_lent = wait(&self.guarded, Wanted(count), &"a permit", deadline)?;
        Ok(is_lent.then(|| Permit { semaphore: self, count }))
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (available, waiting) =
            self.guarded.look(|permits| (permits.available(), permits.waiting()));
        f.debug_struct("Semaphore")
            .field("available", &available)
            .field("waiting", &waiting)
            .finish()
    }
}

/// Permits that were acquired. Dropping it gives them back, on any OS thread and without waiting.
#[must_use = "permits are given back as soon as their guard is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl Permit<'_> {
    /// How many permits it is.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Does not give the permits back: there are fewer until somebody releases some.
    pub fn forget(mut self) {
        self.semaphore.guarded.change(|permits, _| permits.forget(self.count));
        self.count = 0;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.guarded.change(|permits, calls| permits.give_back(self.count, calls));
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count).finish_non_exhaustive()
    }
}
