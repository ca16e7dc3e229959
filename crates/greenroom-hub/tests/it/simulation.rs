//! Whole runs over a simulated kernel: dozens of threads that wait for files, deadlines and calls,
//! while others close those files and open new ones.
//!
//! A thread here is a script drawn from the seed, not a stack. Every run must come to its end, wake
//! nobody for a file that is not theirs, be in time, and repeat from its seed bit by bit.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    os::fd::RawFd,
    rc::Rc,
    time::Duration,
};

use greenroom_hub::{
    Chance, Clock, Faults, Hub, Instant, Interest, ListenerKey, Outcome, Readiness, Sim, SourceKey,
    TimerKey, Waiter, Wake, WakeId,
};

use crate::seeds::with_seeds;

const THREADS: usize = 40;
const STEPS_PER_THREAD: u32 = 25;
/// Files that all threads wait for, besides the one that each has to itself.
const FILES_SHARED: usize = 6;
/// The simulated kernel is late by moments of a microsecond, several in a row at times.
const LATENESS_MAX: Duration = Duration::from_micros(100);
/// Far more than any run takes.
const TURNS_MAX: usize = 100_000;

#[derive(Clone)]
struct Thread(Rc<Script>);

struct Script {
    number: usize,
    steps_left: Cell<u32>,
    parked: Cell<bool>,
    wake: Cell<Option<Wake>>,
    wait: RefCell<Option<Wait>>,
    generations: Generations,
    /// Which file its place held when it was woken.
    woken_in: Cell<u64>,
}

/// For each place: how many files were opened there before the one that is.
type Generations = Rc<RefCell<Vec<u64>>>;

impl Waiter for Thread {
    fn settle(&self, wake: Wake) -> bool {
        let parked = self.0.parked.replace(false);
        if parked {
            self.0.wake.set(Some(wake));
            if let Some(file) = self.0.wait.borrow().as_ref().and_then(|wait| wait.file.as_ref()) {
                self.0.woken_in.set(self.0.generations.borrow()[file.place]);
            }
        }
        parked
    }
}

/// What a thread waits for, and all that is armed to end it.
#[derive(Debug)]
struct Wait {
    since: Instant,
    deadline: Option<(Instant, TimerKey)>,
    file: Option<FileWait>,
    expected: Option<WakeId>,
}

#[derive(Debug)]
struct FileWait {
    place: usize,
    /// Which of the files that were in this place.
    generation: u64,
    interest: Interest,
    listener: ListenerKey,
    /// When the file will become ready, as far as this thread has seen to it.
    fed: Instant,
}

/// A place for a file. Its number and what is open there change.
#[derive(Clone, Copy, Debug)]
struct Place {
    fd: RawFd,
    source: Option<SourceKey>,
}

struct Run {
    hub: Hub<Thread>,
    sim: Sim,
    clock: Clock,
    chance: Chance,
    places: Vec<Place>,
    generations: Generations,
    /// Who waits to be called, longest first.
    callable: VecDeque<Thread>,
    /// What another OS thread would be working on.
    offloaded: VecDeque<WakeId>,
    finished: usize,
    trace: DefaultHasher,
}

impl Run {
    fn new(seed: u64) -> Run {
        let clock = Clock::manual();
        let mut chance = Chance::from_seed(seed);
        let faults = Faults {
            late_percent: [0, 30][chance.below(2)],
            spurious_percent: [0, 20][chance.below(2)],
        };
        let sim = Sim::new(clock.clone(), seed, faults);
        let mut hub = Hub::simulated(sim.clone(), clock.clone()).expect("an eventfd is left");
        hub.allow_multiple_waiters(true);
        if chance.percent(50) {
            hub.shuffle(Chance::from_seed(seed));
        }
        let mut run = Run {
            hub,
            sim,
            clock,
            chance,
            places: Vec::new(),
            generations: Generations::default(),
            callable: VecDeque::new(),
            offloaded: VecDeque::new(),
            finished: 0,
            trace: DefaultHasher::new(),
        };
        for _ in 0..FILES_SHARED + THREADS {
            let place = run.open();
            run.places.push(place);
            run.generations.borrow_mut().push(0);
        }
        run
    }

