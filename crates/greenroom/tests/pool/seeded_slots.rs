//! A random life of a pool of green threads: never more at once than there may be, no slot lost, and
//! everything ends.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    GreenPile, GreenPool, JoinHandle, debug, sleep, spawn,
    testing::{run_seeded, wait_all_parked},
    with_timeout, yield_now,
};
use greenroom_hub::Chance;

use crate::{
    green_pool::counts,
    scenes::{Inside, assert_nothing_left},
    seeds::with_seeds,
};

/// What is done next. A clone draws from the same stream.
#[derive(Clone)]
pub(crate) struct Dice(Rc<RefCell<Chance>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(Rc::new(RefCell::new(Chance::from_seed(seed))))
    }

    /// A number from zero, below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.0.borrow_mut().below(end as usize) as u64
    }

    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn nap(&self) {
        match self.below(4) {
            0 => {}
            1 => yield_now(),
            _ => sleep(self.time()),
        }
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_millis(self.below(6))
    }
}

/// A pool whose size stays, and who is in it.
#[derive(Clone)]
struct Life {
    dice: Dice,
    pool: GreenPool,
    inside: Inside,
    size: usize,
}

impl Life {
    /// What a member does: naps, sometimes spawns, sometimes panics. Whoever lends its slot is not
    /// counted meanwhile.
    fn member(self, depth: u32) -> impl FnOnce() -> u32 + 'static {
        move || {
            let entered = self.inside.enter();
            assert!(self.inside.now() <= self.size, "more are inside than there are slots");
            self.dice.nap();
            drop(entered);
            if depth > 0 && self.dice.one_in(2) {
                let child = self.pool.spawn(self.clone().member(depth - 1));
                if self.dice.one_in(2) {
                    let _ = self.limited(|| child.join());
                }
            }
            let _entered = self.inside.enter();
            assert!(self.inside.now() <= self.size, "more are inside than there are slots");
            self.dice.nap();
            if self.dice.one_in(8) {
                std::panic::resume_unwind(Box::new("a member"));
            }
            depth
        }
    }

    fn limited<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let time = self.dice.time();
        if self.dice.one_in(2) { with_timeout(time, f).ok() } else { Some(f()) }
    }

    /// What one from outside does with the pool.
    fn act(&self) {
        let member = self.clone().member(2);
        match self.dice.below(7) {
            0 => self.pool.spawn_detached(member),
            1 => drop(self.pool.try_spawn(member).map(drop)),
            2 => drop(self.pool.spawn_timeout(self.dice.time(), member).map(drop)),
            3 => drop(self.limited(|| self.pool.spawn(member).join())),
            4 => {
                let child = self.pool.spawn(member);
                self.dice.nap();
                child.kill();
            }
            5 => {
                let life = self.clone();
                let items = (0..self.dice.below(6)).map(|_| 1);
                let mut results = self.pool.imap(items, move |n| {
                    let _entered = life.inside.enter();
                    assert!(life.inside.now() <= life.size, "more are inside than there are slots");
                    life.dice.nap();
                    n
                });
                while let Some(Some(n)) = self.limited(|| results.next()) {
                    assert_eq!(n, 1);
                }
            }
            _ => {
                let mut pile = GreenPile::over(&self.pool);
                for _ in 0..self.dice.below(4) {
                    pile.spawn(self.clone().member(1));
                }
                while let Some(Some(_)) = self.limited(|| pile.next()) {}
            }
        }
    }
}

fn live(seed: u64) {
    let dice = Dice::new(seed);
    let size = 1 + usize::try_from(dice.below(4)).expect("it is small");
    let pool = GreenPool::new(size);
    let life = Life { dice: dice.clone(), pool: pool.clone(), inside: Inside::default(), size };
    let actors: Vec<JoinHandle<()>> = (0..6)
        .map(|_| {
            let life = life.clone();
            spawn(move || (0..8).for_each(|_| life.act()))
        })
        .collect();
    for _ in 0..10 {
        dice.nap();
        let actor = usize::try_from(dice.below(60)).expect("it is small");
        if let Some(actor) = actors.get(actor) {
            actor.kill();
        }
    }
    for actor in actors {
        if let Err(error) = actor.join() {
            assert!(error.is_killed(), "{error}");
        }
    }
    pool.waitall();
    assert_eq!(counts(&pool), (size, 0, size.cast_signed(), 0));
    assert_eq!(life.inside.now(), 0);
    assert!(life.inside.peak() <= size);
    // Whoever was killed, and lets go of its last handle, may have yet to be seen off.
    wait_all_parked();
    assert_nothing_left();
}

#[test]
fn seeded_lives_of_a_pool_of_threads_keep_within_its_size_and_lose_no_slot() {
    // Members panic by the dozen, and not all are joined.
    debug::report_panics(false);
    with_seeds(60, |seed| run_seeded(seed, || live(seed)));
}

/// As the size changes, no slot may be lost either.
#[test]
fn seeded_changes_of_size_lose_no_slot() {
    with_seeds(60, |seed| {
        run_seeded(seed, || {
            let (dice, pool, inside) = (Dice::new(seed), GreenPool::new(1), Inside::default());
            let done = Rc::new(Cell::new(0));
            let spawners: Vec<_> = (0..20)
                .map(|_| {
                    let (dice, pool) = (dice.clone(), pool.clone());
                    let (inside, done) = (inside.clone(), Rc::clone(&done));
                    spawn(move || {
                        dice.nap();
                        let naps = dice.clone();
                        pool.spawn_detached(move || {
                            let _entered = inside.enter();
                            naps.nap();
                            done.set(done.get() + 1);
                        });
                    })
                })
                .collect();
            for _ in 0..20 {
                dice.nap();
                let size = usize::try_from(dice.below(4)).expect("it is small");
                let running = pool.running();
                pool.resize(size);
                assert!(pool.running() <= running.max(size), "nobody is let in beyond the size");
                let waits = pool.waiting() > 0;
                assert!(!(waits && pool.free() > 0), "nobody waits while a slot is free");
            }
            pool.resize(2);
            for spawner in spawners {
                spawner.join().unwrap();
            }
            pool.waitall();
            assert_eq!((done.get(), counts(&pool)), (20, (2, 0, 2, 0)));
            assert_nothing_left();
        });
    });
}
