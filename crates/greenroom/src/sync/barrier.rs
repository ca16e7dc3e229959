//! Nobody goes on before all have come.
//!
//! Knows a number and a queue. Knows nothing of who comes.

use std::{fmt, time::Duration};

use greenroom_hub::{Instant, Wake};

use super::{after, refuse_unwinding};
use crate::{
    Elapsed,
    thread::{Blocked, wait_queue::WaitQueue},
};

/// A meeting point for a number of green threads, with the methods of [`std::sync::Barrier`].
///
/// Once so many have come, all of them go on, in the order in which they came, and the next round
/// begins. The last to come does not wait; it is the leader.
///
/// *Kill and timeout.* Whoever is thrown out of its wait has not come: the others wait for one
/// more. Once the last has come the round is over, and it does not matter who is thrown out then.
///
/// Coming costs two switches for all but the last; nothing is allocated.
///
/// ```
/// use std::rc::Rc;
/// use greenroom::{spawn, sync::Barrier};
///
/// let start = Rc::new(Barrier::new(3));
/// let runners = [1, 2, 3].map(|_| {
///     let start = Rc::clone(&start);
///     spawn(move || start.wait().is_leader())
/// });
/// let leads = runners.map(|runner| runner.join().unwrap());
/// assert_eq!(leads, [false, false, true]);
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::Barrier>();
/// ```
pub struct Barrier {
    parties: usize,
    queue: WaitQueue,
}

impl Barrier {
    /// A barrier for `parties` threads. Where that is none or one, nobody waits.
    pub const fn new(parties: usize) -> Barrier {
        Barrier { parties, queue: WaitQueue::new() }
    }

    /// Waits until all have come.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback, or in a destructor that runs because of a panic
    /// or a kill.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{scope, sync::Barrier};
    ///
    /// let barrier = Barrier::new(2);
    /// scope(|scope| {
    ///     let other = scope.spawn(|| barrier.wait().is_leader());
    ///     assert_ne!(barrier.wait().is_leader(), other.join().unwrap());
    /// });
    /// ```
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        match self.wait_until(None) {
            Ok(result) => result,
            Err(Elapsed) => refuse_unwinding("a barrier"),
        }
    }

    /// Waits until all have come, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if not all came in time; this thread has then not come either. At once in a
    /// destructor that runs because of a panic or a kill, unless this is the last.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Elapsed, sync::Barrier};
    ///
    /// let barrier = Barrier::new(2);
    /// assert_eq!(barrier.wait_timeout(Duration::from_millis(1)), Err(Elapsed));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult, Elapsed> {
        self.wait_until(Some(after(timeout)))
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Result<BarrierWaitResult, Elapsed> {
        if self.queue.is_at_least(self.parties.saturating_sub(1)) {
            self.queue.call_all();
            return Ok(BarrierWaitResult { is_leader: true });
        }
        match self.queue.wait(Blocked::Call(&"a barrier"), deadline, || {}) {
            Ok(Wake::Called) => Ok(BarrierWaitResult { is_leader: false }),
            _ => Err(Elapsed),
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("waiting", &self.queue.len())
            .finish()
    }
}

/// Whether a thread was the last to come to a [`Barrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// True for one of those who met: the last to come.
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}
