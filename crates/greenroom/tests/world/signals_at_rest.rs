//! What a signal does when nobody waits for it, and which cannot be waited for.

use std::{
    io::ErrorKind,
    os::unix::process::ExitStatusExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use greenroom::{
    process::Command,
    signal::{self, Signal, Signals},
    spawn, yield_now,
};
use signal_hook::low_level::raise;

use crate::{
    case::{Case, Ends, PLAIN},
    kernel::{assert_ended_well, fork},
    stage::{again, again_ignoring},
};

/// Waits for a signal once, and is sent it a second time.
fn hears_one_and_gets_another(signal: Signal) {
    let signals = Signals::new([signal]).unwrap();
    raise(signal.as_raw()).unwrap();
    assert_eq!(signals.wait().unwrap(), signal);
    drop(signals);
    eprintln!("nobody waits");
    raise(signal.as_raw()).unwrap();
    eprintln!("still alive");
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "signals_at_rest::after_the_last_waiter_ctrl_c_ends_the_process_again",
        play: || {
            let waiter = spawn(signal::ctrl_c);
            yield_now();
            raise(libc::SIGINT).unwrap();
            waiter.join().unwrap().unwrap();
            eprintln!("heard");
            raise(libc::SIGINT).unwrap();
        },
        ends: Ends::Signal(libc::SIGINT),
        says: &["heard"],
        ..PLAIN
    },
    Case {
        name: "signals_at_rest::a_handle_that_is_left_keeps_the_process_alive",
        play: || {
            let left = Signals::new([Signal::TERM]).unwrap();
            hears_one_and_gets_another(Signal::TERM);
            assert_eq!(left.wait().unwrap(), Signal::TERM);
        },
        says: &["nobody waits", "still alive"],
        ..PLAIN
    },
    Case {
        name: "signals_at_rest::who_comes_again_hears_again",
        play: || {
            for _ in 0..3 {
                let signals = Signals::new([Signal::TERM]).unwrap();
                assert_eq!(signals.try_next(), None);
                raise(libc::SIGTERM).unwrap();
                assert_eq!(signals.wait().unwrap(), Signal::TERM);
            }
            raise(libc::SIGTERM).unwrap();
        },
        ends: Ends::Signal(libc::SIGTERM),
        ..PLAIN
    },
    Case {
        name: "signals_at_rest::the_default_action_is_back",
        play: || hears_one_and_gets_another(Signal::HUP),
        ends: Ends::Signal(libc::SIGHUP),
        says: &["nobody waits"],
        never_says: &["still alive"],
        ..PLAIN
    },
    Case {
        name: "signals_at_rest::what_was_ignored_before_is_ignored_afterwards",
        play: || {
            let case = "signals_at_rest::the_default_action_is_back";
            assert_eq!(again(case).status().unwrap().signal(), Some(libc::SIGHUP));
            assert!(again_ignoring("HUP", case).status().unwrap().success());
        },
        says: &["still alive"],
        ..PLAIN
    },
    Case {
        name: "signals_at_rest::what_is_ignored_by_default_stays_so",
        play: || {
            hears_one_and_gets_another(Signal::CHLD);
            hears_one_and_gets_another(Signal::WINCH);
        },
        says: &["still alive", "still alive"],
        ..PLAIN
    },
    Case {
        name: "signals_at_rest::a_handler_that_was_there_is_called_all_the_time",
        play: || {
            let called = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(libc::SIGUSR1, Arc::clone(&called)).unwrap();
            let signals = Signals::new([Signal::USR1]).unwrap();
            raise(libc::SIGUSR1).unwrap();
            assert_eq!(signals.wait().unwrap(), Signal::USR1);
            assert!(called.swap(false, Ordering::SeqCst));
            drop(signals);
            raise(libc::SIGUSR1).unwrap();
            assert!(called.load(Ordering::SeqCst));
        },
        ..PLAIN
    },
    Case {
        name: "signals_at_rest::a_realtime_signal_is_ignored_once_it_was_waited_for",
        play: || hears_one_and_gets_another(Signal::from_raw(libc::SIGRTMIN()).unwrap()),
        says: &["still alive"],
        ..PLAIN
    },
    Case {
        name: "signals_at_rest::what_cannot_be_waited_for_is_refused_with_the_reason",
        play: || {
            for (signal, why) in [
                (Signal::KILL, "SIGKILL cannot be waited for: the kernel lets nobody"),
                (Signal::STOP, "SIGSTOP cannot be waited for: the kernel lets nobody"),
                (Signal::SEGV, "SIGSEGV cannot be waited for: it tells of a fault"),
                (Signal::BUS, "SIGBUS cannot be waited for: it tells of a fault"),
                (Signal::ILL, "SIGILL cannot be waited for: it tells of a fault"),
                (Signal::FPE, "SIGFPE cannot be waited for: it tells of a fault"),
                (Signal::from_raw(32).unwrap(), "signal 32 cannot be waited for: the C library"),
            ] {
                for refused in [
                    Signals::new([signal]).map(drop),
                    Signals::new([&Signal::HUP, &signal]).map(drop),
                    signal::wait(signal),
                ] {
                    let refused = refused.unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
                    assert!(refused.to_string().starts_with(why), "{refused}");
                }
            }
            let none: [Signal; 0] = [];
            assert_eq!(Signals::new(none).unwrap_err().kind(), ErrorKind::InvalidInput);
            for number in [-1, 0, 65, i32::MAX] {
                assert_eq!(Signal::from_raw(number), None);
            }
            // Of those that were refused together with it, nothing is left.
            raise(libc::SIGHUP).unwrap();
        },
        ends: Ends::Signal(libc::SIGHUP),
        ..PLAIN
    },
    Case {
        name: "signals_at_rest::a_child_process_has_the_default_actions",
        play: || {
            let signals = Signals::new([Signal::TERM]).unwrap();
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            let id = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
            rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
            assert_eq!(signals.try_next(), None);
        },
        ..PLAIN
    },
    Case {
        name: "signals_at_rest::a_forked_child_makes_its_own_handles",
        play: || {
            let signals = Signals::new([Signal::USR1]).unwrap();
            assert_eq!(signals.wait_timeout(Duration::ZERO).unwrap(), None);
            let child = fork(|| {
                assert_eq!(signals.wait().unwrap_err().kind(), ErrorKind::Unsupported);
                let own = Signals::new([Signal::USR1]).unwrap();
                raise(libc::SIGUSR1).unwrap();
                assert_eq!(own.wait().unwrap(), Signal::USR1);
            });
            assert_ended_well(child);
            // What the child was sent is no news here.
            assert_eq!(signals.wait_timeout(Duration::ZERO).unwrap(), None);
            raise(libc::SIGUSR1).unwrap();
            assert_eq!(signals.wait().unwrap(), Signal::USR1);
        },
        ..PLAIN
    },
];
