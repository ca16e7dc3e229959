//! Chance decides who sends, receives and selects, through channels of all kinds, for how long, and
//! who is thrown out: every item arrives once or comes back once.
//!
//! Knows what is promised of items and of those who wait. The order in which threads run is drawn as well.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    thread::panicking,
};

use greenroom::{
    JoinHandle, sleep, spawn,
    sync::{
        Select,
        channel::{self, Receiver, Sender},
    },
    testing::{run_seeded, wait_all_parked},
    with_timeout, yield_now,
};
use greenroom_hub::Chance;

use crate::{scenes::assert_nothing_left, seeds::with_seeds};

const ACTORS: usize = 9;
const DEEDS: u32 = 12;
const CAPACITIES: [Option<usize>; 5] = [Some(0), Some(0), Some(1), Some(3), None];

/// What has become of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// A call that sends it has begun.
    Offered,
    /// The call said that it was sent.
    Sent,
    Received,
    /// It came back from the call.
    Back,
    /// It went with its sender, who was thrown out.
    WentWithSender,
    /// It went with its channel.
    WentWithChannel,
}

/// Numbered in the order in which they were made. Tells the ledger of its end.
struct Item {
    number: usize,
    sender: usize,
    world: Rc<World>,
}

impl Item {
    fn ends(self, fate: Fate) {
        self.world.note(self.number, fate);
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let world = &self.world;
        match world.fate(self.number) {
            Fate::Received | Fate::Back => {}
            Fate::Offered if panicking() => world.note(self.number, Fate::WentWithSender),
            fate if world.closed.get() => {
                assert!(matches!(fate, Fate::Offered | Fate::Sent), "{fate:?}");
                world.note(self.number, Fate::WentWithChannel);
            }
            fate => world.breach(format!("item {} was dropped: {fate:?}", self.number)),
        }
    }
}

/// A channel, and how many wait for it without end.
struct Line {
    ends: RefCell<Option<(Sender<Item>, Receiver<Item>)>>,
    sending: Cell<u32>,
    receiving: Cell<u32>,
}

struct World {
    chance: RefCell<Chance>,
    lines: Vec<Line>,
    ledger: RefCell<Vec<Fate>>,
    /// The last item of each sender that came out of each line.
    last: RefCell<HashMap<(usize, usize), usize>>,
    closed: Cell<bool>,
    breaches: RefCell<Vec<String>>,
}

/// Counts one who waits, until it is dropped.
struct Counted<'a>(&'a Cell<u32>);

