//! A pool of things: who gets which, when they are made, what comes back.

use std::{cell::Cell, convert::Infallible, rc::Rc};

use greenroom::{
    Instant, hub,
    pool::{Builder, GetError, Item, Order, Pool},
    sleep, spawn,
    testing::{run, wait_all_parked},
};

use crate::scenes::{
    OnDrop, SECOND, Trace, assert_nothing_left, in_callback, in_destructor, panic_of,
};

/// The counts of a pool: free, idle, waiting.
pub(crate) fn counts<T, E>(pool: &Pool<T, E>) -> (isize, usize, usize) {
    (pool.free(), pool.idle(), pool.waiting())
}

/// A pool of numbers: the first made is zero, and so on.
pub(crate) fn numbers(settings: Builder) -> Pool<u32> {
    let made = Cell::new(0);
    settings.create(move || made.replace(made.get() + 1))
}

pub(crate) fn up_to(max: usize) -> Builder {
    Builder::new().max(max)
}

#[track_caller]
pub(crate) fn get<T>(pool: &Pool<T>) -> Item<T> {
    match pool.get() {
        Ok(item) => item,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn things_are_made_when_they_are_needed_and_used_again() {
    run(|| {
        let pool = numbers(up_to(2));
        assert_eq!((pool.max(), counts(&pool)), (2, (2, 0, 0)));
        let first = get(&pool);
        assert_eq!((*first, counts(&pool)), (0, (1, 0, 0)));
        let second = get(&pool);
        assert_eq!((*second, counts(&pool)), (1, (0, 0, 0)));
        drop(second);
        assert_eq!(*get(&pool), 1);
        assert_eq!(counts(&pool), (1, 1, 0));
        drop(first);
        assert_eq!(counts(&pool), (2, 2, 0));
        assert_nothing_left();
    });
}

#[test]
fn so_many_as_wanted_are_made_with_the_pool() {
    run(|| {
        assert_eq!(counts(&numbers(up_to(3).min(2))), (3, 2, 0));
        let text = panic_of(|| numbers(up_to(3).min(4)));
        assert_eq!(text, "a pool of 3 things at most cannot begin with 4");
        let fails_at_two = Cell::new(0);
        let pool = up_to(3).min(3).create_fallible(move || {
            fails_at_two.set(fails_at_two.get() + 1);
            if fails_at_two.get() == 2 { Err("no more") } else { Ok(()) }
        });
        assert_eq!(pool.err(), Some("no more"));
    });
}

#[test]
fn which_idle_one_is_lent_is_a_matter_of_order() {
    for (order, lent) in [(Order::Queue, [0, 1, 2]), (Order::Stack, [2, 1, 0])] {
        run(move || {
            let pool = numbers(up_to(3).order(order));
            let items = [0, 1, 2].map(|_| get(&pool));
            items.into_iter().for_each(drop);
            let items = [0, 1, 2].map(|_| get(&pool));
            assert_eq!(items.map(|item| *item), lent, "{order:?}");
        });
    }
}

#[test]
fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    run(|| {
        let (pool, trace) = (numbers(up_to(1)), Trace::new());
        let item = get(&pool);
        let borrowers: Vec<_> = (0..4)
            .map(|n| {
                let (pool, trace) = (pool.clone(), trace.clone());
                spawn(move || {
                    let item = get(&pool);
                    trace.tell((n, *item));
                    sleep(SECOND);
                })
            })
            .collect();
        wait_all_parked();
        assert_eq!(counts(&pool), (0, 0, 4));
        drop(item);
        assert_eq!(counts(&pool), (0, 1, 3), "it is for the first of them");
        assert!(pool.try_get().is_none(), "nobody gets ahead");
        for borrower in borrowers {
            borrower.join().unwrap();
        }
        assert_eq!(trace.take(), [(0, 0), (1, 0), (2, 0), (3, 0)]);
        assert_eq!(counts(&pool), (1, 1, 0));
        assert_nothing_left();
    });
}

#[test]
fn as_many_as_are_given_back_at_once_are_lent_again_and_none_is_made() {
    run(|| {
        let pool = numbers(up_to(2));
        let items = [get(&pool), get(&pool)];
        let borrowers = [0, 1].map(|_| {
            let pool = pool.clone();
            spawn(move || *get(&pool))
        });
        wait_all_parked();
        drop(items);
        let mut lent = borrowers.map(|borrower| borrower.join().unwrap());
        lent.sort_unstable();
        assert_eq!(lent, [0, 1]);
        assert_eq!(counts(&pool), (2, 2, 0));
    });
}

#[test]
fn an_item_is_used_like_the_thing_itself() {
    run(|| {
        let pool = Pool::new(1, || vec![1, 2]);
        let mut item = get(&pool);
        item.push(3);
        assert_eq!((item.len(), format!("{item:?}")), (3, "[1, 2, 3]".to_owned()));
        drop(item);
        assert_eq!(*get(&pool), [1, 2, 3]);
        let texts = Pool::new(1, || "text");
        assert_eq!(get(&texts).to_string(), "text");
    });
}

#[test]
fn a_thing_that_is_discarded_or_detached_is_replaced_when_one_is_needed() {
    run(|| {
        let pool = numbers(up_to(1));
        Item::discard(get(&pool));
        assert_eq!(counts(&pool), (1, 0, 0));
        let detached = Item::detach(get(&pool));
        assert_eq!((detached, counts(&pool)), (1, (1, 0, 0)));
        let item = get(&pool);
        assert_eq!(*item, 2);
        assert_eq!(pool.put(detached), Err(1), "there are as many as there may be");
        Item::discard(item);
        assert_eq!(pool.put(detached), Ok(()));
        assert_eq!(*get(&pool), 1);
        assert_eq!(counts(&pool), (1, 1, 0));
    });
}

#[test]
fn the_place_of_a_discarded_thing_goes_to_whoever_waits_longest() {
    run(|| {
        let pool = numbers(up_to(1));
        let item = get(&pool);
        let borrowers = [0, 1].map(|_| {
            let pool = pool.clone();
            spawn(move || *get(&pool))
        });
        wait_all_parked();
        Item::discard(item);
        assert_eq!(borrowers.map(|borrower| borrower.join().unwrap()), [1, 1]);
        assert_eq!(counts(&pool), (1, 1, 0));
    });
}

#[test]
fn what_is_put_while_a_discarded_thing_is_awaited_serves_as_well() {
    run(|| {
        let pool = numbers(up_to(1));
        let item = get(&pool);
        let other = pool.clone();
        let borrower = spawn(move || *get(&other));
        wait_all_parked();
        Item::discard(item);
        assert_eq!(pool.put(77), Ok(()));
        assert_eq!(pool.put(78), Err(78));
        assert_eq!(borrower.join().unwrap(), 77);
        assert_eq!(counts(&pool), (1, 1, 0));
    });
}

#[test]
fn a_timeout_limits_the_wait_for_what_is_given_back() {
    run(|| {
        let pool = Pool::new(1, || sleep(5 * SECOND));
        let begin = Instant::now();
        let item = pool.get_timeout(SECOND).unwrap();
        assert_eq!(begin.elapsed(), 5 * SECOND, "it takes as long as it takes to make one");
        assert_eq!(pool.get_timeout(SECOND).err(), Some(GetError::Elapsed));
        assert_eq!((begin.elapsed(), pool.waiting()), (6 * SECOND, 0));
        drop(item);
        assert!(pool.get_timeout(SECOND).is_ok());
        assert_nothing_left();
    });
}

#[test]
fn a_thing_that_comes_back_in_the_moment_in_which_time_is_over_is_not_lost() {
    run(|| {
        let pool = numbers(up_to(1));
        let item = get(&pool);
        // Fires in the same turn as the limit, whose wait is over by then.
        hub::call_after_global(SECOND, move || drop(item));
        assert_eq!(pool.get_timeout(SECOND).err(), Some(GetError::Elapsed));
        assert_eq!(counts(&pool), (1, 1, 0));
        assert_eq!(*get(&pool), 0);
        assert_nothing_left();
    });
}

#[test]
fn a_pool_that_grows_serves_those_who_wait_longest() {
    run(|| {
        let (pool, trace) = (numbers(up_to(0)), Trace::new());
        for n in 0..3 {
            let (pool, trace) = (pool.clone(), trace.clone());
            drop(spawn(move || {
                let _item = get(&pool);
                trace.tell(n);
                sleep(SECOND);
            }));
        }
        wait_all_parked();
        pool.resize(2);
        assert_eq!(counts(&pool), (0, 0, 1));
        wait_all_parked();
        assert_eq!(trace.take(), [0, 1]);
        sleep(3 * SECOND);
        assert_eq!((trace.take(), counts(&pool)), (vec![2], (2, 2, 0)));
    });
}

#[test]
fn a_pool_that_shrinks_drops_idle_ones_and_then_the_surplus_as_it_is_given_back() {
    run(|| {
        let alive = Rc::new(Cell::new(0));
        let theirs = Rc::clone(&alive);
        let pool = up_to(4).create(move || {
            let counts = Rc::clone(&theirs);
            counts.set(counts.get() + 1);
            OnDrop(move || counts.set(counts.get() - 1))
        });
        let mut items: Vec<_> = (0..4).map(|_| get(&pool)).collect();
        items.pop();
        assert_eq!((alive.get(), counts(&pool)), (4, (1, 1, 0)));
        pool.resize(2);
        assert_eq!((alive.get(), counts(&pool)), (3, (-1, 0, 0)));
        items.pop();
        assert_eq!((alive.get(), counts(&pool)), (2, (0, 0, 0)));
        items.pop();
        assert_eq!((alive.get(), counts(&pool)), (2, (1, 1, 0)));
        drop(items);
        assert_eq!((alive.get(), counts(&pool)), (2, (2, 2, 0)));
        drop(pool);
        assert_eq!(alive.get(), 0);
    });
}

#[test]
fn after_a_pool_has_shrunk_nobody_is_served_before_the_surplus_is_back() {
    run(|| {
        let pool = numbers(up_to(2));
        let items = [get(&pool), get(&pool)];
        let (other, begin) = (pool.clone(), Instant::now());
        let waits = spawn(move || {
            drop(get(&other));
            begin.elapsed()
        });
        wait_all_parked();
        pool.resize(1);
        for item in items {
            assert_eq!(pool.waiting(), 1);
            drop(item);
            sleep(SECOND);
        }
        assert_eq!(waits.join().unwrap(), SECOND);
        assert_eq!(counts(&pool), (1, 1, 0));
    });
}

#[test]
fn an_item_outlives_its_pools_handles() {
    run(|| {
        let trace = Trace::new();
        let theirs = trace.clone();
        let pool = Pool::new(1, move || {
            let theirs = theirs.clone();
            OnDrop(move || theirs.tell("dropped"))
        });
        let item = get(&pool);
        drop(pool);
        assert!(trace.take().is_empty());
        drop(item);
        assert_eq!(trace.take(), ["dropped"]);
    });
}

#[test]
fn things_may_use_their_pool_as_they_are_made_and_dropped() {
    run(|| {
        type Looks = OnDrop<Box<dyn FnMut()>>;
        let place: Rc<Cell<Option<Pool<Looks>>>> = Rc::default();
        let looks = Rc::new(Cell::new(0));
        let (inner, theirs) = (Rc::clone(&place), Rc::clone(&looks));
        let pool = Pool::new(2, move || {
            let look = {
                let (inner, looks) = (Rc::clone(&inner), Rc::clone(&theirs));
                move || {
                    if let Some(pool) = inner.take() {
                        // Each of these would fail if anything was borrowed.
                        let _ = (counts(&pool), pool.try_get().is_some());
                        pool.resize(pool.max());
                        looks.set(looks.get() + 1);
                        inner.set(Some(pool));
                    }
                }
            };
            look();
            OnDrop(Box::new(look) as Box<dyn FnMut()>)
        });
        place.set(Some(pool.clone()));
        let items = [get(&pool), get(&pool)];
        assert_eq!(looks.get(), 2);
        let [one, other] = items;
        Item::discard(one);
        assert_eq!(looks.get(), 3);
        drop(other);
        pool.resize(0);
        assert_eq!(looks.get(), 4);
        drop(place.take());
    });
}

#[test]
fn in_a_callback_what_does_not_wait_works_and_what_waits_is_refused() {
    run(|| {
        let pool = numbers(up_to(1));
        let theirs = pool.clone();
        let item = in_callback(move || get(&theirs));
        let calls: [fn(&Pool<u32>) -> bool; 2] =
            [|pool| pool.get().is_ok(), |pool| pool.get_timeout(SECOND).is_ok()];
        for waits in calls {
            let theirs = pool.clone();
            let text = in_callback(move || panic_of(|| waits(&theirs)));
            assert!(text.starts_with("a hub callback may not block"), "{text}");
        }
        let theirs = pool.clone();
        in_callback(move || {
            assert!(theirs.try_get().is_none());
            drop(item);
            assert_eq!(theirs.try_get().as_deref(), Some(&0));
            let detached = theirs.try_get().map(Item::detach);
            assert_eq!(theirs.put(detached.unwrap()), Ok(()));
        });
        assert_eq!(counts(&pool), (1, 1, 0));
        assert_nothing_left();
    });
}

#[test]
fn in_a_destructor_what_is_there_is_lent_and_else_it_is_an_error() {
    run(|| {
        let pool = numbers(up_to(1).min(1));
        let (lent, refused) = in_destructor(|| {
            let item = pool.get();
            let refused = pool.get().err();
            (item.as_deref().ok().copied(), refused)
        });
        assert_eq!((lent, refused), (Some(0), Some(GetError::<Infallible>::Unwinding)));
        assert_eq!(counts(&pool), (1, 1, 0));
    });
}

#[test]
fn the_errors_say_what_is_wrong() {
    run(|| {
        let cases: [(GetError<&str>, &str); 3] = [
            (GetError::Create("no"), "what the pool was to lend cannot be made: no"),
            (GetError::Elapsed, "all that the pool has was lent until the time was over"),
            (
                GetError::Unwinding,
                "all that the pool has is lent, and a thread that unwinds from a panic cannot wait",
            ),
        ];
        for (error, says) in cases {
            assert_eq!(error.to_string(), says);
        }
    });
}
