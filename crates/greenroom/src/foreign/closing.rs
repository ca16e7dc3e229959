//! Fds that foreign code closes, on whatever OS thread, while green threads wait for them in foreign code.
//!
//! The kernel forgets a closed file without a word to whoever watches it, where a call that blocks in the
//! kernel would hold it open. So each hub whose threads wait in foreign code leaves an address
//! here, and whoever is about to close an fd sends word. Knows no calls; closes nothing.
//!
//! A handler of a signal may close something too, in the midst of this very code: see [`Held`].

mod shared;
mod word;

use std::{
    cell::Cell,
    ops::{Deref, DerefMut, RangeInclusive},
    os::fd::RawFd,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering, compiler_fence},
    },
};

use greenroom_hub::{Hub, Mailbox};

use crate::{
    hub::local::{Local, existing},
    per_process::{PerProcess, process_id},
    thread::{
        Waiter,
        errno::{Errno, ErrnoPlace},
    },
};
use word::{Heard, Hearer, Ring, Told, Words};

/// How many waits there are for fds whose number leaves this remainder. Whoever closes an fd looks
/// here first, and mostly that is all.
static WAITS: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];
const SLOTS: usize = 4096;

/// Closed fds, for one hub to hear of.
type Closings = word::Closings<Mailbox>;

/// How a hub hears of closed fds, and the hub's era when that began.
#[derive(Debug)]
pub(crate) struct Hearing {
    made_in: u32,
    hearer: Hearer<Mailbox>,
}

impl Ring for Mailbox {
    fn ring(&self) {
        Mailbox::ring(self);
    }
}

/// The hubs of one process that were waited on in foreign code.
type Hubs = Mutex<Vec<Arc<Closings>>>;

static HUBS: OnceLock<PerProcess<Hubs>> = OnceLock::new();

fn hubs_of_this_process() -> &'static Hubs {
    let process = process_id();
    let hubs = HUBS.get_or_init(|| PerProcess::new(process, Mutex::default()));
    hubs.of(process, |_| Mutex::default())
}

impl Hearing {
    /// Of a hub that has made this process its own: nobody sends word yet.
    fn begin(hub: &Hub<Waiter>) -> Hearing {
        let hearing = Hearing { made_in: hub.era(), hearer: Hearer::new() };
        hearing.register();
        hearing
    }

    /// In a forked child, where other OS threads are and another mailbox, those waits go on that began in its parent.
    fn settle(&mut self, hub: &Hub<Waiter>) {
        if self.made_in != hub.era() {
            self.made_in = hub.era();
            self.hearer.renew(|| hub.mailbox());
            self.register();
        }
    }

    #[cold]
    fn register(&self) {
        let mut all = lock(hubs_of_this_process());
        // Those of hubs that have ended are nobody else's.
        all.retain(|closings| Arc::strong_count(closings) > 1);
        all.push(Arc::clone(self.hearer.closings()));
    }
}

/// Has the hub's own side changed, with the hub at hand, which is borrowed meanwhile.
fn change(local: &Local, f: impl FnOnce(&mut Hearer<Mailbox>, &Hub<Waiter>)) {
    let mut hub = local.hub.borrow_mut();
    // Who begins a wait or has come back from one is in the loop, and not about to `exec`.
    hub.notice_fork();
    let mut place = local.hearing.borrow_mut();
    let hearing = place.get_or_insert_with(|| Hearing::begin(&hub));
    hearing.settle(&hub);
    f(&mut hearing.hearer, &hub);
}

/// A wait of this hub's for an fd, for as long as it lasts.
pub(super) struct Awaited<'a> {
    local: &'a Local,
    fd: RawFd,
}

impl Awaited<'_> {
    pub(super) fn begin(local: &Local, fd: RawFd) -> Awaited<'_> {
        // What was closed before this wait began is not what is waited for.
        hear(local);
        change(local, |hearer, hub| hearer.begin(&WAITS, fd, || hub.mailbox()));
        Awaited { local, fd }
    }

    /// Each member stands for the set: closing it ends the wait for that.
    pub(super) fn members<'a>(&'a self, members: &'a [RawFd]) -> AwaitedMembers<'a> {
        change(self.local, |hearer, _| hearer.begin_members(&WAITS, self.fd, members));
        AwaitedMembers { set: self, members }
    }
}

