//! A simulated kernel: files that become ready when the test says so, reported with faults drawn
//! from a seed.
//!
//! Knows no system call. It keeps the contract of `poller` and nothing beyond it: what real
//! kernels merely allow (late reports, spurious ones, any order), this one does often.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::RawFd,
    rc::Rc,
    time::Duration,
};

use rustix::io::Errno;

use super::{Bell, Event, Readiness, Token};
use crate::{Chance, Clock, Instant};

/// What a file is ready for when its other side is gone.
const HANG_UP: Readiness = Readiness::READ.union(Readiness::WRITE).union(Readiness::READ_CLOSED);

/// How often the simulated kernel does what it may but need not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Of a hundred reports, so many come a wait later than they could.
    pub late_percent: u8,
    /// Of a hundred waits, so many also report an fd that is not ready.
    pub spurious_percent: u8,
}

/// How often a simulated kernel was asked to change what it watches: what waits cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// To watch a file under a number, as `EPOLL_CTL_ADD`.
    pub added: u64,
    /// To watch it otherwise, or for once more, as `EPOLL_CTL_MOD`. Also in vain, where the number
    /// means another file.
    pub modified: u64,
    /// To watch it no more, as `EPOLL_CTL_DEL`.
    pub removed: u64,
}

/// The test's side of a simulated kernel: opens and closes files and makes them ready.
///
/// A clone speaks to the same kernel.
#[derive(Clone, Debug)]
pub struct Sim(Rc<RefCell<World>>);

#[derive(Debug)]
struct World {
    clock: Clock,
    chance: Chance,
    faults: Faults,
    /// Open files by number. A number that is free again is given out first, as a kernel does.
    files: BTreeMap<RawFd, File>,
    files_total: u64,
    /// What becomes ready when. The count keeps equal instants in the order they were told.
    schedule: BTreeMap<(Instant, u64), (RawFd, u64, Readiness)>,
    scheduled_total: u64,
    /// The watched pairs of number and file, as in an epoll set.
    watched: BTreeMap<(RawFd, u64), Watch>,
    /// Watched pairs with news since they were last reported.
    news: BTreeSet<(RawFd, u64)>,
    changes: Changes,
}

#[derive(Debug)]
struct File {
    number: u64,
    ready: Readiness,
    /// As regular files do not: then it cannot be watched.
    makes_wait: bool,
}

#[derive(Debug)]
struct Watch {
    token: Token,
    asked: Readiness,
    once: bool,
}

impl Sim {
    /// A kernel without files, whose time is `clock` and whose whims come from `seed`.
    pub fn new(clock: Clock, seed: u64, faults: Faults) -> Sim {
        Sim(Rc::new(RefCell::new(World {
            clock,
            chance: Chance::from_seed(seed),
            faults,
            files: BTreeMap::new(),
            files_total: 0,
            schedule: BTreeMap::new(),
            scheduled_total: 0,
            watched: BTreeMap::new(),
            news: BTreeSet::new(),
            changes: Changes::default(),
        })))
    }

    /// Opens a file under the lowest free number, ready for nothing.
    pub fn open(&self) -> RawFd {
        self.open_file(true)
    }

    /// Opens a file that never makes anyone wait.
    #[cfg(test)]
    pub(crate) fn open_regular(&self) -> RawFd {
        self.open_file(false)
    }

    fn open_file(&self, makes_wait: bool) -> RawFd {
        let mut world = self.0.borrow_mut();
        let fd = (0..).find(|fd| !world.files.contains_key(fd)).expect("a number is free");
        world.files_total += 1;
        let number = world.files_total;
        world.files.insert(fd, File { number, ready: Readiness::NONE, makes_wait });
        fd
    }

    /// Closes a file. What watched it is forgotten, as by a kernel when no duplicate is left.
    ///
    /// # Panics
    ///
    /// If `fd` is not open.
    pub fn close(&self, fd: RawFd) {
        let mut world = self.0.borrow_mut();
        let file = world.files.remove(&fd).expect("only an open file is closed");
        world.watched.remove(&(fd, file.number));
        world.news.remove(&(fd, file.number));
    }

    /// Makes the file that is `fd` now ready at `instant`, if it is still open then.
    ///
    /// One whose other side has closed can be read as well. If it can also be written, that is a
    /// hang-up, and reported unasked.
    ///
    /// # Panics
    ///
    /// If `fd` is not open.
    pub fn make_ready(&self, fd: RawFd, readiness: Readiness, instant: Instant) {
        let mut world = self.0.borrow_mut();
        let number = world.files.get(&fd).expect("only an open file becomes ready").number;
        world.scheduled_total += 1;
        let key = (instant, world.scheduled_total);
        let readiness = if readiness.contains(Readiness::READ_CLOSED) {
            readiness.union(Readiness::READ)
        } else {
            readiness
        };
        world.schedule.insert(key, (fd, number, readiness));
    }

    /// Uses up readiness, as a read until it would block does. False if there was none.
    pub fn take(&self, fd: RawFd, readiness: Readiness) -> bool {
        let mut world = self.0.borrow_mut();
        let now = world.clock.now();
        world.pass_time(now);
        let Some(file) = world.files.get_mut(&fd) else { return false };
        let had = file.ready.contains(readiness);
        file.ready = file.ready.without(readiness);
        had
    }

    /// What it was asked so far.
    pub fn changes(&self) -> Changes {
        self.0.borrow().changes
    }
}

