//! From the first resume to the outcome.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use greenroom_fiber::{Fiber, Options, Output, Pool, Progress, suspend};

use crate::raw::{self, errno, set_errno};

fn fiber<T: 'static>(body: impl FnOnce() -> T + 'static) -> Output<(), T> {
    Fiber::new(&Pool::new(), Options::default(), (), body).unwrap()
}

#[test]
fn nothing_runs_before_the_first_resume() {
    let ran = Rc::new(Cell::new(false));
    let seen = ran.clone();
    let fiber = fiber(move || seen.set(true));
    assert!(!ran.get() && !fiber.has_started() && !fiber.is_finished());
    assert_eq!(fiber.resume(), Progress::Finished);
    assert!(ran.get() && fiber.has_started() && fiber.is_finished());
}

#[test]
fn each_resume_runs_to_the_next_suspend() {
    let steps = Rc::new(RefCell::new(Vec::new()));
    let log = steps.clone();
    let fiber = fiber(move || {
        for step in 0..3 {
            log.borrow_mut().push(step);
            suspend();
        }
    });
    for done in 1..=3 {
        assert_eq!(fiber.resume(), Progress::Suspended);
        assert_eq!(steps.borrow().len(), done);
    }
    assert_eq!(fiber.resume(), Progress::Finished);
    assert_eq!(*steps.borrow(), [0, 1, 2]);
}

#[test]
fn suspends_from_any_depth() {
    fn descend(depth: u32) -> u32 {
        if depth == 0 {
            suspend();
            return 0;
        }
        1 + descend(depth - 1)
    }
    let fiber = fiber(|| descend(100));
    assert_eq!(fiber.resume(), Progress::Suspended);
    assert_eq!(fiber.resume(), Progress::Finished);
    assert_eq!(fiber.take().unwrap().unwrap(), 100);
}

#[test]
fn the_outcome_is_there_once_and_not_early() {
    let fiber = fiber(|| {
        suspend();
        String::from("out")
    });
    assert!(fiber.take().is_none());
    fiber.resume();
    assert!(fiber.take().is_none());
    fiber.resume();
    assert_eq!(fiber.take().unwrap().unwrap(), "out");
    assert!(fiber.take().is_none());
    assert!(fiber.is_finished());
}

#[test]
fn a_panic_is_the_outcome_and_does_not_reach_the_resumer() {
    let fiber = fiber(|| -> () { std::panic::resume_unwind(Box::new("payload")) });
    assert_eq!(fiber.resume(), Progress::Finished);
    let payload = fiber.take().unwrap().unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "payload");
    assert!(!std::thread::panicking());
}

#[test]
fn outcomes_of_every_size_and_alignment_come_through() {
    #[derive(Debug, PartialEq)]
    #[repr(align(256))]
    struct Wide([u8; 700]);

    assert_eq!(run(|| ()), ());
    assert_eq!(run(|| 7u8), 7);
    assert_eq!(run(|| [3u64; 400]), [3; 400]);
    assert_eq!(run(|| Wide([9; 700])), Wide([9; 700]));

    fn run<T: 'static>(body: impl FnOnce() -> T + 'static) -> T {
        let fiber = fiber(body);
        fiber.resume();
        fiber.take().unwrap().unwrap()
    }
}

#[test]
fn a_closure_larger_than_the_stack_asked_for_gets_a_larger_stack() {
    let large = [5u8; 100_000];
    let options = Options { stack_size: 0, ..Options::default() };
    let fiber = Fiber::new(&Pool::new(), options, (), move || {
        large.iter().map(|&b| u64::from(b)).sum::<u64>()
    });
    let fiber = fiber.unwrap();
    assert!(fiber.stack_size() >= 16 * 100_000);
    fiber.resume();
    assert_eq!(fiber.take().unwrap().unwrap(), 500_000);
}

#[test]
fn closure_and_control_are_aligned_as_their_types_ask() {
    #[repr(align(512))]
    struct Aligned(Cell<u8>);

    let captured = Aligned(Cell::new(1));
    let fiber = Fiber::new(&Pool::new(), Options::default(), Aligned(Cell::new(2)), move || {
        let captured = captured;
        (&raw const captured).addr()
    });
    let fiber = fiber.unwrap();
    let control: *const Aligned = &raw const **fiber;
    assert_eq!(control.addr() % 512, 0);
    assert_eq!(fiber.0.get(), 2);
    fiber.resume();
    assert_eq!(fiber.take().unwrap().unwrap() % 512, 0);
}