/// The members of a set that a hub waits for, for as long as that lasts. Less than the wait for
/// the set itself, which there is besides.
pub(super) struct AwaitedMembers<'a> {
    set: &'a Awaited<'a>,
    members: &'a [RawFd],
}

impl Drop for AwaitedMembers<'_> {
    fn drop(&mut self) {
        let Awaited { local, fd } = self.set;
        change(local, |hearer, _| hearer.end_members(&WAITS, *fd, self.members));
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        change(self.local, |hearer, _| hearer.end(&WAITS, self.fd));
    }
}

/// Says that fds are about to be closed by this OS thread: each wait for one of them in foreign code ends,
/// on whatever hub, as if it was [declared closed](crate::hub::notify_close).
///
/// What is returned is to be dropped when they are closed: then whoever has begun to wait in between is found as well.
///
/// Costs two loads where nobody waits for an fd of such a number. Does nothing in a forked child that has not
/// waited by itself; takes no lock then. A handler of a signal may call it: its waits are told of when what it
/// interrupted goes on.
pub fn about_to_close(fds: RangeInclusive<RawFd>) -> Closing {
    if is_awaited(&fds) {
        tell(&fds, Told::Before);
    }
    Closing { fds }
}

/// Fds that are being closed. Made by [`about_to_close`].
#[derive(Debug)]
#[must_use = "it ends when the fds are closed"]
pub struct Closing {
    fds: RangeInclusive<RawFd>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if is_awaited(&self.fds) {
            tell(&self.fds, Told::After);
        }
    }
}

/// Whether anybody may wait in foreign code for one of these fds.
pub fn is_awaited(fds: &RangeInclusive<RawFd>) -> bool {
    word::is_awaited(&WAITS, fds)
}

#[cold]
fn tell(fds: &RangeInclusive<RawFd>, told: Told) {
    // They are not made: a child that is about to `exec` has none, and may neither allocate nor lock.
    let Some(hubs) = HUBS.get().and_then(|hubs| hubs.existing(process_id())) else { return };
    if is_held() {
        return tell_later(fds, told);
    }
    let all = lock(hubs);
    for closings in all.iter() {
        closings.tell(fds, told);
    }
    drop(all);
    // Those of this OS thread hear it before the number can mean another file; but what they do then, a handler of
    // a signal may not.
    if let Some(local) = existing().filter(|local| !local.blocked_signals.are_more_than_usual()) {
        hear(local);
    }
}

/// Ends the waits for what was closed.
pub(crate) fn hear(local: &Local) {
    let Ok(mut place) = local.hearing.try_borrow_mut() else { return };
    let Some(hearing) = place.as_mut() else { return };
    let Ok(mut hub) = local.hub.try_borrow_mut() else { return };
    if hub.is_parents() {
        return;
    }
    hearing.settle(&hub);
    if !hearing.hearer.has_news() {
        return;
    }
    let Heard { closed, sets } = hearing.hearer.take_news();
    for set in sets {
        hub.notify_close(set);
    }
    for (fds, told) in closed {
        match told {
            Told::Before => drop(hub.notify_close_all(fds)),
            Told::After => hub.notify_perhaps_closed(&fds),
        }
    }
}

thread_local! {
    /// How many locks of this file the OS thread holds.
    static HELD: Cell<u32> = const { Cell::new(0) };
    /// What was to be told meanwhile.
    static LATER: Cell<Words<LATER_MAX>> = const { Cell::new(Words::NONE) };
}

/// Closings of handlers while a lock is held, which is for some nanoseconds, one by one.
const LATER_MAX: usize = 16;

/// A lock of this file. Who finds that its OS thread holds one is a handler of a signal, which has interrupted
/// the holder and would wait for it for ever: so it leaves word with the holder.
struct Held<'a, T>(Option<MutexGuard<'a, T>>);

fn is_held() -> bool {
    HELD.get() > 0
}

