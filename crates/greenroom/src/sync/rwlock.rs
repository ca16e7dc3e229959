//! Data that many green threads may read at once and only one may change.
//!
//! Knows who changes it and how many read. Decides who is next by the order in which they came, not
//! by what they want.

use std::{
    cell::{Cell, Ref, RefCell, RefMut},
    fmt,
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{LockResult, TryLockError, TryLockResult},
    time::Duration,
};

use greenroom_hub::{Instant, Wake};

use super::{
    after,
    poison::{Poison, Taken},
    refuse_unwinding,
};
use crate::{
    Elapsed,
    thread::{
        Blocked, Reason,
        holder::{Holder, Holders},
        park::Unwinding,
        wait_queue::WaitQueue,
    },
};

/// A lock that many may have to read, or one to write, with the methods of [`std::sync::RwLock`],
/// for the green threads of one OS thread.
///
/// FIFO, whatever is wanted: readers who come after a waiting writer wait behind it, so readers
/// cannot keep writers out, and those who wait next to each other read together.
///
/// *Poisoning* is as std's: a writer that is unwound while it has the lock, by a panic, a kill or
/// [`with_timeout`](crate::with_timeout), poisons it. Readers never do.
///
/// *Kill and timeout.* Whoever is thrown out of its wait leaves the queue. What it was just being
/// handed goes to the next; readers whom only a leaving writer held up go on.
///
/// Locking costs some nanoseconds if nobody is in the way; waiting, two switches. Nothing is
/// allocated.
///
/// A thread that reads and wants to read again waits behind a writer that came in between, which
/// waits for it: a deadlock, as is wanting to write while reading. What cannot end is reported when
/// nobody is left who could run. A writer that wants the lock again panics at once.
///
/// ```
/// use greenroom::sync::RwLock;
///
/// let prices = RwLock::new(vec![3, 4]);
/// {
///     let one = prices.read().unwrap();
///     let other = prices.read().unwrap();
///     assert_eq!(one[0] + other[1], 7);
///     assert!(prices.try_write().is_err());
/// }
/// prices.write().unwrap().push(5);
/// assert_eq!(prices.read().unwrap().len(), 3);
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::RwLock<u8>>();
/// ```
pub struct RwLock<T: ?Sized> {
    writer: Cell<Holder>,
    readers: Cell<usize>,
    queue: WaitQueue<Wanted>,
    poison: Poison,
    /// Borrowed by guards, and by nobody else: the borrow never fails.
    value: RefCell<T>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Read,
    Write,
}

