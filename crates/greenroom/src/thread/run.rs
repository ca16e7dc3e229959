//! The loop, and the only place that resumes a green thread.
//!
//! Runs on the OS thread's own stack, inside whatever blocking call the root made, until the root
//! is woken. Decides nothing about order: the hub hands out who runs.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use greenroom_fiber::{Fiber, Progress};
use greenroom_hub::Outcome;

use crate::{
    debug::deadlock,
    hub::local::Local,
    thread::{Control, Waiter, join},
};

/// Stacks whose pages are given back between two looks at the fds: some tens of microseconds.
const TRIMMED_AT_ONCE_MAX: usize = 16;

/// How often threads are thrown out of their waits when all must end. Who catches what it is thrown
/// and waits again that often does not mean to go.
const UNWINDS_MAX: usize = 1000;

/// Takes turns until the root is woken.
///
/// # Panics
///
/// If the root can never be woken: nobody is ready and nothing is left that could make anyone.
pub(crate) fn until_woken(local: &Local) {
    loop {
        if run_ready(local) {
            return;
        }
        if local.abort.get() {
            crate::hub::end(local);
        }
        turn(local);
    }
}

/// Runs whoever this turn has left. True if the root is among them, and may go on.
fn run_ready(local: &Local) -> bool {
    loop {
        let next = local.hub.borrow_mut().pop();
        match next {
            Some(Waiter::Thread(fiber)) => resume(local, fiber),
            Some(Waiter::Root(_)) => return true,
            Some(Waiter::Call(callback)) => callback.run(local),
            None => return false,
        }
    }
}

/// Collects whoever is due or ready; sleeps if that is nobody.
fn turn(local: &Local) {
    local.hub.borrow_mut().prepare();
    let outcome = idle_chores(local).and_then(|()| local.hub.borrow_mut().wait());
    match outcome {
        Ok(Outcome::Continue) => {}
        Ok(Outcome::Stuck) => deadlock::report(local),
        Err(error) => panic!("the hub cannot wait for its fds: {error}"),
    }
}

/// What is done before the hub sleeps, as long as nobody could run instead.
fn idle_chores(local: &Local) -> io::Result<()> {
    while local.hub.borrow().is_idle() {
        let stacks_left = local.pool.trim(TRIMMED_AT_ONCE_MAX);
        let someone_listens_for_quiet = !local.quiet.borrow().is_empty();
        if stacks_left == 0 && !someone_listens_for_quiet {
            break;
        }
        local.hub.borrow_mut().look()?;
        if stacks_left == 0 && local.hub.borrow().is_idle() {
            for waiter in local.quiet.take() {
                local.hub.borrow_mut().call(waiter);
            }
        }
    }
    Ok(())
}

#[inline]
fn resume(local: &Local, fiber: Fiber<Control>) {
    local.pulse.beat();
    let progress = fiber.resume();
    local.pulse.beat();
    match progress {
        Progress::Suspended => {}
        Progress::Finished => finish(local, fiber),
    }
}

/// A thread's function is over: whoever waits for it is called, and its stack may go.
#[inline]
fn finish(local: &Local, fiber: Fiber<Control>) {
    if let Some(joiner) = fiber.finish() {
        local.hub.borrow_mut().call(joiner);
    }
    let registered = local.threads.borrow_mut().remove(&fiber);
    if fiber.detached.get() {
        end_detached(registered, fiber);
    }
}

/// Nobody will ask how this thread ended: a panic is told, and a value is dropped here.
fn end_detached(registered: Option<Fiber<Control>>, fiber: Fiber<Control>) {
    join::tell_panic(&fiber);
    // The last handle drops what the thread returned, and so runs code we do not know.
    let dropped = catch_unwind(AssertUnwindSafe(|| drop((registered, fiber))));
    if let Err(payload) = dropped {
        eprintln!("greenroom: dropping what a green thread returned {}", join::telling(&*payload));
        std::mem::forget(payload);
    }
}

/// Unwinds every green thread, so that its destructors run: at the end of an OS thread, and when
/// the hub is aborted. The root's own wait goes on.
pub(crate) fn end_all(local: &Local) {
    let mut root_is_ready = false;
    for _ in 0..UNWINDS_MAX {
        let alive: Vec<_> = local.threads.borrow().iter().cloned().collect();
        if alive.is_empty() {
            break;
        }
        for fiber in alive {
            doom(local, fiber);
        }
        local.hub.borrow_mut().extend_turn();
        root_is_ready |= run_ready(local);
    }
    if let Some(fiber) = local.threads.borrow().iter().next() {
        eprintln!(
            "greenroom: {} waits again however often it is killed, so its stack cannot go; \
             let it pass on the unwinding it catches",
            Waiter::Thread(fiber.clone())
        );
        std::process::abort();
    }
    if root_is_ready {
        local.hub.borrow_mut().queue(Waiter::Root(local.root.clone()));
    }
}

/// Ends a thread's wait; when it runs it finds that it is doomed, and unwinds.
fn doom(local: &Local, fiber: Fiber<Control>) {
    if cfg!(panic = "abort") && fiber.has_started() {
        eprintln!(
            "greenroom: {} is alive while its OS thread ends, and under panic=abort its stack \
             cannot be unwound; join it first",
            Waiter::Thread(fiber)
        );
        std::process::abort();
    }
    fiber.doom();
    local.hub.borrow_mut().call(Waiter::Thread(fiber));
}
