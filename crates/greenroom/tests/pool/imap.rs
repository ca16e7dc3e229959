//! Results in the order of the items, made as they are asked for.

use std::{
    cell::Cell,
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    GreenPool, Instant, hub, sleep, spawn,
    testing::{run, wait_all_parked},
    thread, with_timeout, yield_now,
};

use crate::{
    green_pool::{counts, napping},
    scenes::{Inside, SECOND, assert_nothing_left, in_callback, in_destructor, panic_of},
};

/// Numbers from zero, and how many were taken.
fn counted() -> (impl Iterator<Item = u32>, Rc<Cell<u32>>) {
    let taken = Rc::new(Cell::new(0));
    let theirs = Rc::clone(&taken);
    let items = iter::repeat_with(move || {
        theirs.set(theirs.get() + 1);
        theirs.get() - 1
    });
    (items, taken)
}

#[test]
fn results_come_in_the_order_of_the_items_whoever_is_done_first() {
    run(|| {
        let (pool, inside, begin) = (GreenPool::new(3), Inside::default(), Instant::now());
        let theirs = inside.clone();
        let naps = pool.imap([3, 1, 2, 1], move |n| {
            let _entered = theirs.enter();
            sleep(n * SECOND);
            n
        });
        assert_eq!(naps.collect::<Vec<_>>(), [3, 1, 2, 1]);
        assert_eq!((begin.elapsed(), inside.peak()), (4 * SECOND, 3));
        assert_eq!(counts(&pool), (3, 0, 3, 0));
        assert_nothing_left();
    });
}

#[test]
fn a_function_of_one_to_six_arguments_is_called_with_what_is_in_each_tuple() {
    fn digits(a: u32, b: u32, c: u32, d: u32, e: u32, f: u32) -> u32 {
        [a, b, c, d, e, f].into_iter().fold(0, |sum, digit| sum * 10 + digit)
    }
    run(|| {
        let pool = GreenPool::new(2);
        let one = pool.starmap([(1,), (2,)], |a| a + 1);
        assert_eq!(one.collect::<Vec<_>>(), [2, 3]);
        let two = pool.starmap([(2, 3), (4, 5)], u32::pow);
        assert_eq!(two.collect::<Vec<_>>(), [8, 1024]);
        let three = pool.starmap([("a", 'b', 3u8)], |a: &str, b, c| format!("{a}{b}{c}"));
        assert_eq!(three.collect::<Vec<_>>(), ["ab3"]);
        let four = pool.starmap([(1, 2, 3, 4)], |a, b, c, d| digits(0, 0, a, b, c, d));
        assert_eq!(four.collect::<Vec<_>>(), [1234]);
        let five = pool.starmap([(1, 2, 3, 4, 5)], |a, b, c, d, e| digits(0, a, b, c, d, e));
        assert_eq!(five.collect::<Vec<_>>(), [12345]);
        let six = pool.starmap([(1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1)], digits);
        assert_eq!(six.collect::<Vec<_>>(), [123_456, 654_321]);
        assert_nothing_left();
    });
}

#[test]
fn tuples_are_taken_lazily_and_their_results_come_in_order() {
    run(|| {
        let (pool, inside, begin) = (GreenPool::new(3), Inside::default(), Instant::now());
        let (items, taken) = counted();
        let theirs = inside.clone();
        let mut results = pool.starmap(items.map(|n| (n, 4 - n % 4)), move |n, nap| {
            let _entered = theirs.enter();
            sleep(nap * SECOND);
            n
        });
        wait_all_parked();
        assert_eq!((taken.get(), pool.running()), (0, 0));
        for n in 0..8 {
            assert_eq!(results.next(), Some(n));
            assert!(taken.get() <= n + 3, "{} taken, {n} returned", taken.get());
        }
        assert_eq!(inside.peak(), 3);
        assert!(begin.elapsed() < 20 * SECOND, "one by one");
        drop(results);
        wait_all_parked();
        assert_nothing_left();
    });
}

