//! Waits for code that cannot be unwound: the frames of a C library, or of a function that libc's
//! callers take for libc's.
//!
//! Everywhere else in this crate, who is killed or out of time is thrown out of the wait by
//! unwinding. An `extern "C"` frame cannot be unwound. So the waits here *end with an error*
//! instead, and each later one refuses to begin; the thread is thrown out at the first wait of its
//! own that is not one of these. Knows no system calls and no `errno`.
//!
//! `greenroom-patch` is made of this, and so may be a binding to a C library whose callbacks wait.
//!
//! ```
//! use greenroom::{Elapsed, foreign::{Here, Stop}, sleep, with_timeout, Instant};
//! use std::time::Duration;
//!
//! extern "C" fn callback() -> i32 {
//!     let here = Here::get().expect("this runs on a green thread");
//!     match here.sleep_until(Instant::now() + Duration::from_secs(3600)) {
//!         Ok(()) => 0,
//!         Err(Stop::TimeIsOver) => -1,
//!         Err(_) => -2,
//!     }
//! }
//!
//! let thread = greenroom::spawn(|| {
//!     let mut seen = 0;
//!     let ended = with_timeout(Duration::from_millis(1), || {
//!         seen = callback();
//!         sleep(Duration::ZERO); // Here it can be unwound, and is.
//!     });
//!     assert_eq!((seen, ended), (-1, Err(Elapsed)));
//! });
//! thread.join().unwrap();
//! ```

mod closing;
mod exchange;
mod lock;
mod vfork;

use std::{marker::PhantomData, os::fd::RawFd, ptr, time::Duration};

use greenroom_fiber::Fiber;
use greenroom_hub::{Interest, ListenError, Wake};

use crate::{
    debug::say,
    hub::local::{Local, existing},
    offload::{self, Missed},
    thread::{
        Control, control, current,
        errno::Errno,
        is_green,
        park::{self, CALLS_IN_A_ROW_MAX},
        throw::{Refusal, refusal},
    },
    time::Instant,
};

use closing::Awaited;
pub use closing::{Closing, about_to_close, is_awaited};
pub(crate) use closing::{Hearing, hear};
pub(crate) use exchange::Away;
pub use exchange::{Exchange, set_exchange};
pub(crate) use vfork::Announced;
pub use vfork::about_to_vfork;

/// Refusals in a row after which whoever is stopped, and tries again and again, is told of and
/// slowed down.
const REFUSALS_MAX: u8 = 100;

/// From then on each further try takes so long.
const PAUSE: Duration = Duration::from_millis(10);

/// The proof that a green thread runs here, and may switch. Good for the call in which it was [asked for](Here::get).
///
/// One that is kept for longer proves nothing. It is harmless then: what waits panics where no green thread
/// runs, and everything does when the hub has ended. It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::foreign::Here>();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Here {
    // Not the hub's state, which whoever keeps this may outlive.
    pinned: PhantomData<*const ()>,
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The thread was killed.
    Killed,
    /// A limit of time that the thread is under ([`with_timeout`](crate::with_timeout)) is over.
    TimeIsOver,
    /// The deadline of this very wait has passed.
    Expired,
    /// The fd was [declared closed](crate::hub::notify_close), or means another file by now.
    Closed,
    /// This runs in a destructor because of a panic, where nothing may switch.
    Unwinding,
    /// The process forked, and what was waited for stayed behind.
    Forked,
    /// The kernel refuses to watch the fd, with this `errno`.
    Refused(i32),
    /// There is no helper OS thread to do the work, and none can be started.
    NoHelper,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        match refusal {
            Refusal::Unwinding => Stop::Unwinding,
            Refusal::TimeIsOver => Stop::TimeIsOver,
            Refusal::Killed => Stop::Killed,
        }
    }
}

impl Here {
    /// `None` on an OS thread's own stack; on the stack that handlers of signals may have for themselves;
    /// inside [`no_switch`]; in a forked child until it has waited on its hub by itself, for it may be about
    /// to `exec`; and in a child of `vfork` that was [announced](about_to_vfork).
    ///
    /// Costs a few nanoseconds where there is no green thread: two loads from thread-locals. Takes no
    /// lock and allocates nothing.
    #[inline]
    pub fn get() -> Option<Here> {
        if !is_green() {
            return None;
        }
        Here::on_green()
    }

