//! Green threads that borrow from the caller's stack.
//!
//! As [`std::thread::scope`] does it: the scope does not end before all that was spawned in it has. Knows
//! joining and killing; resumes nobody.
//!
//! # Safety
//!
//! A green thread's closure must be `'static`, because its stack may outlive the caller's. Here the
//! lifetime is erased, and what makes up for it is that [`scope`] is not left, neither by returning nor
//! by unwinding, while a thread of the scope is alive: [`Children::end`] waits for all of them in a
//! wait that cannot be thrown out of, and [`Unfinished`] aborts the process should that ever fail. What
//! such a thread returns is not kept with the thread, whose handle may live longer, but in a packet
//! that the handle of this scope's lifetime owns.

#![allow(unsafe_code)]

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    marker::PhantomData,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    thread::panicking,
    time::Duration,
};

use greenroom_fiber::Fiber;

use crate::{
    debug::say,
    hub::local::{Local, local},
    thread::{
        Blocked, Builder, Control, End, JoinError, JoinHandle, SpawnError, Thread,
        control::{self, State},
        run,
        throw::{Throw, assert_can_unwind, throw_if_asked},
        wait_queue::WaitQueue,
    },
};

/// Runs `f`, in which green threads may be spawned that borrow from the caller's stack, and waits
/// until they have ended.
///
/// Their handles may be joined within the scope; those that are not are joined at its end. If `f`
/// panics, or whoever runs the scope is killed or out of time, its threads are killed first, and then waited
/// for all the same, however long they take to end. They may spawn others in the same scope, and hold
/// borrows across their waits.
///
/// Costs an allocation, and two for each thread.
///
/// # Panics
///
/// With what `f` panics with. If a thread that nobody joined has panicked. In a hub callback, which
/// may not wait. On an OS thread's own stack, if nothing is left that could ever end one of the threads:
/// they are killed before that comes out.
///
/// In a destructor that runs because of a panic there is no waiting: threads spawned there run at
/// once, to their end, on the caller's stack, and a panic of one is that of the call that spawns it.
///
/// # Examples
///
/// ```
/// use greenroom::{scope, sleep};
/// use std::time::Duration;
///
/// let mut words = vec!["a".to_owned(), "b".to_owned()];
/// let text = String::from("!");
/// scope(|s| {
///     for word in &mut words {
///         s.spawn(|| {
///             sleep(Duration::from_millis(1));
///             word.push_str(&text);
///         });
///     }
/// });
/// assert_eq!(words, ["a!", "b!"]);
/// ```
///
/// What is borrowed must outlive the scope:
///
/// ```compile_fail,E0373
/// greenroom::scope(|s| {
///     let inside = 1;
///     s.spawn(|| println!("{inside}"));
/// });
/// ```
///
/// ```compile_fail,E0521
/// let mut handle = None;
/// greenroom::scope(|s| {
///     let inside = 1;
///     handle = Some(s.spawn(move || inside));
/// });
/// ```
///
/// ```compile_fail,E0521
/// let mut kept = None;
/// greenroom::scope(|s| kept = Some(s));
/// ```
///
/// ```compile_fail,E0521
/// greenroom::scope(|s| {
///     s.spawn(|| ()).thread().link(move |_, _| drop(s.spawn(|| ())));
/// });
/// ```
///
/// ```compile_fail,E0499
/// let mut count = 0;
/// greenroom::scope(|s| {
///     s.spawn(|| count += 1);
///     s.spawn(|| count += 1);
/// });
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let local = local();
    assert!(
        !local.in_callback.get(),
        "a hub callback may not wait, so it cannot open a scope; spawn a green thread that does"
    );
    let scope = Scope {
        children: Rc::default(),
        cannot_wait: panicking(),
        scope: PhantomData,
        env: PhantomData,
    };
    let unfinished = Unfinished(&scope.children);
    let outcome = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let failure = scope.children.end(local, outcome.is_err());
    drop(unfinished);
    match (outcome, failure) {
        (Err(payload), _) | (Ok(_), Some(payload)) => resume_unwind(payload),
        (Ok(value), None) => {
            control::with_current(local, |control| {
                if !panicking() {
                    throw_if_asked(control);
                }
            });
            assert!(scope.children.panicked.get() == 0, "a scoped green thread panicked");
            value
        }
    }
}

