//! Borrowers that fail, panic, or are thrown out of their waits: no thing and no place is lost.

use std::{cell::Cell, rc::Rc};

use greenroom::{
    JoinHandle, hub,
    pool::{GetError, Item, Pool},
    sleep, spawn,
    testing::{run, wait_all_parked},
    with_timeout, yield_now,
};

use crate::{
    scenes::{SECOND, Trace, assert_nothing_left},
    things::{counts, get, numbers, up_to},
};

#[test]
fn what_cannot_be_made_is_an_error_and_the_next_in_line_tries() {
    run(|| {
        let (calls, trace) = (Rc::new(Cell::new(0)), Trace::new());
        let theirs = Rc::clone(&calls);
        let made = up_to(1).create_fallible(move || {
            theirs.set(theirs.get() + 1);
            sleep(SECOND);
            if theirs.get() <= 2 { Err(theirs.get()) } else { Ok("thing") }
        });
        let pool = made.unwrap();
        for n in 0..4 {
            let (pool, trace) = (pool.clone(), trace.clone());
            drop(spawn(move || trace.tell((n, pool.get().map(|item| *item)))));
        }
        yield_now();
        assert_eq!(counts(&pool), (0, 0, 3));
        sleep(10 * SECOND);
        let expected = [
            (0, Err(GetError::Create(1))),
            (1, Err(GetError::Create(2))),
            (2, Ok("thing")),
            (3, Ok("thing")),
        ];
        assert_eq!(trace.take(), expected);
        assert_eq!((calls.get(), counts(&pool)), (3, (1, 1, 0)));
        assert_nothing_left();
    });
}

/// How the one ends who makes a thing while another waits.
type Ends = fn(&JoinHandle<bool>);

#[test]
fn whoever_does_not_finish_making_one_leaves_the_place_to_the_next() {
    let ends: [(&str, Ends); 3] =
        [("killed", |maker| assert!(maker.kill())), ("out of time", |_| ()), ("panicked", |_| ())];
    for (name, end) in ends {
        run(move || {
            let calls = Cell::new(0);
            let pool = Pool::new(1, move || {
                calls.set(calls.get() + 1);
                if calls.get() == 1 {
                    sleep(2 * SECOND);
                    panic!("it cannot be made");
                }
                calls.get()
            });
            let theirs = pool.clone();
            let limit = if name == "out of time" { SECOND } else { 60 * SECOND };
            let maker = spawn(move || with_timeout(limit, || theirs.get().is_ok()).is_ok());
            yield_now();
            let theirs = pool.clone();
            let next = spawn(move || *get(&theirs));
            yield_now();
            assert_eq!(counts(&pool), (0, 0, 1));
            end(&maker);
            assert_eq!(next.join().unwrap(), 2, "{name}");
            assert!(!maker.join().unwrap_or(false), "{name}");
            assert_eq!(counts(&pool), (1, 1, 0), "{name}");
            assert_nothing_left();
        });
    }
}

#[test]
fn whoever_is_thrown_out_of_the_wait_leaves_its_turn_to_the_next() {
    for after_chosen in [false, true] {
        run(move || {
            let pool = numbers(up_to(1));
            let item = get(&pool);
            let borrowers = [0, 1].map(|_| {
                let pool = pool.clone();
                spawn(move || *get(&pool))
            });
            wait_all_parked();
            let mut item = Some(item);
            if after_chosen {
                item.take();
                assert_eq!(counts(&pool), (0, 1, 1));
            }
            assert!(borrowers[0].kill());
            yield_now();
            drop(item);
            let [first, second] = borrowers.map(JoinHandle::join);
            assert!(first.unwrap_err().is_killed());
            assert_eq!(second.unwrap(), 0);
            assert_eq!(counts(&pool), (1, 1, 0));
            assert_nothing_left();
        });
    }
}

#[test]
fn a_limit_of_time_ends_the_wait_and_leaves_nothing_behind() {
    run(|| {
        let pool = numbers(up_to(1));
        let item = get(&pool);
        assert!(with_timeout(SECOND, || pool.get().is_ok()).is_err());
        assert_eq!(counts(&pool), (0, 0, 0));
        drop(item);
        assert_eq!(counts(&pool), (1, 1, 0));
        assert_nothing_left();
    });
}

#[test]
fn an_item_comes_back_from_a_borrower_that_unwinds() {
    run(|| {
        let pool = numbers(up_to(1));
        let theirs = pool.clone();
        let panics = spawn(move || {
            let _item = get(&theirs);
            panic!("the borrower");
        });
        let theirs = pool.clone();
        let killed = spawn(move || {
            let _item = get(&theirs);
            sleep(60 * SECOND);
        });
        let theirs = pool.clone();
        let waits = spawn(move || *get(&theirs));
        assert!(panics.join().unwrap_err().is_panic());
        wait_all_parked();
        assert_eq!(counts(&pool), (0, 0, 1));
        assert!(killed.kill());
        assert_eq!(waits.join().unwrap(), 0, "it is the same all along");
        assert!(killed.join().unwrap_err().is_killed());
        assert_eq!(counts(&pool), (1, 1, 0));
    });
}

#[test]
fn a_thing_whose_drop_panics_leaves_the_counts_right() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(self.0, "it goes off");
        }
    }
    run(|| {
        let pool = up_to(1).create(|| Bomb(false));
        let theirs = pool.clone();
        let discards = spawn(move || Item::discard(get(&theirs)));
        assert!(discards.join().unwrap_err().is_panic());
        assert_eq!(counts(&pool), (1, 0, 0));
        let mut item = get(&pool);
        pool.resize(0);
        let surplus = spawn(move || drop(item));
        assert!(surplus.join().unwrap_err().is_panic());
        assert_eq!(counts(&pool), (0, 0, 0));
        pool.resize(1);
        item = get(&pool);
        item.0 = true;
        drop(item);
        assert_eq!(counts(&pool), (1, 1, 0));
    });
}

#[test]
fn ending_the_hub_brings_everything_back() {
    run(|| {
        let pool = numbers(up_to(1));
        for _ in 0..3 {
            let pool = pool.clone();
            drop(spawn(move || {
                let _item = get(&pool);
                sleep(60 * SECOND);
            }));
        }
        yield_now();
        hub::abort();
        assert_eq!(counts(&pool), (1, 1, 0));
        assert_eq!(*get(&pool), 0);
    });
}
