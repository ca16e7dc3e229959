//! A way into a hub from other OS threads: what is sent there is spawned there.
//!
//! Knows the mailbox and a queue of functions; what they do it never learns. They are called on the
//! hub's own stack, as callbacks are, in the order in which they were sent.

use std::{
    cell::Cell,
    collections::VecDeque,
    error, fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::{
        Arc, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use greenroom_hub::{Instant, Mailbox, Wake, WakeId};

use crate::{
    hub::{
        local::{Local, local},
        process_lock::{Inherit, ProcessLock},
    },
    thread::{
        Blocked, Builder, JoinError, Waiter, control, join, park, spawn::Owner,
        throw::assert_can_unwind,
    },
    time::deadline_after,
};

/// Functions sent to a hub that has not come to them yet, at most.
const JOBS_MAX: usize = 1 << 20;

/// Spawns green threads on the hub it was made on, from any OS thread. Made by
/// [`hub::remote`](crate::hub::remote).
///
/// `Send`, `Sync`, and cheap to clone. While one exists, or a [`RemoteJoinHandle`] that came of one, a
/// root that waits on that hub is not deadlocked: somebody may still send it work. What is sent
/// begins when the hub is in its loop, that is while its root waits for something; it is begun in
/// the order in which it was sent.
pub struct Remote {
    shared: Arc<Shared>,
}

/// What a job is called in reports.
const SENT: &str = "a function sent by another OS thread";

type Job = Box<dyn FnOnce(&Local) + Send>;

struct Shared {
    state: ProcessLock<State>,
    /// How many [`Remote`]s there are. Not under the lock: a forked child has those that its parent had, whoever held
    /// that.
    remotes: AtomicUsize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// The hub's wait for jobs, until it is called. With the mailbox, for a child of a fork has another.
    wait: Option<(Mailbox, WakeId)>,
    has_ended: bool,
}

impl Inherit for State {
    fn leave_parent(&mut self) {
        self.wait = None;
    }
}

impl Remote {
    /// Starts a green thread on this hub.
    ///
    /// If `f` panics and nobody joins it, that is printed. Its captures are dropped on the hub, run or
    /// not, unless this fails.
    ///
    /// Costs an allocation or two, and a system call if the hub sleeps.
    ///
    /// # Errors
    ///
    /// If the hub's OS thread has ended, or a million functions are waiting for it already.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::mpsc, thread};
    /// use greenroom::{hub, yield_now};
    ///
    /// let here = hub::remote();
    /// let other = thread::spawn(move || {
    ///     let sum = here.spawn(|| {
    ///         yield_now(); // a green thread of the hub that made the `Remote`
    ///         40 + 2
    ///     })?;
    ///     Ok::<_, hub::RemoteError>(sum.join().unwrap())
    /// });
    /// let sum = greenroom::offload(|| other.join().unwrap())?;
    /// assert_eq!(sum, 42);
    /// # Ok::<(), hub::RemoteError>(())
    /// ```
    pub fn spawn<F, T>(&self, f: F) -> Result<RemoteJoinHandle<T>, RemoteError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let ending = Arc::new(Ending::default());
        let finisher = Finisher(Arc::clone(&ending));
        self.post(Box::new(move |_| {
            let place = Arc::clone(&finisher.0);
            // Should it fail, the finisher goes before it is known why.
            place.lock().is_being_spawned = true;
            let spawned = Builder::new().spawn(move || finisher.run(f));
            place.lock().is_being_spawned = false;
            match spawned {
                Ok(handle) => {
                    let known = place.thread.set(Owner::of(handle.fiber()));
                    debug_assert!(known.is_ok(), "a job starts one thread");
                }
                Err(error) => drop(place.finish(Err(JoinError::not_spawned(error)))),
            }
        }))?;
        Ok(RemoteJoinHandle { ending, remote: self.clone() })
    }

    fn post(&self, job: Job) -> Result<(), RemoteError> {
        let mut state = self.shared.lock();
        if state.has_ended {
            return Err(RemoteError::Ended);
        }
        if state.jobs.len() >= JOBS_MAX {
            return Err(RemoteError::Full);
        }
        state.jobs.push_back(job);
        let wait = state.wait.take();
        drop(state);
        if let Some((mailbox, id)) = wait {
            mailbox.wake(id);
        }
        Ok(())
    }
}

impl Clone for Remote {
    fn clone(&self) -> Remote {
        // Under no lock: the hub, which asks for the count, counts this one as well.
        self.shared.remotes.fetch_add(1, Ordering::SeqCst);
        Remote { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if self.shared.remotes.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        // The hub need not wait any more, and would not know. Whether it does it decides under the lock: before this,
        // and then is woken, or after it, by the count.
        let wait = self.shared.lock().wait.take();
        if let Some((mailbox, id)) = wait {
            mailbox.wake(id);
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Remote")
            .field("waiting", &state.jobs.len())
            .field("has_ended", &state.has_ended)
            .finish_non_exhaustive()
    }
}

/// Why something could not be sent to another hub. What was sent was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteError {
    /// The hub's OS thread has ended.
    Ended,
    /// A million functions wait for the hub already; it is not in its loop, or does not keep up.
    Full,
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteError::Ended => f.write_str("the other hub has ended with its OS thread"),
            RemoteError::Full => write!(
                f,
                "{JOBS_MAX} functions wait for the other hub already; its root must wait for \
                 something, for that is when the hub runs them"
            ),
        }
    }
}

