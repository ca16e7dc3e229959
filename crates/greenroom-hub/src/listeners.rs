//! Who waits for which fd.
//!
//! Knows fds, directions, waiters and the poller's contract. Never runs anyone: what an event ends
//! is put into the ready queue. Never reads or writes a watched file.
//!
//! A *source* is an fd the hub knows. An attached source belongs to a socket of ours and keeps its
//! place until it is detached; a foreign one is any other fd somebody waited for, and its place is
//! kept so that the next wait costs one system call. A *listener* is one waiter in one direction
//! of a source. The first is the one that is woken; where several are allowed the others queue
//! behind it and move up when it leaves.
//!
//! Numbers of fds are reused, generations are not: a report carries slot and generation of its
//! source, and is dropped when the generation has moved on. That a number was reused is learned in
//! two ways: somebody says so ([`Listeners::close`]), or the poller, asked about a file it should
//! know, does not know it.

mod direction;
#[cfg(test)]
mod model;
mod refusal;

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
};

use rustix::io::Errno;

use crate::{
    Interest, Readiness, Waiter, Wake,
    poller::{Bell, Event, Poller, Token},
    ready::Ready,
};
use direction::{Direction, Listener};
pub use refusal::ListenError;

/// All sources and listeners of one hub.
#[derive(Debug)]
pub(crate) struct Listeners<W> {
    sources: Vec<Source<W>>,
    free: Vec<u32>,
    /// By fd: the slot of its source, plus one.
    by_fd: Vec<u32>,
    /// Sources to arm again before the next wait: somebody still listens who was not woken, or
    /// who listens for good.
    rearm: Vec<SourceKey>,
    /// Sources the kernel will not watch, with those who listen there nevertheless. Their next
    /// wake-up needs no kernel.
    always_ready: Vec<SourceKey>,
    pub(crate) allow_multiple: bool,
    /// Whether the poller reports edges of attached sources.
    edges: bool,
    listeners_total: u64,
    listeners_count: usize,
}

/// Names one source. Harmless once that source was detached or its fd declared closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceKey {
    slot: u32,
    generation: u32,
}

/// Names one listener. Harmless once the listener is spent or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerKey {
    source: SourceKey,
    interest: Interest,
    number: u64,
}

#[derive(Debug)]
struct Source<W> {
    generation: u32,
    fd: RawFd,
    /// How many owners attached it; zero means foreign.
    owners: u32,
    entry: Entry,
    /// Attached sources only: what was reported and not yet found exhausted.
    ready: Readiness,
    read: Direction<W>,
    write: Direction<W>,
}

/// How somebody listens at an fd that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// For one wake-up, and alone unless several are allowed.
    Once,
    /// For one wake-up, behind whoever listens already.
    InLine,
    /// Until it is removed; woken once a turn while the fd is ready.
    Lasting,
}

/// What the poller has made of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// Nothing: it was not asked yet.
    None,
    /// It knows the file: attached, or armed at least once.
    Watched,
    /// It will not watch a file that never makes anyone wait.
    Refused,
}

/// What the poller's answer says of the file behind a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// As far as can be told it is the one that was asked about before.
    SameFile,
    /// It is another one or none, so the old one was closed behind our back.
    OtherFile,
}

impl<W: Waiter> Source<W> {
    fn direction(&mut self, interest: Interest) -> &mut Direction<W> {
        match interest {
            Interest::Read => &mut self.read,
            Interest::Write => &mut self.write,
        }
    }

    /// The directions somebody listens in.
    fn interest(&self) -> Readiness {
        let mut interest = Readiness::NONE;
        if !self.read.is_empty() {
            interest = interest.union(Readiness::READ);
        }
        if !self.write.is_empty() {
            interest = interest.union(Readiness::WRITE);
        }
        interest
    }
}

impl<W: Waiter> Listeners<W> {
    pub(crate) fn new(edges: bool) -> Listeners<W> {
        Listeners {
            sources: Vec::new(),
            free: Vec::new(),
            by_fd: Vec::new(),
            rearm: Vec::new(),
            always_ready: Vec::new(),
            allow_multiple: false,
            edges,
            listeners_total: 0,
            listeners_count: 0,
        }
    }