// As std's: who finds the data half changed is told by the poison.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    /// A lock that is free.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            writer: Cell::new(Holder::Nobody),
            readers: Cell::new(0),
            queue: WaitQueue::new(),
            poison: Poison::new(),
            value: RefCell::new(value),
        }
    }

    /// The data. Nobody can have the lock: that would borrow it.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned: the error has the data.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut lock = greenroom::sync::RwLock::new(1);
    /// *lock.get_mut().unwrap() += 1;
    /// assert_eq!(lock.into_inner().unwrap(), 2);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        self.poison.result(self.value.into_inner())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, nor waits to since earlier, and takes the lock to read.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned: the error has the guard.
    ///
    /// # Panics
    ///
    /// If this thread writes. If it would have to wait in a hub callback, or in a destructor that
    /// runs because of a panic or a kill; [`try_read`](RwLock::try_read) works there.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = greenroom::sync::RwLock::new(7);
    /// let (one, other) = (lock.read().unwrap(), lock.read().unwrap());
    /// assert_eq!(*one + *other, 14);
    /// ```
    #[inline]
    #[track_caller]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        if !self.take(Wanted::Read) {
            self.wait_for_good(Wanted::Read);
        }
        self.read_guard()
    }

    /// Waits until nobody reads or writes, nor waits to since earlier, and takes the lock to write.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned: the error has the guard.
    ///
    /// # Panics
    ///
    /// If this thread writes. If it would have to wait in a hub callback, or in a destructor that
    /// runs because of a panic or a kill; [`try_write`](RwLock::try_write) works there.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = greenroom::sync::RwLock::new(7);
    /// *lock.write().unwrap() += 1;
    /// assert_eq!(*lock.read().unwrap(), 8);
    /// ```
    #[inline]
    #[track_caller]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        if !self.take(Wanted::Write) {
            self.wait_for_good(Wanted::Write);
        }
        self.write_guard()
    }

    /// Takes the lock to read if nobody writes or waits. Never waits.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if it is not to be had, [`TryLockError::Poisoned`] if it is
    /// poisoned.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = greenroom::sync::RwLock::new(7);
    /// assert!(lock.try_read().is_ok());
    /// let writing = lock.write().unwrap();
    /// assert!(lock.try_read().is_err());
    /// # drop(writing);
    /// ```
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if !self.take(Wanted::Read) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.read_guard()?)
    }

    /// Takes the lock to write if it is free. Never waits.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if it is not to be had, [`TryLockError::Poisoned`] if it is
    /// poisoned.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = greenroom::sync::RwLock::new(7);
    /// assert!(lock.try_write().is_ok());
    /// let reading = lock.read().unwrap();
    /// assert!(lock.try_write().is_err());
    /// # drop(reading);
    /// ```
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if !self.take(Wanted::Write) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.write_guard()?)
    }

    /// As [`read`](RwLock::read), but waits for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if the lock was not to be had in time: at once in a destructor that runs because
    /// of a panic or a kill. Poison is inside the `Ok`.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::RwLock;
    ///
    /// let lock = RwLock::new(1);
    /// let reading = lock.read_timeout(Duration::from_millis(1))?.unwrap();
    /// assert!(lock.write_timeout(Duration::from_millis(1)).is_err());
    /// # Ok::<(), greenroom::Elapsed>(())
    /// ```
    pub fn read_timeout(
        &self,
        timeout: Duration,
    ) -> Result<LockResult<RwLockReadGuard<'_, T>>, Elapsed> {
        self.take_until(Wanted::Read, timeout)?;
        Ok(self.read_guard())
    }

    /// As [`write`](RwLock::write), but waits for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if the lock was not to be had in time: at once in a destructor that runs because
    /// of a panic or a kill. Poison is inside the `Ok`.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let lock = greenroom::sync::RwLock::new(1);
    /// *lock.write_timeout(Duration::from_millis(1))?.unwrap() = 2;
    /// let reading = lock.read().unwrap();
    /// assert!(lock.write_timeout(Duration::from_millis(1)).is_err());
    /// assert_eq!(*reading, 2);
    /// # Ok::<(), greenroom::Elapsed>(())
    /// ```
    pub fn write_timeout(
        &self,
        timeout: Duration,
    ) -> Result<LockResult<RwLockWriteGuard<'_, T>>, Elapsed> {
        self.take_until(Wanted::Write, timeout)?;
        Ok(self.write_guard())
    }

    /// The data, without a look at the lock: whoever has the only reference has the lock.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned: the error has the reference.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.result(self.value.get_mut())
    }

    /// True if a writer was unwound while it had the lock.
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_there()
    }

    /// Says that the data is whole again, or that it does not matter.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    ///
    /// let lock = greenroom::sync::RwLock::new(1);
    /// let outcome = catch_unwind(AssertUnwindSafe(|| {
    ///     let _guard = lock.write().unwrap();
    ///     std::panic::resume_unwind(Box::new("halfway"));
    /// }));
    /// assert!(outcome.is_err() && lock.is_poisoned() && lock.read().is_err());
    /// lock.clear_poison();
    /// assert_eq!(*lock.read().unwrap(), 1);
    /// ```
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// Takes the lock unless somebody is in the way, or waits.
    #[inline]
    fn take(&self, wanted: Wanted) -> bool {
        let is_free = self.allows(wanted) && self.queue.first().is_none();
        if is_free {
            self.grant(wanted, Holder::me);
        }
        is_free
    }

    #[inline]
    fn allows(&self, wanted: Wanted) -> bool {
        self.writer.get() == Holder::Nobody && (wanted == Wanted::Read || self.readers.get() == 0)
    }

    #[inline]
    fn grant(&self, wanted: Wanted, to: impl FnOnce() -> Holder) {
        debug_assert!(self.allows(wanted), "what is granted is free");
        match wanted {
            Wanted::Read => self.readers.set(self.readers.get() + 1),
            Wanted::Write => self.writer.set(to()),
        }
    }

    #[cold]
    #[track_caller]
    fn wait_for_good(&self, wanted: Wanted) {
        self.writer.get().refuse_me("wants a lock that it has locked to write");
        if let Err(Unwinding) = self.wait(wanted, None) {
            refuse_unwinding("a lock");
        }
    }

    fn take_until(&self, wanted: Wanted, timeout: Duration) -> Result<(), Elapsed> {
        if self.take(wanted) || self.wait(wanted, Some(after(timeout))) == Ok(Wake::Called) {
            return Ok(());
        }
        Err(Elapsed)
    }

    fn wait(&self, wanted: Wanted, deadline: Option<Instant>) -> Result<Wake, Unwinding> {
        let blocked = match wanted {
            Wanted::Read => Blocked::Call(&"a lock, to read"),
            Wanted::Write => Blocked::Call(&"a lock, to write"),
        };
        let holders = || self.holders();
        let reason = Reason { blocked, holders: Some(&holders) };
        let _leaving = Leaving(self);
        let wake = self.queue.wait_noted(wanted, reason, deadline, || self.release(wanted));
        if wake == Ok(Wake::Called) && wanted == Wanted::Write {
            self.writer.set(Holder::me());
        }
        wake
    }

    fn holders(&self) -> Holders {
        match self.readers.get() {
            0 => Holders::One(self.writer.get()),
            readers => Holders::Readers(readers),
        }
    }

    #[inline]
    fn release(&self, had: Wanted) {
        match had {
            Wanted::Read => self.readers.set(self.readers.get() - 1),
            Wanted::Write => self.writer.set(Holder::Nobody),
        }
        self.hand_out();
    }

    /// Hands the lock to those who are next, as many as may have it together.
    #[inline]
    fn hand_out(&self) {
        while let Some(wanted) = self.queue.first()
            && self.allows(wanted)
        {
            self.grant(wanted, || Holder::Called);
            let called = self.queue.call_one();
            debug_assert!(called, "who is first can be called");
        }
    }

    #[inline]
    fn read_guard(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let reads = Reads(self);
        self.poison.result(RwLockReadGuard { value: self.value.borrow(), _reads: reads })
    }

    #[inline]
    fn write_guard(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let writes = Writes { lock: self, taken: Taken::here() };
        self.poison.result(RwLockWriteGuard { value: self.value.borrow_mut(), writes })
    }
}