impl World {
    /// Everything scheduled up to `now` happens.
    fn pass_time(&mut self, now: Instant) {
        while let Some(entry) = self.schedule.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (fd, number, readiness) = entry.remove();
            let Some(file) = self.files.get_mut(&fd).filter(|file| file.number == number) else {
                continue;
            };
            file.ready = file.ready.union(readiness);
            if self.watched.contains_key(&(fd, number)) {
                self.news.insert((fd, number));
            }
        }
    }

    /// `known` says whether the pair of number and file must be watched already, must not be, or
    /// may be either.
    fn watch(&mut self, fd: RawFd, watch: Watch, known: Option<bool>) -> Result<(), Errno> {
        match known {
            Some(true) => self.changes.modified += 1,
            Some(false) | None => self.changes.added += 1,
        }
        let file = self.files.get(&fd).ok_or(Errno::BADF)?;
        if !file.makes_wait {
            return Err(Errno::PERM);
        }
        let key = (fd, file.number);
        match (known, self.watched.contains_key(&key)) {
            (Some(true), false) => return Err(Errno::NOENT),
            (Some(false), true) => return Err(Errno::EXIST),
            (None, true) => self.changes.modified += 1,
            _ => {}
        }
        if !file.ready.is_none() {
            self.news.insert(key);
        }
        self.watched.insert(key, watch);
        Ok(())
    }

    /// The reports that are there now.
    fn report(&mut self, events: &mut Vec<Event>) {
        let mut late = BTreeSet::new();
        for key in std::mem::take(&mut self.news) {
            let Some(watch) = self.watched.get_mut(&key) else { continue };
            let ready = self.files[&key.0].ready;
            let hung_up = ready.contains(HANG_UP) && !watch.asked.is_none();
            let told = if hung_up { ready } else { Readiness(ready.0 & watch.asked.0) };
            if told.is_none() {
                continue;
            }
            if self.chance.percent(self.faults.late_percent) {
                late.insert(key);
                continue;
            }
            if watch.once {
                watch.asked = Readiness::NONE;
            }
            events.push(Event { token: watch.token, readiness: told });
        }
        self.news = late;
        if self.chance.percent(self.faults.spurious_percent) && !self.watched.is_empty() {
            let index = self.chance.below(self.watched.len());
            let watch = self.watched.values_mut().nth(index).expect("below the length");
            // A kernel does not say by mistake that the other side has closed.
            let readiness = watch.asked.without(Readiness::READ_CLOSED);
            if watch.once {
                watch.asked = Readiness::NONE;
            }
            if !readiness.is_none() {
                events.push(Event { token: watch.token, readiness });
            }
        }
        for index in (1..events.len()).rev() {
            let other = self.chance.below(index + 1);
            events.swap(index, other);
        }
    }
}

/// The hub's side of a simulated kernel.
#[derive(Debug)]
pub(crate) struct SimPoller(Sim);

impl SimPoller {
    pub(crate) fn new(sim: Sim) -> SimPoller {
        SimPoller(sim)
    }

    /// The same kernel again: a simulation does not fork.
    pub(crate) fn renew(&self) -> SimPoller {
        SimPoller(self.0.clone())
    }

    pub(crate) fn is_open(&self, fd: RawFd) -> bool {
        self.0.0.borrow().files.contains_key(&fd)
    }

    /// No other thread takes part in a simulation, so nobody rings.
    pub(crate) fn watch_bell(&mut self, _bell: &Bell) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn attach(&mut self, fd: RawFd, token: Token) -> io::Result<()> {
        let asked = with_hang_up(Readiness::READ.union(Readiness::WRITE));
        Ok(self.0.0.borrow_mut().watch(fd, Watch { token, asked, once: false }, Some(false))?)
    }

    pub(crate) fn reattach(&mut self, fd: RawFd, token: Token) -> io::Result<()> {
        let asked = with_hang_up(Readiness::READ.union(Readiness::WRITE));
        Ok(self.0.0.borrow_mut().watch(fd, Watch { token, asked, once: false }, Some(true))?)
    }

    pub(crate) fn arm(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Readiness,
        known: bool,
    ) -> io::Result<()> {
        let watch = Watch { token, asked: with_hang_up(interest), once: true };
        Ok(self.0.0.borrow_mut().watch(fd, watch, known.then_some(true))?)
    }

    pub(crate) fn disarm(&mut self, _fd: RawFd) {}

    pub(crate) fn detach(&mut self, fd: RawFd) {
        let mut world = self.0.0.borrow_mut();
        world.changes.removed += 1;
        if let Some(number) = world.files.get(&fd).map(|file| file.number) {
            world.watched.remove(&(fd, number));
            world.news.remove(&(fd, number));
        }
    }

    /// Lets the time pass until something is reported or `timeout` is over.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        let mut world = self.0.0.borrow_mut();
        let world = &mut *world;
        let start = world.clock.now();
        let end = timeout.map_or(Instant::NEVER, |timeout| start + timeout);
        world.pass_time(start);
        world.report(events);
        while events.is_empty() && world.clock.now() < end {
            let next = world.schedule.first_key_value().map_or(Instant::NEVER, |(key, _)| key.0);
            // A late report is waited for no longer than a moment.
            let late = if world.news.is_empty() {
                Instant::NEVER
            } else {
                world.clock.now() + Duration::from_micros(1)
            };
            let until = next.min(end).min(late);
            if until == Instant::NEVER {
                break;
            }
            world.clock.advance_to(until);
            world.pass_time(until);
            world.report(events);
        }
        Ok(())
    }
}

/// Who asks for reads hears of the other side's end too.
fn with_hang_up(interest: Readiness) -> Readiness {
    if interest.contains(Readiness::READ) {
        interest.union(Readiness::READ_CLOSED)
    } else {
        interest
    }
}