    /// Takes an fd for good, on behalf of an owner who will detach it before closing it.
    ///
    /// If the same open file is attached already, the two owners share one source. If the number
    /// belonged to another file, that one was closed behind our back, and whoever still waits for
    /// it is told so.
    pub(crate) fn attach(
        &mut self,
        fd: RawFd,
        poller: &mut Poller,
        ready: &mut Ready<W>,
    ) -> io::Result<SourceKey> {
        if let Some(key) = self.find(fd) {
            let before = self.sources[key.slot as usize].entry;
            match poller.attach(fd, key.token()) {
                Err(error) if is(&error, Errno::EXIST) => {
                    poller.reattach(fd, key.token())?;
                    return Ok(self.own(key));
                }
                // This file was not known, but nor was the one before: it may be the same.
                Ok(()) if !self.edges || before == Entry::None => return Ok(self.own(key)),
                Err(error) if is(&error, Errno::PERM) && before != Entry::Watched => {
                    return Err(error);
                }
                // This file was not known, or is none: the one that is waited for is gone.
                _ => self.forget(key, ready),
            };
        }
        let key = self.insert(fd, poller)?;
        let outcome = match poller.attach(fd, key.token()) {
            // A duplicate that was closed under this number left its entry behind.
            Err(error) if is(&error, Errno::EXIST) => poller.reattach(fd, key.token()),
            outcome => outcome,
        };
        if let Err(error) = outcome {
            self.release(key);
            return Err(error);
        }
        Ok(self.own(key))
    }

    fn own(&mut self, key: SourceKey) -> SourceKey {
        let source = &mut self.sources[key.slot as usize];
        source.owners += 1;
        source.entry = Entry::Watched;
        source.ready = Readiness::READ.union(Readiness::WRITE);
        key
    }

    /// Gives up one owner's claim; with the last one the source is gone. To be called before the
    /// fd is closed, for a duplicate of it may live on.
    pub(crate) fn detach(&mut self, key: SourceKey, poller: &mut Poller, ready: &mut Ready<W>) {
        let Some(source) = self.get(key) else { return };
        source.owners = source.owners.saturating_sub(1);
        if source.owners == 0 {
            poller.detach(source.fd);
            self.forget(key, ready);
        }
    }

    /// Whether a source is what it was when its key was made.
    #[inline]
    pub(crate) fn is_attached(&self, key: SourceKey) -> bool {
        let source = self.sources.get(key.slot as usize);
        source.is_some_and(|source| source.generation == key.generation)
    }

    /// What is known to be ready of an attached source; everything, if it is closed, so that the
    /// next call finds out.
    #[inline]
    pub(crate) fn readiness(&self, key: SourceKey) -> Readiness {
        match self.sources.get(key.slot as usize) {
            Some(source) if source.generation == key.generation => source.ready,
            _ => Readiness::READ.union(Readiness::WRITE),
        }
    }

    /// Notes that a direction of an attached source was found exhausted.
    #[inline]
    pub(crate) fn exhaust(&mut self, key: SourceKey, interest: Interest) {
        if let Some(source) = self.get(key) {
            source.ready = source.ready.without(interest.into());
        }
    }

    /// Lets `waiter` listen at an attached source. If its owner has not found this direction
    /// exhausted since it was last ready, the kernel is asked anew, so that no edge is missed.
    pub(crate) fn listen(
        &mut self,
        key: SourceKey,
        interest: Interest,
        waiter: W,
        poller: &mut Poller,
        ready: &mut Ready<W>,
    ) -> Result<ListenerKey, ListenError<W>> {
        let source = self.get(key).ok_or(ListenError::Closed)?;
        let exhausted = !source.ready.satisfies(interest);
        self.refuse_second(key, interest)?;
        let listener = self.add(key, interest, waiter, false);
        if self.edges && exhausted {
            return Ok(listener);
        }
        match self.ask(key, poller) {
            Ok(Asked::SameFile) => Ok(listener),
            Ok(Asked::OtherFile) => {
                self.take(listener);
                self.forget(key, ready);
                Err(ListenError::Closed)
            }
            Err(error) => {
                self.take(listener);
                Err(error.into())
            }
        }
    }