/// Somebody leaves the queue: if it was not called, those behind it may have waited for it alone.
struct Leaving<'a, T: ?Sized>(&'a RwLock<T>);

impl<T: ?Sized> Drop for Leaving<'_, T> {
    fn drop(&mut self) {
        self.0.hand_out();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => fields.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => fields.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => fields.field("data", &format_args!("<locked>")),
        };
        fields.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

/// An [`RwLock`] locked to read. Dropping it gives the lock to whoever is next, anywhere and
/// without waiting.
#[must_use = "the lock is given up as soon as its guard is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // Let go of before the lock is.
    value: Ref<'a, T>,
    _reads: Reads<'a, T>,
}

/// The lock as long as somebody reads.
struct Reads<'a, T: ?Sized>(&'a RwLock<T>);

impl<T: ?Sized> Drop for Reads<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.release(Wanted::Read);
    }
}

/// An [`RwLock`] locked to write. Dropping it gives the lock to whoever is next, anywhere and
/// without waiting.
#[must_use = "the lock is given up as soon as its guard is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    // Let go of before the lock is.
    value: RefMut<'a, T>,
    writes: Writes<'a, T>,
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on as a reader, and lets those readers in who are next. Nobody writes in between. Never
    /// waits.
    ///
    /// ```
    /// use greenroom::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(1);
    /// let mut writing = lock.write().unwrap();
    /// *writing = 2;
    /// let reading = RwLockWriteGuard::downgrade(writing);
    /// assert_eq!(*reading + *lock.read().unwrap(), 4);
    /// ```
    pub fn downgrade(guard: RwLockWriteGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        let RwLockWriteGuard { value, writes } = guard;
        drop(value);
        let lock = writes.lock;
        lock.readers.set(1);
        drop(writes);
        RwLockReadGuard { value: lock.value.borrow(), _reads: Reads(lock) }
    }
}

/// The lock as long as somebody writes.
struct Writes<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    taken: Taken,
}

impl<T: ?Sized> Drop for Writes<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.give_up(&self.taken);
        self.lock.release(Wanted::Write);
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
