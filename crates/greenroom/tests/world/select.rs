//! Children and signals among several things that are waited for at once.

use std::{io::ErrorKind, rc::Rc, time::Duration};

use greenroom::{
    Elapsed, JoinHandle, hub,
    process::{Child, Command, Stdio},
    signal::{Signal, Signals},
    sleep, spawn,
    sync::{Select, channel},
    yield_now,
};
use signal_hook::low_level::raise;

use crate::{
    case::{Case, PLAIN},
    stage::{LONG, assert_refused_in_callback, in_destructor, on_each_backend, open_fds},
};

const MOMENT: Duration = Duration::from_millis(1);

/// A child that ends when its standard input does.
fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
}

fn heard(signals: impl AsRef<[Signal]>) -> Rc<Signals> {
    Rc::new(Signals::new(signals.as_ref()).unwrap())
}

fn send(signal: Signal) {
    raise(signal.as_raw()).unwrap();
}

/// Waits for a signal among other things.
fn selects(signals: &Rc<Signals>) -> JoinHandle<Result<Signal, ErrorKind>> {
    let signals = Rc::clone(signals);
    let selects = spawn(move || {
        let (_sender, receiver) = channel::bounded::<()>(0);
        Select::new()
            .recv(&receiver, |_| unreachable!("nobody sends"))
            .signal(&signals, |signal| signal.map_err(|error| error.kind()))
            .wait()
    });
    yield_now();
    selects
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "select::a_signal_and_the_end_of_a_child_are_chosen_as_they_come",
        play: || {
            on_each_backend(|| {
                let mut child = cat();
                let (stdin, signals) = (child.stdin.take(), heard([Signal::USR1]));
                let tells = spawn(move || {
                    sleep(MOMENT);
                    send(Signal::USR1);
                    sleep(MOMENT);
                    drop(stdin);
                });
                let mut next = || {
                    Select::new()
                        .child(&mut child, |status| Ok(status.unwrap().success()))
                        .signal(&signals, |signal| Err(signal.unwrap()))
                        .wait()
                };
                // An end stays the end.
                assert_eq!([next(), next(), next()], [Err(Signal::USR1), Ok(true), Ok(true)]);
                tells.join().unwrap();
            });
        },
        ..PLAIN
    },
    Case {
        name: "select::what_is_not_chosen_is_left_as_it_was",
        play: || {
            on_each_backend(|| {
                let (mut child, signals) = (cat(), heard([Signal::USR1]));
                let mut fds = None;
                for _ in 0..3 {
                    let none = Select::new()
                        .child(&mut child, |_| "child")
                        .signal(&signals, |_| "signal")
                        .wait_timeout(MOMENT);
                    assert_eq!(none, Err(Elapsed));
                    assert_eq!(hub::stats().listeners, 0);
                    assert_eq!(*fds.get_or_insert_with(open_fds), open_fds());
                }
                send(Signal::USR1);
                child.stdin = None;
                let first = Select::new().biased().signal(&signals, |_| "signal");
                assert_eq!(first.child(&mut child, |_| "child").wait_timeout(LONG), Ok("signal"));
                assert!(child.wait().unwrap().success());
                assert_eq!(signals.try_next(), None);
            });
        },
        ..PLAIN
    },
    Case {
        name: "select::a_signal_that_another_has_heard_ends_no_wait",
        play: || {
            on_each_backend(|| {
                let signals = heard([Signal::USR1, Signal::USR2]);
                let selects = selects(&signals);
                send(Signal::USR1);
                assert_eq!(signals.try_next(), Some(Signal::USR1));
                sleep(MOMENT);
                assert!(!selects.is_finished());
                send(Signal::USR2);
                assert_eq!(selects.join().unwrap(), Ok(Signal::USR2));
            });
        },
        ..PLAIN
    },
    Case {
        name: "select::whoever_is_killed_has_heard_nothing",
        play: || {
            on_each_backend(|| {
                let signals = heard([Signal::USR1]);
                let killed = selects(&signals);
                send(Signal::USR1);
                killed.kill();
                assert!(killed.join().unwrap_err().is_killed());
                assert_eq!(signals.wait().unwrap(), Signal::USR1);
            });
        },
        ..PLAIN
    },
    Case {
        name: "select::a_handle_that_another_waits_with_is_an_error",
        play: || {
            on_each_backend(|| {
                let signals = heard([Signal::USR1]);
                let theirs = Rc::clone(&signals);
                let waits = spawn(move || theirs.wait().unwrap());
                yield_now();
                assert_eq!(selects(&signals).join().unwrap(), Err(ErrorKind::ResourceBusy));
                send(Signal::USR1);
                assert_eq!(waits.join().unwrap(), Signal::USR1);
            });
        },
        ..PLAIN
    },
    Case {
        name: "select::where_nothing_waits_only_what_is_there_can_be_had",
        play: || {
            on_each_backend(|| {
                let signals = heard([Signal::USR1]);
                let theirs = Rc::clone(&signals);
                assert_refused_in_callback(move || {
                    Select::new().signal(&theirs, |signal| signal.unwrap()).wait()
                });
                let theirs = Rc::clone(&signals);
                let late = in_destructor(move || {
                    Select::new().signal(&theirs, |signal| signal.unwrap()).wait_timeout(LONG)
                });
                assert_eq!(late, Err(Elapsed));
                send(Signal::USR1);
                let there = in_destructor(move || {
                    Select::new().signal(&signals, |signal| signal.unwrap()).wait()
                });
                assert_eq!(there, Signal::USR1);
            });
        },
        ..PLAIN
    },
];