/// Where green threads can be spawned that borrow. Made by [`scope`].
///
/// `'scope` is the time in which they run, `'env` that of what they borrow.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>(_: T) {}
/// greenroom::scope(|s| is_send(s));
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    children: Rc<Children>,
    /// The scope was opened in a destructor that runs because of a panic.
    cannot_wait: bool,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a green thread that may borrow whatever outlives the scope.
    ///
    /// # Panics
    ///
    /// If there is no memory or address space for another stack: see [`Builder::spawn_scoped`].
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut left, right) = (vec![3, 1, 2], [4, 5]);
    /// let sum = greenroom::scope(|s| {
    ///     let sorts = s.spawn(|| left.sort_unstable());
    ///     let sum = s.spawn(|| right.iter().sum::<i32>());
    ///     sorts.join().unwrap();
    ///     sum.join().unwrap()
    /// });
    /// assert_eq!((left, sum), (vec![1, 2, 3], 9));
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        match Builder::new().spawn_scoped(self, f) {
            Ok(handle) => handle,
            Err(error) => panic!("failed to spawn a green thread: {error}"),
        }
    }

    /// Kills all threads of the scope that are alive now: [`Thread::kill`]. Returns how many those were. A
    /// thread of the scope that calls this is one of them.
    ///
    /// # Panics
    ///
    /// Under `panic = "abort"`, if one of them has started.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{scope, sleep, yield_now};
    ///
    /// scope(|s| {
    ///     (0..3).for_each(|_| drop(s.spawn(|| sleep(Duration::MAX))));
    ///     yield_now();
    ///     assert_eq!((s.alive(), s.kill_all()), (3, 3));
    /// });
    /// ```
    #[track_caller]
    pub fn kill_all(&self) -> usize {
        if self.children.threads.borrow().iter().any(Children::needs_unwinding) {
            assert_can_unwind("killing");
        }
        self.children.kill_all()
    }

    /// How many threads of the scope are alive.
    pub fn alive(&self) -> usize {
        self.children.alive.get()
    }
}

impl Builder {
    /// Starts a green thread in a [`scope`].
    ///
    /// # Errors
    ///
    /// If there is no memory or address space for another stack, or no hub can be made.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{scope, thread::Builder};
    ///
    /// let name = String::from("borrowed");
    /// scope(|s| {
    ///     let handle = Builder::new().name("child").spawn_scoped(s, || name.len()).unwrap();
    ///     assert_eq!(handle.join().unwrap(), 8);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> Result<ScopedJoinHandle<'scope, T>, SpawnError>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let packet: Packet<T> = Rc::default();
        let result = Rc::clone(&packet);
        let children = Rc::clone(&scope.children);
        let main = move || {
            let value = f();
            result.set(Some(value));
        };
        if scope.cannot_wait {
            main();
            let handle = Some(self.spawn(|| ())?);
            return Ok(ScopedJoinHandle { handle, packet, children, scope: PhantomData });
        }
        let main: Box<dyn FnOnce() + 'scope> = Box::new(main);
        // SAFETY: only the lifetime changes. `scope` is not left before the thread has ended, as the
        // head of this file says, and by then the closure has been called or dropped.
        let main = unsafe {
            mem::transmute::<Box<dyn FnOnce() + 'scope>, Box<dyn FnOnce() + 'static>>(main)
        };
        let handle = self.spawn(main)?;
        children.add(handle.fiber());
        Ok(ScopedJoinHandle { handle: Some(handle), packet, children, scope: PhantomData })
    }
}

type Packet<T> = Rc<Cell<Option<T>>>;

/// Owns the right to wait for the end of a green thread of a [`scope`], and to have what it
/// returned.
///
/// Dropping it leaves the thread to the end of the scope.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::thread::ScopedJoinHandle<'_, ()>>();
/// ```
pub struct ScopedJoinHandle<'scope, T> {
    /// There until it is joined.
    handle: Option<JoinHandle<()>>,
    packet: Packet<T>,
    children: Rc<Children>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits until the thread has ended, and returns what its function returned.
    ///
    /// # Errors
    ///
    /// As [`JoinHandle::join`].
    ///
    /// # Panics
    ///
    /// As [`JoinHandle::join`].
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::scope;
    ///
    /// let words = ["one", "two"];
    /// scope(|s| {
    ///     let length = s.spawn(|| words.concat().len());
    ///     assert_eq!(length.join().unwrap(), 6);
    /// });
    /// ```
    pub fn join(mut self) -> Result<T, JoinError> {
        if panicking()
            && let Some(value) = self.packet.take()
        {
            return Ok(value);
        }
        let outcome = self.handle.take().expect("a handle is joined once").join();
        self.joined(outcome)
    }

    /// Waits until the thread has ended, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// The handle, if the thread is still alive by then.
    ///
    /// # Panics
    ///
    /// As [`JoinHandle::join`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{scope, sleep};
    ///
    /// scope(|s| {
    ///     let sleeper = s.spawn(|| sleep(Duration::MAX));
    ///     let sleeper = sleeper.join_timeout(Duration::from_millis(1)).unwrap_err();
    ///     assert!(!sleeper.is_finished() && sleeper.kill());
    ///     assert!(sleeper.join().unwrap_err().is_killed());
    /// });
    /// ```
    pub fn join_timeout(mut self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        if panicking() {
            return Ok(self.join());
        }
        match self.handle.take().expect("a handle is joined once").join_timeout(timeout) {
            Ok(outcome) => Ok(self.joined(outcome)),
            Err(handle) => {
                self.handle = Some(handle);
                Err(self)
            }
        }
    }

    /// True if the thread has ended, so that joining does not wait.
    pub fn is_finished(&self) -> bool {
        self.handle().is_finished()
    }

    /// The thread itself: its id and name, and the means to kill it.
    pub fn thread(&self) -> Thread {
        self.handle().thread()
    }

    /// Kills the thread: [`Thread::kill`].
    pub fn kill(&self) -> bool {
        self.handle().kill()
    }

    /// Cancels the thread if it has not started: [`Thread::cancel`].
    ///
    /// # Examples
    ///
    /// ```
    /// greenroom::scope(|s| {
    ///     let unborn = s.spawn(|| unreachable!());
    ///     assert!(unborn.cancel());
    ///     assert!(unborn.join().unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn cancel(&self) -> bool {
        self.handle().cancel()
    }

    fn handle(&self) -> &JoinHandle<()> {
        self.handle.as_ref().expect("only joining takes the handle, and it takes all")
    }

    fn joined(&self, outcome: Result<(), JoinError>) -> Result<T, JoinError> {
        match outcome {
            Ok(()) => Ok(self.packet.take().expect("a thread that returned has left a value")),
            Err(error) => {
                if error.is_panic() {
                    self.children.panicked.set(self.children.panicked.get() - 1);
                }
                Err(error)
            }
        }
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopedJoinHandle").field(&self.handle).finish()
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("alive", &self.alive()).finish_non_exhaustive()
    }
}

