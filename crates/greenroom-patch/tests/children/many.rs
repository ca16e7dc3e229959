//! Many waits at once: they overlap, on one OS thread, and others run meanwhile.

use std::{
    cell::Cell,
    collections::BTreeSet,
    process::Command,
    rc::Rc,
    time::{Duration, Instant},
};

use greenroom::{JoinHandle, spawn, yield_now};

use crate::{
    case::{Case, PLAIN},
    kernel::{child_after, child_for_ever, nap, send, wait, waitpid},
};

const CHILD_MS: u64 = 100;

/// Runs `play` on a green thread; how often another one had its turn meanwhile.
fn turns_during<T: 'static>(play: impl FnOnce() -> T + 'static) -> (T, u32) {
    let turns = Rc::new(Cell::new(0));
    let counted = Rc::clone(&turns);
    let ticker = spawn(move || {
        loop {
            counted.set(counted.get() + 1);
            nap(1);
            yield_now();
        }
    });
    let played = spawn(play).join().unwrap();
    ticker.kill();
    drop(ticker);
    (played, turns.get())
}

/// Waits that go on at once, and how long they took.
fn all<T: 'static>(threads: Vec<JoinHandle<T>>) -> (Vec<T>, Duration) {
    let begin = Instant::now();
    let all = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    (all, begin.elapsed())
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "many::fifty_children_are_waited_for_at_once",
        play: || {
            let waiters = (0..50).map(|code| {
                let pid = child_after(CHILD_MS, code);
                spawn(move || waitpid(pid, 0).of(pid).status)
            });
            let (codes, time) = all(waiters.collect());
            assert_eq!(codes, (0..50).map(|code| code << 8).collect::<Vec<_>>());
            assert!(time < Duration::from_millis(CHILD_MS * 50 / 2), "{time:?}");
        },
        ..PLAIN
    },
    Case {
        name: "many::waits_for_any_child_each_get_another",
        play: || {
            let pids: BTreeSet<_> = (0..20).map(|code| child_after(CHILD_MS, code)).collect();
            let waiters = (0..20).map(|_| spawn(|| wait().answer));
            let (reaped, time) = all(waiters.collect());
            assert_eq!(reaped.into_iter().collect::<BTreeSet<_>>(), pids);
            assert!(time < Duration::from_millis(CHILD_MS * 20 / 2), "{time:?}");
            assert_eq!(wait().errno, libc::ECHILD);
        },
        ..PLAIN
    },
    Case {
        name: "many::others_run_while_one_child_or_any_is_waited_for",
        play: || {
            for any in [false, true] {
                let (ended, turns) = turns_during(move || {
                    let pid = child_after(CHILD_MS, 7);
                    waitpid(if any { -1 } else { pid }, 0).of(pid)
                });
                assert_eq!(ended.status, 7 << 8);
                assert!(turns > 5, "{turns} turns");
            }
        },
        ..PLAIN
    },
    Case {
        name: "many::more_waits_for_any_child_than_there_are_helpers_still_end",
        play: || {
            let child = child_for_ever();
            // Each leaves a helper behind that waits until something becomes of a child.
            let killed = (0..100).map(|_| spawn(|| wait().errno)).collect::<Vec<_>>();
            yield_now();
            assert!(killed.iter().all(JoinHandle::kill));
            for killed in killed {
                assert_eq!(killed.join().unwrap(), libc::ECANCELED);
            }
            // Those of `offload` are not kept from their work.
            assert_eq!(greenroom::offload(|| 7), 7);
            let (ended, turns) = turns_during(move || {
                let pid = child_after(CHILD_MS, 7);
                wait().of(pid)
            });
            assert_eq!(ended.status, 7 << 8);
            assert!(turns > 5, "{turns} turns");
            send(child, libc::SIGKILL);
            assert_eq!(waitpid(child, 0).of(child).status, libc::SIGKILL);
        },
        ..PLAIN
    },
    Case {
        name: "many::commands_of_std_overlap",
        play: || {
            let commands = (0..10).map(|code| {
                spawn(move || {
                    let script = format!("sleep 0.3; exit {code}");
                    Command::new("sh").args(["-c", &script]).status().unwrap().code()
                })
            });
            let (codes, time) = all(commands.collect());
            assert_eq!(codes, (0..10).map(Some).collect::<Vec<_>>());
            assert!(time < Duration::from_millis(1500), "{time:?}");
        },
        ..PLAIN
    },
    Case {
        name: "many::what_commands_of_std_say_is_read_to_the_end",
        play: || {
            let commands = (0..10).map(|n| {
                spawn(move || {
                    let script = format!("echo {n}; echo {n}{n} >&2; exit {n}");
                    Command::new("sh").args(["-c", &script]).output().unwrap()
                })
            });
            for (n, output) in all(commands.collect()).0.into_iter().enumerate() {
                assert_eq!(output.status.code(), Some(n as i32));
                assert_eq!(output.stdout, format!("{n}\n").as_bytes());
                assert_eq!(output.stderr, format!("{n}{n}\n").as_bytes());
            }
        },
        ..PLAIN
    },
];
