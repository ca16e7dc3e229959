//! Handlers that were there before ours, and threads that have no signal stack.

use std::sync::atomic::{AtomicUsize, Ordering};

use greenroom_fiber::{Fiber, Options, Pool};

use crate::child;
use crate::pool::is_mapped;
use crate::raw::{self, Action, install};

fn fault_in_fiber() {
    let options = Options::default();
    let fiber = Fiber::new(&Pool::new(), options, (), || raw::write_byte(0x10)).unwrap();
    fiber.resume();
}

#[test]
fn a_handler_with_siginfo_gets_the_fault() {
    let ended = child::run("signals::a_handler_with_siginfo_gets_the_fault", || {
        install(Action::ExitTold);
        fault_in_fiber();
    });
    assert_eq!(ended.code, Some(41), "{}", ended.stderr);
}

#[test]
fn a_plain_handler_gets_the_fault() {
    let ended = child::run("signals::a_plain_handler_gets_the_fault", || {
        install(Action::ExitPlain);
        fault_in_fiber();
    });
    assert_eq!(ended.code, Some(42), "{}", ended.stderr);
}

#[test]
fn a_one_shot_handler_is_called_once() {
    child::run("signals::a_one_shot_handler_is_called_once", || {
        install(Action::ReturnOnce);
        fault_in_fiber();
    })
    .assert_killed(libc::SIGSEGV, &[]);
}

#[test]
fn the_default_action_kills_on_a_fault() {
    child::run("signals::the_default_action_kills_on_a_fault", || {
        install(Action::Default);
        fault_in_fiber();
    })
    .assert_killed(libc::SIGSEGV, &[]);
}

#[test]
fn the_default_action_kills_on_a_sent_signal() {
    child::run("signals::the_default_action_kills_on_a_sent_signal", || {
        install(Action::Default);
        drop(Pool::new());
        raw::raise_segv();
    })
    .assert_killed(libc::SIGSEGV, &[]);
}

#[test]
fn an_ignored_signal_is_ignored_when_sent_but_a_fault_kills() {
    let test = "signals::an_ignored_signal_is_ignored_when_sent_but_a_fault_kills";
    child::run(test, || {
        install(Action::Ignore);
        drop(Pool::new());
        raw::raise_segv();
        eprintln!("still here");
        fault_in_fiber();
    })
    .assert_killed(libc::SIGSEGV, &["still here"]);
}

#[test]
fn an_overflow_on_a_foreign_thread_is_reported() {
    fn recurse(depth: u64) -> u64 {
        if depth == u64::MAX { 0 } else { std::hint::black_box(recurse(depth + 1)) + depth }
    }
    child::run("signals::an_overflow_on_a_foreign_thread_is_reported", || {
        raw::on_foreign_thread(|| {
            let options = Options { id: 3, ..Options::default() };
            let fiber = Fiber::new(&Pool::new(), options, (), || recurse(0)).unwrap();
            fiber.resume();
        });
    })
    .assert_killed(libc::SIGABRT, &["greenroom: green thread 3 overflowed its stack"]);
}

#[test]
fn a_foreign_thread_gets_a_signal_stack_and_frees_it_at_its_end() {
    static STACK: AtomicUsize = AtomicUsize::new(0);

    child::run("signals::a_foreign_thread_gets_a_signal_stack_and_frees_it_at_its_end", || {
        raw::on_foreign_thread(|| {
            assert_eq!(raw::signal_stack(), None);
            drop((Pool::new(), Pool::new()));
            let stack = raw::signal_stack().unwrap();
            assert!(is_mapped(stack));
            STACK.store(stack, Ordering::Relaxed);
        });
        assert!(!is_mapped(STACK.load(Ordering::Relaxed)));
    })
    .assert_ok();
}

#[test]
fn a_thread_that_has_a_signal_stack_keeps_it() {
    let before = raw::signal_stack();
    assert!(before.is_some());
    drop(Pool::new());
    assert_eq!(raw::signal_stack(), before);
}