impl error::Error for RemoteError {}

/// Owns the right to wait for the end of a green thread on another hub, and to have what it
/// returned. Made by [`Remote::spawn`].
///
/// `Send`, so any OS thread may join. Dropping it lets the thread run on by itself; if it then panics,
/// or has already, that is printed.
pub struct RemoteJoinHandle<T> {
    ending: Arc<Ending<T>>,
    remote: Remote,
}

impl<T> RemoteJoinHandle<T> {
    /// Waits until the thread's function has ended, and returns what that returned. What is linked to the
    /// thread may still run.
    ///
    /// Other green threads of this hub go on meanwhile. Whoever is killed or out of time while it waits gives
    /// the handle up: the other thread runs on.
    ///
    /// # Errors
    ///
    /// If the thread panicked, was killed, or never started because its hub ended. Called while this
    /// thread unwinds from a panic: that it may not wait. If the process forks meanwhile, in the child: that
    /// the other hub is not there. Who begins to wait in the child for another OS thread of its parent is
    /// never told.
    ///
    /// # Panics
    ///
    /// In a hub callback, which may not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::hub;
    ///
    /// let here = hub::remote();
    /// let far = here.spawn(|| 6 * 7)?;
    /// assert_eq!(far.join()?, 42);
    /// let panics = here.spawn(|| std::panic::resume_unwind(Box::new("no")))?;
    /// assert!(panics.join().unwrap_err().is_panic());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(self) -> Result<T, JoinError> {
        match self.ending.wait(None) {
            Some(outcome) => outcome,
            None => unreachable!("a wait without a deadline ends with an outcome"),
        }
    }

    /// Waits as [`join`](RemoteJoinHandle::join) does, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// The handle, if the thread's function runs on by then.
    ///
    /// # Panics
    ///
    /// As [`join`](RemoteJoinHandle::join).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{hub, sleep};
    ///
    /// let far = hub::remote().spawn(|| sleep(Duration::from_secs(60)))?;
    /// let far = far.join_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert!(!far.is_finished());
    /// far.kill()?;
    /// assert!(far.join().unwrap_err().is_killed());
    /// # Ok::<(), hub::RemoteError>(())
    /// ```
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        let deadline = deadline_after(&local().hub.borrow(), timeout);
        self.ending.wait(Some(deadline)).ok_or(self)
    }

    /// True if the thread's function has ended, so that joining does not wait.
    pub fn is_finished(&self) -> bool {
        self.ending.lock().is_over
    }

    /// Has the thread killed when its hub comes to it: [`Thread::kill`](crate::thread::Thread::kill).
    ///
    /// # Errors
    ///
    /// As [`Remote::spawn`].
    ///
    /// # Panics
    ///
    /// Under `panic = "abort"`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{thread, time::Duration};
    /// use greenroom::{hub, sleep};
    ///
    /// let remote = hub::remote();
    /// let killer = thread::spawn(move || {
    ///     let sleeper = remote.spawn(|| sleep(Duration::MAX)).unwrap();
    ///     sleeper.kill().unwrap();
    ///     sleeper.join().unwrap_err().is_killed()
    /// });
    /// while !killer.is_finished() {
    ///     sleep(Duration::from_millis(1));
    /// }
    /// assert!(killer.join().unwrap());
    /// ```
    pub fn kill(&self) -> Result<(), RemoteError>
    where
        T: Send + 'static,
    {
        assert_can_unwind("killing");
        self.ending.is_killed.store(true, Ordering::Relaxed);
        let ending = Arc::clone(&self.ending);
        self.remote.post(Box::new(move |local| {
            let owner = ending.thread.get().copied();
            let thread = owner.and_then(|owner| owner.thread(local));
            if let Some(thread) = thread {
                thread.kill();
            }
        }))
    }
}

