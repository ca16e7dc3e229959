//! Results in the order in which they were spawned.

use std::rc::Rc;

use greenroom::{
    GreenPile, GreenPool, Instant, hub, sleep, spawn,
    testing::{run, wait_all_parked},
    with_timeout, yield_now,
};

use crate::scenes::{Inside, SECOND, assert_nothing_left, in_callback, in_destructor, panic_of};

#[test]
fn results_come_in_the_order_of_spawning_whoever_is_done_first() {
    run(|| {
        let (pile, inside) = (GreenPile::new(2), Inside::default());
        for n in [3, 1, 2] {
            let inside = inside.clone();
            pile.spawn(move || {
                let _entered = inside.enter();
                sleep(n * SECOND);
                n
            });
        }
        assert_eq!((pile.len(), pile.is_empty()), (3, false));
        let results: Vec<_> = (&pile).map(Result::unwrap).collect();
        assert_eq!(results, [3, 1, 2]);
        assert_eq!((pile.len(), inside.peak()), (0, 2));
        assert_nothing_left();
    });
}

#[test]
fn a_panic_is_an_error_in_its_own_place() {
    run(|| {
        let pile = GreenPile::new(4);
        for n in 0..3 {
            pile.spawn(move || {
                assert_ne!(n, 1, "not this one");
                n
            });
        }
        let results: Vec<_> = pile.map(|result| result.map_err(|error| error.is_panic())).collect();
        assert_eq!(results, [Ok(0), Err(true), Ok(2)]);
    });
}

#[test]
fn more_may_be_spawned_while_and_after_it_is_iterated_also_by_members() {
    run(|| {
        let pile = Rc::new(GreenPile::new(1));
        let theirs = Rc::clone(&pile);
        pile.spawn(move || {
            theirs.spawn(|| 2);
            1
        });
        let mut results = &*pile;
        assert_eq!(results.next().unwrap().unwrap(), 1);
        assert_eq!(results.next().unwrap().unwrap(), 2);
        assert!(results.next().is_none());
        pile.spawn(|| 3);
        assert_eq!(results.next().unwrap().unwrap(), 3);
        assert!(results.next().is_none());
    });
}

#[test]
fn two_who_iterate_share_the_results() {
    run(|| {
        let pile = Rc::new(GreenPile::new(3));
        for n in 0..4 {
            pile.spawn(move || {
                sleep(SECOND);
                n
            });
        }
        let takers = [0, 1].map(|_| {
            let pile = Rc::clone(&pile);
            spawn(move || (&*pile).map(Result::unwrap).collect::<Vec<_>>())
        });
        let mut all = takers.map(|taker| taker.join().unwrap()).concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    });
}

#[test]
fn whoever_is_thrown_out_puts_the_result_back_in_its_place() {
    run(|| {
        let pile = Rc::new(GreenPile::new(4));
        for n in 0..4 {
            pile.spawn(move || {
                sleep(2 * SECOND);
                n
            });
        }
        assert!(with_timeout(SECOND, || (&*pile).next()).is_err());
        let takers = [0, 1].map(|_| {
            let pile = Rc::clone(&pile);
            spawn(move || {
                let mut results = &*pile;
                results.next().is_some()
            })
        });
        wait_all_parked();
        assert_eq!(pile.len(), 2);
        for taker in &takers {
            assert!(taker.kill());
        }
        for taker in takers {
            assert!(taker.join().unwrap_err().is_killed());
        }
        assert_eq!(pile.len(), 4);
        assert_eq!((&*pile).map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 2, 3]);
    });
}

#[test]
fn several_piles_share_a_pool() {
    run(|| {
        let (pool, begin) = (GreenPool::new(1), Instant::now());
        let (one, other) = (GreenPile::over(&pool), GreenPile::over(&pool));
        one.spawn(|| sleep(SECOND));
        other.spawn(|| sleep(SECOND));
        assert_eq!(begin.elapsed(), SECOND, "the second has waited for the slot");
        assert_eq!(one.pool().running(), 1);
        assert_eq!((one.count(), other.count()), (1, 1));
    });
}

#[test]
fn dropping_a_pile_leaves_what_it_spawned_running() {
    run(|| {
        let (pool, inside) = (GreenPool::new(2), Inside::default());
        let pile = GreenPile::over(&pool);
        let theirs = inside.clone();
        pile.spawn(move || {
            let _entered = theirs.enter();
            sleep(SECOND);
        });
        yield_now();
        drop(pile);
        assert_eq!(inside.now(), 1);
        pool.waitall();
        assert_eq!(inside.now(), 0);
        assert_nothing_left();
    });
}

#[test]
fn in_a_destructor_what_is_done_is_there_and_the_rest_are_errors() {
    run(|| {
        let mut pile = GreenPile::new(2);
        pile.spawn(|| 1);
        pile.spawn(|| {
            sleep(SECOND);
            2
        });
        wait_all_parked();
        let results = in_destructor(|| [pile.next(), pile.next(), pile.next()]);
        let results = results.map(|result| result.map(|result| result.map_err(|e| e.to_string())));
        let cannot = "a thread that unwinds from a panic cannot wait".to_owned();
        assert_eq!(results, [Some(Ok(1)), Some(Err(cannot)), None]);
        pile.pool().waitall();
        assert_nothing_left();
    });
}

#[test]
fn in_a_callback_it_may_not_wait() {
    run(|| {
        let mut pile = GreenPile::new(1);
        pile.spawn(|| sleep(60 * SECOND));
        let (text, pile) = in_callback(move || (panic_of(|| pile.next().is_some()), pile));
        assert!(text.starts_with("a hub callback may not block"), "{text}");
        assert_eq!(pile.len(), 1);
        hub::abort();
    });
}
