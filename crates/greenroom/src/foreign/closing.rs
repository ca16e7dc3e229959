//! Fds that foreign code closes, on whatever OS thread, while green threads wait for them in foreign code.
//!
//! The kernel forgets a closed file without a word to whoever watches it, where a call that blocks in the
//! kernel would hold it open. So each hub whose threads wait in foreign code leaves an address
//! here, and whoever is about to close an fd sends word. Knows no calls; closes nothing.

use std::{
    collections::BTreeSet,
    mem,
    ops::RangeInclusive,
    os::fd::RawFd,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use greenroom_hub::Mailbox;

use crate::{
    hub::local::{Local, existing},
    thread::errno::{Errno, ErrnoPlace},
};

/// How many waits there are for fds whose number leaves this remainder. Whoever closes an fd looks
/// here first, and mostly that is all.
static WAITS: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];
const SLOTS: usize = 4096;

/// Closed fds, for one hub to hear of.
#[derive(Debug, Default)]
pub(crate) struct Closings {
    has_news: AtomicBool,
    news: Mutex<News>,
}

#[derive(Debug, Default)]
struct News {
    closed: Vec<(RangeInclusive<RawFd>, Told)>,
    /// Fds that are waited for by way of another one, and that one.
    members: BTreeSet<(RawFd, RawFd)>,
    /// How many waits of the hub's there are.
    waits: usize,
    /// There while there are any: a hub that others can reach does not believe in a deadlock.
    mailbox: Option<Mailbox>,
}

/// When word was sent of a closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Whoever waits then waits for the file that goes.
    Before,
    /// Whoever waits then may wait for the next file of that number, or have begun when the first word was
    /// under way: the kernel knows.
    After,
}

/// The hubs of one process that were waited on in foreign code.
struct Hubs {
    process: u32,
    all: Mutex<Vec<Weak<Closings>>>,
    /// Those of a forked child: the lock may have been held by a thread that is not there.
    after_fork: OnceLock<Box<Hubs>>,
}

static HUBS: OnceLock<Hubs> = OnceLock::new();

impl Hubs {
    fn new() -> Hubs {
        Hubs { process: process(), all: Mutex::default(), after_fork: OnceLock::new() }
    }

    fn of_this_process() -> &'static Hubs {
        let process = process();
        let mut hubs = HUBS.get_or_init(Hubs::new);
        while hubs.process != process {
            hubs = hubs.after_fork.get_or_init(|| Box::new(Hubs::new()));
        }
        hubs
    }

    /// Does not make them: a child that is about to `exec` has none, and may neither allocate nor lock.
    fn existing() -> Option<&'static Hubs> {
        let process = process();
        let mut hubs = HUBS.get()?;
        while hubs.process != process {
            hubs = hubs.after_fork.get()?;
        }
        Some(hubs)
    }
}

/// Asked of the kernel: in a child of `vfork`, which shares its parent's memory, it is another.
fn process() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get().cast_unsigned()
}

/// A wait of this hub's for an fd, for as long as it lasts.
pub(super) struct Awaited {
    fd: RawFd,
    closings: Arc<Closings>,
}

impl Awaited {
    pub(super) fn begin(local: &Local, fd: RawFd) -> Awaited {
        // What was closed before this wait began is not what is waited for.
        hear(local);
        let mut place = local.closings.borrow_mut();
        let era = local.hub.borrow().era();
        if place.as_ref().is_none_or(|(made_in, _)| *made_in != era) {
            let closings = Arc::<Closings>::default();
            lock(&Hubs::of_this_process().all).push(Arc::downgrade(&closings));
            *place = Some((era, closings));
        }
        let (_, closings) = place.as_ref().expect("it was made a moment ago");
        let closings = Arc::clone(closings);
        drop(place);
        let mut news = lock(&closings.news);
        news.waits += 1;
        if news.mailbox.is_none() {
            news.mailbox = Some(local.hub.borrow().mailbox());
        }
        drop(news);
        slot(fd).fetch_add(1, Ordering::SeqCst);
        Awaited { fd, closings }
    }

