//! Which fiber runs now, when fibers resume fibers.

use std::cell::Cell;
use std::rc::Rc;

use greenroom_fiber::{Fiber, Options, Pool, Progress, suspend};

fn id_of_current() -> Option<u64> {
    Fiber::<()>::current().map(|fiber| fiber.id())
}

fn options(id: u64) -> Options {
    Options { id, ..Options::default() }
}

#[test]
fn no_fiber_is_current_on_the_threads_own_stack() {
    assert_eq!(id_of_current(), None);
    let fiber = Fiber::new(&Pool::new(), options(1), (), || {
        assert_eq!(id_of_current(), Some(1));
        suspend();
        assert_eq!(id_of_current(), Some(1));
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    assert_eq!(id_of_current(), None);
    fiber.resume();
    assert_eq!(id_of_current(), None);
    assert!(fiber.take().unwrap().is_ok());
}

#[test]
fn suspend_leaves_the_innermost_fiber() {
    let pool = Pool::new();
    let outer = Fiber::new(&pool.clone(), options(1), (), move || {
        let inner = Fiber::new(&pool, options(2), (), || {
            assert_eq!(id_of_current(), Some(2));
            suspend();
            assert_eq!(id_of_current(), Some(2));
        });
        let inner = inner.unwrap();
        assert_eq!(inner.resume(), Progress::Suspended);
        assert_eq!(id_of_current(), Some(1));
        suspend();
        assert_eq!(inner.resume(), Progress::Finished);
        assert_eq!(id_of_current(), Some(1));
        inner.take().unwrap().unwrap();
    });
    let outer = outer.unwrap();
    assert_eq!(outer.resume(), Progress::Suspended);
    assert_eq!(outer.resume(), Progress::Finished);
    outer.take().unwrap().unwrap();
}

#[test]
fn a_fiber_may_be_resumed_from_different_places() {
    let pool = Pool::new();
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    let inner = Fiber::new(&pool, options(2), (), move || {
        loop {
            counted.set(counted.get() + 1);
            suspend();
        }
    });
    let inner = inner.unwrap().into_fiber();
    let resumed = inner.clone();
    let outer = Fiber::new(&pool, options(1), (), move || resumed.resume()).unwrap();
    inner.resume();
    outer.resume();
    inner.resume();
    assert_eq!(count.get(), 3);
    assert_eq!(outer.take().unwrap().unwrap(), Progress::Suspended);
}

#[test]
fn fibers_nest_deeply() {
    fn nest(pool: &Pool, depth: u64) -> u64 {
        if depth == 0 {
            return id_of_current().unwrap();
        }
        let inner = pool.clone();
        let fiber = Fiber::new(pool, options(depth), (), move || nest(&inner, depth - 1)).unwrap();
        assert_eq!(fiber.resume(), Progress::Finished);
        let innermost = fiber.take().unwrap().unwrap();
        assert_ne!(id_of_current(), Some(depth));
        innermost
    }
    assert_eq!(nest(&Pool::new(), 1000), 1);
}

#[test]
fn current_answers_only_for_its_own_kind_of_control() {
    let fiber = Fiber::new(&Pool::new(), options(1), 5u64, || {
        assert!(Fiber::<u32>::current().is_none());
        assert_eq!(Fiber::<u64>::current().map(|fiber| *fiber), Some(5));
        Fiber::<u32>::with_current(|fiber| assert!(fiber.is_none()));
        Fiber::<u64>::with_current(|fiber| assert_eq!(**fiber.unwrap(), 5));
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    fiber.take().unwrap().unwrap();
}

#[test]
fn the_current_handle_keeps_the_fiber_alive_after_it_has_finished() {
    let kept = Rc::new(Cell::new(None));
    let keep = kept.clone();
    let fiber = Fiber::new(&Pool::new(), options(8), (), move || {
        keep.set(Fiber::<()>::current());
        "outcome"
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    drop(fiber);
    let kept = kept.take().unwrap();
    assert!(kept.is_finished());
    assert_eq!(kept.id(), 8);
}

#[test]
fn a_borrow_of_the_current_fiber_may_span_a_suspend() {
    let fiber = Fiber::new(&Pool::new(), options(3), Cell::new(0), || {
        Fiber::<Cell<i32>>::with_current(|fiber| {
            let fiber = fiber.unwrap();
            fiber.set(1);
            suspend();
            fiber.set(fiber.get() + 1);
        });
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    fiber.resume();
    assert_eq!(fiber.get(), 2);
}