fn lock<T>(mutex: &Mutex<T>) -> Held<'_, T> {
    HELD.set(HELD.get() + 1);
    // The handler runs on the same OS thread, so only the compiler could mistake the order.
    compiler_fence(Ordering::SeqCst);
    // A lock that another OS thread has asks the kernel, and this is a part of calls that may not touch `errno`.
    let place = ErrnoPlace::of_this_os_thread();
    let _errno = Errno::keep(&place);
    // What is guarded is whole at any time.
    Held(Some(mutex.lock().unwrap_or_else(PoisonError::into_inner)))
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is held until it is dropped")
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is held until it is dropped")
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.0 = None;
        compiler_fence(Ordering::SeqCst);
        HELD.set(HELD.get() - 1);
        compiler_fence(Ordering::SeqCst);
        if !is_held() {
            LATER.replace(Words::NONE).iter().for_each(|(fds, told)| tell(&fds, told));
        }
    }
}

#[cold]
fn tell_later(fds: &RangeInclusive<RawFd>, told: Told) {
    let mut later = LATER.get();
    later.add(fds, told);
    LATER.set(later);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Instant, foreign::Here, foreign::Stop, spawn, yield_now};
    use greenroom_hub::Interest;
    use std::{os::fd::AsRawFd, os::unix::net::UnixStream, time::Duration};

    #[test]
    fn a_word_is_kept_once_and_where_there_is_no_room_the_last_is_for_all_numbers_in_between() {
        let mut words = Words::<3>::NONE;
        let words_of = |words: &Words<3>| words.iter().collect::<Vec<_>>();
        for _ in 0..100 {
            words.add(&(5..=5), Told::Before);
            words.add(&(5..=5), Told::After);
        }
        assert_eq!(words_of(&words), [(5..=5, Told::Before), (5..=5, Told::After)]);
        for fds in [20..=29, 7..=7, 40..=40, 8..=8] {
            words.add(&fds, Told::Before);
        }
        let expected = [(5..=5, Told::Before), (5..=5, Told::After), (7..=40, Told::After)];
        assert_eq!(words_of(&words), expected);
    }

    #[test]
    fn more_closings_than_are_kept_one_by_one_are_heard_of_all_the_same() {
        let (ends, _others): (Vec<_>, Vec<_>) =
            (0..100).map(|_| UnixStream::pair().unwrap()).unzip();
        let waiting: Vec<_> = ends
            .iter()
            .map(|end| {
                let fd = end.as_raw_fd();
                let deadline = Instant::now() + Duration::from_secs(10);
                spawn(move || Here::get().unwrap().wait(fd, Interest::Read, Some(deadline)))
            })
            .collect();
        let (kept, _other) = UnixStream::pair().unwrap();
        let fd = kept.as_raw_fd();
        let goes_on = spawn(move || {
            let deadline = Instant::now() + Duration::from_millis(1);
            Here::get().unwrap().wait(fd, Interest::Read, Some(deadline))
        });
        yield_now();
        // Meanwhile the hub's OS thread is not in its loop.
        let closer = std::thread::spawn(move || {
            for end in ends {
                let closing = about_to_close(end.as_raw_fd()..=end.as_raw_fd());
                drop(end);
                drop(closing);
            }
        });
        closer.join().unwrap();
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap(), Err(Stop::Closed));
        }
        assert_eq!(goes_on.join().unwrap(), Err(Stop::Expired));
    }

    #[test]
    fn what_is_closed_while_the_os_thread_holds_a_lock_is_told_when_it_lets_go() {
        let (end, _other) = UnixStream::pair().unwrap();
        let fd = end.as_raw_fd();
        let waiting = spawn(move || {
            let deadline = Instant::now() + Duration::from_secs(10);
            let here = Here::get().expect("a green thread runs here");
            here.wait(end.as_raw_fd(), Interest::Read, Some(deadline))
        });
        yield_now();
        let all = lock(hubs_of_this_process());
        // As a handler of a signal might that strikes here.
        drop(about_to_close(fd..=fd));
        drop(all);
        assert_eq!(waiting.join().unwrap(), Err(Stop::Closed));
    }
}
