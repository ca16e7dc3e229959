//! The loop, and the only place that resumes a green thread.
//!
//! Runs on the OS thread's own stack, inside whatever blocking call the root made, until the root
//! is woken. Decides nothing about order: the hub hands out who runs.

use std::{cell::Cell, io, time::Duration};

use greenroom_fiber::{Fiber, Progress};
use greenroom_hub::{Instant, Outcome};

use crate::{
    debug::{deadlock, say, trace::FRAMES_MAX},
    foreign,
    hub::local::{Local, local},
    thread::{AskHolders, Control, Waiter, holder::Holders, join, throw::Throw},
};

/// Memory of ended threads that nobody needed for so long is given back to the kernel: who gives it
/// back sooner pays for it again at the next burst.
const PERIOD: Duration = Duration::from_secs(1);

/// So much must have rested before it is given back: that costs a system call for each stack, mostly
/// in vain.
const TRIMMED_MIN: usize = 64;

/// Such system calls between two looks at the fds: some tens of microseconds.
const TRIMMED_AT_ONCE_MAX: usize = 16;

/// How far the giving back has come.
#[derive(Debug)]
pub(crate) struct Trimming {
    period_began: Cell<Instant>,
    is_unfinished: Cell<bool>,
}

impl Trimming {
    pub(crate) fn from(now: Instant) -> Trimming {
        Trimming { period_began: Cell::new(now), is_unfinished: Cell::new(false) }
    }
}

/// How often threads are thrown out of their waits when all must end. Who catches what it is thrown
/// and waits again that often does not mean to go.
pub(super) const UNWINDS_MAX: u32 = 1000;

/// Takes turns until the root is woken, which waits for what `holders` hold, if that is something to be
/// held.
///
/// # Panics
///
/// If the root can never be woken: nobody is ready and nothing is left that could make anyone.
pub(crate) fn until_woken(local: &Local, holders: Option<AskHolders<'_>>) {
    let _inside = InLoop::begin(local);
    loop {
        if run_ready(local) {
            return;
        }
        if local.abort.get() {
            crate::hub::end(local);
        }
        turn(local, holders);
    }
}

/// The root is in the loop until this is dropped, also by unwinding.
struct InLoop<'a>(&'a Local);

impl InLoop<'_> {
    #[inline]
    fn begin(local: &Local) -> InLoop<'_> {
        local.pulse.root_enters_loop();
        InLoop(local)
    }
}

impl Drop for InLoop<'_> {
    #[inline]
    fn drop(&mut self) {
        let InLoop(local) = self;
        local.end.comes_first(local);
        let somebody_is_ready = local.hub.borrow().ready().next().is_some();
        local.pulse.root_leaves_loop(somebody_is_ready);
    }
}

/// Runs whoever this turn has left. True if the root is among them, and may go on.
fn run_ready(local: &Local) -> bool {
    loop {
        let next = local.hub.borrow_mut().pop();
        match next {
            Some(Waiter::Thread(fiber) | Waiter::Throw(fiber)) => resume(local, fiber),
            Some(Waiter::Root(_) | Waiter::ThrowRoot(_)) => return true,
            Some(Waiter::Call(callback)) => beating(local, || callback.run(local)),
            Some(Waiter::Post(post)) => beating(local, || post.run(local)),
            None => return false,
        }
    }
}

/// Collects whoever is due or ready; sleeps if that is nobody.
fn turn(local: &Local, holders: Option<AskHolders<'_>>) {
    local.blocked_signals.settle();
    local.hub.borrow_mut().prepare();
    // After the letters were opened, which takes back the ring that came with the news.
    foreign::hear(local);
    let outcome = idle_chores(local).and_then(|()| local.hub.borrow_mut().wait());
    match outcome {
        Ok(Outcome::Continue) => {}
        Ok(Outcome::Stuck) => deadlock::report(local, holders),
        Err(error) => panic!("the hub cannot wait for its fds: {error}"),
    }
}