    /// Runs everyone to the end. Returns what identifies the run.
    fn finish(mut self) -> u64 {
        for number in 0..THREADS {
            self.hub.queue(Thread(Rc::new(Script {
                number,
                steps_left: Cell::new(STEPS_PER_THREAD),
                parked: Cell::new(false),
                wake: Cell::new(None),
                wait: RefCell::new(None),
                generations: Rc::clone(&self.generations),
                woken_in: Cell::new(0),
            })));
        }
        for _ in 0..TURNS_MAX {
            if self.finished == THREADS {
                return self.end();
            }
            self.turn();
        }
        panic!("{} of {THREADS} threads never finished", THREADS - self.finished);
    }

    fn turn(&mut self) {
        self.hub.prepare();
        if self.hub.is_idle() {
            self.answer();
        }
        if self.hub.wait().expect("a simulated wait never fails") == Outcome::Stuck {
            let called = self.callable.pop_front().expect("somebody's wake-up was lost");
            self.hub.call(called);
        }
        while let Some(thread) = self.hub.pop() {
            self.resume(&thread);
        }
    }

    /// The other OS threads finish a piece of work.
    fn answer(&mut self) {
        if let Some(id) = self.offloaded.pop_front() {
            self.hub.mailbox().wake(id);
        }
    }

    fn end(mut self) -> u64 {
        let stats = self.hub.stats();
        assert_eq!((stats.ready, stats.timers, stats.listeners, stats.expected), (0, 0, 0, 0));
        let counts = [stats.turns, stats.sleeps, stats.expired, stats.fd_ready, stats.closed];
        (counts, stats.called, self.clock.now()).hash(&mut self.trace);
        for place in std::mem::take(&mut self.places) {
            assert_eq!(self.hub.notify_close(place.fd), 0, "nobody waits any more");
        }
        self.trace.finish()
    }

    // Files.

    fn open(&mut self) -> Place {
        let fd = self.sim.open();
        let attached = self.chance.percent(50);
        let source = attached.then(|| self.hub.attach(fd).expect("the file is open"));
        Place { fd, source }
    }

    /// Closes what is open in a place and opens another file there, mostly under the same number.
    fn reopen(&mut self, index: usize) {
        let Place { fd, source } = self.places[index];
        if let (Some(source), true) = (source, self.chance.percent(70)) {
            self.hub.detach(source);
            self.sim.close(fd);
        } else if self.chance.percent(50) {
            self.hub.notify_close(fd);
            self.sim.close(fd);
        } else {
            self.sim.close(fd);
            self.hub.notify_close(fd);
        }
        self.places[index] = self.open();
        self.generations.borrow_mut()[index] += 1;
    }

    /// True if the file that was waited for is still open in its place.
    fn is_open(&self, file: &FileWait) -> bool {
        self.generations.borrow()[file.place] == file.generation
    }

    // Threads.

    fn resume(&mut self, thread: &Thread) {
        assert!(!thread.0.parked.get(), "who runs does not wait");
        let wake = thread.0.wake.take();
        let woken_for = wake.map(|wake| std::mem::discriminant(&wake));
        (self.clock.now(), thread.0.number, woken_for).hash(&mut self.trace);
        let over = thread.0.wait.take();
        if let (Some(wait), Some(wake)) = (over, wake) {
            self.disarm(&wait);
            self.check(&wait, wake, thread.0.woken_in.get());
            if let Some(file) = wait.file.filter(|_| matches!(wake, Wake::Ready(_)))
                && self.is_open(&file)
                && !self.use_up(&file)
            {
                // Somebody was faster, or the kernel was wrong: wait again, as a retried call does.
                return self.wait_for_file(thread, file.place, file.interest);
            }
        }
        match thread.0.steps_left.get().checked_sub(1) {
            Some(left) => {
                thread.0.steps_left.set(left);
                self.step(thread);
            }
            None => {
                self.finished += 1;
                self.call_someone();
            }
        }
    }

    fn disarm(&mut self, wait: &Wait) {
        if let Some(file) = &wait.file {
            self.hub.unlisten(file.listener);
        }
        if let Some((_, timer)) = wait.deadline {
            self.hub.cancel(timer);
        }
        if let Some(id) = wait.expected {
            self.hub.unexpect(id);
        }
    }