#[test]
fn a_panic_of_a_function_of_several_arguments_comes_out_at_its_place() {
    run(|| {
        let pool = GreenPool::new(2);
        let mut results = pool.starmap([(4, 2), (1, 0), (6, 3)], |a: u32, b| a / b);
        assert_eq!(results.next(), Some(2));
        let text = panic_of(|| results.next());
        assert!(text.contains("divide by zero"), "{text}");
        assert_eq!(results.collect::<Vec<_>>(), [2]);
    });
}

#[test]
fn nothing_happens_before_the_first_is_asked_for() {
    run(|| {
        let pool = GreenPool::new(2);
        let (items, taken) = counted();
        let called = Rc::new(Cell::new(false));
        let theirs = Rc::clone(&called);
        let results = pool.imap(items, move |_| theirs.set(true));
        wait_all_parked();
        assert_eq!((taken.get(), called.get(), pool.running()), (0, false, 0));
        drop(results);
        assert_nothing_left();
    });
}

#[test]
fn of_endless_items_no_more_are_taken_than_there_are_slots() {
    run(|| {
        let pool = GreenPool::new(3);
        let (items, taken) = counted();
        let mut results = pool.imap(items, |n| n);
        for n in 0..10 {
            assert_eq!(results.next(), Some(n));
            wait_all_parked();
            // The one just returned, and up to three that are done or under way.
            assert!(taken.get() <= n + 3, "{} taken, {n} returned", taken.get());
        }
        assert_eq!(results.size_hint(), (usize::MAX, None));
    });
}

#[test]
fn the_end_stays_the_end_and_a_size_is_told() {
    run(|| {
        let pool = GreenPool::new(2);
        let mut results = pool.imap(0..3, |n| n);
        for left in (0..3).rev() {
            assert!(results.next().is_some());
            assert_eq!(results.size_hint(), (left, Some(left)));
        }
        assert_eq!((results.next(), results.next()), (None, None));
        assert_eq!(pool.imap(iter::empty::<u32>(), |n| n).next(), None);
    });
}

#[test]
fn a_panic_comes_out_at_its_items_place_and_the_others_come_after_it() {
    run(|| {
        let pool = GreenPool::new(2);
        let mut results = pool.imap(0..4, |n| {
            assert_ne!(n, 1, "not this one");
            n
        });
        assert_eq!(results.next(), Some(0));
        let text = panic_of(|| results.next());
        assert!(text.contains("not this one"), "{text}");
        assert_eq!(results.collect::<Vec<_>>(), [2, 3]);
        assert_eq!(counts(&pool), (2, 0, 2, 0));
    });
}

#[test]
fn an_item_whose_thread_was_killed_has_no_result_and_says_so() {
    run(|| {
        let pool = GreenPool::new(2);
        let mut results = pool.imap(0..2, |n| {
            if n == 0 {
                thread::current().kill();
                yield_now();
            }
            n
        });
        let text = panic_of(|| results.next());
        assert_eq!(text, "an item has no result: the green thread was killed");
        assert_eq!(results.next(), Some(1));
    });
}

#[test]
fn a_panic_of_the_items_harms_no_result() {
    run(|| {
        let pool = GreenPool::new(1);
        let mut results = pool.imap(
            (0..3).inspect(|n| {
                assert_ne!(*n, 1, "no such item");
            }),
            |n| n,
        );
        assert_eq!(results.next(), Some(0));
        assert!(panic_of(|| results.next()).contains("no such item"));
        assert_eq!(results.next(), Some(2));
        assert_eq!(counts(&pool), (1, 0, 1, 0));
    });
}

#[test]
fn dropping_it_early_kills_those_that_are_still_at_it() {
    run(|| {
        let (pool, inside, begin) = (GreenPool::new(3), Inside::default(), Instant::now());
        let theirs = inside.clone();
        let mut results = pool.imap(0.., move |n| {
            let _entered = theirs.enter();
            sleep(n * SECOND);
        });
        results.next();
        results.next();
        assert!(pool.running() > 0);
        drop(results);
        pool.waitall();
        assert_eq!((inside.now(), counts(&pool)), (0, (3, 0, 3, 0)));
        assert_eq!(begin.elapsed(), SECOND);
        assert_nothing_left();
    });
}