/// What is done before the hub sleeps, as long as nobody could run instead.
fn idle_chores(local: &Local) -> io::Result<()> {
    if !local.hub.borrow().is_idle() {
        return Ok(());
    }
    let Trimming { period_began, is_unfinished } = &local.trimming;
    let now = local.hub.borrow().now();
    if now.saturating_since(period_began.get()) >= PERIOD {
        period_began.set(now);
        local.pool.begin_period();
        is_unfinished.set(local.pool.trim(0) >= TRIMMED_MIN);
    }
    while local.hub.borrow().is_idle() {
        if is_unfinished.get() {
            is_unfinished.set(local.pool.trim(TRIMMED_AT_ONCE_MAX) > 0);
        } else if local.quiet.borrow().is_empty() {
            break;
        }
        local.hub.borrow_mut().look()?;
        if !is_unfinished.get() && local.hub.borrow().is_idle() {
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
    local.calls_in_a_row.set(0);
    match fiber.resume() {
        Progress::Suspended => {}
        Progress::Finished => finish(local, fiber),
    }
    // What is dropped at a thread's end is a part of its run.
    local.pulse.beat();
}

/// Runs what may run code we do not know, on the root's stack.
fn beating(local: &Local, f: impl FnOnce()) {
    local.pulse.beat();
    f();
    local.pulse.beat();
}

/// What a parked thread tells of itself.
pub(crate) struct Sight {
    /// The return addresses of its frames, innermost first.
    pub(crate) frames: Vec<usize>,
    /// Who holds what it waits for, if it is something to be held.
    pub(crate) holders: Option<Holders>,
}

/// Where and for whom a green thread waits. `None` if it does not wait: it has not started, runs, or has
/// ended.
///
/// It is resumed for that, and stops again at once; nothing of what it waits for changes.
pub(crate) fn look_at(local: &Local, fiber: &Fiber<Control>) -> Option<Sight> {
    if !fiber.is_resumable() || !fiber.has_started() {
        return None;
    }
    // There, nothing is to be allocated: it takes stack, and the allocator may be the user's.
    let mut seen = local.seen.take();
    seen.clear();
    seen.reserve(FRAMES_MAX);
    local.seen.replace(seen);
    local.looks.set(true);
    let progress = fiber.resume();
    assert_eq!(progress, Progress::Suspended, "who is only looked at stops again");
    Some(Sight { frames: local.seen.borrow().clone(), holders: local.holders.take() })
}

/// A thread's function is over: whoever waits for it is called, and its stack may go.
#[inline]
fn finish(local: &Local, fiber: Fiber<Control>) {
    if let Some(joiner) = fiber.finish() {
        local.hub.borrow_mut().call(joiner);
    }
    if let Some(scope) = fiber.children.take() {
        scope.one_ended(&fiber);
    }
    let registered = local.threads.borrow_mut().remove(&fiber);
    if fiber.detached.get() {
        end_detached(local, registered, fiber);
    }
}

/// Nobody will ask how this thread ended: a panic is told, and a value is dropped here.
fn end_detached(local: &Local, registered: Option<Fiber<Control>>, fiber: Fiber<Control>) {
    // The last handle drops what the thread returned, and so runs code we do not know.
    let dropped = local.as_callback(|| {
        join::tell_panic(&fiber);
        drop((registered, fiber));
    });
    if let Err(payload) = dropped {
        local.tell_panic(format_args!("dropping what a green thread returned"), payload);
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
            doom(fiber);
        }
        local.hub.borrow_mut().extend_turn();
        root_is_ready |= run_ready(local);
    }
    if let Some(fiber) = local.threads.borrow().iter().next() {
        abort_for(fiber);
    }
    if root_is_ready {
        local.hub.borrow_mut().queue(Waiter::Root(local.root.clone()));
    }
}

/// Ends a thread's wait; when it runs it finds that it is doomed, and unwinds.
fn doom(fiber: Fiber<Control>) {
    if cfg!(panic = "abort") && fiber.has_started() {
        say(format_args!(
            "{} is alive while its OS thread ends or its hub is aborted, and under panic=abort \
             its stack cannot be unwound; join it first",
            Waiter::Thread(fiber)
        ));
        std::process::abort();
    }
    // A kill stays one.
    if fiber.throw.get() == Throw::No && !fiber.has_started() {
        fiber.cancelled.set(true);
    }
    throw_out(fiber);
}

/// Has a thread thrown out of its wait, all the way to its end, or before it starts.
pub(super) fn throw_out(fiber: Fiber<Control>) {
    fiber.throw.set(Throw::Killed);
    local().hub.borrow_mut().call(Waiter::Throw(fiber));
}

/// [`abort_for`] whoever runs.
#[cold]
pub(super) fn abort_for_running() -> ! {
    if let Some(fiber) = Fiber::<Control>::current() {
        abort_for(&fiber);
    }
    say(format_args!(
        "the root waits again however often its timeout throws it out, {UNWINDS_MAX} times by now; \
         let it pass on the unwinding it catches, as thread::catch_panic does"
    ));
    std::process::abort();
}

/// The end for a thread that does not mean to go: its stack may neither be kept nor freed.
#[cold]
fn abort_for(fiber: &Fiber<Control>) -> ! {
    say(format_args!(
        "{} waits again however often it is killed or its time is over, so its stack cannot go; let \
         it pass on the unwinding it catches, as thread::catch_panic does",
        Waiter::Thread(fiber.clone())
    ));
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sleep, spawn, testing, yield_now};

    #[test]
    fn the_memory_of_a_burst_is_given_back_when_nobody_needed_it_for_a_while() {
        testing::run(|| {
            let warm = || local().pool.stats().block_bytes_warm;
            let before = warm();
            let burst: Vec<_> = (0..1000).map(|_| spawn(yield_now)).collect();
            burst.into_iter().for_each(|thread| thread.join().unwrap());
            let peak = warm();
            assert!(peak > before + 1000 * size_of::<Control>(), "{before}, {peak}");
            // Not at the first opportunity: another burst may come.
            sleep(PERIOD / 2);
            assert_eq!(warm(), peak);
            (0..3).for_each(|_| sleep(PERIOD));
            assert!(warm() <= before + TRIMMED_MIN * size_of::<Control>(), "{}", warm());
        });
    }
}
