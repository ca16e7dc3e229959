//! Word of a closing, from any OS thread to the waits of one hub.
//!
//! Two words are sent of each closing, one before it and one after it, each only if somebody waits. Who waits
//! before the first word hears of it by that. Who begins to wait in between is found by the second:
//! first a wait is counted, then the kernel is asked to watch the fd; and first the fd is closed, then the count is
//! looked at. So either the count is seen, or the kernel watches the next file of that number, or none. What the second word
//! is about, the kernel is asked. Knows neither hubs nor calls.

use std::{collections::BTreeSet, mem, ops::RangeInclusive, os::fd::RawFd};

use super::shared::{Arc, AtomicBool, AtomicU32, Mutex, Ordering, fence, lock};

/// Has a hub take a turn.
pub(crate) trait Ring {
    fn ring(&self);
}

/// How many waits there are for fds whose number leaves the same remainder.
pub(super) type Waits = [AtomicU32];

fn slot(waits: &Waits, fd: RawFd) -> &AtomicU32 {
    &waits[fd.cast_unsigned() as usize % waits.len()]
}

/// Whether anybody may wait for one of these fds.
pub(super) fn is_awaited(waits: &Waits, fds: &RangeInclusive<RawFd>) -> bool {
    let (&first, &last) = (fds.start().max(&0), fds.end());
    let count = (i64::from(last) - i64::from(first) + 1).clamp(0, waits.len() as i64);
    (0..count).any(|n| slot(waits, first.wrapping_add(n as RawFd)).load(Ordering::SeqCst) > 0)
}

/// When word was sent of a closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Whoever waits then waits for the file that goes.
    Before,
    /// Whoever waits then may wait for the next file of that number, or have begun when the first word was
    /// under way: the kernel knows.
    After,
}

/// Closings of which nobody has heard yet. To add one allocates nothing, for a handler of a signal may have struck
/// in the midst of the allocator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<const MAX: usize> {
    words: [(RawFd, RawFd, Told); MAX],
    count: usize,
}

impl<const MAX: usize> Words<MAX> {
    pub(super) const NONE: Words<MAX> = Words { words: [(0, 0, Told::After); MAX], count: 0 };

    /// What was said before counts for all waits that there are when it is heard, so it is not said twice. Beyond the
    /// room there is, the last word is for all numbers from the least to the greatest, and leaves it to the kernel which
    /// of them are closed; it has the second word for that, which comes when they are.
    pub(super) fn add(&mut self, fds: &RangeInclusive<RawFd>, told: Told) {
        let (first, last) = (*fds.start(), *fds.end());
        if self.words[..self.count].contains(&(first, last, told)) {
            return;
        }
        if self.count < MAX {
            self.words[self.count] = (first, last, told);
            self.count += 1;
            return;
        }
        let widest = &mut self.words[MAX - 1];
        *widest = (widest.0.min(first), widest.1.max(last), Told::After);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RangeInclusive<RawFd>, Told)> {
        self.words[..self.count].iter().map(|&(first, last, told)| (first..=last, told))
    }
}

/// Closed fds, for one hub to hear of by `M`: what other OS threads have of its [`Hearer`].
#[derive(Debug)]
pub(super) struct Closings<M> {
    has_news: AtomicBool,
    news: Mutex<News<M>>,
}

/// Closings that a hub may not have heard of yet, one by one.
const CLOSED_MAX: usize = 64;

#[derive(Debug)]
struct News<M> {
    closed: Words<CLOSED_MAX>,
    /// There while the hub waits: a hub that others can reach does not believe in a deadlock.
    mailbox: Option<M>,
}

impl<M: Ring> Closings<M> {
    fn new(mailbox: Option<M>) -> Closings<M> {
        let news = News { closed: Words::NONE, mailbox };
        Closings { has_news: AtomicBool::new(false), news: Mutex::new(news) }
    }

    /// Sends word, if the hub waits for anything.
    pub(super) fn tell(&self, fds: &RangeInclusive<RawFd>, told: Told) {
        let mut news = lock(&self.news);
        if news.mailbox.is_none() {
            return;
        }
        news.closed.add(fds, told);
        self.has_news.store(true, Ordering::SeqCst);
        news.mailbox.iter().for_each(M::ring);
    }
}

/// What a hub hears.
pub(super) struct Heard {
    pub(super) closed: Vec<(RangeInclusive<RawFd>, Told)>,
    /// Sets that one of them is a member of.
    pub(super) sets: Vec<RawFd>,
}

/// The hub's own side.
#[derive(Debug)]
pub(crate) struct Hearer<M> {
    closings: Arc<Closings<M>>,
    /// How many waits of the hub's there are.
    waits: usize,
    /// Fds that are waited for by way of another one, and that one.
    members: BTreeSet<(RawFd, RawFd)>,
}

impl<M: Ring> Hearer<M> {
    pub(super) fn new() -> Hearer<M> {
        Hearer { closings: Arc::new(Closings::new(None)), waits: 0, members: BTreeSet::new() }
    }

    /// For others to send word to.
    pub(super) fn closings(&self) -> &Arc<Closings<M>> {
        &self.closings
    }

    /// Is told anew from now on, of the same waits: the lock may be held by an OS thread that is not in this process.
    pub(super) fn renew(&mut self, mailbox: impl FnOnce() -> M) {
        self.closings = Arc::new(Closings::new((self.waits > 0).then(mailbox)));
    }

    /// A wait begins. Afterwards the kernel may be asked to watch the fd.
    pub(super) fn begin(&mut self, waits: &Waits, fd: RawFd, mailbox: impl FnOnce() -> M) {
        self.waits += 1;
        if self.waits == 1 {
            lock(&self.closings.news).mailbox = Some(mailbox());
        }
        slot(waits, fd).fetch_add(1, Ordering::SeqCst);
        // The kernel's look at the fd comes after it.
        fence(Ordering::SeqCst);
    }

    pub(super) fn end(&mut self, waits: &Waits, fd: RawFd) {
        slot(waits, fd).fetch_sub(1, Ordering::SeqCst);
        self.waits -= 1;
        if self.waits == 0 {
            lock(&self.closings.news).mailbox = None;
        }
    }

    /// Each member stands for the set, for which a wait has begun: closing it ends the wait for that.
    pub(super) fn begin_members(&mut self, waits: &Waits, set: RawFd, members: &[RawFd]) {
        for &member in members {
            self.members.insert((member, set));
            slot(waits, member).fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn end_members(&mut self, waits: &Waits, set: RawFd, members: &[RawFd]) {
        for &member in members {
            slot(waits, member).fetch_sub(1, Ordering::SeqCst);
            self.members.remove(&(member, set));
        }
    }

    /// Whether word has come since the last was taken.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.closings.has_news.load(Ordering::SeqCst)
    }

    pub(super) fn take_news(&mut self) -> Heard {
        // First the flag: word that comes in between is taken now, and looked for in vain later.
        self.closings.has_news.store(false, Ordering::SeqCst);
        let words = mem::replace(&mut lock(&self.closings.news).closed, Words::NONE);
        let closed: Vec<_> = words.iter().collect();
        let within =
            |fds: &RangeInclusive<RawFd>| (*fds.start(), RawFd::MIN)..=(*fds.end(), RawFd::MAX);
        let sets = closed
            .iter()
            .filter(|(fds, _)| !fds.is_empty())
            .flat_map(|(fds, _)| self.members.range(within(fds)).map(|&(_, set)| set))
            .collect();
        Heard { closed, sets }
    }
}