    fn on_green() -> Option<Here> {
        let local = existing()?;
        let stays = control::with_current(local, |control| control.stays.get());
        // Borrowed: this is the hub's own doing, on a green thread's stack.
        let is_free = local
            .hub
            .try_borrow_mut()
            .is_ok_and(|hub| !hub.is_parents() && !vfork::is_child(local, hub.era()));
        (is_free && !stays && is_on_own_stack()).then_some(Here { pinned: PhantomData })
    }

    #[inline]
    fn local(self) -> &'static Local {
        existing().expect("who keeps a proof for longer than a call has outlived the hub")
    }

    /// Counts a call that might have had to wait and did not.
    #[inline]
    pub fn count_call(self) {
        let calls = &self.local().calls_in_a_row;
        calls.set(calls.get().saturating_add(1));
    }

    /// True after many such calls in a row: before the next one it is the turn of others, as with the
    /// reads and writes of [`net`](crate::net). But never in a handler of a signal, which strikes in the
    /// middle of anything.
    #[inline]
    pub fn must_give_way(self) -> bool {
        let local = self.local();
        local.calls_in_a_row.get() >= CALLS_IN_A_ROW_MAX
            && !local.blocked_signals.are_more_than_usual()
    }

    /// Lets others run, and then tells whether the thread is to be stopped: else one whose data never end
    /// could not be.
    ///
    /// # Errors
    ///
    /// [`Stop::Killed`] or [`Stop::TimeIsOver`].
    pub fn give_way(self) -> Result<(), Stop> {
        self.local().calls_in_a_row.set(0);
        self.yield_now();
        match control::with_current(self.local(), refusal) {
            Some(refusal) => Err(self.refused(refusal)),
            None => Ok(()),
        }
    }

    /// Lets everyone else who is ready run first. Also whoever is to be stopped comes back from this.
    pub fn yield_now(self) {
        park::yield_beneath(self.local());
    }

    /// Waits until `fd` is ready, or until `deadline`. Several may wait for the same fd and
    /// direction; they are woken one after the other.
    ///
    /// Ready is no promise: whoever calls tries again, and waits again. Costs a system call, which
    /// arms the poller.
    ///
    /// # Errors
    ///
    /// [`Stop`] says why; all of its kinds but [`Forked`](Stop::Forked) and
    /// [`NoHelper`](Stop::NoHelper) occur. [`Stop::Refused`] with `EPERM` is a file that never
    /// makes anyone wait.
    pub fn wait(
        self,
        fd: RawFd,
        interest: Interest,
        deadline: Option<Instant>,
    ) -> Result<(), Stop> {
        // Locks, and the words to other OS threads, are made of system calls that fail now and then.
        let _errno = Errno::keep(&self.local().errno);
        let _awaited = Awaited::begin(self.local(), fd);
        self.until_ready(fd, interest, deadline)
    }

    /// Waits until `set` is readable, an epoll set that watches `members`; as [`wait`](Here::wait) does.
    ///
    /// Costs some tens of nanoseconds for each member besides.
    ///
    /// # Errors
    ///
    /// As [`wait`](Here::wait); and [`Stop::Closed`] also if [one is about to close](about_to_close) a
    /// member, of which the set itself says nothing.
    pub fn wait_for_set(
        self,
        set: RawFd,
        members: &[RawFd],
        deadline: Option<Instant>,
    ) -> Result<(), Stop> {
        let _errno = Errno::keep(&self.local().errno);
        let awaited = Awaited::begin(self.local(), set);
        let _members = awaited.members(members);
        self.until_ready(set, Interest::Read, deadline)
    }

    fn until_ready(
        self,
        fd: RawFd,
        interest: Interest,
        deadline: Option<Instant>,
    ) -> Result<(), Stop> {
        let deadline = deadline.map(Instant::on_hub);
        match park::until_ready_or_refused(fd, interest, deadline) {
            Ok(Ok(Wake::Ready(_))) => {
                self.went_on();
                Ok(())
            }
            Ok(Ok(Wake::Expired)) => {
                self.went_on();
                Err(Stop::Expired)
            }
            Ok(Ok(Wake::Closed)) => Err(Stop::Closed),
            Ok(Ok(wake)) => unreachable!("a wait for an fd is not ended by {wake:?}"),
            Ok(Err(ListenError::Io(error))) => {
                Err(Stop::Refused(error.raw_os_error().unwrap_or(libc::EBADF)))
            }
            Ok(Err(ListenError::Closed)) => Err(Stop::Closed),
            Ok(Err(ListenError::Busy { .. })) => unreachable!("a queue is never refused"),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Waits until `deadline`.
    ///
    /// # Errors
    ///
    /// [`Stop::Killed`], [`Stop::TimeIsOver`] or [`Stop::Unwinding`], before it.
    pub fn sleep_until(self, deadline: Instant) -> Result<(), Stop> {
        match park::until_or_refused(deadline.on_hub()) {
            Ok(_) => {
                self.went_on();
                Ok(())
            }
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Runs `f` on a helper OS thread, as [`offload`](fn@crate::offload) does, and waits for what it
    /// returns. `what` names the work in reports.
    ///
    /// # Errors
    ///
    /// [`Stop::Killed`] or [`Stop::TimeIsOver`]: the work goes on, and what it returns is dropped
    /// on the helper. [`Stop::Forked`] in a forked child, whose parent had the helpers.
    /// [`Stop::Unwinding`] before it has begun, and [`Stop::NoHelper`] if no helper can be started: `f` is
    /// dropped then.
    ///
    /// # Panics
    ///
    /// With what `f` panics with; and if `GREENROOM_OFFLOAD_THREADS` is no number from 1 up.
    pub fn offload<F, T>(self, what: &'static &'static str, f: F) -> Result<T, Stop>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let _errno = Errno::keep(&self.local().errno);
        match offload::offload_or_missed(what, f) {
            Ok(value) => {
                self.went_on();
                Ok(value)
            }
            Err(Missed::Forked) => Err(Stop::Forked),
            Err(Missed::NoHelper) => Err(Stop::NoHelper),
            Err(Missed::Refused(refusal)) => Err(self.refused(refusal)),
        }
    }

    /// Whether the thread is to be stopped, and was told so by a wait that it has not given in to: why,
    /// and how many waits in a row were refused by now (255 stands for more). [`Stop::Killed`] or [`Stop::TimeIsOver`].
    ///
    /// For calls that do not wait, of code that waits elsewhere and hears errors here only.
    pub fn refused_before(self) -> Option<(Stop, u8)> {
        control::with_current(self.local(), |control| {
            let refusals = control.refusals.get();
            let refusal = refusal(control).filter(|_| refusals > 0)?;
            Some((refusal.into(), refusals))
        })
    }

    fn went_on(self) {
        control::with_current(self.local(), |control| control.refusals.set(0));
    }

    /// A wait did not come to its end. Whoever is stopped and goes on trying must not keep others
    /// from running; and whoever never gives in must not use up the processor.
    #[cold]
    fn refused(self, refusal: Refusal) -> Stop {
        let _errno = Errno::keep(&self.local().errno);
        if refusal != Refusal::Unwinding {
            let refusals = control::with_current(self.local(), |control| {
                control.refusals.replace(control.refusals.get().saturating_add(1))
            });
            if refusals == REFUSALS_MAX {
                let why =
                    if refusal == Refusal::Killed { "it was killed" } else { "its time is over" };
                say(format_args!(
                    "{} goes on waiting in foreign code although {why}, {REFUSALS_MAX} times by now; it \
                     ends at its next wait that can be unwound, such as greenroom::yield_now()",
                    current()
                ));
            }
            if refusals >= REFUSALS_MAX {
                park::pause(self.local(), (Instant::now() + PAUSE).on_hub());
            } else {
                self.yield_now();
            }
        }
        refusal.into()
    }
}

/// Not so in a handler of a signal that has a stack of its own: there is one such stack for all.
fn is_on_own_stack() -> bool {
    let on_stack = 0u8;
    let here = ptr::from_ref(&on_stack).addr();
    Fiber::<Control>::with_current(|fiber| {
        fiber.and_then(Fiber::stack_range).is_some_and(|stack| stack.contains(&here))
    })
}

/// Runs `f`, in which waits of foreign code do not let others run: they block the OS thread, as they
/// would without the patch. Waits of this crate's own are not changed.
///
/// For code that holds a lock of the OS thread, or of a library that is not to be entered twice.
///
/// ```
/// use greenroom::foreign::{Here, no_switch};
///
/// let thread = greenroom::spawn(|| {
///     assert!(Here::get().is_some());
///     assert!(no_switch(|| Here::get().is_none()));
/// });
/// thread.join().unwrap();
/// ```
pub fn no_switch<T>(f: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            if let Some(local) = existing() {
                control::with_current(local, |control| control.stays.set(self.0));
            }
        }
    }
    let _before = existing()
        .map(|local| Before(control::with_current(local, |control| control.stays.replace(true))));
    f()
}