    /// Whether a wait ended as it may, and in time.
    fn check(&self, wait: &Wait, wake: Wake, woken_in: u64) {
        let now = self.clock.now();
        if let Some((deadline, _)) = wait.deadline {
            assert!(now <= deadline, "{:?} too late", now - deadline);
        }
        match (wake, &wait.file) {
            (Wake::Expired, _) => {
                let (deadline, _) = wait.deadline.expect("who has no deadline does not expire");
                assert_eq!(now, deadline);
            }
            (Wake::Ready(readiness), Some(file)) => {
                assert!(readiness.satisfies(file.interest));
                assert_eq!(woken_in, file.generation, "woken for another file");
                if file.place >= FILES_SHARED {
                    let lateness = now - file.fed.max(wait.since);
                    assert!(lateness <= LATENESS_MAX, "{lateness:?} too late");
                }
            }
            (Wake::Closed, Some(file)) => assert!(!self.is_open(file)),
            (Wake::Called, None) => {}
            (wake, _) => panic!("woken by {wake:?} while waiting for {wait:?}"),
        }
    }

    fn use_up(&mut self, file: &FileWait) -> bool {
        let Place { fd, source, .. } = self.places[file.place];
        let used = self.sim.take(fd, file.interest.into());
        if let Some(source) = source {
            self.hub.exhaust(source, file.interest);
        }
        used
    }

    fn step(&mut self, thread: &Thread) {
        match self.chance.below(10) {
            0 => self.hub.queue(thread.clone()),
            1 | 2 => self.park(thread, None, None, true),
            3 => {
                self.callable.push_back(thread.clone());
                self.park(thread, None, None, false);
            }
            4 => {
                let id = self.hub.expect(thread.clone());
                self.offloaded.push_back(id);
                self.park(thread, None, Some(id), false);
            }
            5 => {
                let shared = self.chance.below(FILES_SHARED);
                self.reopen(shared);
                self.call_someone();
                self.hub.queue(thread.clone());
            }
            choice => {
                let own = FILES_SHARED + thread.0.number;
                let shared = self.chance.below(FILES_SHARED);
                let interest = [Interest::Read, Interest::Write][self.chance.below(2)];
                self.wait_for_file(thread, if choice < 8 { own } else { shared }, interest);
            }
        }
    }

    /// Calls whoever has waited longest for that, dead or alive: their wait may be over.
    fn call_someone(&mut self) {
        if let Some(thread) = self.callable.pop_front() {
            let waits_to_be_called = thread
                .0
                .wait
                .borrow()
                .as_ref()
                .is_some_and(|wait| wait.file.is_none() && wait.expected.is_none());
            if waits_to_be_called {
                self.hub.call(thread);
            }
        }
    }

    fn wait_for_file(&mut self, thread: &Thread, index: usize, interest: Interest) {
        let Place { fd, source } = self.places[index];
        let generation = self.generations.borrow()[index];
        let delay = self.delay();
        let fed = self.clock.now() + delay;
        self.sim.make_ready(fd, Readiness::from(interest), fed);
        let listened = match source {
            Some(source) if self.chance.percent(80) => {
                self.hub.listen(source, interest, thread.clone())
            }
            _ => self.hub.listen_fd(fd, interest, thread.clone(), false),
        };
        let listener = listened.unwrap_or_else(|error| panic!("the file is open: {error}"));
        let file = FileWait { place: index, generation, interest, listener, fed };
        // Where several wait, two feeds may come to one readiness, and one thread takes it all.
        self.park(thread, Some(file), None, index < FILES_SHARED);
    }

    fn park(
        &mut self,
        thread: &Thread,
        file: Option<FileWait>,
        expected: Option<WakeId>,
        must_expire: bool,
    ) {
        let since = self.clock.now();
        let deadline = (must_expire || self.chance.percent(40)).then(|| {
            let deadline = since + self.delay();
            (deadline, self.hub.arm(deadline, thread.clone()))
        });
        thread.0.parked.set(true);
        thread.0.wait.replace(Some(Wait { since, deadline, file, expected }));
    }

    /// Some time, in whole tenths of a millisecond, so that many things happen at once.
    fn delay(&mut self) -> Duration {
        Duration::from_micros(100 * self.chance.below(30) as u64)
    }
}

#[test]
fn seeded_runs_finish_in_time_and_repeat() {
    with_seeds(150, |seed| {
        let trace = Run::new(seed).finish();
        assert_eq!(trace, Run::new(seed).finish(), "a run repeats from its seed");
    });
}

#[test]
fn seeded_runs_differ_from_each_other() {
    with_seeds(20, |seed| {
        assert_ne!(Run::new(seed).finish(), Run::new(seed + 1).finish());
    });
}
