//! What each OS thread has once: its hub, its threads, its stacks.
//!
//! Made at first use, ended with the OS thread. Knows who must be unwound then; schedules nothing.
//!
//! # Safety
//!
//! The state is reached through a thread-local pointer without a destructor, for that is one load
//! where a `LocalKey` with a destructor also asks whether it still lives. So this file owes that
//! the pointer is null whenever the state is gone: `end` has it cleared first and freed then. By
//! that time no code of ours is left on the OS thread that could hold a reference: green threads are
//! unwound, and the root has returned from whatever it called. Where that does not hold, because the
//! whole process exits from within the loop, nothing is freed.

#![allow(unsafe_code)]

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt, io, mem,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    ptr,
    rc::Rc,
    sync::Arc,
};

use greenroom_fiber::Pool;
use greenroom_hub::{Backend, Chance, Clock, Hub};

use crate::{
    debug::{Pulse, limit_from_env, say_panic, watch_for_good},
    foreign::{Announced, Hearing},
    hub::{end::End, remote::Post},
    thread::{
        Control, Waiter, errno::ErrnoPlace, holder::Holders, join, registry::Registry,
        run::Trimming, signals::Blocked, spawn::default_stack_size,
    },
};

/// One OS thread's hub and all that belongs to it.
///
/// Nothing in a `RefCell` here stays borrowed while foreign code runs or a stack is switched.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) hub: RefCell<Hub<Waiter>>,
    pub(crate) threads: RefCell<Registry>,
    pub(crate) pool: Pool,
    pub(crate) trimming: Trimming,
    pub(crate) stack_size: usize,
    /// The OS thread's own stack, as a waiter.
    pub(crate) root: Rc<Control>,
    /// Code we do not know runs on the root's stack right now, in the loop: see
    /// [`as_callback`](Local::as_callback).
    pub(crate) in_callback: Cell<bool>,
    /// Calls that whoever runs now has made without waiting.
    pub(crate) calls_in_a_row: Cell<u32>,
    /// All threads are to be ended at the next turn.
    pub(crate) abort: Cell<bool>,
    /// The wait for what other OS threads send, once they can.
    pub(crate) post: RefCell<Option<Rc<Post>>>,
    /// Whoever is resumed now is only looked at: see [`run::look_at`](crate::thread::run::look_at).
    pub(crate) looks: Cell<bool>,
    /// What was seen there.
    pub(crate) seen: RefCell<Vec<usize>>,
    /// What others close while green threads here wait for it in foreign code.
    pub(crate) hearing: RefCell<Option<Hearing>>,
    /// A child that shares this memory was about to be made.
    pub(crate) vfork: Cell<Announced>,
    /// Who holds what is waited for there.
    pub(crate) holders: Cell<Option<Holders>>,
    /// Who waits until everyone is parked.
    pub(crate) quiet: RefCell<Vec<Waiter>>,
    pub(crate) pulse: Arc<Pulse>,
    /// Draws what is chosen where several could be.
    pub(crate) draws: RefCell<Chance>,
    pub(crate) errno: ErrnoPlace,
    pub(crate) blocked_signals: Blocked,
    pub(crate) end: End,
}

impl Local {
    /// Runs code we do not know on the root's stack, in the midst of the loop: a callback, or the
    /// destructor of something that nobody else is left to drop. It may not block, and its panic
    /// is no reason for the loop to end.
    pub(crate) fn as_callback<R>(&self, f: impl FnOnce() -> R) -> std::thread::Result<R> {
        let outer = self.in_callback.replace(true);
        let outcome = catch_unwind(AssertUnwindSafe(f));
        self.in_callback.set(outer);
        outcome
    }

    /// Prints that `who` panicked in [`as_callback`](Local::as_callback). What a panic carries is
    /// dropped like any code we do not know.
    #[cold]
    pub(crate) fn tell_panic(&self, who: fmt::Arguments<'_>, payload: Box<dyn Any + Send>) {
        say_panic(format_args!("{who} {}", join::telling(&*payload)));
        mem::forget(self.as_callback(|| drop(payload)));
    }
}

