//! Waiting until somebody says that what a mutex guards has changed.
//!
//! Knows mutexes by their guards; what the condition is it never learns.

use std::{
    fmt,
    sync::{LockResult, PoisonError},
    thread::panicking,
    time::Duration,
};

use greenroom_hub::{Instant, Wake};

use super::{MutexGuard, after, refuse_unwinding};
use crate::thread::{Blocked, wait_queue::WaitQueue};

/// A condition variable, with the methods of [`std::sync::Condvar`], for the green threads of one
/// OS thread.
///
/// FIFO: [`notify_one`](Condvar::notify_one) wakes whoever waits longest. No wake-up is spurious;
/// but between the notification and the moment the mutex is had again, others may have had it, so
/// the condition is still to be checked: [`wait_while`](Condvar::wait_while) does.
///
/// *Kill and timeout.* A thread that is thrown out of its wait leaves the queue, without the mutex:
/// it gave its guard away when it began to wait and has none to be unwound with, so it does not
/// take the lock again only to drop it, and the mutex is not poisoned. If it had been notified, and
/// does not come as far as having the mutex, the notification goes to the next.
///
/// A notification costs a wake-up, and nothing if nobody waits.
///
/// ```
/// use std::{collections::VecDeque, rc::Rc};
/// use greenroom::{spawn, sync::{Condvar, Mutex}};
///
/// let jobs = Rc::new((Mutex::new(VecDeque::new()), Condvar::new()));
/// let theirs = Rc::clone(&jobs);
/// let worker = spawn(move || {
///     let (queue, arrived) = &*theirs;
///     let guard = queue.lock().unwrap();
///     arrived.wait_while(guard, |queue| queue.is_empty()).unwrap().pop_front()
/// });
/// greenroom::yield_now();
/// jobs.0.lock().unwrap().push_back("sweep");
/// jobs.1.notify_one();
/// assert_eq!(worker.join()?, Some("sweep"));
/// # Ok::<(), greenroom::JoinError>(())
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::Condvar>();
/// ```
#[derive(Default)]
pub struct Condvar {
    queue: WaitQueue,
}

impl Condvar {
    /// One that nobody waits for.
    pub const fn new() -> Condvar {
        Condvar { queue: WaitQueue::new() }
    }

