//! A random graph of tasks that fail, panic and are killed: each runs after what it needs, those run
//! that can, the others fail for a reason that is theirs, and everything ends.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use greenroom::{
    GreenPool,
    pool::{DagError, DagPool},
    spawn,
    testing::{run_seeded, wait_all_parked},
    with_timeout,
};

use crate::{
    scenes::{Inside, assert_nothing_left},
    seeded_slots::Dice,
    seeds::with_seeds,
};

const TASKS: u64 = 40;

/// What really happened, as the tasks tell it.
#[derive(Default)]
struct Told {
    ran: HashMap<u64, End>,
    needs: HashMap<u64, Vec<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Unfinished,
    Returned,
    Failed,
}

/// Spawns a task that needs some of those with lesser numbers, in whatever order they are spawned.
fn add(pool: &DagPool<u64, u64>, key: u64, dice: &Dice, inside: &Inside, told: &Rc<RefCell<Told>>) {
    let count = if key == 0 { 0 } else { dice.below(4) };
    let needs: Vec<_> = (0..count).map(|_| dice.below(key)).collect();
    told.borrow_mut().needs.insert(key, needs.clone());
    let (dice, inside, told) = (dice.clone(), inside.clone(), Rc::clone(told));
    let spawned = pool.spawn(key, needs, move |made| {
        let _entered = inside.enter();
        for (need, value) in &made.into_iter().collect::<Vec<_>>() {
            assert_eq!(*need, **value, "a result is that of its key");
        }
        let before = told.borrow_mut().ran.insert(key, End::Unfinished);
        assert_eq!(before, None, "a task runs once");
        dice.nap();
        if dice.one_in(12) {
            told.borrow_mut().ran.insert(key, End::Failed);
            return Err("by chance".into());
        }
        if dice.one_in(20) {
            std::panic::resume_unwind(Box::new("a task"));
        }
        told.borrow_mut().ran.insert(key, End::Returned);
        Ok(key)
    });
    spawned.unwrap();
}

/// Checks every outcome against what happened.
fn check(pool: &DagPool<u64, u64>, told: &Told) {
    for key in 0..TASKS {
        let outcome = pool.get(&key).expect("everything has ended");
        let ran = told.ran.get(&key).copied();
        let needs = &told.needs[&key];
        let broken = needs.iter().filter_map(|need| pool.get(need)?.err());
        let broken: Vec<_> = broken.map(|error| *error.key()).collect();
        match outcome {
            Ok(value) => {
                assert_eq!((*value, ran), (key, Some(End::Returned)));
                assert!(broken.is_empty(), "{key} ran although {broken:?} have failed");
            }
            Err(error) if *error.key() == key => {
                let is_by_chance = !error.is_panic() || error.to_string().ends_with(": a task");
                assert!(is_by_chance, "{error}");
                assert_ne!(ran, Some(End::Returned), "{key}: {error}");
                assert!(ran.is_some() || error.is_killed(), "{key}: {error}");
            }
            Err(error) => {
                assert_eq!(ran, None, "{key} ran although it fails for {error}");
                assert!(broken.contains(error.key()), "{key} does not need {error}");
            }
        }
    }
}

fn live(seed: u64) {
    let dice = Dice::new(seed);
    let size = 1 + usize::try_from(dice.below(4)).expect("it is small");
    let (below, inside, told) = (GreenPool::new(size), Inside::default(), Rc::default());
    let pool = DagPool::over(&below);
    let mut order: Vec<_> = (0..TASKS).collect();
    for place in (1..order.len()).rev() {
        let other = dice.below(place as u64 + 1);
        order.swap(place, usize::try_from(other).expect("it is small"));
    }
    // Some wait for results while they are made, and give up.
    let waiters: Vec<_> = (0..6)
        .map(|_| {
            let (pool, dice) = (pool.clone(), dice.clone());
            spawn(move || {
                let keys: Vec<_> = (0..3).map(|_| dice.below(TASKS)).collect();
                let _ = with_timeout(dice.time() * 5, || pool.wait(keys.clone()).map(drop));
                let mut seen = 0;
                let each = || pool.wait_each(keys).for_each(|_| seen += 1);
                let _ = with_timeout(dice.time() * 5, each);
            })
        })
        .collect();
    // Another uses the slots as well.
    let other = below.clone();
    let naps = dice.clone();
    let competes = spawn(move || {
        for _ in 0..10 {
            let naps = naps.clone();
            other.spawn_detached(move || naps.nap());
        }
    });
    for key in order {
        add(&pool, key, &dice, &inside, &told);
        assert!(matches!(pool.post(key, key), Err(DagError::Collision { .. })));
        if dice.one_in(4) {
            dice.nap();
        }
        if dice.one_in(8) {
            pool.kill(&dice.below(TASKS));
        }
    }
    let _ = pool.waitall();
    assert!(inside.peak() <= size, "{} at once over {size} slots", inside.peak());
    assert_eq!((pool.running_keys(), pool.waiting_keys()), (vec![], vec![]));
    check(&pool, &told.borrow());
    for waiter in waiters {
        waiter.join().unwrap();
    }
    competes.join().unwrap();
    below.waitall();
    assert_eq!((below.free(), below.waiting()), (size.cast_signed(), 0));
    wait_all_parked();
    assert_nothing_left();
}

#[test]
fn seeded_graphs_of_tasks_run_what_can_run_and_fail_the_rest_for_a_reason() {
    with_seeds(60, |seed| run_seeded(seed, || live(seed)));
}
