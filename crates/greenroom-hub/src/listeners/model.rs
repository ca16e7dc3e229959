//! The listeners beside a naive account of who waits for what.
//!
//! Random opening, closing and reopening of files, with and without notice, attaching, waiting and
//! giving up, over a simulated kernel. The account is kept in plain lists that know nothing of
//! slots, generations or arming; after each step both must agree: who was woken, why, and who still
//! waits.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    os::fd::RawFd,
    rc::Rc,
    time::Duration,
};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{Event, ListenError, ListenerKey, Listeners, Manner, SourceKey};
use crate::{
    Clock, Faults, Interest, Readiness, Sim, Waiter, Wake,
    poller::{Poller, sim::SimPoller},
    ready::Ready,
    seeds::with_seeds,
};

const BOTH: Readiness = Readiness::READ.union(Readiness::WRITE);
const HANG_UP: Readiness = BOTH.union(Readiness::READ_CLOSED);

/// So many files are open at once; few, so that numbers are reused all the time.
const FILES_MAX: usize = 4;

/// Turns within which everyone is woken who should be, late reports included.
const TURNS_MAX: usize = 200;

#[derive(Clone, Copy, Debug)]
enum Step {
    Open { regular: bool },
    Close { file: usize, notice: Notice },
    Notice { number: RawFd },
    Attach { number: RawFd },
    Detach { owner: usize },
    Listen { owner: usize, interest: Interest },
    ListenFd { number: RawFd, interest: Interest, lasting: bool },
    Unlisten { wait: usize },
    MakeReady { file: usize, readiness: Readiness },
    Exhaust { file: usize, interest: Interest },
    AllowMultiple(bool),
    Turn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    Before,
    After,
    None,
}

fn step() -> impl Strategy<Value = Step> {
    let interest = || prop_oneof![Just(Interest::Read), Just(Interest::Write)];
    let number = || 0..FILES_MAX as RawFd;
    let notice =
        prop_oneof![1 => Just(Notice::Before), 1 => Just(Notice::After), 2 => Just(Notice::None)];
    let readiness =
        prop_oneof![4 => interest().prop_map(Readiness::from), 1 => Just(HANG_UP)].boxed();
    prop_oneof![
        6 => prop::bool::weighted(0.2).prop_map(|regular| Step::Open { regular }),
        3 => (any::<usize>(), notice).prop_map(|(file, notice)| Step::Close { file, notice }),
        1 => number().prop_map(|number| Step::Notice { number }),
        4 => number().prop_map(|number| Step::Attach { number }),
        2 => any::<usize>().prop_map(|owner| Step::Detach { owner }),
        8 => (any::<usize>(), interest())
            .prop_map(|(owner, interest)| Step::Listen { owner, interest }),
        10 => (number(), interest(), prop::bool::weighted(0.2))
            .prop_map(|(number, interest, lasting)| Step::ListenFd { number, interest, lasting }),
        4 => any::<usize>().prop_map(|wait| Step::Unlisten { wait }),
        8 => (any::<usize>(), readiness)
            .prop_map(|(file, readiness)| Step::MakeReady { file, readiness }),
        6 => (any::<usize>(), interest())
            .prop_map(|(file, interest)| Step::Exhaust { file, interest }),
        1 => any::<bool>().prop_map(Step::AllowMultiple),
        10 => Just(Step::Turn),
    ]
}

/// A waiter that notes what it hears.
#[derive(Clone)]
struct Caller(Rc<Notes>);

struct Notes {
    number: usize,
    waits: Cell<bool>,
    heard: RefCell<Vec<Wake>>,
}

impl Waiter for Caller {
    fn settle(&self, wake: Wake) -> bool {
        let waited = self.0.waits.replace(false);
        if waited {
            self.0.heard.borrow_mut().push(wake);
        }
        waited
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "caller {}", self.0.number)
    }
}

/// A file as the account has it: told from every other, whatever its number.
#[derive(Clone, Copy, Debug)]
struct File {
    id: u64,
    regular: bool,
    ready: Readiness,
}

/// What the listeners should know under a number.
#[derive(Clone, Copy, Debug)]
struct Source {
    id: u64,
    /// The file that was meant when it was made.
    file: File,
    owners: usize,
}