    /// Lets `waiter` listen at any fd; what is ready now counts.
    pub(crate) fn listen_fd(
        &mut self,
        fd: RawFd,
        interest: Interest,
        waiter: W,
        manner: Manner,
        poller: &mut Poller,
        ready: &mut Ready<W>,
    ) -> Result<ListenerKey, ListenError<W>> {
        let key = match self.find(fd) {
            Some(key) => key,
            None => self.insert(fd, poller)?,
        };
        // Whether the place is really taken is known only when the poller was asked: its holder
        // may wait for a file that is gone.
        let place = match manner {
            Manner::InLine => Ok(()),
            Manner::Once | Manner::Lasting => self.refuse_second(key, interest),
        };
        let listener = self.add(key, interest, waiter, manner == Manner::Lasting);
        match self.ask(key, poller) {
            Ok(Asked::SameFile) => match place {
                Ok(()) => Ok(listener),
                Err(busy) => {
                    self.take(listener);
                    Err(busy)
                }
            },
            Ok(Asked::OtherFile) => {
                let waiter = self.take(listener).expect("it was added a moment ago");
                self.forget(key, ready);
                self.listen_fd(fd, interest, waiter, manner, poller, ready)
            }
            Err(error) => {
                self.take(listener);
                if self.is_idle(key) {
                    self.forget(key, ready);
                }
                Err(error.into())
            }
        }
    }

    /// Takes a listener out and returns its waiter; `None` if it was spent or removed before.
    pub(crate) fn remove(&mut self, key: ListenerKey, poller: &mut Poller) -> Option<W> {
        let waiter = self.take(key)?;
        let source = &self.sources[key.source.slot as usize];
        if source.interest().is_none() {
            poller.disarm(source.fd);
        }
        Some(waiter)
    }

    /// As [`remove`](Listeners::remove), but the poller is not told.
    fn take(&mut self, key: ListenerKey) -> Option<W> {
        let listener = self.get(key.source)?.direction(key.interest).remove(key.number)?;
        self.listeners_count -= 1;
        Some(listener.waiter)
    }

    /// The fd was closed, or now means another file: wakes everyone who waits for it, and forgets
    /// it. Returns how many waited.
    pub(crate) fn close(&mut self, fd: RawFd, poller: &mut Poller, ready: &mut Ready<W>) -> usize {
        let Some(key) = self.find(fd) else { return 0 };
        poller.detach(fd);
        self.forget(key, ready)
    }

    /// The number may mean another file by now, or none: the poller is asked before the next wait. Who listens
    /// at the same file as before goes on.
    pub(crate) fn doubt(&mut self, fd: RawFd) {
        let Some(key) = self.find(fd) else { return };
        let source = &self.sources[key.slot as usize];
        if source.owners == 0 && !source.interest().is_none() {
            self.rearm.push(key);
        }
    }

    /// Arms again whoever still listens after the last events, and wakes those that need no
    /// kernel to be ready. Called once a turn, before the wait.
    pub(crate) fn rearm(&mut self, poller: &mut Poller, ready: &mut Ready<W>) {
        while let Some(key) = self.rearm.pop() {
            let Some(source) = self.get(key) else { continue };
            if source.interest().is_none() || source.entry == Entry::Refused {
                continue;
            }
            if !matches!(self.ask(key, poller), Ok(Asked::SameFile)) {
                // Closed under its listeners.
                self.forget(key, ready);
            }
        }
        let mut always_ready = std::mem::take(&mut self.always_ready);
        always_ready.retain(|&key| {
            let readiness = Readiness::READ.union(Readiness::WRITE);
            self.deliver(Event { token: key.token(), readiness }, ready);
            let Some(source) = self.get(key) else { return false };
            let listened = !source.interest().is_none();
            if !listened {
                source.entry = Entry::None;
            }
            listened
        });
        self.always_ready = always_ready;
    }

    /// True if the next turn has somebody to wake or to arm, so that this one must not sleep.
    pub(crate) fn is_pending(&self) -> bool {
        !self.always_ready.is_empty() || !self.rearm.is_empty()
    }

