//! A semaphore that is full at some point: who releases then waits.
//!
//! Knows two numbers of permits, those that are there and those there is room for. Each that is
//! taken from the one is added to the other, and nobody can run in between.

use std::{cell::Cell, fmt, time::Duration};

use super::{Permits, refuse_unwinding};
use crate::{Elapsed, thread::park::Unwinding};

/// Permits that some produce and others use up, at most so many at a time: whoever acquires waits
/// while there is none, and whoever releases waits while there is no room.
///
/// There are no guards: what is acquired is used up. FIFO on both sides.
///
/// *Kill and timeout.* Whoever is thrown out of its wait leaves the queue, on either side, and
/// nothing is lost: what it was just being handed goes to the next.
///
/// Costs some nanoseconds, or two switches for who waits; nothing is allocated.
///
/// ```
/// use std::rc::Rc;
/// use greenroom::{spawn, sync::CappedSemaphore};
///
/// let stock = Rc::new(CappedSemaphore::new(0, 2));
/// let theirs = Rc::clone(&stock);
/// let producer = spawn(move || (0..5).for_each(|_| theirs.release()));
/// greenroom::yield_now();
/// assert_eq!(stock.available(), 2);
/// for _ in 0..5 {
///     stock.acquire();
/// }
/// producer.join()?;
/// assert_eq!(stock.available(), 0);
/// # Ok::<(), greenroom::JoinError>(())
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::CappedSemaphore>();
/// ```
pub struct CappedSemaphore {
    permits: Permits,
    room: Permits,
    limit: usize,
    /// Permits that were added without room.
    excess: Cell<usize>,
}

impl CappedSemaphore {
    /// One with so many permits, and room for `limit` of them.
    ///
    /// # Panics
    ///
    /// If `limit` is zero or there are more permits.
    #[track_caller]
    pub const fn new(permits: usize, limit: usize) -> CappedSemaphore {
        assert!(limit > 0, "a capped semaphore has room for a permit at least");
        assert!(permits <= limit, "there are no more permits than there is room for");
        let room = Permits::new(&"room for a permit", limit - permits);
        let permits = Permits::new(&"a permit", permits);
        CappedSemaphore { permits, room, limit, excess: Cell::new(0) }
    }

    /// Waits for a permit, and uses it up.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback, or in a destructor that runs because of a panic
    /// or a kill; [`try_acquire`](CappedSemaphore::try_acquire) works there.
    #[track_caller]
    pub fn acquire(&self) {
        if !self.permits.try_take(1)
            && let Err(Unwinding) = self.permits.wait(1, None)
        {
            refuse_unwinding("a permit");
        }
        self.use_up();
    }

    /// Uses up a permit, if one is there that nobody waits for. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = greenroom::sync::CappedSemaphore::new(1, 2);
    /// assert!(semaphore.try_acquire() && !semaphore.try_acquire());
    /// assert!(semaphore.try_release() && semaphore.try_release() && !semaphore.try_release());
    /// assert_eq!(semaphore.available(), 2);
    /// ```
    pub fn try_acquire(&self) -> bool {
        let is_there = self.permits.try_take(1);
        if is_there {
            self.use_up();
        }
        is_there
    }

    /// Waits for a permit, for `timeout` at most, and uses it up.
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
    /// use greenroom::{Elapsed, sync::CappedSemaphore};
    ///
    /// let semaphore = CappedSemaphore::new(1, 1);
    /// assert_eq!(semaphore.acquire_timeout(Duration::from_millis(1)), Ok(()));
    /// assert_eq!(semaphore.acquire_timeout(Duration::from_millis(1)), Err(Elapsed));
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.permits.take_until(1, timeout)?;
        self.use_up();
        Ok(())
    }

    /// Waits for room, and adds a permit, which goes to whoever waits longest for one.
    ///
    /// In a destructor that runs because of a panic or a kill it does not wait, and adds the permit
    /// although there is no room; then one permit more has to be used up before there is any.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback; [`try_release`](CappedSemaphore::try_release)
    /// works there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use greenroom::{spawn, sync::CappedSemaphore, yield_now};
    ///
    /// let semaphore = Rc::new(CappedSemaphore::new(1, 1));
    /// let theirs = Rc::clone(&semaphore);
    /// let releases = spawn(move || theirs.release());
    /// yield_now();
    /// assert_eq!((semaphore.waiting(), semaphore.waiting_to_release()), (0, 1));
    /// semaphore.acquire();
    /// releases.join()?;
    /// assert_eq!((semaphore.available(), semaphore.waiting_to_release()), (1, 0));
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    #[track_caller]
    pub fn release(&self) {
        if !self.room.try_take(1)
            && let Err(Unwinding) = self.room.wait(1, None)
        {
            self.excess.set(self.excess.get() + 1);
            self.permits.add(1);
            return;
        }
        self.fill_up();
    }

    /// Adds a permit, if there is room that nobody waits for. Never waits.
    pub fn try_release(&self) -> bool {
        let is_there = self.room.try_take(1);
        if is_there {
            self.fill_up();
        }
        is_there
    }

    /// Waits for room, for `timeout` at most, and adds a permit.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if there was none in time: at once in a destructor that runs because of a panic
    /// or a kill.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Elapsed, sync::CappedSemaphore};
    ///
    /// let full = CappedSemaphore::new(1, 1);
    /// assert_eq!(full.release_timeout(Duration::from_millis(1)), Err(Elapsed));
    /// ```
    pub fn release_timeout(&self, timeout: Duration) -> Result<(), Elapsed> {
        self.room.take_until(1, timeout)?;
        self.fill_up();
        Ok(())
    }

    /// How many permits are there.
    pub fn available(&self) -> usize {
        self.permits.available()
    }

    /// How many threads wait for a permit. Costs a look at each of them.
    pub fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    /// How many threads wait for room. Costs a look at each of them.
    pub fn waiting_to_release(&self) -> usize {
        self.room.waiting()
    }

    /// A permit was taken: there is room for another.
    fn use_up(&self) {
        self.permits.forget(1);
        match self.excess.get().checked_sub(1) {
            Some(excess) => self.excess.set(excess),
            None => self.room.add(1),
        }
    }

    /// Room was taken: a permit fills it.
    fn fill_up(&self) {
        self.room.forget(1);
        self.permits.add(1);
    }
}

impl fmt::Debug for CappedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.permits
            .describe("CappedSemaphore", f)
            .field("limit", &self.limit)
            .field("waiting_to_release", &self.waiting_to_release())
            .finish()
    }
}