#[derive(Debug)]
struct Wait {
    caller: Caller,
    key: ListenerKey,
    source: u64,
    number: RawFd,
    file: u64,
    interest: Interest,
    lasting: bool,
    over: bool,
}

#[derive(Debug)]
struct Owner {
    key: SourceKey,
    source: u64,
    number: RawFd,
}

/// The listeners and the account of them.
struct Account {
    clock: Clock,
    sim: Sim,
    poller: Poller,
    listeners: Listeners<Caller>,
    ready: Ready<Caller>,
    faulty: bool,
    several: bool,
    open: BTreeMap<RawFd, File>,
    sources: BTreeMap<RawFd, Source>,
    waits: Vec<Wait>,
    owners: Vec<Owner>,
    numbered: u64,
}

impl Account {
    fn new(seed: u64, faulty: bool) -> Account {
        let clock = Clock::manual();
        let faults = if faulty {
            Faults { late_percent: 50, spurious_percent: 30 }
        } else {
            Faults::default()
        };
        let sim = Sim::new(clock.clone(), seed, faults);
        let poller = Poller::Sim(SimPoller::new(sim.clone()));
        Account {
            clock,
            sim,
            listeners: Listeners::new(poller.has_edges()),
            poller,
            ready: Ready::new(),
            faulty,
            several: false,
            open: BTreeMap::new(),
            sources: BTreeMap::new(),
            waits: Vec::new(),
            owners: Vec::new(),
            numbered: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Open { regular } => self.open(regular),
            Step::Close { file, notice } => self.close(file, notice),
            Step::Notice { number } => self.notice(number),
            Step::Attach { number } => self.attach(number),
            Step::Detach { owner } => self.detach(owner),
            Step::Listen { owner, interest } => self.listen(owner, interest),
            Step::ListenFd { number, interest, lasting } => {
                self.listen_fd(number, interest, lasting);
            }
            Step::Unlisten { wait } => self.unlisten(wait),
            Step::MakeReady { file, readiness } => self.make_ready(file, readiness),
            Step::Exhaust { file, interest } => self.exhaust(file, interest),
            Step::AllowMultiple(several) => {
                self.several = several;
                self.listeners.allow_multiple = several;
            }
            Step::Turn => self.turn(),
        }
        self.hear_all_and_expect_silence();
        let waiting = self.waits.iter().filter(|wait| !wait.over).count();
        assert_eq!(self.listeners.len(), waiting, "the counts agree");
        assert_eq!(self.listeners.iter().count(), waiting, "the count is what is listed");
    }

    // Files.

    fn open(&mut self, regular: bool) {
        if self.open.len() == FILES_MAX {
            return;
        }
        let fd = if regular { self.sim.open_regular() } else { self.sim.open() };
        let ready = if regular { BOTH } else { Readiness::NONE };
        // One regular file is as good as another: nobody can tell them apart.
        let id = if regular { 0 } else { self.number() };
        let file = File { id, regular, ready };
        assert!(self.open.insert(fd, file).is_none());
    }

    fn close(&mut self, index: usize, notice: Notice) {
        let Some(fd) = self.nth_open(index) else { return };
        if notice == Notice::Before {
            self.notice(fd);
        }
        self.sim.close(fd);
        self.open.remove(&fd);
        if notice == Notice::After {
            self.notice(fd);
        }
    }

    fn nth_open(&self, index: usize) -> Option<RawFd> {
        self.open.keys().copied().nth(index % self.open.len().max(1))
    }

    fn make_ready(&mut self, index: usize, readiness: Readiness) {
        let Some(fd) = self.nth_open(index) else { return };
        let file = self.open.get_mut(&fd).expect("it is open");
        file.ready = file.ready.union(readiness);
        self.sim.make_ready(fd, readiness, self.clock.now());
    }

    /// Reads or writes until it would block, and tells so for all owners, as they do.
    fn exhaust(&mut self, index: usize, interest: Interest) {
        let Some(fd) = self.nth_open(index) else { return };
        let file = self.open.get_mut(&fd).expect("it is open");
        if file.regular || file.ready.contains(HANG_UP) {
            return;
        }
        file.ready = file.ready.without(interest.into());
        let id = file.id;
        self.sim.take(fd, interest.into());
        if let Some(source) = self.sources.get(&fd).filter(|source| source.file.id == id) {
            for owner in self.owners.iter().filter(|owner| owner.source == source.id) {
                self.listeners.exhaust(owner.key, interest);
            }
        }
    }