    /// Asks for the memory of those an event will wake.
    pub(crate) fn prefetch(&self, event: &Event) {
        let key = SourceKey::from_token(event.token);
        let Some(source) = self.sources.get(key.slot as usize) else { return };
        for direction in [&source.read, &source.write] {
            if let Some(first) = direction.first() {
                first.waiter.prefetch();
            }
        }
    }

    /// Wakes whoever an event is for. A stale event is for nobody.
    pub(crate) fn deliver(&mut self, event: Event, ready: &mut Ready<W>) {
        let key = SourceKey::from_token(event.token);
        let readiness = event.readiness;
        let edges = self.edges;
        let Some(source) = self.get(key) else { return };
        if readiness.contains(Readiness::INVALID) {
            self.forget(key, ready);
            return;
        }
        source.ready = source.ready.union(readiness);
        let mut spent = 0;
        let mut again = source.owners == 0 || !edges;
        for interest in [Interest::Read, Interest::Write] {
            if !readiness.satisfies(interest) {
                continue;
            }
            let direction = source.direction(interest);
            spent += usize::from(direction.wake_first(Wake::Ready(readiness), ready));
            again |= !direction.is_empty();
        }
        if again && !source.interest().is_none() {
            self.rearm.push(key);
        }
        self.listeners_count -= spent;
    }

    /// A new poller has taken the old one's place and knows nothing but the hub's bell: tells it
    /// everything again.
    pub(crate) fn introduce_all(&mut self, bell: &Bell, poller: &mut Poller, ready: &mut Ready<W>) {
        let bell = bell.as_fd().as_raw_fd();
        self.edges = poller.has_edges();
        let edges = self.edges;
        // What the old poller refused the new one may watch; if not, it says so again.
        self.always_ready.clear();
        for slot in 0..self.sources.len() {
            let source = &mut self.sources[slot];
            let key = SourceKey { slot: slot_number(slot), generation: source.generation };
            if source.fd == bell {
                // It has the number of a file that a forked child closed before it came here.
                self.forget(key, ready);
                continue;
            }
            if source.fd < 0 {
                continue;
            }
            source.entry = Entry::None;
            let (fd, owned, listened) = (source.fd, source.owners > 0, source.interest());
            let outcome = if owned && edges {
                source.entry = Entry::Watched;
                poller.attach(fd, key.token())
            } else if listened.is_none() {
                Ok(())
            } else {
                self.ask(key, poller).map(|_| ())
            };
            if outcome.is_err() {
                self.forget(key, ready);
            }
        }
    }

    /// How many listeners there are.
    pub(crate) fn len(&self) -> usize {
        self.listeners_count
    }

