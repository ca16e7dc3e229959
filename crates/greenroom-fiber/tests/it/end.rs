//! What becomes of a fiber whose last handle is dropped.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;

use greenroom_fiber::{Fiber, Options, Pool, Progress, suspend};

use crate::child;
use crate::pool::is_mapped;

/// Counts its drops.
struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn counter() -> (Rc<Cell<u32>>, Counted) {
    let drops = Rc::new(Cell::new(0));
    (drops.clone(), Counted(drops))
}

/// Calls its closure when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn options() -> Options {
    Options { id: 7, name: Some("doomed".into()), ..Options::default() }
}

#[test]
fn a_fresh_fiber_drops_its_closure() {
    let (drops, counted) = counter();
    let pool = Pool::new();
    let fiber = Fiber::new(&pool, options(), (), move || drop(counted)).unwrap();
    drop(fiber);
    assert_eq!(drops.get(), 1);
    assert_eq!((pool.stats().stacks_reserved, pool.stats().blocks_in_use), (0, 0));
}

#[test]
fn a_finished_fiber_drops_an_outcome_that_nobody_took() {
    let (drops, counted) = counter();
    let fiber = Fiber::new(&Pool::new(), options(), (), move || counted).unwrap();
    fiber.resume();
    assert_eq!(drops.get(), 0);
    drop(fiber);
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_taken_outcome_is_not_dropped_again() {
    let (drops, counted) = counter();
    let fiber = Fiber::new(&Pool::new(), options(), (), move || counted).unwrap();
    fiber.resume();
    let outcome = fiber.take();
    drop(fiber);
    assert_eq!(drops.get(), 0);
    drop(outcome);
    assert_eq!(drops.get(), 1);
}

#[test]
fn the_control_is_dropped_with_the_last_handle() {
    let (drops, counted) = counter();
    let fiber = Fiber::new(&Pool::new(), options(), counted, || ()).unwrap();
    fiber.resume();
    let other = Fiber::clone(&fiber);
    drop(fiber);
    assert_eq!(drops.get(), 0);
    drop(other);
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_suspended_fiber_is_unwound_from_the_inside_out() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = order.clone();
    let pool = Pool::new();
    let fiber = Fiber::new(&pool, options(), (), move || {
        let _first = OnDrop(|| log.borrow_mut().push("outer"));
        let inner = || {
            let _second = OnDrop(|| log.borrow_mut().push("inner"));
            suspend();
            log.borrow_mut().push("never");
        };
        inner();
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    drop(fiber);
    assert_eq!(*order.borrow(), ["inner", "outer"]);
    assert_eq!(pool.stats().stacks_in_use, 0);
    assert!(!thread::panicking());
}

#[test]
fn a_body_that_catches_the_unwinding_is_thrown_out_of_the_next_suspend() {
    let caught = Rc::new(Cell::new(0));
    let count = caught.clone();
    let fiber = Fiber::new(&Pool::new(), options(), (), move || {
        for _ in 0..3 {
            assert!(catch_unwind(suspend).is_err());
            count.set(count.get() + 1);
        }
        suspend();
        count.set(100);
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    drop(fiber);
    assert_eq!(caught.get(), 3);
}

#[test]
fn a_body_that_ends_in_spite_of_the_unwinding_has_its_outcome_dropped() {
    let (drops, counted) = counter();
    let fiber = Fiber::new(&Pool::new(), options(), (), move || {
        let _ = catch_unwind(suspend);
        counted
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    drop(fiber);
    assert_eq!(drops.get(), 1);
}

#[test]
fn unwinding_goes_through_nested_fibers() {
    let (drops, counted) = counter();
    let pool = Pool::new();
    let outer = Fiber::new(&pool.clone(), options(), (), move || {
        let inner = Fiber::new(&pool, options(), (), move || {
            let _counted = counted;
            suspend();
        });
        let inner = inner.unwrap();
        inner.resume();
        suspend();
        unreachable!();
    });
    let outer = outer.unwrap();
    outer.resume();
    drop(outer);
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_fiber_may_drop_the_last_handle_of_another() {
    let (drops, counted) = counter();
    let pool = Pool::new();
    let victim = Fiber::new(&pool, options(), (), move || {
        let _counted = counted;
        suspend();
    });
    let victim = victim.unwrap();
    victim.resume();
    let killer = Fiber::new(&pool, options(), (), move || {
        drop(victim);
        suspend();
        Fiber::<()>::current().unwrap().id()
    });
    let killer = killer.unwrap();
    assert_eq!(killer.resume(), Progress::Suspended);
    assert_eq!(drops.get(), 1);
    killer.resume();
    assert_eq!(killer.take().unwrap().unwrap(), 7);
}

#[test]
fn a_fiber_dropped_during_a_panic_is_unwound_at_once() {
    let (drops, counted) = counter();
    let fiber = Fiber::new(&Pool::new(), options(), (), move || {
        let _counted = counted;
        let _ = catch_unwind(suspend);
        suspend();
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    let result = catch_unwind(AssertUnwindSafe(move || {
        let _fiber = fiber;
        std::panic::resume_unwind(Box::new(5));
    }));
    assert_eq!(*result.unwrap_err().downcast::<i32>().unwrap(), 5);
    assert_eq!(drops.get(), 1);
    assert!(!thread::panicking());
}

#[test]
fn a_handle_taken_by_a_destructor_keeps_the_finished_fiber() {
    let (drops, counted) = counter();
    let kept = Rc::new(RefCell::new(None));
    let keep = kept.clone();
    let pool = Pool::new();
    let fiber = Fiber::new(&pool, options(), counted, move || {
        let _keeper = OnDrop(|| {
            // Comes and goes: the count passes through one again.
            drop(Fiber::<Counted>::current());
            *keep.borrow_mut() = Fiber::<Counted>::current();
        });
        suspend();
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    drop(fiber);
    let kept = kept.borrow_mut().take().unwrap();
    assert!(kept.is_finished());
    assert_eq!((kept.id(), drops.get(), pool.stats().blocks_in_use), (7, 0, 1));
    drop(kept);
    assert_eq!((drops.get(), pool.stats().blocks_in_use), (1, 0));
}

#[test]
fn a_destructor_may_run_fibers_while_its_own_is_unwound() {
    let ran = Rc::new(Cell::new(false));
    let mark = ran.clone();
    let pool = Pool::new();
    let inner_pool = pool.clone();
    let fiber = Fiber::new(&pool, options(), (), move || {
        let _runner = OnDrop(move || {
            let inner = Fiber::new(&inner_pool, options(), (), suspend).unwrap();
            assert_eq!(inner.resume(), Progress::Suspended);
            assert_eq!(inner.resume(), Progress::Finished);
            mark.set(true);
        });
        suspend();
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    drop(fiber);
    assert!(ran.get());
}

#[test]
fn a_panic_in_the_outcomes_destructor_still_drops_the_control_and_returns_the_block() {
    let (drops, counted) = counter();
    let pool = Pool::new();
    let fiber = Fiber::new(&pool, options(), counted, || {
        OnDrop(|| std::panic::resume_unwind(Box::new("outcome")))
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    let payload = catch_unwind(AssertUnwindSafe(move || drop(fiber))).unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "outcome");
    assert_eq!((drops.get(), pool.stats().blocks_in_use), (1, 0));
}

#[test]
fn a_panic_in_the_closures_destructor_comes_out_of_the_drop() {
    let pool = Pool::new();
    let captured = OnDrop(|| std::panic::resume_unwind(Box::new("closure")));
    let fiber = Fiber::new(&pool, options(), (), move || drop(captured)).unwrap();
    let payload = catch_unwind(AssertUnwindSafe(move || drop(fiber))).unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "closure");
    assert_eq!((pool.stats().stacks_reserved, pool.stats().blocks_in_use), (0, 0));
}

#[test]
fn a_panic_in_the_controls_destructor_comes_out_and_returns_the_block() {
    let pool = Pool::new();
    let control = OnDrop(|| std::panic::resume_unwind(Box::new("control")));
    let fiber = Fiber::new(&pool, options(), control, || ()).unwrap();
    fiber.resume();
    let payload = catch_unwind(AssertUnwindSafe(move || drop(fiber))).unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "control");
    assert_eq!(pool.stats().blocks_in_use, 0);
}

#[test]
fn a_panic_while_the_control_is_made_leaves_no_fiber_behind() {
    let (drops, counted) = counter();
    let pool = Pool::new();
    let payload = catch_unwind(AssertUnwindSafe(|| {
        let control = || -> () { std::panic::resume_unwind(Box::new("no control")) };
        let _ = Fiber::new_with(&pool, options(), control, move || drop(counted));
    }));
    assert_eq!(*payload.unwrap_err().downcast::<&str>().unwrap(), "no control");
    assert_eq!(drops.get(), 1);
    let stats = pool.stats();
    assert_eq!((stats.stacks_reserved, stats.blocks_in_use), (0, 0));
}

#[test]
fn the_stack_of_a_fiber_that_ended_is_free_while_its_outcome_is_dropped() {
    let pool = Pool::new();
    let inner_pool = pool.clone();
    let fiber = Fiber::new(&pool, options(), (), move || {
        OnDrop(move || {
            let inner = Fiber::new(&inner_pool, options(), (), suspend).unwrap();
            assert_eq!(inner.resume(), Progress::Suspended);
        })
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    drop(fiber);
    // The one that ran in the destructor had the same stack.
    assert_eq!((pool.stats().stacks_idle, pool.stats().stacks_in_use), (1, 0));
}

#[test]
fn a_forgotten_fiber_keeps_its_stack_and_its_pool() {
    child::run("end::a_forgotten_fiber_keeps_its_stack_and_its_pool", || {
        let (drops, counted) = counter();
        let fiber = Fiber::new(&Pool::new(), options(), (), move || {
            let _counted = counted;
            suspend();
        });
        let fiber = fiber.unwrap();
        fiber.resume();
        let address = fiber.stack_range().unwrap().start;
        std::mem::forget(fiber);
        assert_eq!(drops.get(), 0);
        assert!(is_mapped(address));
    })
    .assert_ok();
}

#[test]
fn suspend_in_a_destructor_during_the_unwinding_aborts_and_names_the_fiber() {
    let ended = child::run(
        "end::suspend_in_a_destructor_during_the_unwinding_aborts_and_names_the_fiber",
        || {
            let fiber = Fiber::new(&Pool::new(), options(), (), || {
                let _suspends = OnDrop(suspend);
                suspend();
            });
            let fiber = fiber.unwrap();
            fiber.resume();
            drop(fiber);
        },
    );
    ended.assert_killed(
        libc::SIGABRT,
        &["greenroom: green thread \"doomed\" (id 7) called suspend in a destructor"],
    );
}
