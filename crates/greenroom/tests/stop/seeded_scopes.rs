//! Scopes inside of scopes, ended in every way there is, in an order drawn from a seed: what is borrowed
//! outlives whoever borrows it.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    thread::panicking,
    time::Duration,
};

use greenroom::{
    debug::dump,
    green_local, hub, scope, sleep, spawn, testing,
    thread::{Scope, current},
    with_timeout, yield_now,
};

use crate::{dice::Dice, seeds::with_seeds};

/// Scopes and links inside of each other, at most.
const DEPTH_MAX: u32 = 4;

/// What is lent to the threads of a scope, and tells by something that outlives it whether it is there.
struct Lent {
    is_there: Rc<Cell<bool>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.is_there.set(false);
    }
}

/// Who borrows. It looks before it touches what it borrows.
struct Borrower<'a> {
    lent: &'a Lent,
    is_there: Rc<Cell<bool>>,
    late: Rc<Cell<u32>>,
}

impl<'a> Borrower<'a> {
    fn of(lent: &'a Lent, late: &Rc<Cell<u32>>) -> Borrower<'a> {
        Borrower { lent, is_there: Rc::clone(&lent.is_there), late: Rc::clone(late) }
    }

    fn look(&self) {
        if !self.is_there.get() || !self.lent.is_there.get() {
            self.late.set(self.late.get() + 1);
        }
    }
}

impl Drop for Borrower<'_> {
    fn drop(&mut self) {
        self.look();
        yield_now();
        sleep(Duration::from_millis(1));
        self.look();
    }
}

green_local! {
    static LAST: RefCell<Vec<Box<dyn Any>>> = RefCell::new(Vec::new());
}

trait Any {}
impl<T> Any for T {}

struct Acts<F: FnMut()>(F);

impl<F: FnMut()> Drop for Acts<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn open(dice: &Dice, late: &Rc<Cell<u32>>, depth: u32) {
    let lent = Lent { is_there: Rc::new(Cell::new(true)) };
    let lent = &lent;
    scope(|s| {
        for _ in 0..dice.below(4) {
            add(s, lent, dice, late, depth);
        }
        let me = Borrower::of(lent, late);
        if dice.below(3) == 0 {
            live(dice, late, depth + 1);
        }
        me.look();
        match dice.below(10) {
            0 => drop(s.kill_all()),
            1 => std::panic::resume_unwind(Box::new("the body")),
            _ => {}
        }
    });
}

fn add<'scope, 'env>(
    s: &'scope Scope<'scope, 'env>,
    lent: &'env Lent,
    dice: &'env Dice,
    late: &'env Rc<Cell<u32>>,
    depth: u32,
) {
    let borrower = Borrower::of(lent, late);
    let child = s.spawn(move || {
        let borrower = borrower;
        let _spawns = Acts(|| {
            if dice.below(4) == 0 {
                let another = Borrower::of(lent, late);
                s.spawn(move || {
                    another.look();
                    sleep(dice.ms_below(20));
                    another.look();
                });
            }
        });
        borrower.look();
        live(dice, late, depth + 1);
        borrower.look();
        if depth < DEPTH_MAX && dice.below(3) == 0 {
            add(s, lent, dice, late, depth + 1);
        }
    });
    match dice.below(6) {
        0 => drop(child.kill()),
        1 => drop(child.cancel()),
        2 => drop(child.join()),
        3 => std::mem::forget(child),
        4 => {
            let (dice, late) = (dice.clone(), Rc::clone(late));
            child.thread().link(move |_, _| live(&dice, &late, depth + 1));
        }
        _ => {}
    }
}

fn live(dice: &Dice, late: &Rc<Cell<u32>>, depth: u32) {
    if depth >= DEPTH_MAX {
        return sleep(dice.ms_below(20));
    }
    match dice.below(14) {
        0 => yield_now(),
        1 => sleep(dice.ms_below(20)),
        2 => drop(with_timeout(dice.ms_below(20), || live(dice, late, depth + 1))),
        3 => drop(with_timeout(Duration::ZERO, || open(dice, late, depth + 1))),
        4 => drop(catch_unwind(AssertUnwindSafe(|| sleep(dice.ms_below(20))))),
        5 => drop(catch_unwind(AssertUnwindSafe(|| open(dice, late, depth + 1)))),
        6 => drop(catch_unwind(AssertUnwindSafe(|| {
            let _opens = Acts(|| {
                drop(catch_unwind(AssertUnwindSafe(|| open(dice, late, DEPTH_MAX - 1))));
            });
            sleep(dice.ms_below(20));
        }))),
        7 => {
            let (dice, late) = (dice.clone(), Rc::clone(late));
            let acts = Acts(move || {
                if !panicking() {
                    let _ = catch_unwind(AssertUnwindSafe(|| open(&dice, &late, DEPTH_MAX - 1)));
                }
            });
            LAST.with_borrow_mut(|list| list.push(Box::new(acts)));
        }
        8 => drop(dump()),
        9 => drop(current().id().to_string().ends_with('0') && current().kill()),
        _ => open(dice, late, depth + 1),
    }
}

#[test]
fn seeded_what_scopes_lend_is_there_as_long_as_anybody_borrows_it() {
    std::panic::set_hook(Box::new(|_| {}));
    with_seeds(300, |seed| {
        testing::run_seeded(seed, move || {
            let dice = Dice::from_seed(seed);
            let late = Rc::new(Cell::new(0));
            let parents: Vec<_> = (0..5)
                .map(|_| {
                    let (dice, late) = (dice.clone(), Rc::clone(&late));
                    spawn(move || {
                        for _ in 0..3 {
                            live(&dice, &late, 0);
                        }
                    })
                })
                .collect();
            for _ in 0..10 {
                let _ = catch_unwind(AssertUnwindSafe(|| sleep(dice.ms_below(20))));
                match dice.below(8) {
                    0..3 => drop(parents[dice.below(5)].kill()),
                    3 => drop(catch_unwind(AssertUnwindSafe(|| open(&dice, &late, 1)))),
                    4 if dice.below(5) == 0 => hub::abort(),
                    5 => drop(dump()),
                    _ => {}
                }
            }
            drop(parents);
            while hub::stats().threads > 0 {
                sleep(Duration::from_millis(1));
            }
            assert_eq!(late.get(), 0, "somebody looked too late");
            let stats = hub::stats();
            assert_eq!((stats.timers, stats.listeners, stats.expected), (0, 0, 0));
        });
    });
}