    // What the listeners are asked, and what they should answer.

    fn notice(&mut self, fd: RawFd) {
        let waiting = self.waiting_at(fd);
        let told = self.listeners.close(fd, &mut self.poller, &mut self.ready);
        assert_eq!(told, waiting, "everyone who waited is told");
        self.expect_closed(fd);
    }

    fn waiting_at(&self, fd: RawFd) -> usize {
        self.waits.iter().filter(|wait| wait.number == fd && !wait.over).count()
    }

    /// True if the source under a number is for another file than the number means.
    fn is_stale(&self, fd: RawFd) -> bool {
        self.sources
            .get(&fd)
            .is_some_and(|source| self.open.get(&fd).is_none_or(|file| file.id != source.file.id))
    }

    fn attach(&mut self, fd: RawFd) {
        let outcome = self.listeners.attach(fd, &mut self.poller, &mut self.ready);
        if self.is_stale(fd) {
            self.expect_closed(fd);
        }
        let file = self.open.get(&fd).copied();
        match file {
            Some(file) if !file.regular => {
                let key = outcome.expect("an open file can be attached");
                let source = self.source(fd, file);
                self.sources.get_mut(&fd).expect("made just now").owners += 1;
                self.owners.push(Owner { key, source, number: fd });
            }
            _ => {
                outcome.expect_err("nothing that could be attached is open");
                let known = self.listeners.find(fd).is_some();
                assert!(!known || self.sources.contains_key(&fd), "a refusal leaves nothing");
            }
        }
    }

    /// The source of a file that is open, made if there is none.
    fn source(&mut self, fd: RawFd, file: File) -> u64 {
        let id = self.number();
        self.sources.entry(fd).or_insert(Source { id, file, owners: 0 }).id
    }

    fn detach(&mut self, index: usize) {
        if self.owners.is_empty() {
            return;
        }
        let owner = self.owners.swap_remove(index % self.owners.len());
        self.listeners.detach(owner.key, &mut self.poller, &mut self.ready);
        let source = self.sources.get_mut(&owner.number);
        if let Some(source) = source.filter(|source| source.id == owner.source) {
            source.owners -= 1;
            if source.owners == 0 {
                self.expect_closed(owner.number);
            }
        }
    }

    /// The first who waits at a source in a direction.
    fn holder(&self, source: u64, interest: Interest) -> Option<&Wait> {
        let here = |wait: &&Wait| wait.source == source && wait.interest == interest && !wait.over;
        self.waits.iter().find(here)
    }

    fn caller(&mut self) -> Caller {
        let notes =
            Notes { number: self.waits.len(), waits: Cell::new(true), heard: RefCell::default() };
        Caller(Rc::new(notes))
    }

    fn listen(&mut self, index: usize, interest: Interest) {
        if self.owners.is_empty() {
            return;
        }
        let Owner { key, source, number: fd } = self.owners[index % self.owners.len()];
        let caller = self.caller();
        let is_there = self.sources.get(&fd).is_some_and(|there| there.id == source);
        let holder = self.holder(source, interest).map(|wait| wait.caller.0.number);
        let outcome =
            self.listeners.listen(key, interest, caller.clone(), &mut self.poller, &mut self.ready);
        match outcome {
            Ok(key) => {
                assert!(is_there && (self.several || holder.is_none()));
                let file = self.sources[&fd].file.id;
                let over = false;
                let lasting = false;
                self.waits.push(Wait {
                    caller,
                    key,
                    source,
                    number: fd,
                    file,
                    interest,
                    lasting,
                    over,
                });
            }
            Err(ListenError::Busy { holder: told, .. }) => {
                assert!(is_there && !self.several);
                assert_eq!(Some(told.0.number), holder);
            }
            // The kernel was asked, and knew.
            Err(ListenError::Closed) if is_there => {
                assert!(self.is_stale(fd));
                self.expect_closed(fd);
            }
            Err(ListenError::Closed) => {}
            Err(ListenError::Io(error)) => panic!("an attached file is refused: {error}"),
        }
    }