impl<T> Drop for RemoteJoinHandle<T> {
    fn drop(&mut self) {
        let mut state = self.ending.lock();
        state.is_detached = true;
        let outcome = state.outcome.take();
        drop(state);
        if let Some(Err(error)) = outcome
            && let Ok(payload) = error.into_panic()
        {
            join::tell_of(
                format_args!("a green thread of another hub that nobody joined"),
                payload,
            );
        }
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// How a thread ended, for whoever waits on another OS thread.
struct Ending<T> {
    state: ProcessLock<EndingState<T>>,
    /// Which thread it is, once that is spawned.
    thread: OnceLock<Owner>,
    /// Somebody wants it to end.
    is_killed: AtomicBool,
}

struct EndingState<T> {
    /// Until it is taken.
    outcome: Option<Result<T, JoinError>>,
    waiter: Option<(Mailbox, WakeId)>,
    /// There is or was an outcome.
    is_over: bool,
    /// Nobody will ask for it.
    is_detached: bool,
    /// Whether there will be a thread is just being found out.
    is_being_spawned: bool,
}

impl<T> Default for EndingState<T> {
    fn default() -> EndingState<T> {
        EndingState {
            outcome: None,
            waiter: None,
            is_over: false,
            is_detached: false,
            is_being_spawned: false,
        }
    }
}

impl<T> Inherit for EndingState<T> {
    fn leave_parent(&mut self) {
        self.waiter = None;
    }
}

impl<T> Default for Ending<T> {
    fn default() -> Ending<T> {
        Ending {
            state: ProcessLock::new(),
            thread: OnceLock::new(),
            is_killed: AtomicBool::new(false),
        }
    }
}

impl<T> Ending<T> {
    /// The lock is held for a move, and nothing of the user's runs meanwhile.
    fn lock(&self) -> MutexGuard<'_, EndingState<T>> {
        self.state.lock()
    }

    /// Tells how it ended. Nobody may be left who would ask: then that is given back.
    fn finish(&self, outcome: Result<T, JoinError>) -> Option<Result<T, JoinError>> {
        let mut state = self.lock();
        debug_assert!(!state.is_over, "a thread ends once");
        state.is_over = true;
        if state.is_detached {
            return Some(outcome);
        }
        state.outcome = Some(outcome);
        let waiter = state.waiter.take();
        drop(state);
        if let Some((mailbox, id)) = waiter {
            mailbox.wake(id);
        }
        None
    }

    /// `None` if the deadline has passed.
    fn wait(&self, deadline: Option<Instant>) -> Option<Result<T, JoinError>> {
        loop {
            if let Some(outcome) = self.lock().outcome.take() {
                return Some(outcome);
            }
            let what = Blocked::Call(&"a green thread of another hub to end");
            // Taken back also if this wait is unwound: as long as somebody has the mailbox, the hub takes it
            // that somebody may still call.
            let _announced = Announced(self);
            let wake = park::until_posted(what, deadline, |id| {
                let mailbox = local().hub.borrow().mailbox();
                let mut state = self.lock();
                if state.outcome.is_some() {
                    drop(state);
                    mailbox.wake(id);
                } else {
                    state.waiter = Some((mailbox, id));
                }
            });
            match wake {
                Ok(Wake::Expired) => return self.lock().outcome.take(),
                Ok(Wake::Called) => {}
                Ok(Wake::Orphaned) => return Some(Err(JoinError::orphaned())),
                Ok(wake) => unreachable!("a remote join is not ended by {wake:?}"),
                Err(park::Unwinding) => return Some(Err(JoinError::unwinding())),
            }
        }
    }
}

/// A wait for an end, until it is over or thrown out of.
struct Announced<'a, T>(&'a Ending<T>);

