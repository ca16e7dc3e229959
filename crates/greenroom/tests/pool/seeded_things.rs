//! A random life of a pool of things: never more things than there may be, none lent twice, no place
//! lost, and everything ends.

use std::{cell::Cell, rc::Rc};

use greenroom::{
    JoinHandle,
    pool::{Builder, Item, Order, Pool},
    spawn,
    testing::{run_seeded, wait_all_parked},
    with_timeout,
};

use crate::{
    scenes::{Entered, Inside, assert_nothing_left},
    seeded_slots::Dice,
    seeds::with_seeds,
};

/// A thing that is counted while it exists, and knows whether somebody has it.
struct Thing {
    is_lent: Cell<bool>,
    _exists: Entered,
}

impl Thing {
    /// Has it for a while.
    fn lend(&self, dice: &Dice) {
        assert!(!self.is_lent.replace(true), "it is lent twice");
        let lent = Lent(&self.is_lent);
        dice.nap();
        drop(lent);
    }
}

struct Lent<'a>(&'a Cell<bool>);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

type Things = Pool<Thing, &'static str>;

fn pool(dice: &Dice, max: usize, things: &Inside) -> Things {
    let (dice, theirs) = (dice.clone(), things.clone());
    let order = if dice.one_in(2) { Order::Stack } else { Order::Queue };
    let settings = Builder::new().max(max).order(order);
    let made = settings.create_fallible(move || {
        dice.nap();
        match dice.below(10) {
            0 => Err("it cannot be made"),
            1 => std::panic::resume_unwind(Box::new("as it was made")),
            _ => Ok(Thing { is_lent: Cell::new(false), _exists: theirs.enter() }),
        }
    });
    made.unwrap_or_else(|error| unreachable!("none is made at first: {error}"))
}

/// What a borrower does with the pool. `kept` is a thing that it has detached.
fn act(pool: &Things, dice: &Dice, things: &Inside) {
    let borrowed = match dice.below(4) {
        0 => pool.try_get(),
        1 => pool.get_timeout(dice.time()).ok(),
        2 => with_timeout(dice.time(), || pool.get()).ok().and_then(Result::ok),
        _ => pool.get().ok(),
    };
    let Some(item) = borrowed else { return };
    assert!(things.now() <= pool.max(), "there are more things than there may be");
    item.lend(dice);
    match dice.below(8) {
        0 => Item::discard(item),
        1 => {
            // While it is out, another may be made in its place; so it is not counted.
            let thing = Item::detach(item);
            if let Err(surplus) = pool.put(thing) {
                drop(surplus);
            }
        }
        2 => {
            let _item = item;
            std::panic::resume_unwind(Box::new("a borrower"));
        }
        _ => drop(item),
    }
}

fn live(seed: u64) {
    let (dice, things) = (Dice::new(seed), Inside::default());
    let max = 1 + usize::try_from(dice.below(3)).expect("it is small");
    let pool = pool(&dice, max, &things);
    let borrowers: Vec<JoinHandle<()>> = (0..12)
        .map(|_| {
            let (pool, dice, things) = (pool.clone(), dice.clone(), things.clone());
            spawn(move || (0..6).for_each(|_| act(&pool, &dice, &things)))
        })
        .collect();
    for _ in 0..10 {
        dice.nap();
        assert!(!(pool.waiting() > 0 && pool.free() > 0), "nobody waits while a place is free");
        let borrower = usize::try_from(dice.below(24)).expect("it is small");
        if let Some(borrower) = borrowers.get(borrower) {
            borrower.kill();
        }
    }
    for borrower in borrowers {
        // It returned, was killed, or panicked as it was to.
        if let Err(Ok(payload)) = borrower.join().map_err(greenroom::JoinError::into_panic) {
            let said = payload.downcast_ref::<&str>().copied();
            assert!(matches!(said, Some("a borrower" | "as it was made")), "{said:?}");
        }
    }
    assert_eq!((pool.free(), pool.waiting()), (max.cast_signed(), 0));
    assert_eq!(things.now(), pool.idle(), "each thing that is left lies idle");
    assert!(things.peak() <= max);
    drop(pool);
    assert_eq!(things.now(), 0);
    wait_all_parked();
    assert_nothing_left();
}

#[test]
fn seeded_lives_of_a_pool_of_things_lend_each_once_and_lose_no_place() {
    with_seeds(100, |seed| run_seeded(seed, || live(seed)));
}

#[test]
fn seeded_changes_of_max_lose_no_place_and_keep_no_surplus() {
    with_seeds(60, |seed| {
        run_seeded(seed, || {
            let (dice, things) = (Dice::new(seed), Inside::default());
            let theirs = things.clone();
            let pool = Pool::new(1, move || theirs.enter());
            let served = Rc::new(Cell::new(0));
            let borrowers: Vec<_> = (0..20)
                .map(|_| {
                    let (dice, pool, served) = (dice.clone(), pool.clone(), Rc::clone(&served));
                    spawn(move || {
                        dice.nap();
                        let item = pool.get();
                        dice.nap();
                        drop(item);
                        served.set(served.get() + 1);
                    })
                })
                .collect();
            for _ in 0..20 {
                dice.nap();
                pool.resize(usize::try_from(dice.below(4)).expect("it is small"));
                assert!(pool.idle() <= pool.max());
                assert!(!(pool.waiting() > 0 && pool.free() > 0));
            }
            pool.resize(2);
            for borrower in borrowers {
                borrower.join().unwrap();
            }
            assert_eq!((served.get(), pool.free()), (20, 2));
            assert_eq!(things.now(), pool.idle());
            assert_nothing_left();
        });
    });
}
