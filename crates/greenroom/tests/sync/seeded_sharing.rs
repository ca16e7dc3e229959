//! Chance decides who reads, writes and takes how many permits, and who is thrown out; the accounts
//! must balance at every moment.
//!
//! Knows locks for many readers, semaphores and conditions by their public face.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::PoisonError,
    time::Duration,
};

use greenroom::{
    JoinHandle, sleep, spawn,
    sync::{Condvar, Mutex, RwLock, Semaphore},
    testing::{run_seeded, wait_all_parked},
    with_timeout,
};
use greenroom_hub::Chance;

use crate::{scenes::assert_nothing_left, seeds::with_seeds};

const ACTORS: usize = 12;
const ACTS: usize = 8;

/// What chance has for those who act, and how often one of them did what the test is about.
struct Dice {
    chance: RefCell<Chance>,
    done: Cell<u64>,
}

impl Dice {
    fn below(&self, bound: usize) -> usize {
        self.chance.borrow_mut().below(bound)
    }

    fn moment(&self) -> Duration {
        Duration::from_millis(self.below(4) as u64)
    }

    fn done(&self) {
        self.done.set(self.done.get() + 1);
    }
}

/// Has actors act and kills some of them. What they did is complete when this returns.
fn play(seed: u64, dice: &Rc<Dice>, act: impl Fn(&Dice) + Clone + 'static) {
    let actors: Vec<JoinHandle<()>> = (0..ACTORS)
        .map(|_| {
            let (act, dice) = (act.clone(), Rc::clone(dice));
            spawn(move || {
                for _ in 0..ACTS {
                    sleep(dice.moment());
                    // Some are over before they have what they want, some while they have it.
                    let _in_time = with_timeout(3 * dice.moment(), || act(&dice));
                }
            })
        })
        .collect();
    for _ in 0..4 {
        sleep(2 * dice.moment());
        actors[dice.below(ACTORS)].kill();
    }
    for actor in actors {
        if let Err(error) = actor.join() {
            assert!(error.is_killed(), "seed {seed}: {error}");
        }
    }
    wait_all_parked();
}

/// Plays lives from their seeds; in all of them together enough must be done.
fn lives(done_min: u64, live: impl Fn(u64, &Rc<Dice>) + Sync) {
    let done = Cell::new(0);
    with_seeds(64, |seed| {
        done.set(
            done.get()
                + run_seeded(seed, || {
                    let chance = RefCell::new(Chance::from_seed(seed));
                    let dice = Rc::new(Dice { chance, done: Cell::new(0) });
                    live(seed, &dice);
                    assert_nothing_left();
                    dice.done.get()
                }),
        );
    });
    assert!(done.get() >= done_min, "little happens: {} times in all", done.get());
}

/// Counts those who are inside, however they leave.
struct Inside(Rc<Cell<i64>>, i64);

impl Inside {
    fn enter(count: &Rc<Cell<i64>>, by: i64) -> Inside {
        count.set(count.get() + by);
        Inside(Rc::clone(count), by)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}

#[test]
fn seeded_readers_never_meet_a_writer_and_the_lock_is_free_at_last() {
    lives(1_500, |seed, dice| {
        let lock = Rc::new(RwLock::new(()));
        let [reading, writing] = [(); 2].map(|()| Rc::new(Cell::new(0)));
        let theirs = (Rc::clone(&lock), Rc::clone(&reading), Rc::clone(&writing));
        play(seed, dice, move |dice| {
            let (lock, reading, writing) = &theirs;
            if dice.below(3) > 0 {
                let _guard = lock.read().unwrap_or_else(PoisonError::into_inner);
                let _inside = Inside::enter(reading, 1);
                assert_eq!(writing.get(), 0, "one reads while another writes");
                dice.done();
                sleep(dice.moment());
            } else {
                let Ok(guard) = lock.write_timeout(dice.moment()) else { return };
                let _guard = guard.unwrap_or_else(PoisonError::into_inner);
                let _inside = Inside::enter(writing, 1);
                assert_eq!((writing.get(), reading.get()), (1, 0), "one writes beside others");
                dice.done();
                sleep(dice.moment());
            }
        });
        assert_eq!((reading.get(), writing.get()), (0, 0));
        lock.clear_poison();
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn seeded_takers_of_many_permits_never_have_more_than_there_are() {
    const PERMITS: usize = 5;
    lives(1_500, |seed, dice| {
        let semaphore = Rc::new(Semaphore::new(PERMITS));
        let out = Rc::new(Cell::new(0));
        let theirs = (Rc::clone(&semaphore), Rc::clone(&out));
        play(seed, dice, move |dice| {
            let (semaphore, out) = &theirs;
            let count = dice.below(PERMITS + 1);
            let permit = match dice.below(2) {
                0 => semaphore.acquire_many(count),
                _ => match semaphore.acquire_many_timeout(count, dice.moment()) {
                    Ok(permit) => permit,
                    Err(_) => return,
                },
            };
            let _inside = Inside::enter(out, i64::try_from(count).unwrap());
            assert!(out.get() <= PERMITS as i64, "{} permits are out", out.get());
            assert!(semaphore.available() <= PERMITS);
            dice.done();
            sleep(dice.moment());
            drop(permit);
        });
        assert_eq!((semaphore.available(), semaphore.waiting(), out.get()), (PERMITS, 0, 0));
    });
}

#[test]
fn seeded_consumers_that_are_thrown_out_leave_no_item_behind() {
    lives(1_000, |seed, dice| {
        let buffer = Rc::new((Mutex::new(VecDeque::new()), Condvar::new()));
        let theirs = Rc::clone(&buffer);
        let taken = Rc::new(Cell::new(0));
        let counts = Rc::clone(&taken);
        let put = Rc::new(Cell::new(0));
        let puts = Rc::clone(&put);
        let steady = {
            let (buffer, taken) = (Rc::clone(&buffer), Rc::clone(&taken));
            spawn(move || {
                loop {
                    let guard = buffer.0.lock().unwrap();
                    let mut guard = buffer.1.wait_while(guard, |items| items.is_empty()).unwrap();
                    if guard.pop_front() == Some(0) {
                        return;
                    }
                    taken.set(taken.get() + 1);
                }
            })
        };
        play(seed, dice, move |dice| {
            let (items, arrived) = &*theirs;
            if dice.below(2) == 0 {
                puts.set(puts.get() + 1);
                items.lock().unwrap().push_back(puts.get());
                arrived.notify_one();
                dice.done();
            } else {
                let guard = items.lock().unwrap();
                let mut guard = arrived.wait_while(guard, |items| items.is_empty()).unwrap();
                guard.pop_front().unwrap();
                counts.set(counts.get() + 1);
            }
        });
        // Whoever was notified and thrown out has told another: nothing lies there that the steady
        // one does not know of.
        wait_all_parked();
        assert!(buffer.0.lock().unwrap().is_empty(), "a notification was lost");
        assert_eq!(taken.get(), put.get());
        buffer.0.lock().unwrap().push_back(0);
        buffer.1.notify_one();
        steady.join().unwrap();
    });
}