    /// Gives the mutex up, waits until notified, and waits for the mutex again.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned when it is had again: the error has the guard.
    ///
    /// # Panics
    ///
    /// In a hub callback. In a destructor that runs because of a panic or a kill; there
    /// [`wait_timeout`](Condvar::wait_timeout) returns at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{scope, sync::{Condvar, Mutex}};
    ///
    /// let (number, changed) = (Mutex::new(0), Condvar::new());
    /// scope(|scope| {
    ///     scope.spawn(|| {
    ///         let mut number = number.lock().unwrap();
    ///         while *number == 0 {
    ///             number = changed.wait(number).unwrap();
    ///         }
    ///         assert_eq!(*number, 1);
    ///     });
    ///     scope.spawn(|| {
    ///         *number.lock().unwrap() = 1;
    ///         changed.notify_one();
    ///     });
    /// });
    /// ```
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        if panicking() {
            refuse_unwinding("a condition");
        }
        self.wait_until(guard, None).0
    }

    /// As [`wait`](Condvar::wait), again and again for as long as `condition` holds. Does not wait
    /// if it does not.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait).
    ///
    /// # Panics
    ///
    /// As [`wait`](Condvar::wait), and with what `condition` panics with.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{scope, sync::{Condvar, Mutex}};
    ///
    /// let (number, changed) = (Mutex::new(0), Condvar::new());
    /// scope(|scope| {
    ///     scope.spawn(|| {
    ///         let guard = number.lock().unwrap();
    ///         assert_eq!(*changed.wait_while(guard, |number| *number < 3).unwrap(), 3);
    ///     });
    ///     for _ in 0..3 {
    ///         scope.spawn(|| {
    ///             *number.lock().unwrap() += 1;
    ///             changed.notify_all();
    ///         });
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Gives the mutex up, waits until notified, for `timeout` at most, and waits for the mutex
    /// again, however long that takes.
    ///
    /// In a destructor that runs because of a panic or a kill it returns at once, without having
    /// given the mutex up, and says that the time was over.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait).
    ///
    /// # Panics
    ///
    /// In a hub callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::{Condvar, Mutex};
    ///
    /// let (ready, changed) = (Mutex::new(false), Condvar::new());
    /// let guard = ready.lock().unwrap();
    /// let (guard, result) = changed.wait_timeout(guard, Duration::from_millis(1)).unwrap();
    /// assert!(result.timed_out() && !*guard);
    /// ```
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.wait_deadline(guard, after(timeout))
    }

    /// As [`wait_timeout`](Condvar::wait_timeout), again and again for as long as `condition`
    /// holds, for `timeout` at most in all. It timed out if `condition` still holds.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait).
    ///
    /// # Panics
    ///
    /// In a hub callback, and with what `condition` panics with.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::{Condvar, Mutex};
    ///
    /// let (ready, changed) = (Mutex::new(false), Condvar::new());
    /// let (guard, time) = (ready.lock().unwrap(), Duration::from_millis(1));
    /// let (guard, result) = changed.wait_timeout_while(guard, time, |ready| !*ready).unwrap();
    /// assert!(result.timed_out() && !*guard);
    /// ```
    pub fn wait_timeout_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let deadline = after(timeout);
        let mut timed_out = false;
        while condition(&mut guard) {
            if timed_out {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            let waited = self.wait_deadline(guard, deadline)?;
            (guard, timed_out) = (waited.0, waited.1.timed_out());
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    /// Wakes whoever waits longest. Nothing happens if nobody waits.
    ///
    /// May be called by anybody, with or without the mutex, and never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use greenroom::{spawn, sync::{Condvar, Mutex}, testing};
    ///
    /// testing::run(|| {
    ///     let pair = Rc::new((Mutex::new(()), Condvar::new()));
    ///     let waiters = [0, 1, 2].map(|_| {
    ///         let pair = Rc::clone(&pair);
    ///         spawn(move || drop(pair.1.wait(pair.0.lock().unwrap())))
    ///     });
    ///     testing::wait_all_parked();
    ///     let ended = || waiters.iter().filter(|waiter| waiter.is_finished()).count();
    ///     pair.1.notify_one();
    ///     testing::wait_all_parked();
    ///     assert_eq!(ended(), 1);
    ///     pair.1.notify_all();
    ///     testing::wait_all_parked();
    ///     assert_eq!(ended(), 3);
    /// });
    /// ```
    #[inline]
    pub fn notify_one(&self) {
        self.queue.call_one();
    }

    /// Wakes all who wait now. They have the mutex one after the other, in the order in which they
    /// came.
    #[inline]
    pub fn notify_all(&self) {
        self.queue.call_all();
    }

    fn wait_deadline<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        if panicking() {
            return guard.mutex().poison.result((guard, WaitTimeoutResult(true)));
        }
        let (guard, wake) = self.wait_until(guard, Some(deadline));
        let result = WaitTimeoutResult(wake == Wake::Expired);
        match guard {
            Ok(guard) => Ok((guard, result)),
            Err(error) => Err(PoisonError::new((error.into_inner(), result))),
        }
    }

    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> (LockResult<MutexGuard<'a, T>>, Wake) {
        let mutex = guard.mutex();
        // Others only run once this one has stopped, so nobody can notify too early.
        drop(guard);
        let wake = self.queue.wait(Blocked::Call(&"a condition"), deadline, || self.notify_one());
        let wake = wake.expect("who unwinds was turned away before");
        let notified = Notified { condvar: self, is_wasted: wake == Wake::Called };
        let guard = mutex.lock();
        notified.was_of_use();
        (guard, wake)
    }
}

/// A notification on its way: it has arrived when its waiter has the mutex.
struct Notified<'a> {
    condvar: &'a Condvar,
    is_wasted: bool,
}

impl Notified<'_> {
    fn was_of_use(mut self) {
        self.is_wasted = false;
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if self.is_wasted {
            self.condvar.notify_one();
        }
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").field("waiting", &self.queue.len()).finish()
    }
}

/// Whether a wait ended because its time was over, as [`std::sync::WaitTimeoutResult`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// True if the time was over before a notification came.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}