    /// All listeners: fd, direction, waiter.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RawFd, Interest, &W)> {
        self.sources.iter().flat_map(|source| {
            let read = source.read.iter().map(|listener| (Interest::Read, listener));
            let write = source.write.iter().map(|listener| (Interest::Write, listener));
            read.chain(write).map(|(interest, listener)| (source.fd, interest, &listener.waiter))
        })
    }

    fn get(&mut self, key: SourceKey) -> Option<&mut Source<W>> {
        self.sources.get_mut(key.slot as usize).filter(|source| source.generation == key.generation)
    }

    fn find(&self, fd: RawFd) -> Option<SourceKey> {
        let slot = self.by_fd.get(usize::try_from(fd).ok()?)?.checked_sub(1)?;
        Some(SourceKey { slot, generation: self.sources[slot as usize].generation })
    }

    /// True for a foreign source nobody listens at: nothing is lost if it is forgotten.
    fn is_idle(&self, key: SourceKey) -> bool {
        let source = &self.sources[key.slot as usize];
        source.owners == 0 && source.read.is_empty() && source.write.is_empty()
    }

    fn insert(&mut self, fd: RawFd, poller: &Poller) -> io::Result<SourceKey> {
        let index = usize::try_from(fd).map_err(|_| Errno::BADF)?;
        // The table is as long as the highest number is high, so only the kernel may raise it.
        if self.by_fd.len() <= index && !poller.is_open(fd) {
            return Err(Errno::BADF.into());
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.sources.push(Source {
                generation: 0,
                fd: -1,
                owners: 0,
                entry: Entry::None,
                ready: Readiness::NONE,
                read: Direction::new(),
                write: Direction::new(),
            });
            slot_number(self.sources.len() - 1)
        });
        let source = &mut self.sources[slot as usize];
        source.fd = fd;
        source.owners = 0;
        source.entry = Entry::None;
        source.ready = Readiness::NONE;
        if self.by_fd.len() <= index {
            self.by_fd.resize(index + 1, 0);
        }
        self.by_fd[index] = slot + 1;
        Ok(SourceKey { slot, generation: source.generation })
    }

    /// Frees the slot of a source nobody listens at.
    fn release(&mut self, key: SourceKey) {
        let source = &mut self.sources[key.slot as usize];
        assert!(source.interest().is_none(), "a source is released with listeners on it");
        let fd = std::mem::replace(&mut source.fd, -1);
        // After 2^32 uses of one slot a number returns; no key is kept that long.
        source.generation = source.generation.wrapping_add(1);
        self.by_fd[usize::try_from(fd).expect("a source in use has an fd")] = 0;
        self.free.push(key.slot);
    }

    /// Wakes everyone at a source with "closed" and frees it.
    fn forget(&mut self, key: SourceKey, ready: &mut Ready<W>) -> usize {
        let Some(source) = self.get(key) else { return 0 };
        let mut count = 0;
        for interest in [Interest::Read, Interest::Write] {
            while let Some(listener) = source.direction(interest).pop() {
                ready.wake(listener.waiter, Wake::Closed);
                count += 1;
            }
        }
        self.listeners_count -= count;
        self.release(key);
        count
    }

    fn add(
        &mut self,
        source: SourceKey,
        interest: Interest,
        waiter: W,
        lasting: bool,
    ) -> ListenerKey {
        let number = self.listeners_total;
        self.listeners_total += 1;
        self.listeners_count += 1;
        let direction = self.sources[source.slot as usize].direction(interest);
        direction.push(Listener { waiter, number, lasting });
        ListenerKey { source, interest, number }
    }

    fn refuse_second(&mut self, key: SourceKey, interest: Interest) -> Result<(), ListenError<W>> {
        let allowed = self.allow_multiple;
        let source = &mut self.sources[key.slot as usize];
        let fd = source.fd;
        match source.direction(interest).first() {
            Some(first) if !allowed => {
                Err(ListenError::Busy { fd, interest, holder: first.waiter.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Asks the poller on behalf of everyone who listens at a source.
    ///
    /// The poller knows files, not numbers. So its answer also tells whether the number means the
    /// same file as before, unless the backend is one that keeps nothing.
    fn ask(&mut self, key: SourceKey, poller: &mut Poller) -> io::Result<Asked> {
        let source = &mut self.sources[key.slot as usize];
        let before = source.entry;
        let outcome = if source.owners > 0 && self.edges {
            poller.reattach(source.fd, key.token())
        } else {
            let known = before == Entry::Watched;
            poller.arm(source.fd, key.token(), source.interest(), known)
        };
        let after = match outcome {
            Ok(()) => Entry::Watched,
            Err(error) if is(&error, Errno::PERM) => Entry::Refused,
            Err(error) if is(&error, Errno::NOENT) => Entry::None,
            Err(error) if is(&error, Errno::BADF) && before != Entry::None => Entry::None,
            Err(error) => return Err(error),
        };
        if before != Entry::None && after != before {
            return Ok(Asked::OtherFile);
        }
        if before == Entry::None && after == Entry::Refused {
            self.always_ready.push(key);
        }
        source.entry = after;
        Ok(Asked::SameFile)
    }
}

impl ListenerKey {
    /// The source it is at.
    pub fn source(self) -> SourceKey {
        self.source
    }
}

impl SourceKey {
    fn token(self) -> Token {
        Token(u64::from(self.generation) << 32 | u64::from(self.slot))
    }

    fn from_token(token: Token) -> SourceKey {
        SourceKey { slot: token.0 as u32, generation: (token.0 >> 32) as u32 }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn slot_number(index: usize) -> u32 {
    // The token of slot u32::MAX would be the bell's.
    u32::try_from(index).ok().filter(|&slot| slot < u32::MAX).expect("fewer than 2^32 - 1 fds")
}
