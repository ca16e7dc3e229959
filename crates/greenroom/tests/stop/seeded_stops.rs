//! Kills, cancels, timeouts, links and scopes, all at once and in random order: everyone ends, in a
//! way that fits what was done to them, and nothing is left.

use std::{cell::Cell, rc::Rc, time::Duration};

use greenroom::{
    JoinHandle, hub, scope, sleep, spawn, testing, thread::End, with_timeout, yield_now,
};

use crate::{dice::Dice, seeds::with_seeds};

const MS: Duration = Duration::from_millis(1);

/// What is counted of one run.
#[derive(Default)]
struct Counts {
    /// Destructors that are still to run.
    alive: Cell<i64>,
    links: Cell<usize>,
    linked: Cell<usize>,
}

struct Alive(Rc<Counts>);

impl Alive {
    fn new(counts: &Rc<Counts>) -> Alive {
        counts.alive.set(counts.alive.get() + 1);
        Alive(Rc::clone(counts))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
    }
}

/// One life: waits, limits and scopes, some deep.
fn live(dice: &Dice, counts: &Rc<Counts>, depth: u32) {
    let _alive = Alive::new(counts);
    for _ in 0..=dice.below(4) {
        match dice.below(if depth < 3 { 6 } else { 3 }) {
            0 => yield_now(),
            1 => sleep(dice.ms_below(20)),
            2 => {
                let (limit, nap) = (dice.ms_below(20), dice.ms_below(20));
                let _ = with_timeout(limit, || sleep(nap));
            }
            3 => {
                let time = dice.ms_below(20);
                let _ = with_timeout(time, || live(dice, counts, depth + 1));
            }
            4 => {
                let borrowed = Cell::new(0);
                scope(|s| {
                    for _ in 0..dice.below(4) {
                        let dice = dice.split();
                        let borrowed = &borrowed;
                        s.spawn(move || {
                            borrowed.set(borrowed.get() + 1);
                            live(&dice, counts, depth + 1);
                            borrowed.set(borrowed.get() - 1);
                        });
                    }
                });
                assert_eq!(borrowed.get(), 0, "nobody was killed, and all have ended");
            }
            _ => {
                let dice = dice.split();
                let counts = Rc::clone(counts);
                let child = spawn(move || live(&dice, &counts, depth + 1));
                if dice_says_kill(&child) {
                    drop(child.join());
                }
            }
        }
    }
}

/// Kills every child with an odd id, and has the others joined.
fn dice_says_kill(child: &JoinHandle<()>) -> bool {
    let odd = child.thread().id().to_string().ends_with(['1', '3', '5', '7', '9']);
    if odd {
        child.kill();
    }
    !odd
}

#[test]
fn seeded_stops_leave_nobody_and_nothing() {
    with_seeds(200, |seed| {
        testing::run_seeded(seed, move || {
            let dice = Dice::from_seed(seed);
            let counts = Rc::<Counts>::default();
            let threads: Vec<_> = (0..10)
                .map(|_| {
                    let dice = dice.split();
                    let theirs = Rc::clone(&counts);
                    spawn(move || live(&dice, &theirs, 0))
                })
                .collect();
            let mut killed = vec![false; threads.len()];
            for _ in 0..10 {
                sleep(dice.ms_below(20));
                let index = dice.below(threads.len());
                let thread = &threads[index];
                match dice.below(3) {
                    0 => killed[index] |= thread.kill(),
                    1 => killed[index] |= thread.cancel(),
                    _ => {
                        counts.linked.set(counts.linked.get() + 1);
                        let theirs = Rc::clone(&counts);
                        thread.link(move |thread, end| {
                            assert!(end != End::Panicked, "{thread}");
                            theirs.links.set(theirs.links.get() + 1);
                        });
                    }
                }
            }
            for (thread, killed) in threads.into_iter().zip(killed) {
                match thread.join() {
                    Ok(()) => {}
                    Err(error) => assert!(killed && !error.is_panic(), "{error}"),
                }
            }
            // Those that nobody joined.
            while hub::stats().threads > 0 {
                sleep(MS);
            }
            assert_eq!(counts.alive.get(), 0, "destructors have not run");
            assert_eq!(counts.links.get(), counts.linked.get());
            let stats = hub::stats();
            assert_eq!((stats.timers, stats.listeners, stats.expected), (0, 0, 0));
        });
    });
}
