//! Data that one thread of any hub has to itself for as long as it likes, also while it waits.
//!
//! Whose turn it is `hold` knows; the data lies in a lock of std, which nobody ever waits for.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{self, LockResult, PoisonError, TryLockError, TryLockResult},
    time::Duration,
};

use greenroom_hub::Instant;

use super::{
    guarded::Guarded,
    hold::{Claim, Hold},
    hub_wait::{HubBell, wait},
    lock,
    who::Who,
};
use crate::{
    Elapsed,
    sync::{after, refuse_unwinding},
};

/// A lock around data, with the methods of [`std::sync::Mutex`], for green threads of any hub and
/// for plain OS threads. The twin of [`sync::Mutex`](crate::sync::Mutex).
///
/// Whoever waits for it lets the others of its hub run, and it may be held across waits. (A lock of
/// std that is held across a wait and wanted by a green thread of the same hub is wanted for ever.)
///
/// FIFO across hubs: a guard that is dropped hands the lock to whoever waits longest, so nobody is
/// overtaken. That one has it while its hub is still being woken: under contention between OS
/// threads a lock that may be snatched has a higher throughput.
///
/// *Poisoning* is std's: if a thread panics, is killed or is thrown out by
/// [`with_timeout`](crate::with_timeout) while it has the lock, the data may be half changed, and
/// later calls return a [`PoisonError`]. A thread that is killed while it waits leaves the queue;
/// if the lock was just being handed to it, the next one has it. Neither poisons.
///
/// Locking costs two locks of std's if the lock is free; waiting and waking are told of
/// [here](super).
///
/// ```
/// use std::time::Duration;
/// use greenroom::{hubs, sleep, sync::shared::Mutex};
///
/// let log = Mutex::new(String::new());
/// hubs::run(2, |number| {
///     let mut log = log.lock().unwrap();
///     for _ in 0..2 {
///         log.push_str(["left ", "right "][number]);
///         sleep(Duration::from_millis(1));
///     }
/// });
/// let log = log.into_inner().unwrap();
/// assert!(["left left right right ", "right right left left "].contains(&&*log));
/// ```
///
/// The guard stays on the OS thread that locked:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::shared::MutexGuard<'static, u8>>();
/// ```
///
/// Data that may not change OS thread cannot be shared:
///
/// ```compile_fail,E0277
/// fn is_sync<T: Sync>() {}
/// is_sync::<greenroom::sync::shared::Mutex<std::rc::Rc<u8>>>();
/// ```
pub struct Mutex<T: ?Sized> {
    guarded: Guarded<Hold<HubBell, Who>>,
    /// Locked by the guard, and by nobody else: there is one guard at a time.
    value: sync::Mutex<T>,
}

impl<T> Mutex<T> {
    /// A lock that is free.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            guarded: Guarded { lock: lock::Mutex::new(Hold::new()) },
            value: sync::Mutex::new(value),
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
    /// let mut number = greenroom::sync::shared::Mutex::new(1);
    /// *number.get_mut().unwrap() += 1;
    /// assert_eq!(number.into_inner().unwrap(), 2);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        self.value.into_inner()
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
    /// moved to another green thread still counts as the one's who locked.) In a hub callback, and
    /// in a destructor that runs because of a panic or a kill, if the lock is not free;
    /// [`try_lock`](Mutex::try_lock) works there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use greenroom::sync::shared::Mutex;
    ///
    /// static NUMBER: Mutex<u32> = Mutex::new(1);
    /// let other = thread::spawn(|| *NUMBER.lock().unwrap() += 1);
    /// *NUMBER.lock().unwrap() += 1;
    /// # other.join().unwrap();
    /// assert_eq!(*NUMBER.lock().unwrap(), 3);
    /// ```
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let me = Who::me();
        if !self.take(me) {
            if let Some(holder) = self.guarded.look(Hold::holder) {
                holder.refuse_me("locks a mutex that it has locked");
            }
            match self.wait(me, None) {
                Ok(is_had) => assert!(is_had, "only a call ends a wait without a deadline"),
                Err(_) => refuse_unwinding("a mutex"),
            }
        }
        self.guard()
    }

    /// Takes the lock if it is free. Never waits, and works anywhere.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if it is not free, [`TryLockError::Poisoned`] if it is
    /// poisoned.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::shared::Mutex;
    ///
    /// let number = Mutex::new(1);
    /// let guard = number.try_lock().unwrap();
    /// assert!(number.try_lock().is_err());
    /// drop(guard);
    /// assert!(number.try_lock().is_ok());
    /// ```
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if !self.take(Who::me()) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.guard()?)
    }

    /// Waits until the lock is free, for `timeout` at most, and takes it.
    ///
    /// If the lock is free it is had even if `timeout` is zero; if it is handed over in the same
    /// moment, it is had.
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
    /// use greenroom::sync::shared::Mutex;
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
        let me = Who::me();
        if self.take(me) || matches!(self.wait(me, Some(after(timeout))), Ok(true)) {
            return Ok(self.guard());
        }
        Err(Elapsed)
    }

    /// The data, without a look at the lock: whoever has the only reference has the lock.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned: the error has the reference.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.value.get_mut()
    }

    /// True if somebody was unwound while they had the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, thread};
    /// use greenroom::sync::shared::Mutex;
    ///
    /// let number = Arc::new(Mutex::new(1));
    /// let theirs = Arc::clone(&number);
    /// let panics = thread::spawn(move || {
    ///     let _guard = theirs.lock().unwrap();
    ///     std::panic::resume_unwind(Box::new("halfway"));
    /// });
    /// assert!(panics.join().is_err() && number.is_poisoned());
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.value.is_poisoned()
    }

    /// Says that the data is whole again, or that it does not matter.
    ///
    /// ```
    /// use std::thread;
    /// use greenroom::sync::shared::Mutex;
    ///
    /// static NUMBER: Mutex<u32> = Mutex::new(1);
    /// let other = thread::spawn(|| {
    ///     let _guard = NUMBER.lock().unwrap();
    ///     panic!("in the middle");
    /// });
    /// assert!(other.join().is_err());
    /// *NUMBER.lock().unwrap_err().into_inner() = 7;
    /// NUMBER.clear_poison();
    /// assert_eq!(*NUMBER.lock().unwrap(), 7);
    /// ```
    pub fn clear_poison(&self) {
        self.value.clear_poison();
    }

    fn take(&self, me: Who) -> bool {
        self.guarded.change(|hold, _| hold.try_take(me))
    }

    /// Whether it is had; an error if nothing waits here.
    fn wait(&self, me: Who, deadline: Option<Instant>) -> Result<bool, Claim<Who>> {
        wait(&self.guarded, Claim(me), &"a mutex", deadline)
    }

    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        let held = Held { guarded: &self.guarded };
        match self.value.try_lock() {
            Ok(value) => Ok(MutexGuard { value, _held: held }),
            Err(TryLockError::Poisoned(error)) => {
                Err(PoisonError::new(MutexGuard { value: error.into_inner(), _held: held }))
            }
            Err(TryLockError::WouldBlock) => {
                unreachable!("whoever has the lock has the data to itself")
            }
        }
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
    value: sync::MutexGuard<'a, T>,
    _held: Held<'a>,
}

/// The lock as long as somebody has it.
struct Held<'a> {
    guarded: &'a Guarded<Hold<HubBell, Who>>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.guarded.change(Hold::hand_on);
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
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