    /// Each member stands for the set: closing it ends the wait for that.
    pub(super) fn members<'a>(&self, members: &'a [RawFd]) -> AwaitedMembers<'a> {
        let closings = Arc::clone(&self.closings);
        let mut news = lock(&closings.news);
        for &member in members {
            slot(member).fetch_add(1, Ordering::SeqCst);
            news.members.insert((member, self.fd));
        }
        drop(news);
        AwaitedMembers { set: self.fd, members, closings }
    }
}

/// The members of a set that a hub waits for, for as long as that lasts. Less than the wait for
/// the set itself, which there is besides.
pub(super) struct AwaitedMembers<'a> {
    set: RawFd,
    members: &'a [RawFd],
    closings: Arc<Closings>,
}

impl Drop for AwaitedMembers<'_> {
    fn drop(&mut self) {
        let mut news = lock(&self.closings.news);
        for &member in self.members {
            slot(member).fetch_sub(1, Ordering::SeqCst);
            news.members.remove(&(member, self.set));
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        slot(self.fd).fetch_sub(1, Ordering::SeqCst);
        let mut news = lock(&self.closings.news);
        news.waits -= 1;
        if news.waits == 0 {
            news.mailbox = None;
        }
    }
}

/// Says that fds are about to be closed by this OS thread: each wait for one of them in foreign code ends,
/// on whatever hub, as if it was [declared closed](crate::hub::notify_close).
///
/// What is returned is to be dropped when they are closed: then whoever has begun to wait in between is found as well.
///
/// Costs two loads where nobody waits for an fd of such a number. Does nothing in a forked child that has not
/// waited by itself, nor when the hub itself closes something; takes no lock then.
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
    let (&first, &last) = (fds.start().max(&0), fds.end());
    let count = (i64::from(last) - i64::from(first) + 1).clamp(0, SLOTS as i64);
    (0..count).any(|n| slot(first.wrapping_add(n as RawFd)).load(Ordering::SeqCst) > 0)
}

#[cold]
fn tell(fds: &RangeInclusive<RawFd>, told: Told) {
    let Some(hubs) = Hubs::existing() else { return };
    let mut all = lock(&hubs.all);
    all.retain(|closings| closings.strong_count() > 0);
    for closings in all.iter().filter_map(Weak::upgrade) {
        let mut news = lock(&closings.news);
        let Some(mailbox) = news.mailbox.clone() else { continue };
        news.closed.push((fds.clone(), told));
        closings.has_news.store(true, Ordering::SeqCst);
        mailbox.ring();
    }
    drop(all);
    // Those of this OS thread hear it before the number can mean another file.
    if let Some(local) = existing() {
        hear(local);
    }
}

/// Ends the waits for what was closed.
pub(crate) fn hear(local: &Local) {
    let Ok(place) = local.closings.try_borrow() else { return };
    let Some((_, closings)) = place.as_ref() else { return };
    if !closings.has_news.load(Ordering::SeqCst) {
        return;
    }
    let Ok(mut hub) = local.hub.try_borrow_mut() else { return };
    if hub.is_parents() {
        return;
    }
    closings.has_news.store(false, Ordering::SeqCst);
    let mut news = lock(&closings.news);
    let closed = mem::take(&mut news.closed);
    let within =
        |fds: &RangeInclusive<RawFd>| (*fds.start(), RawFd::MIN)..=(*fds.end(), RawFd::MAX);
    let sets: Vec<RawFd> = closed
        .iter()
        .filter(|(fds, _)| !fds.is_empty())
        .flat_map(|(fds, _)| news.members.range(within(fds)).map(|&(_, set)| set))
        .collect();
    drop(news);
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

fn slot(fd: RawFd) -> &'static AtomicU32 {
    &WAITS[fd.cast_unsigned() as usize % SLOTS]
}

/// What a lock here guards is whole at any time.
///
/// `errno` is left alone, though a lock that another OS thread has asks the kernel: this is a part of calls that
/// may not touch it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let place = ErrnoPlace::of_this_os_thread();
    let _errno = Errno::keep(&place);
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