    fn listen_fd(&mut self, fd: RawFd, interest: Interest, lasting: bool) {
        let caller = self.caller();
        let outcome = self.listeners.listen_fd(
            fd,
            interest,
            caller.clone(),
            if lasting { Manner::Lasting } else { Manner::Once },
            &mut self.poller,
            &mut self.ready,
        );
        if self.is_stale(fd) {
            self.expect_closed(fd);
        }
        let Some(file) = self.open.get(&fd).copied() else {
            assert!(matches!(outcome, Err(ListenError::Io(_))), "nothing is open there");
            assert!(self.listeners.find(fd).is_none(), "a refusal leaves nothing");
            return;
        };
        let source = self.source(fd, file);
        let holder = self.holder(source, interest).map(|wait| wait.caller.0.number);
        match outcome {
            Ok(key) => {
                assert!(self.several || holder.is_none());
                let (number, file, over) = (fd, file.id, false);
                self.waits.push(Wait {
                    caller,
                    key,
                    source,
                    number,
                    file,
                    interest,
                    lasting,
                    over,
                });
            }
            Err(ListenError::Busy { holder: told, .. }) => {
                assert!(!self.several);
                assert_eq!(Some(told.0.number), holder);
            }
            Err(error) => panic!("an open file is refused: {error}"),
        }
    }

    fn unlisten(&mut self, index: usize) {
        if self.waits.is_empty() {
            return;
        }
        let index = index % self.waits.len();
        let wait = &mut self.waits[index];
        let given_back = self.listeners.remove(wait.key, &mut self.poller);
        let was_over = std::mem::replace(&mut wait.over, true);
        assert_eq!(given_back.is_none(), was_over, "given back once, unless spent");
        if let Some(caller) = given_back {
            assert!(Rc::ptr_eq(&caller.0, &wait.caller.0), "another's waiter was given back");
            drop(caller);
            assert_eq!(Rc::strong_count(&wait.caller.0), 1, "nothing is kept of it");
        }
    }

    // What is heard.

    fn turn(&mut self) {
        let mut due: BTreeSet<usize> = self.due().collect();
        // A moment for late reports.
        self.clock.advance_to(self.clock.now() + Duration::from_micros(1));
        let mut events: Vec<Event> = Vec::new();
        self.listeners.rearm(&mut self.poller, &mut self.ready);
        self.poller.wait(Some(Duration::ZERO), &mut events).expect("a simulated wait never fails");
        for event in events {
            self.listeners.deliver(event, &mut self.ready);
        }
        while let Some(caller) = self.ready.pop() {
            let index = caller.0.number;
            let wait = &self.waits[index];
            let (fd, wake) = (wait.number, *caller.0.heard.borrow().last().expect("it was woken"));
            drop(caller);
            match wake {
                Wake::Ready(readiness) => self.hear_ready(index, readiness, due.remove(&index)),
                Wake::Closed => {
                    assert!(self.is_stale(fd), "it is open, and nobody said that it closed");
                    self.end_one(index);
                    self.expect_closed(fd);
                }
                other => panic!("listeners do not say {other:?}"),
            }
        }
        assert!(self.faulty || due.is_empty(), "{due:?} should have been woken in this turn");
    }

    /// Who should be woken in the next turn: the first in each queue whose file is ready.
    fn due(&self) -> impl Iterator<Item = usize> {
        let first = |wait: &&Wait| {
            !wait.over
                && self.holder(wait.source, wait.interest).map(|first| first.caller.0.number)
                    == Some(wait.caller.0.number)
        };
        let is_ready = |wait: &&Wait| {
            let file = self.open.get(&wait.number).filter(|file| file.id == wait.file);
            file.is_some_and(|file| file.ready.satisfies(wait.interest))
        };
        self.waits.iter().filter(first).filter(is_ready).map(|wait| wait.caller.0.number)
    }

    fn hear_ready(&mut self, index: usize, readiness: Readiness, was_due: bool) {
        let wait = &self.waits[index];
        assert!(!wait.over, "it was woken twice");
        assert!(readiness.satisfies(wait.interest), "it was woken for {readiness:?}");
        let file = self.sources[&wait.number].file;
        assert_eq!(file.id, wait.file);
        // A regular file is always ready, and the kernel is not asked again.
        if !file.regular {
            assert!(!self.is_stale(wait.number), "it was woken for another file");
            assert!(was_due || self.faulty, "its file is not ready, or it is not its turn");
        }
        let first = self.holder(wait.source, wait.interest).expect("it waits itself");
        assert_eq!(first.caller.0.number, index, "it was not its turn");
        if wait.lasting {
            wait.caller.0.waits.set(true);
        } else {
            self.end_one(index);
        }
    }