impl<'a> Counted<'a> {
    fn new(count: &'a Cell<u32>) -> Counted<'a> {
        count.set(count.get() + 1);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl World {
    fn new(seed: u64) -> Rc<World> {
        let line = |capacity| Line {
            ends: RefCell::new(Some(match capacity {
                Some(capacity) => channel::bounded(capacity),
                None => channel::unbounded(),
            })),
            sending: Cell::new(0),
            receiving: Cell::new(0),
        };
        Rc::new(World {
            chance: RefCell::new(Chance::from_seed(seed)),
            lines: CAPACITIES.into_iter().map(line).collect(),
            ledger: RefCell::default(),
            last: RefCell::default(),
            closed: Cell::new(false),
            breaches: RefCell::default(),
        })
    }

    fn below(&self, bound: usize) -> usize {
        self.chance.borrow_mut().below(bound)
    }

    fn moment(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.below(5) as u64)
    }

    fn breach(&self, what: String) {
        self.breaches.borrow_mut().push(what);
    }

    fn fate(&self, number: usize) -> Fate {
        self.ledger.borrow()[number]
    }

    fn note(&self, number: usize, fate: Fate) {
        let was = std::mem::replace(&mut self.ledger.borrow_mut()[number], fate);
        let may_be = match fate {
            // It was let in, and by the time the call returns it has come out.
            Fate::Sent if matches!(was, Fate::Received | Fate::WentWithChannel) => {
                self.ledger.borrow_mut()[number] = was;
                true
            }
            Fate::Sent | Fate::Back | Fate::WentWithSender => was == Fate::Offered,
            Fate::Received | Fate::WentWithChannel => matches!(was, Fate::Offered | Fate::Sent),
            Fate::Offered => false,
        };
        if !may_be {
            self.breach(format!("item {number} was {was:?}, and then {fate:?}"));
        }
    }

    fn item(self: &Rc<World>, sender: usize) -> Item {
        let number = self.ledger.borrow().len();
        self.ledger.borrow_mut().push(Fate::Offered);
        Item { number, sender, world: Rc::clone(self) }
    }

    fn sender(&self, line: usize) -> Option<Sender<Item>> {
        self.lines[line].ends.borrow().as_ref().map(|(sender, _)| sender.clone())
    }

    fn receiver(&self, line: usize) -> Option<Receiver<Item>> {
        self.lines[line].ends.borrow().as_ref().map(|(_, receiver)| receiver.clone())
    }

    fn received(&self, line: usize, item: Item) {
        let (number, sender) = (item.number, item.sender);
        item.ends(Fate::Received);
        let before = self.last.borrow_mut().insert((line, sender), number);
        if before.is_some_and(|before| before >= number) {
            self.breach(format!("of {sender}, {number} came after {before:?} through {line}"));
        }
    }

    /// What must hold while nobody can run.
    fn check_quiet(&self) {
        for (n, line) in self.lines.iter().enumerate() {
            let (Some(sender), waits) = (self.sender(n), (&line.sending, &line.receiving)) else {
                continue;
            };
            let (sending, receiving) = (waits.0.get(), waits.1.get());
            if receiving > 0 && !sender.is_empty() || sending > 0 && !sender.is_full() {
                self.breach(format!("line {n}: {sender:?}, {sending} send, {receiving} receive"));
            }
        }
    }
}

/// One of those who send and receive.
struct Actor {
    world: Rc<World>,
    number: usize,
}

impl Actor {
    fn act(&self) {
        for _ in 0..DEEDS {
            match self.world.below(8) {
                0 => sleep(self.world.moment()),
                1 => yield_now(),
                2 => self.send(),
                3 => self.receive(),
                4 => {
                    let time = self.world.moment();
                    // Thrown out, and goes on.
                    let _in_time = with_timeout(time, || {
                        if self.world.below(2) == 0 { self.send() } else { self.receive() }
                    });
                }
                5 => {
                    let _in_time = with_timeout(self.world.moment(), || self.select());
                }
                _ => self.select(),
            }
        }
    }

    fn send(&self) {
        let line = self.world.below(CAPACITIES.len());
        let Some(sender) = self.world.sender(line) else { return };
        let item = self.world.item(self.number);
        let number = item.number;
        let back = match self.world.below(3) {
            0 => sender.try_send(item).err().map(channel::TrySendError::into_inner),
            1 => {
                let outcome = sender.send_timeout(item, self.world.moment());
                outcome.err().map(channel::SendTimeoutError::into_inner)
            }
            _ => {
                let _waits = Counted::new(&self.world.lines[line].sending);
                sender.send(item).err().map(channel::SendError::into_inner)
            }
        };
        match back {
            Some(item) => item.ends(Fate::Back),
            None => self.world.note(number, Fate::Sent),
        }
    }

    fn receive(&self) {
        let line = self.world.below(CAPACITIES.len());
        let Some(receiver) = self.world.receiver(line) else { return };
        let item = match self.world.below(3) {
            0 => receiver.try_recv().ok(),
            1 => receiver.recv_timeout(self.world.moment()).ok(),
            _ => {
                let _waits = Counted::new(&self.world.lines[line].receiving);
                receiver.recv().ok()
            }
        };
        if let Some(item) = item {
            self.world.received(line, item);
        }
    }

    /// Receives from one line or sends into another, whichever comes first.
    fn select(&self) {
        let (from, to) = (self.world.below(CAPACITIES.len()), self.world.below(CAPACITIES.len()));
        let (Some(receiver), Some(sender)) = (self.world.receiver(from), self.world.sender(to))
        else {
            return;
        };
        let mut offered = Some(self.world.item(self.number));
        let number = self.world.ledger.borrow().len() - 1;
        let select = Select::new()
            .recv(&receiver, |item| {
                if let Ok(item) = item {
                    self.world.received(from, item);
                }
            })
            .send(&sender, &mut offered, |sent| match sent {
                Ok(()) => self.world.note(number, Fate::Sent),
                Err(error) => error.into_inner().ends(Fate::Back),
            });
        match self.world.below(3) {
            0 => drop(select.try_wait()),
            1 => drop(select.wait_timeout(self.world.moment())),
            _ => {
                let lines = &self.world.lines;
                // Both ends of one line are open as long as this waits.
                let _waits = (from != to).then(|| {
                    (Counted::new(&lines[from].receiving), Counted::new(&lines[to].sending))
                });
                select.wait();
            }
        }
        if let Some(item) = offered.take() {
            item.ends(Fate::Back);
        }
    }
}

/// A life; how many items arrived, came back, and went with their sender.
fn live(seed: u64) -> [usize; 3] {
    run_seeded(seed, || {
        let world = World::new(seed);
        let actors: Vec<JoinHandle<()>> = (0..ACTORS)
            .map(|number| {
                let actor = Actor { world: Rc::clone(&world), number };
                spawn(move || actor.act())
            })
            .collect();
        for _ in 0..8 {
            sleep(world.moment());
            if world.below(2) == 0 {
                let victim = world.below(ACTORS);
                actors[victim].kill();
            } else {
                wait_all_parked();
                world.check_quiet();
            }
        }
        end(&world, actors);
        let ledger = world.ledger.borrow();
        [Fate::Received, Fate::Back, Fate::WentWithSender]
            .map(|fate| ledger.iter().filter(|&&item| item == fate).count())
    })
}

/// Closes all lines one by one, waits for everybody, and closes the books.
fn end(world: &Rc<World>, actors: Vec<JoinHandle<()>>) {
    world.closed.set(true);
    for line in &world.lines {
        let ends = line.ends.take();
        let Some((sender, receiver)) = ends else { continue };
        if world.below(2) == 0 {
            drop((sender, receiver));
        } else {
            drop((receiver, sender));
        }
        sleep(world.moment());
    }
    // Who selects from both ends of one line would wait for itself for ever.
    wait_all_parked();
    for actor in &actors {
        sleep(world.moment() * 10);
        actor.kill();
    }
    for actor in actors {
        if let Err(error) = actor.join() {
            assert!(error.is_killed(), "{error}");
        }
    }
    assert_nothing_left();
    let ledger = world.ledger.borrow();
    let open = ledger.iter().position(|fate| matches!(fate, Fate::Offered | Fate::Sent));
    assert_eq!(open.map(|number| (number, ledger[number])), None, "an item is nowhere");
    let waits = world.lines.iter().map(|line| line.sending.get() + line.receiving.get());
    assert_eq!(waits.sum::<u32>(), 0);
    let breaches = world.breaches.take();
    assert!(breaches.is_empty(), "{breaches:#?}");
    assert_eq!(Rc::strong_count(world), 1, "something still owns a share of the world");
}

#[test]
fn seeded_traffic_loses_no_item_doubles_none_and_keeps_each_senders_order() {
    let sums = Cell::new([0; 3]);
    with_seeds(256, |seed| {
        let counts = live(seed);
        let sum = sums.get();
        sums.set([0, 1, 2].map(|n| sum[n] + counts[n]));
    });
    let [received, back, went] = sums.get();
    assert!(
        received > 2000 && back > 500 && went > 100,
        "{received}, {back}, {went}: little happens"
    );
}

#[test]
fn seeded_traffic_repeats_from_its_seed() {
    with_seeds(16, |seed| assert_eq!(live(seed), live(seed)));
}