impl<T> Drop for Announced<'_, T> {
    fn drop(&mut self) {
        let waiter = self.0.lock().waiter.take();
        drop(waiter);
    }
}

/// Goes with a job, and sees to it that whoever waits hears of its end, run or not.
struct Finisher<T>(Arc<Ending<T>>);

impl<T> Finisher<T> {
    fn run(self, f: impl FnOnce() -> T) {
        let outcome = catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
            // For those functions that are linked to it, whoever is given the payload.
            control::with_current(local(), |control| control.end.set(join::end_of(&*payload)));
            JoinError::of_payload(payload)
        });
        if let Some(Err(error)) = self.0.finish(outcome)
            && let Ok(payload) = error.into_panic()
        {
            // It is told as that of any thread nobody joins.
            resume_unwind(payload);
        }
    }
}

impl<T> Drop for Finisher<T> {
    fn drop(&mut self) {
        let state = self.0.lock();
        let is_known = state.is_over || state.is_being_spawned;
        drop(state);
        if !is_known {
            let killed = self.0.is_killed.load(Ordering::Relaxed);
            drop(self.0.finish(Err(JoinError::of_payload(Box::new(join::Unstarted { killed })))));
        }
    }
}

/// The hub's side: waits for jobs, as a waiter of its own kind.
pub(crate) struct Post {
    shared: Arc<Shared>,
    /// In the ready queue, or not waiting at all.
    is_awake: Cell<bool>,
}

impl Shared {
    /// The lock is held for a push or a take, and nothing of the user's runs meanwhile.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Post {
    /// Also when the process has forked: those who knew of the wait are in the parent then.
    pub(crate) fn settle(&self) -> bool {
        !self.is_awake.replace(true)
    }

    /// The loop's part: calls what has been sent, and waits for more while anybody could send it.
    pub(crate) fn run(self: Rc<Self>, local: &Local) {
        let jobs = std::mem::take(&mut self.shared.lock().jobs);
        for job in jobs {
            if let Err(payload) = local.as_callback(|| job(local)) {
                local.tell_panic(format_args!("{SENT}"), payload);
            }
        }
        self.wait(local);
    }

    fn wait(self: Rc<Self>, local: &Local) {
        let mut state = self.shared.lock();
        if !state.jobs.is_empty() {
            local.hub.borrow_mut().queue(Waiter::Post(Rc::clone(&self)));
        } else if self.shared.remotes.load(Ordering::SeqCst) > 0 && state.wait.is_none() {
            self.is_awake.set(false);
            let mut hub = local.hub.borrow_mut();
            let id = hub.expect(Waiter::Post(Rc::clone(&self)));
            // Asked for after the wait was announced: a child of a fork has a new one from then on.
            state.wait = Some((hub.mailbox(), id));
        }
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("is_awake", &self.is_awake.get()).finish_non_exhaustive()
    }
}

/// [`hub::remote`](crate::hub::remote).
pub(super) fn remote() -> Remote {
    let local = local();
    let post = local.post.borrow().clone();
    let post = post.unwrap_or_else(|| {
        let shared = Arc::new(Shared { state: ProcessLock::new(), remotes: AtomicUsize::new(0) });
        let post = Rc::new(Post { shared, is_awake: Cell::new(true) });
        local.post.replace(Some(Rc::clone(&post)));
        post
    });
    post.shared.remotes.fetch_add(1, Ordering::SeqCst);
    let is_idle = post.is_awake.get() && post.shared.lock().jobs.is_empty();
    if is_idle {
        Rc::clone(&post).wait(local);
    }
    Remote { shared: Arc::clone(&post.shared) }
}

/// The end of the hub: what was sent and not begun is dropped, and those who wait for it hear.
pub(super) fn end(local: &Local) {
    let Some(post) = local.post.take() else { return };
    let mut state = post.shared.lock();
    state.has_ended = true;
    let (jobs, wait) = (std::mem::take(&mut state.jobs), state.wait.take());
    drop(state);
    if let Some((_, id)) = wait {
        let waiter = local.hub.borrow_mut().unexpect(id);
        drop(waiter);
    }
    for job in jobs {
        if let Err(payload) = local.as_callback(|| drop(job)) {
            local.tell_panic(format_args!("{SENT}"), payload);
        }
    }
}