/// The threads of one scope.
#[derive(Debug, Default)]
pub(crate) struct Children {
    alive: Cell<usize>,
    /// All that are alive, and some that have ended.
    threads: RefCell<Vec<Fiber<Control>>>,
    /// All are to end: those to come as well.
    is_ending: Cell<bool>,
    /// How many have panicked whom nobody has joined.
    panicked: Cell<usize>,
    /// Whoever runs the scope, while it waits for the last.
    all_ended: WaitQueue,
}

/// So many ended threads are kept in the list, and as many more as are alive.
const ENDED_KEPT: usize = 32;

impl Children {
    fn add(self: &Rc<Self>, fiber: &Fiber<Control>) {
        self.alive.set(self.alive.get() + 1);
        fiber.children.set(Some(Rc::clone(self)));
        self.threads.borrow_mut().push(fiber.clone());
        if self.is_ending.get() {
            run::throw_out(fiber.clone());
        }
    }

    /// The loop's part: one of them has ended.
    pub(crate) fn one_ended(&self, fiber: &Fiber<Control>) {
        if fiber.end.get() == End::Panicked {
            self.panicked.set(self.panicked.get() + 1);
        }
        self.alive.set(self.alive.get() - 1);
        if self.alive.get() == 0 {
            self.all_ended.call_one();
        }
        let mut threads = self.threads.borrow_mut();
        if threads.len() > ENDED_KEPT + 2 * self.alive.get() {
            let ended = threads.extract_if(.., |thread| thread.state() == State::Finished);
            let ended: Vec<_> = ended.collect();
            drop(threads);
            drop(ended);
        }
    }

    fn needs_unwinding(thread: &Fiber<Control>) -> bool {
        thread.has_started() && thread.state() != State::Finished
    }

    fn kill_all(&self) -> usize {
        let threads = self.threads.borrow().clone();
        let alive = threads.iter().filter(|thread| thread.state() != State::Finished);
        alive.map(|thread| run::throw_out(thread.clone())).count()
    }

    /// Waits until all have ended, whatever happens meanwhile. If `kills`, they are killed first; so
    /// they are when the waiter is thrown out, or cannot wait. Returns why it could not.
    fn end(&self, local: &'static Local, mut kills: bool) -> Option<Box<dyn Any + Send>> {
        let mut failure = None;
        loop {
            // Asked for before or meanwhile. Else nobody would come to end this wait.
            kills |= control::with_current(local, |control| control.throw.get() != Throw::No);
            if kills && !self.is_ending.replace(true) {
                self.kill_all();
            }
            if self.alive.get() == 0 {
                return failure;
            }
            let holding = HoldingOut::begin(local);
            let wait = || self.all_ended.wait(Blocked::Call(&"its scope to end"), None, || ());
            let waited = catch_unwind(AssertUnwindSafe(wait));
            drop(holding);
            if let Err(payload) = waited {
                // Nobody is left who could wake the root: but killing them does.
                failure.get_or_insert(payload);
                kills = true;
                self.is_ending.set(false);
            }
        }
    }
}

/// A time in which waits cannot be thrown out of.
struct HoldingOut {
    local: &'static Local,
    outer: bool,
}

impl HoldingOut {
    fn begin(local: &'static Local) -> HoldingOut {
        let outer = control::with_current(local, |control| control.holds_out.replace(true));
        HoldingOut { local, outer }
    }
}

impl Drop for HoldingOut {
    fn drop(&mut self) {
        control::with_current(self.local, |control| control.holds_out.set(self.outer));
    }
}

/// Aborts the process if a scope is left while threads of it are alive.
struct Unfinished<'a>(&'a Children);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.0.alive.get() > 0 {
            say(format_args!("a scope was left while its threads borrow from it; this is a bug"));
            std::process::abort();
        }
    }
}
