//! Data that one green thread has to itself for as long as it likes, also while it waits.
//!
//! Knows its holder and its queue. Knows nothing of conditions.

use std::{
    cell::{Cell, RefCell, RefMut},
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

/// A lock around data, with the methods of [`std::sync::Mutex`], for the green threads of one OS
/// thread.
///
/// Whoever waits for it lets others run. FIFO: a guard that is dropped hands the lock to whoever
/// waits longest, so nobody is overtaken, and one who drops it and locks again at once goes to the
/// end of the queue.
///
/// *Poisoning* is std's, and its types are std's too: if a thread panics while it has the lock, the
/// data may be half changed, and later calls return a [`PoisonError`](std::sync::PoisonError). A thread that is killed, or
/// is thrown out by [`with_timeout`](crate::with_timeout), while it has the lock was unwound in the
/// middle of something as well, so that poisons too.
///
/// A thread that is killed while it waits leaves the queue; if the lock was just being handed to
/// it, the next one has it. Neither poisons.
///
/// Locking costs some nanoseconds if the lock is free; waiting for it, two switches. Nothing is
/// allocated.
///
/// ```
/// use std::{rc::Rc, time::Duration};
/// use greenroom::{sleep, spawn, sync::Mutex};
///
/// let log = Rc::new(Mutex::new(String::new()));
/// let writers = ["left ", "right "].map(|word| {
///     let log = Rc::clone(&log);
///     spawn(move || {
///         let mut log = log.lock().unwrap();
///         for _ in 0..2 {
///             log.push_str(word);
///             sleep(Duration::from_millis(1));
///         }
///     })
/// });
/// for writer in writers {
///     writer.join()?;
/// }
/// assert_eq!(*log.lock().unwrap(), "left left right right ");
/// # Ok::<(), greenroom::JoinError>(())
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::Mutex<u8>>();
/// ```
pub struct Mutex<T: ?Sized> {
    holder: Cell<Holder>,
    queue: WaitQueue,
    pub(super) poison: Poison,
    /// Borrowed by the guard, and by nobody else: there is one guard at a time.
    value: RefCell<T>,
}

// As std's: who finds the data half changed is told by the poison.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    /// A lock that is free.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            holder: Cell::new(Holder::Nobody),
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
    /// assert_eq!(greenroom::sync::Mutex::new(1).into_inner().unwrap(), 1);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        self.poison.result(self.value.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the lock is free, and takes it.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned: the error has the guard, for who wants the data all the same.
    ///
    /// # Panics
    ///
    /// If this thread has the lock already: nobody else could ever give it up. (A guard that was
    /// moved to another thread still counts as the one's who locked.) In a hub callback, and in a
    /// destructor that runs because of a panic or a kill, if the lock is not free;
    /// [`try_lock`](Mutex::try_lock) works there.
    ///
    /// # Examples
    ///
    /// ```
    /// let number = greenroom::sync::Mutex::new(1);
    /// *number.lock().unwrap() += 1;
    /// assert_eq!(*number.lock().unwrap(), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if !self.take() {
            self.holder.get().refuse_me("locks a mutex that it has locked");
            if let Err(Unwinding) = self.wait(None) {
                refuse_unwinding("a mutex");
            }
        }
        self.guard()
    }

    /// Takes the lock if it is free. Never waits.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if it is not free, [`TryLockError::Poisoned`] if it is
    /// poisoned.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::Mutex;
    ///
    /// let number = Mutex::new(1);
    /// let guard = number.try_lock().unwrap();
    /// assert!(number.try_lock().is_err());
    /// drop(guard);
    /// assert!(number.try_lock().is_ok());
    /// ```
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if !self.take() {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.guard()?)
    }

    /// Waits until the lock is free, for `timeout` at most, and takes it.
    ///
    /// If the lock is free it is had even if `timeout` is zero; if it is handed over before the
    /// time is over, it is had.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if it was not to be had in time: at once in a destructor that runs because of a
    /// panic or a kill. Poison is inside the `Ok`, as [`lock`](Mutex::lock) returns it.
    ///
    /// # Panics
    ///
    /// In a hub callback, if the lock is not free.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::Mutex;
    ///
    /// let number = Mutex::new(1);
    /// let guard = number.lock_timeout(Duration::from_millis(1))?.unwrap();
    /// assert!(number.lock_timeout(Duration::from_millis(1)).is_err());
    /// # Ok::<(), greenroom::Elapsed>(())
    /// ```
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<LockResult<MutexGuard<'_, T>>, Elapsed> {
        if !self.take() && self.wait(Some(after(timeout))) != Ok(Wake::Called) {
            return Err(Elapsed);
        }
        Ok(self.guard())
    }

    /// The data, without a look at the lock: whoever has the only reference has the lock.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned: the error has the reference.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut number = greenroom::sync::Mutex::new(1);
    /// *number.get_mut().unwrap() += 1;
    /// assert_eq!(number.into_inner().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.result(self.value.get_mut())
    }

    /// True if somebody was unwound while they had the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    ///
    /// let number = greenroom::sync::Mutex::new(1);
    /// let outcome = catch_unwind(AssertUnwindSafe(|| {
    ///     let _guard = number.lock().unwrap();
    ///     std::panic::resume_unwind(Box::new("halfway"));
    /// }));
    /// assert!(outcome.is_err() && number.is_poisoned());
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_there()
    }

    /// Says that the data is whole again, or that it does not matter.
    ///
    /// ```
    /// use greenroom::sync::Mutex;
    ///
    /// let number = Mutex::new(1);
    /// greenroom::scope(|scope| {
    ///     let job = scope.spawn(|| {
    ///         let _guard = number.lock().unwrap();
    ///         panic!("in the middle");
    ///     });
    ///     assert!(job.join().is_err());
    /// });
    /// let mut guard = number.lock().unwrap_err().into_inner();
    /// *guard = 7;
    /// number.clear_poison();
    /// drop(guard);
    /// assert_eq!(*number.lock().unwrap(), 7);
    /// ```
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    #[inline]
    fn take(&self) -> bool {
        let is_free = self.holder.get() == Holder::Nobody;
        if is_free {
            self.holder.set(Holder::me());
        }
        is_free
    }

    fn wait(&self, deadline: Option<Instant>) -> Result<Wake, Unwinding> {
        let holders = || Holders::One(self.holder.get());
        let reason = Reason { blocked: Blocked::Call(&"a mutex"), holders: Some(&holders) };
        let wake = self.queue.wait(reason, deadline, || self.hand_on());
        if wake == Ok(Wake::Called) {
            self.holder.set(Holder::me());
        }
        wake
    }

    /// Gives the lock up, to the next if there is one: it is not free in between.
    #[inline]
    fn hand_on(&self) {
        self.holder.set(Holder::Called);
        if !self.queue.call_one() {
            self.holder.set(Holder::Nobody);
        }
    }

    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        let held = Held { mutex: self, taken: Taken::here() };
        self.poison.result(MutexGuard { value: self.value.borrow_mut(), held })
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => fields.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => fields.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => fields.field("data", &format_args!("<locked>")),
        };
        fields.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

/// A locked [`Mutex`]: its data. Dropping it gives the lock to whoever waits longest, anywhere and
/// without waiting.
#[must_use = "the lock is given up as soon as its guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    // Let go of before the lock is.
    value: RefMut<'a, T>,
    held: Held<'a, T>,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// What it locks.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.held.mutex
    }
}

/// The lock as long as somebody has it.
struct Held<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    taken: Taken,
}

impl<T: ?Sized> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.poison.give_up(&self.taken);
        self.mutex.hand_on();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
