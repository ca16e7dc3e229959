//! Handlers that were there before ours, and threads that have no signal stack.

use std::mem::MaybeUninit;
use std::ptr;

use greenroom_fiber::{Fiber, Options, Pool};

use crate::child;
use crate::pool::is_mapped;

/// Installs an action for SIGSEGV, as code that runs before the first pool may.
fn install(handler: libc::sighandler_t, flags: libc::c_int) {
    // SAFETY: an all-zero sigaction is valid, and `handler` has the signature that `flags` say.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut()), 0);
    }
}

fn fault_in_fiber(address: usize) {
    let fiber = Fiber::new(&Pool::new(), Options::default(), (), move || {
        // SAFETY: none. It is the fault that is wanted.
        unsafe { ptr::without_provenance::<u8>(address).read_volatile() }
    });
    let fiber = fiber.unwrap();
    fiber.resume();
}

extern "C" fn full(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel's siginfo_t, handed on.
    let address = unsafe { (*info).si_addr() }.addr();
    let right = signal == libc::SIGSEGV && address == 0x10 && !context.is_null();
    // SAFETY: _exit may be called in a handler.
    unsafe { libc::_exit(if right { 41 } else { 1 }) }
}

extern "C" fn plain(signal: libc::c_int) {
    // SAFETY: as above.
    unsafe { libc::_exit(if signal == libc::SIGSEGV { 42 } else { 1 }) }
}

extern "C" fn returns(_: libc::c_int) {}

#[test]
fn a_handler_with_siginfo_gets_the_fault() {
    let ended = child::run("signals::a_handler_with_siginfo_gets_the_fault", || {
        install(full as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
        fault_in_fiber(0x10);
    });
    assert_eq!(ended.code, Some(41), "{}", ended.stderr);
}

#[test]
fn a_plain_handler_gets_the_fault() {
    let ended = child::run("signals::a_plain_handler_gets_the_fault", || {
        install(plain as *const () as usize, 0);
        fault_in_fiber(0x10);
    });
    assert_eq!(ended.code, Some(42), "{}", ended.stderr);
}

#[test]
fn a_one_shot_handler_is_called_once() {
    let ended = child::run("signals::a_one_shot_handler_is_called_once", || {
        install(returns as *const () as usize, libc::SA_RESETHAND);
        fault_in_fiber(0x10);
    });
    ended.assert_killed(libc::SIGSEGV, &[]);
}

#[test]
fn the_default_action_kills_on_a_fault_and_on_a_sent_signal() {
    let test = "signals::the_default_action_kills_on_a_fault_and_on_a_sent_signal";
    for fault in [true, false] {
        child::run(test, || {
            install(libc::SIG_DFL, 0);
            if fault {
                fault_in_fiber(0x10);
            }
            drop(Pool::new());
            // SAFETY: raise may be called anywhere.
            unsafe { libc::raise(libc::SIGSEGV) };
        })
        .assert_killed(libc::SIGSEGV, &[]);
    }
}

#[test]
fn an_ignored_signal_is_ignored_when_sent_but_a_fault_kills() {
    let test = "signals::an_ignored_signal_is_ignored_when_sent_but_a_fault_kills";
    child::run(test, || {
        install(libc::SIG_IGN, 0);
        drop(Pool::new());
        // SAFETY: raise may be called anywhere.
        unsafe { libc::raise(libc::SIGSEGV) };
        eprintln!("still here");
        fault_in_fiber(0x10);
    })
    .assert_killed(libc::SIGSEGV, &["still here"]);
}

/// Runs `body` on an OS thread that the standard library did not make: it has no signal stack.
fn on_foreign_thread(body: fn()) {
    extern "C" fn start(body: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: `on_foreign_thread` passes a fn().
        let body = unsafe { std::mem::transmute::<*mut libc::c_void, fn()>(body) };
        body();
        ptr::null_mut()
    }
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the pointers are valid, and the thread is joined.
    unsafe {
        let body = body as *const () as *mut libc::c_void;
        assert_eq!(libc::pthread_create(thread.as_mut_ptr(), ptr::null(), start, body), 0);
        assert_eq!(libc::pthread_join(thread.assume_init(), ptr::null_mut()), 0);
    }
}

fn signal_stack() -> libc::stack_t {
    let mut stack = MaybeUninit::uninit();
    // SAFETY: the pointer is valid.
    unsafe {
        assert_eq!(libc::sigaltstack(ptr::null(), stack.as_mut_ptr()), 0);
        stack.assume_init()
    }
}

#[test]
fn an_overflow_on_a_foreign_thread_is_reported() {
    fn recurse(depth: u64) -> u64 {
        if depth == u64::MAX { 0 } else { std::hint::black_box(recurse(depth + 1)) + depth }
    }
    child::run("signals::an_overflow_on_a_foreign_thread_is_reported", || {
        on_foreign_thread(|| {
            let options = Options { id: 3, ..Options::default() };
            let fiber = Fiber::new(&Pool::new(), options, (), || recurse(0)).unwrap();
            fiber.resume();
        });
    })
    .assert_killed(libc::SIGABRT, &["greenroom: green thread 3 overflowed its stack"]);
}

#[test]
fn a_foreign_thread_gets_a_signal_stack_and_frees_it_at_its_end() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static STACK: AtomicUsize = AtomicUsize::new(0);

    child::run("signals::a_foreign_thread_gets_a_signal_stack_and_frees_it_at_its_end", || {
        on_foreign_thread(|| {
            assert_ne!(signal_stack().ss_flags & libc::SS_DISABLE, 0);
            drop((Pool::new(), Pool::new()));
            assert_eq!(signal_stack().ss_flags & libc::SS_DISABLE, 0);
            let address = signal_stack().ss_sp.addr();
            assert!(is_mapped(address));
            STACK.store(address, Ordering::Relaxed);
        });
        assert!(!is_mapped(STACK.load(Ordering::Relaxed)));
    })
    .assert_ok();
}

#[test]
fn a_thread_that_has_a_signal_stack_keeps_it() {
    let before = signal_stack().ss_sp;
    assert!(!before.is_null());
    drop(Pool::new());
    assert_eq!(signal_stack().ss_sp, before);
}