#[test]
fn whoever_is_thrown_out_of_next_has_lost_no_result_and_no_item() {
    for size in [1, 3] {
        run(move || {
            let pool = GreenPool::new(size);
            // In a full pool the wait is for a slot, else for the result.
            let others: Vec<_> = (0..size).map(|_| napping(&pool, 3 * SECOND)).collect();
            let mut results = pool.imap(0..6, |n| {
                sleep(3 * SECOND);
                n
            });
            let mut all = Vec::new();
            let mut thrown = 0;
            while all.len() < 6 {
                match with_timeout(SECOND, || results.next()) {
                    Ok(n) => all.push(n.unwrap()),
                    Err(_) => thrown += 1,
                }
            }
            assert_eq!(all, [0, 1, 2, 3, 4, 5]);
            assert!(thrown > 3, "{thrown}");
            drop((results, others));
            assert_eq!(counts(&pool), (size, 0, size.cast_signed(), 0));
            assert_nothing_left();
        });
    }
}

#[test]
fn a_member_maps_over_its_own_pool_of_one() {
    run(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let member = pool.spawn(move || {
            inner
                .imap(0..3, |n| {
                    yield_now();
                    n * 2
                })
                .collect::<Vec<_>>()
        });
        assert_eq!(member.join().unwrap(), [0, 2, 4]);
        assert_eq!(counts(&pool), (1, 0, 1, 0));
    });
}

#[test]
fn a_member_that_is_thrown_out_while_its_slot_is_lent_is_told_whose_result_is_lost() {
    run(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let member = pool.spawn(move || {
            let mut results = inner.imap([3, 0, 0], |n| {
                sleep(n * SECOND);
                n
            });
            assert!(with_timeout(SECOND, || results.next()).is_err());
            (panic_of(|| results.next()), results.collect::<Vec<_>>())
        });
        let text = "an item has no result: the green thread was killed".to_owned();
        assert_eq!(member.join().unwrap(), (text, vec![0, 0]));
        assert_eq!(counts(&pool), (1, 0, 1, 0));
        assert_nothing_left();
    });
}

#[test]
fn items_that_use_the_pool_themselves_leave_it_in_order() {
    run(|| {
        let pool = GreenPool::new(1);
        let theirs = pool.clone();
        let items = (0..3).map(move |n| theirs.spawn(move || n).join().unwrap());
        assert_eq!(pool.imap(items, |n| n + 1).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(counts(&pool), (1, 0, 1, 0));
    });
}

#[test]
fn two_maps_over_one_pool_share_its_slots() {
    run(|| {
        let (pool, inside) = (GreenPool::new(2), Inside::default());
        let sums = [0, 1].map(|_| {
            let (pool, inside) = (pool.clone(), inside.clone());
            spawn(move || {
                let results = pool.imap(0..10, move |n| {
                    let _entered = inside.enter();
                    sleep(Duration::from_millis(n));
                    n
                });
                results.sum::<u64>()
            })
        });
        assert_eq!(sums.map(|sum| sum.join().unwrap()), [45, 45]);
        assert_eq!(inside.peak(), 2);
        assert_eq!(counts(&pool), (2, 0, 2, 0));
    });
}

#[test]
fn in_a_destructor_there_is_what_is_done_already_and_then_nothing() {
    run(|| {
        let pool = GreenPool::new(3);
        let mut results = pool.imap(0.., |n| {
            assert_ne!(n, 2, "nobody asks");
            n
        });
        assert_eq!(results.next(), Some(0));
        wait_all_parked();
        let got = in_destructor(|| [results.next(), results.next(), results.next()]);
        assert_eq!(got, [Some(1), None, None], "a panic in there would be the end");
        hub::abort();
    });
}

#[test]
fn in_a_callback_it_may_not_wait() {
    run(|| {
        let pool = GreenPool::new(1);
        let mut results = pool.imap(0..2, |n| n);
        let (text, mut results) = in_callback(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| results.next()));
            (crate::scenes::text(&*outcome.unwrap_err()), results)
        });
        assert!(text.starts_with("a hub callback may not block"), "{text}");
        assert_eq!((results.next(), results.next(), results.next()), (Some(0), Some(1), None));
    });
}
