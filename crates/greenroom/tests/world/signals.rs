//! Who hears a signal, and when.

use std::{
    io::ErrorKind,
    rc::Rc,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread,
    time::Duration,
};

use greenroom::{
    Elapsed,
    signal::{self, Signal, Signals},
    spawn,
    testing::wait_all_parked,
    with_timeout, yield_now,
};
use rustix::process::{getpid, kill_process};
use signal_hook::low_level::raise;

use crate::{
    case::{Case, PLAIN},
    stage::{
        LONG, assert_refused_in_callback, in_callback, in_destructor, in_virtual_time,
        on_each_backend, open_fds,
    },
};

/// Sends a signal to this OS thread, which has handled it when this returns.
fn send(signal: Signal) {
    raise(signal.as_raw()).unwrap();
}

fn heard_by_usr1() -> Signals {
    Signals::new([Signal::USR1]).unwrap()
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "signals::a_green_thread_and_the_root_wait_for_one",
        play: || {
            on_each_backend(|| {
                let waiter = spawn(|| signal::wait(Signal::USR1));
                yield_now();
                assert!(!waiter.is_finished());
                kill_process(getpid(), rustix::process::Signal::USR1).unwrap();
                waiter.join().unwrap().unwrap();

                let sender = spawn(|| send(Signal::INT));
                signal::ctrl_c().unwrap();
                sender.join().unwrap();
            });
        },
        ..PLAIN
    },
    Case {
        name: "signals::each_handle_on_each_os_thread_hears_it",
        play: || {
            let (ready, all_ready) = channel();
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let ready = ready.clone();
                    thread::spawn(move || {
                        let waiters: Vec<_> = (0..3)
                            .map(|_| {
                                let signals = heard_by_usr1();
                                spawn(move || signals.wait().unwrap())
                            })
                            .collect();
                        ready.send(()).unwrap();
                        for waiter in waiters {
                            assert_eq!(waiter.join().unwrap(), Signal::USR1);
                        }
                    })
                })
                .collect();
            for _ in &threads {
                all_ready.recv().unwrap();
            }
            kill_process(getpid(), rustix::process::Signal::USR1).unwrap();
            for thread in threads {
                thread.join().unwrap();
            }
        },
        ..PLAIN
    },
    Case {
        name: "signals::what_comes_between_two_waits_is_kept_and_of_a_kind_one",
        play: || {
            on_each_backend(|| {
                let signals = heard_by_usr1();
                for _ in 0..1000 {
                    send(Signal::USR1);
                }
                assert_eq!(signals.wait().unwrap(), Signal::USR1);
                assert_eq!(signals.try_next(), None);
                assert_eq!(signals.wait_timeout(Duration::ZERO).unwrap(), None);
                send(Signal::USR1);
                assert_eq!(signals.wait_timeout(Duration::ZERO).unwrap(), Some(Signal::USR1));
                assert_eq!(signals.try_next(), None);
                send(Signal::USR1);
                assert_eq!(signals.try_next(), Some(Signal::USR1));
                assert_eq!(signals.wait_timeout(Duration::ZERO).unwrap(), None);
            });
        },
        ..PLAIN
    },
    Case {
        name: "signals::none_is_drowned_out_by_another",
        play: || {
            let signals = Signals::new([Signal::USR1, Signal::USR2, Signal::HUP]).unwrap();
            send(Signal::HUP);
            let mut heard = Vec::new();
            for _ in 0..6 {
                send(Signal::USR1);
                send(Signal::USR2);
                heard.push(signals.wait().unwrap());
            }
            let count = |signal| heard.iter().filter(|&&other| other == signal).count();
            assert_eq!(count(Signal::HUP), 1, "{heard:?}");
            assert!(count(Signal::USR1) >= 2 && count(Signal::USR2) >= 2, "{heard:?}");
        },
        ..PLAIN
    },
    Case {
        name: "signals::each_of_many_is_heard_while_others_are_sent",
        play: || {
            static HEARD: AtomicUsize = AtomicUsize::new(0);
            on_each_backend(|| {
                HEARD.store(0, Ordering::SeqCst);
                let signals = heard_by_usr1();
                let sender = thread::spawn(|| {
                    for sent in 1..=2000 {
                        kill_process(getpid(), rustix::process::Signal::USR1).unwrap();
                        while HEARD.load(Ordering::SeqCst) < sent {
                            thread::yield_now();
                        }
                    }
                });
                for signal in signals.iter().take(2000) {
                    assert_eq!(signal.unwrap(), Signal::USR1);
                    HEARD.fetch_add(1, Ordering::SeqCst);
                }
                sender.join().unwrap();
                assert_eq!(signals.try_next(), None);
            });
        },
        ..PLAIN
    },
    Case {
        name: "signals::a_waiter_that_is_thrown_out_has_taken_nothing",
        play: || {
            in_virtual_time(|| {
                let signals = Rc::new(heard_by_usr1());
                let waiter = spawn({
                    let signals = Rc::clone(&signals);
                    move || signals.wait()
                });
                wait_all_parked();
                // In the very moment in which it is killed, too.
                send(Signal::USR1);
                waiter.thread().kill();
                assert!(waiter.join().unwrap_err().is_killed());
                assert_eq!(signals.wait().unwrap(), Signal::USR1);

                let late = with_timeout(Duration::from_secs(1), || signals.wait().unwrap());
                assert_eq!(late, Err(Elapsed));
                assert_eq!(signals.wait_timeout(LONG).unwrap(), None);
                send(Signal::USR1);
                assert_eq!(signals.wait().unwrap(), Signal::USR1);
            });
        },
        ..PLAIN
    },
    Case {
        name: "signals::one_waits_with_a_handle_at_a_time",
        play: || {
            let signals = Rc::new(heard_by_usr1());
            let first = spawn({
                let signals = Rc::clone(&signals);
                move || signals.wait()
            });
            yield_now();
            assert_eq!(signals.wait().unwrap_err().kind(), ErrorKind::ResourceBusy);
            send(Signal::USR1);
            assert_eq!(first.join().unwrap().unwrap(), Signal::USR1);
        },
        ..PLAIN
    },
    Case {
        name: "signals::a_callback_hears_what_has_come_and_does_not_wait",
        play: || {
            on_each_backend(|| {
                let signals = Rc::new(heard_by_usr1());
                let theirs = Rc::clone(&signals);
                assert_refused_in_callback(move || theirs.wait());
                send(Signal::USR1);
                let theirs = Rc::clone(&signals);
                let heard = in_callback(move || (theirs.wait().unwrap(), theirs.try_next()));
                assert_eq!(heard.unwrap(), (Signal::USR1, None));
            });
        },
        ..PLAIN
    },
    Case {
        name: "signals::a_destructor_hears_what_has_come_and_waits_briefly",
        play: || {
            on_each_backend(|| {
                let signals = heard_by_usr1();
                send(Signal::USR1);
                let (heard, late, none) = in_destructor(move || {
                    let heard = signals.wait().unwrap();
                    (heard, signals.wait(), signals.wait_timeout(LONG))
                });
                assert_eq!(heard, Signal::USR1);
                assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
                assert_eq!(none.unwrap(), None);
            });
        },
        ..PLAIN
    },
    Case {
        name: "signals::nothing_is_left_of_handles_and_waits",
        play: || {
            on_each_backend(|| {
                drop(heard_by_usr1());
                let before = open_fds();
                for _ in 0..100 {
                    let both = Signals::new([Signal::USR1, Signal::USR2, Signal::USR1]).unwrap();
                    assert_eq!(both.wait_timeout(Duration::ZERO).unwrap(), None);
                    assert!(open_fds() > before);
                    Signals::new([Signal::USR1, Signal::KILL]).unwrap_err();
                    let waiter = spawn(|| signal::wait(Signal::USR2));
                    yield_now();
                    waiter.thread().kill();
                    assert!(waiter.join().unwrap_err().is_killed());
                }
                assert_eq!(open_fds(), before);
            });
        },
        ..PLAIN
    },
];