#[test]
fn the_control_is_shared_by_all_handles_and_the_fiber_itself() {
    let fiber = Fiber::new(&Pool::new(), Options::default(), Cell::new(1), || {
        let control = Fiber::<Cell<i32>>::current().unwrap();
        control.set(control.get() + 1);
    });
    let fiber = fiber.unwrap();
    let other = Fiber::clone(&fiber);
    fiber.resume();
    assert_eq!((fiber.get(), other.get()), (2, 2));
    assert!(fiber.ptr_eq(&other));
}

#[test]
fn a_fiber_carries_its_id_name_and_stack() {
    let options = Options { id: 42, name: Some("name".into()), stack_size: 100_000 };
    let fiber = Fiber::new(&Pool::new(), options, (), || {
        let local = 0u8;
        (Fiber::<()>::current().unwrap().stack_range().unwrap(), (&raw const local).addr())
    });
    let fiber = fiber.unwrap();
    assert_eq!((fiber.id(), fiber.name()), (42, Some("name")));
    assert_eq!(fiber.stack_size(), 128 << 10);
    fiber.resume();
    let (range, local) = fiber.take().unwrap().unwrap();
    assert_eq!(range.len(), fiber.stack_size());
    if cfg!(not(feature = "sanitizer")) {
        // AddressSanitizer may keep locals on a stack of its own.
        assert!(range.contains(&local));
    }
}

#[test]
fn debug_output_names_the_fiber_and_its_state() {
    let options = Options { id: 9, name: Some("nine".into()), ..Options::default() };
    let fiber = Fiber::new(&Pool::new(), options, (), suspend).unwrap();
    let text = format!("{fiber:?}");
    assert!(text.contains("id: 9") && text.contains("nine") && text.contains("Fresh"), "{text}");
    fiber.resume();
    assert!(format!("{fiber:?}").contains("Suspended"));
}

#[test]
fn a_handle_is_one_pointer_wide() {
    assert_eq!(size_of::<Fiber<[u64; 8]>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Fiber<()>>>(), size_of::<usize>());
    assert_eq!(size_of::<Output<(), [u64; 8]>>(), size_of::<usize>());
}

#[test]
fn fibers_may_hold_what_is_not_send() {
    let shared = Rc::new(Cell::new(0));
    let pool = Pool::new();
    let fibers: Vec<_> = (0..10)
        .map(|_| {
            let shared = shared.clone();
            Fiber::new(&pool, Options::default(), (), move || {
                let before = shared.get();
                suspend();
                shared.set(shared.get() + before + 1);
            })
            .unwrap()
        })
        .collect();
    fibers.iter().for_each(|fiber| assert_eq!(fiber.resume(), Progress::Suspended));
    fibers.iter().for_each(|fiber| assert_eq!(fiber.resume(), Progress::Finished));
    assert_eq!(shared.get(), 10);
    drop(fibers);
    assert_eq!(Rc::strong_count(&shared), 1);
}

#[test]
fn an_unchecked_fiber_may_borrow_from_the_caller() {
    let mut sum = 0;
    let suspended = raw::run_borrowing(&Pool::new(), || {
        sum += 1;
        suspend();
        sum += 2;
    });
    assert_eq!((sum, suspended), (3, 1));
}

#[test]
fn errno_is_left_alone_by_resume_and_suspend() {
    let fiber = fiber(|| {
        assert_eq!(errno(), 11);
        set_errno(12);
        suspend();
        assert_eq!(errno(), 13);
        set_errno(14);
    });
    set_errno(11);
    fiber.resume();
    assert_eq!(errno(), 12);
    set_errno(13);
    fiber.resume();
    assert_eq!(errno(), 14);
    assert!(fiber.take().unwrap().is_ok());
}

#[test]
fn each_os_thread_runs_fibers_of_its_own() {
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            scope.spawn(move || {
                let pool = Pool::new();
                let fibers: Vec<_> = (0..100)
                    .map(|id| {
                        let options = Options { id: thread * 1000 + id, ..Options::default() };
                        Fiber::new(&pool, options, (), || {
                            suspend();
                            Fiber::<()>::current().unwrap().id()
                        })
                        .unwrap()
                    })
                    .collect();
                fibers.iter().for_each(|fiber| assert_eq!(fiber.resume(), Progress::Suspended));
                for (fiber, id) in fibers.iter().zip(0..) {
                    fiber.resume();
                    assert_eq!(fiber.take().unwrap().unwrap(), thread * 1000 + id);
                }
            });
        }
    });
}