    fn end_one(&mut self, index: usize) {
        let wait = &mut self.waits[index];
        assert!(!wait.over, "it was woken twice");
        wait.over = true;
    }

    /// Everyone who waits at a number must just have been told that it closed.
    fn expect_closed(&mut self, fd: RawFd) {
        let mut told: BTreeSet<usize> = BTreeSet::new();
        let mut others = Vec::new();
        while let Some(caller) = self.ready.pop() {
            let heard = *caller.0.heard.borrow().last().expect("it was woken");
            if self.waits[caller.0.number].number == fd && heard == Wake::Closed {
                told.insert(caller.0.number);
            } else {
                others.push(caller);
            }
        }
        for other in others {
            self.ready.push(other);
        }
        let here: BTreeSet<usize> = self
            .waits
            .iter()
            .filter(|wait| wait.number == fd && !wait.over)
            .map(|wait| wait.caller.0.number)
            .collect();
        assert_eq!(told, here, "those who waited are told, and nobody else");
        for index in here {
            self.end_one(index);
        }
        self.sources.remove(&fd);
    }

    fn hear_all_and_expect_silence(&mut self) {
        assert!(self.ready.pop().is_none(), "somebody was woken without a reason");
        for wait in self.waits.iter().filter(|wait| wait.over) {
            assert_eq!(Rc::strong_count(&wait.caller.0), 1, "nothing is kept of who is through");
        }
    }

    /// Turns until nobody is left who should be woken.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.play(Step::Turn);
            let once = |index: &usize| !self.waits[*index].lasting;
            if !self.due().any(|index| once(&index)) {
                return;
            }
        }
        panic!("{:?} were never woken", self.due().collect::<Vec<_>>());
    }

    fn end(mut self) {
        self.settle();
        for fd in 0..FILES_MAX as RawFd {
            self.play(Step::Notice { number: fd });
        }
        self.play(Step::Turn);
        assert_eq!(self.listeners.len(), 0);
        assert!(self.listeners.by_fd.iter().all(|&slot| slot == 0), "no number is known");
        assert_eq!(self.listeners.free.len(), self.listeners.sources.len());
        assert!(self.listeners.sources.len() <= FILES_MAX, "slots are used again");
        assert!(!self.listeners.is_pending() && self.listeners.rearm.is_empty());
        for wait in &self.waits {
            assert_eq!(Rc::strong_count(&wait.caller.0), 1, "nothing is left registered");
            let heard = wait.caller.0.heard.borrow().len();
            assert!(wait.lasting || heard <= 1, "nobody is woken twice");
        }
    }
}

fn listeners_agree_with_the_account(faulty: bool) {
    with_seeds(3, |seed| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new_with_rng(config, rng).run(&vec(step(), 1..150), |steps| {
            let mut account = Account::new(seed, faulty);
            for step in steps {
                account.play(step);
            }
            account.end();
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
    });
}

#[test]
fn seeded_listeners_agree_with_a_naive_account() {
    listeners_agree_with_the_account(false);
}

#[test]
fn seeded_listeners_agree_with_a_naive_account_under_faults() {
    listeners_agree_with_the_account(true);
}

#[test]
fn a_slot_whose_generations_have_run_out_begins_anew() {
    let mut account = Account::new(0, false);
    account.open(false);
    for generation in [u32::MAX - 1, u32::MAX, 0] {
        account.attach(0);
        account.listen(0, Interest::Read);
        if generation == u32::MAX - 1 {
            // The first round only makes the slot.
            account.detach(0);
            account.listeners.sources[0].generation = generation;
            account.attach(0);
            account.listen(0, Interest::Read);
        }
        assert_eq!(account.owners[0].key.generation, generation);
        account.make_ready(0, Readiness::READ);
        account.turn();
        account.exhaust(0, Interest::Read);
        account.detach(0);
    }
    account.end();
}