thread_local! {
    static LOCAL: Cell<*const Local> = const { Cell::new(ptr::null()) };
    /// The hub has ended with its OS thread.
    static ENDED: Cell<bool> = const { Cell::new(false) };
}

/// This OS thread's state, made now if this is the first use.
///
/// # Panics
///
/// If none can be made: see [`try_local`].
#[inline]
pub(crate) fn local() -> &'static Local {
    match existing() {
        Some(local) => local,
        None => first_use(),
    }
}

/// This OS thread's state, if it has any.
#[inline]
pub(crate) fn existing() -> Option<&'static Local> {
    let local = LOCAL.get();
    // SAFETY: null, or made by `install` and not freed as long as code of this OS thread may use
    // it; see the head of this file. `'static` stands for that time: nothing outside of this
    // crate is given the reference, and it cannot leave the OS thread, for `Local` is not `Sync`.
    unsafe { local.as_ref() }
}

/// This OS thread's state, made now if this is the first use.
///
/// # Errors
///
/// If the kernel gives no epoll set or eventfd, or an environment variable asks for something that
/// does not exist.
#[inline]
pub(crate) fn try_local() -> io::Result<&'static Local> {
    match existing() {
        Some(local) => Ok(local),
        None => install(backend_from_env()?, Clock::monotonic()),
    }
}

#[cold]
fn first_use() -> &'static Local {
    match try_local() {
        Ok(local) => local,
        Err(error) => panic!("no hub could be made for this OS thread: {error}"),
    }
}

/// Which backend `GREENROOM_HUB` names; the default if it is not set.
fn backend_from_env() -> io::Result<Backend> {
    let Some(name) = std::env::var_os("GREENROOM_HUB") else { return Ok(Backend::default()) };
    name.to_string_lossy().parse().map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("GREENROOM_HUB: {error}"))
    })
}

/// Gives this OS thread, which has none, a hub.
#[cold]
pub(crate) fn install(backend: Backend, clock: Clock) -> io::Result<&'static Local> {
    assert!(LOCAL.get().is_null(), "an OS thread has one hub");
    if ENDED.get() {
        return Err(io::Error::other("this OS thread is ending and its hub is gone already"));
    }
    let limit = limit_from_env()?;
    let hub = Hub::new(backend, clock)?;
    let now = hub.now();
    let pulse = Pulse::new(hub.queued_flag());
    let local = Local {
        hub: RefCell::new(hub),
        threads: RefCell::default(),
        pool: Pool::new(),
        trimming: Trimming::from(now),
        stack_size: default_stack_size()?,
        root: Rc::new(Control::root(Location::caller(), now)),
        in_callback: Cell::new(false),
        calls_in_a_row: Cell::new(0),
        abort: Cell::new(false),
        post: RefCell::default(),
        looks: Cell::new(false),
        seen: RefCell::default(),
        hearing: RefCell::default(),
        vfork: Cell::default(),
        holders: Cell::new(None),
        quiet: RefCell::default(),
        pulse,
        draws: RefCell::new(Chance::from_seed(0)),
        errno: ErrnoPlace::of_this_os_thread(),
        blocked_signals: Blocked::new(),
        end: End::new(),
    };
    LOCAL.set(Box::into_raw(Box::new(local)));
    let local = existing().expect("the hub has just been made");
    if let Some(limit) = limit {
        watch_for_good(local, limit);
    }
    Ok(local)
}

/// Frees this OS thread's state. There will be no other.
///
/// To be called at the end of the OS thread, when all its green threads have ended.
pub(super) fn take_away() {
    ENDED.set(true);
    let gone = LOCAL.replace(ptr::null());
    assert!(!gone.is_null(), "an OS thread has one hub, which ends once");
    // SAFETY: `install` made it with `Box::new`, and nobody can reach it any more: the pointer is
    // null, all green threads have ended, and the root is not in the loop.
    drop(unsafe { Box::from_raw(gone.cast_mut()) });
}
