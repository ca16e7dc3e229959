//! Chance decides who comes to barriers, cells and events, and who is thrown out; those who are
//! left must agree.
//!
//! Knows their public face. The order in which threads run is drawn as well.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    JoinHandle, sleep, spawn,
    sync::{Barrier, Event, OnceCell},
    testing::{run_seeded, wait_all_parked},
    with_timeout,
};
use greenroom_hub::Chance;

use crate::{scenes::assert_nothing_left, seeds::with_seeds};

const ACTORS: usize = 9;

#[derive(Clone)]
struct Dice(Rc<RefCell<Chance>>);

impl Dice {
    fn below(&self, bound: usize) -> usize {
        self.0.borrow_mut().below(bound)
    }

    fn moment(&self) -> Duration {
        Duration::from_millis(self.below(4) as u64)
    }
}

/// Plays lives from their seeds; what they count, in all.
fn lives(live: impl Fn(&Dice) -> usize + Sync) -> usize {
    let counted = Cell::new(0);
    with_seeds(128, |seed| {
        let count = run_seeded(seed, || {
            let count = live(&Dice(Rc::new(RefCell::new(Chance::from_seed(seed)))));
            assert_nothing_left();
            count
        });
        counted.set(counted.get() + count);
    });
    counted.get()
}

/// Kills each third of those who act, at some time, and returns what the others have come to.
fn outcomes<T>(dice: &Dice, actors: Vec<JoinHandle<T>>) -> Vec<T> {
    for victim in actors.iter().step_by(3) {
        sleep(dice.moment());
        victim.kill();
    }
    let joined = actors.into_iter().map(JoinHandle::join);
    let survived = joined.filter(|outcome| !matches!(outcome, Err(error) if error.is_killed()));
    survived.map(Result::unwrap).collect()
}

#[test]
fn seeded_makers_that_fail_leave_one_value_that_all_see() {
    let failures = lives(|dice| {
        let cell = Rc::new(OnceCell::new());
        let made = Rc::new(Cell::new(0));
        let makers = (0..ACTORS).map(|n| {
            let (cell, made, dice) = (Rc::clone(&cell), Rc::clone(&made), dice.clone());
            spawn(move || {
                sleep(dice.moment());
                let outcome = with_timeout(Duration::from_millis(8), || {
                    cell.get_or_try_init(|| {
                        sleep(dice.moment());
                        if dice.below(3) > 0 {
                            return Err(n);
                        }
                        made.set(made.get() + 1);
                        Ok(n)
                    })
                    .copied()
                });
                // Only who tried itself fails with its own error.
                if let Ok(Err(error)) = outcome {
                    assert_eq!(error, n);
                }
                outcome.ok().and_then(Result::ok)
            })
        });
        let makers = makers.collect();
        let seen = outcomes(dice, makers);
        let failures = seen.iter().filter(|value| value.is_none()).count();
        assert!(made.get() <= 1, "{} values were made", made.get());
        let value = cell.get().copied();
        assert_eq!(made.get() == 1, value.is_some());
        for seen in seen.into_iter().flatten() {
            assert_eq!(Some(seen), value);
        }
        // Nobody is left who could be in the way.
        assert_eq!(cell.get_or_init(|| 100), &value.unwrap_or(100));
        failures
    });
    assert!(failures > 50, "{failures} failed in all");
}

#[test]
fn seeded_parties_go_on_only_all_together() {
    const PARTIES: usize = 3;
    let met = lives(|dice| {
        let barrier = Rc::new(Barrier::new(PARTIES));
        let (leaders, followers) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let comers = (0..ACTORS).map(|n| {
            let (barrier, dice) = (Rc::clone(&barrier), dice.clone());
            let (leaders, followers) = (Rc::clone(&leaders), Rc::clone(&followers));
            spawn(move || {
                for _ in 0..4 {
                    sleep(dice.moment());
                    // Each third is killed; of the others nobody is thrown out after all have come.
                    let result = match n % 3 {
                        1 => barrier.wait_timeout(dice.moment()),
                        _ => with_timeout(2 * dice.moment(), || barrier.wait()),
                    };
                    if let Ok(result) = result {
                        let count = if result.is_leader() { &leaders } else { &followers };
                        count.set(count.get() + 1);
                    }
                }
            })
        });
        let comers: Vec<_> = comers.collect();
        outcomes(dice, comers);
        // A leader counts itself at once. Whoever followed it may have been killed before it ran.
        assert!(followers.get() <= leaders.get() * (PARTIES - 1), "some went on alone");
        let killed = leaders.get() * (PARTIES - 1) - followers.get();
        assert!(killed <= ACTORS.div_ceil(3), "{killed} did not go on");
        wait_all_parked();
        assert!(format!("{barrier:?}").ends_with("waiting: 0 }"), "{barrier:?}");
        leaders.get()
    });
    assert!(met > 100, "they met {met} times in all");
}

#[test]
fn seeded_waiters_have_the_value_that_was_sent_in_their_round() {
    let had = lives(|dice| {
        let had = Rc::new(Cell::new(0));
        let event = Rc::new(Event::new());
        let sent = Rc::new(RefCell::new(Vec::new()));
        let waiters = (0..ACTORS).map(|n| {
            let (event, dice, sent) = (Rc::clone(&event), dice.clone(), Rc::clone(&sent));
            let had = Rc::clone(&had);
            spawn(move || {
                sleep(dice.moment());
                let before = sent.borrow().len();
                let was_set = event.is_set();
                let value = match n % 2 {
                    0 => event.wait_timeout(dice.moment()).ok(),
                    _ => Some(event.wait()),
                };
                // What was there when it came, or else what was sent next.
                let round = if was_set { before - 1 } else { before };
                if let Some(value) = value {
                    had.set(had.get() + 1);
                    assert_eq!(value, sent.borrow()[round]);
                }
            })
        });
        let waiters = waiters.collect();
        let (theirs, chance, log) = (Rc::clone(&event), dice.clone(), Rc::clone(&sent));
        let sender = spawn(move || {
            for n in 0..10 {
                sleep(chance.moment());
                log.borrow_mut().push(n);
                theirs.send(n).unwrap();
                if chance.below(2) == 0 {
                    sleep(chance.moment());
                }
                if n < 9 {
                    theirs.reset();
                }
            }
        });
        outcomes(dice, waiters);
        sender.join().unwrap();
        assert_eq!(event.wait(), 9);
        had.get()
    });
    assert!(had > 300, "{had} had a value");
}
