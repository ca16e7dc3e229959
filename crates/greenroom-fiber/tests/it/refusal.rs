//! What is refused, and that the refusal names the broken rule.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use greenroom_fiber::{Fiber, Options, Pool, STACK_SIZE_MAX, StackError, suspend};

/// The message that `misuse` panics with.
fn message<T>(misuse: impl FnOnce() -> T) -> String {
    let misused = catch_unwind(AssertUnwindSafe(|| drop(misuse())));
    let payload = misused.expect_err("it was not refused");
    *payload
        .downcast::<String>()
        .or_else(|payload| payload.downcast::<&str>().map(|text| Box::new((*text).to_owned())))
        .unwrap()
}

#[test]
fn suspend_outside_of_a_fiber() {
    assert_eq!(
        message(suspend),
        "suspend: no fiber runs here; only code inside a fiber can be suspended"
    );
}

#[test]
fn resume_of_a_finished_fiber() {
    let options = Options { id: 5, name: Some("done".into()), ..Options::default() };
    let fiber = Fiber::new(&Pool::new(), options, (), || ()).unwrap();
    fiber.resume();
    assert_eq!(
        message(|| fiber.resume()),
        "resume: green thread \"done\" (id 5) has finished; it cannot go on"
    );
    fiber.take().unwrap().unwrap();
    assert!(message(|| fiber.resume()).contains("has finished"));
}

#[test]
fn resume_of_the_running_fiber_by_itself() {
    let fiber = Fiber::new(&Pool::new(), Options { id: 6, ..Options::default() }, (), || {
        message(|| Fiber::<()>::current().unwrap().resume())
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    assert_eq!(
        fiber.take().unwrap().unwrap(),
        "resume: green thread 6 runs already; a fiber cannot resume itself"
    );
}

#[test]
fn resume_of_a_running_ancestor() {
    let pool = Pool::new();
    let outer: Rc<RefCell<Option<Fiber<()>>>> = Rc::default();
    let ancestor = outer.clone();
    let fiber = Fiber::new(&pool.clone(), Options { id: 1, ..Options::default() }, (), move || {
        let inner = Fiber::new(&pool, Options { id: 2, ..Options::default() }, (), move || {
            let ancestor = ancestor.borrow().clone().unwrap();
            message(|| ancestor.resume())
        });
        let inner = inner.unwrap();
        inner.resume();
        inner.take().unwrap().unwrap()
    });
    let fiber = fiber.unwrap();
    *outer.borrow_mut() = Some(fiber.clone());
    fiber.resume();
    let message = fiber.take().unwrap().unwrap();
    assert!(message.starts_with("resume: green thread 1 runs already, and waits for"), "{message}");
    outer.borrow_mut().take();
}

#[test]
fn a_refused_resume_changes_nothing() {
    let fiber = Fiber::new(&Pool::new(), Options::default(), (), || {
        let current = Fiber::<()>::current().unwrap();
        message(|| current.resume());
        suspend();
        1
    });
    let fiber = fiber.unwrap();
    fiber.resume();
    assert!(!fiber.is_finished());
    fiber.resume();
    assert_eq!(fiber.take().unwrap().unwrap(), 1);
}

#[test]
fn a_stack_that_is_too_large_gives_everything_back() {
    let options = Options { stack_size: STACK_SIZE_MAX + 1, ..Options::default() };
    let refused =
        Fiber::new(&Pool::new(), options, String::from("control"), || "body").unwrap_err();
    assert_eq!((refused.control.as_str(), (refused.body)()), ("control", "body"));
    assert_eq!(refused.error.raw_os_error(), libc::EINVAL);
    assert!(refused.error.to_string().contains("at most 1 GiB"), "{}", refused.error);
}

#[test]
fn a_stack_error_becomes_an_io_error_with_the_same_text() {
    let options = Options { stack_size: usize::MAX, ..Options::default() };
    let error: StackError = Fiber::new(&Pool::new(), options, (), || ()).unwrap_err().into();
    let text = error.to_string();
    let error = std::io::Error::from(error);
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), text);
}
