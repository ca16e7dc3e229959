//! Who else runs while a call is made on a green thread: others where the documents say that it lets them, and
//! nobody elsewhere. And what the first wait of a hub leaves in `errno`.
//!
//! Each test has a process of its own, for some calls wait for any child there is, and others use the standard files.

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use greenroom::{spawn, yield_now};

use crate::{
    alone::{self, alone},
    c_programs::{Row, Table, scribble},
    stage::nap,
};

/// Hubs that have their first wait at once.
const HUBS: usize = 4;

/// So long the end of a wait is held back for a sibling to have run.
const SIBLING_MAX: Duration = Duration::from_secs(2);

/// What one call did.
#[derive(Debug, PartialEq)]
struct Played {
    answer: Result<(), &'static str>,
    /// Turns that a sibling had meanwhile.
    turns: u32,
}

/// Makes a call on a green thread of a fresh hub on a fresh OS thread, as the first thing there that may wait.
/// It is ended when a sibling has run meanwhile, or can be expected never to run.
fn play(row: Row, turns_awaited: bool, together: &Arc<Barrier>) -> Played {
    let together = Arc::clone(together);
    let caller = thread::spawn(move || {
        let scene = Arc::new(row.set_up());
        let turns = Arc::new(AtomicU32::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let call = spawn({
            let (scene, turns, is_over) =
                (Arc::clone(&scene), Arc::clone(&turns), Arc::clone(&is_over));
            move || {
                together.wait();
                let before = turns.load(Ordering::SeqCst);
                let answer = scene.call();
                let turns = turns.load(Ordering::SeqCst) - before;
                is_over.store(true, Ordering::SeqCst);
                Played { answer, turns }
            }
        });
        let sibling = spawn({
            let (turns, is_over) = (Arc::clone(&turns), Arc::clone(&is_over));
            move || {
                while !is_over.load(Ordering::SeqCst) {
                    turns.fetch_add(1, Ordering::SeqCst);
                    scribble();
                    yield_now();
                }
            }
        });
        let ends = thread::spawn({
            let scene = Arc::clone(&scene);
            move || {
                let begin = Instant::now();
                // Where any child will do, another's may have ended the call before it had to wait.
                let is_due = || {
                    turns.load(Ordering::SeqCst) > 0
                        || is_over.load(Ordering::SeqCst)
                        || begin.elapsed() > SIBLING_MAX
                };
                while turns_awaited && !is_due() {
                    thread::sleep(Duration::from_micros(200));
                }
                if !turns_awaited {
                    nap();
                }
                scene.end();
            }
        });
        let played = call.join().expect("no panic");
        sibling.join().expect("no panic");
        ends.join().expect("no panic");
        played
    });
    caller.join().expect("no panic")
}

fn nobody() -> Arc<Barrier> {
    Arc::new(Barrier::new(1))
}

/// The names in a part of the table of calls.
fn names(part: &str) -> BTreeSet<String> {
    let table = include_str!("../../CALLS.md");
    let (_, part) = table.split_once(part).expect("the heading of the part");
    let part = part.split("\n## ").next().expect("a part has a text");
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    let firsts = rows.filter_map(|row| row.split('|').nth(1));
    firsts.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn while_a_call_of_the_table_waits_a_sibling_runs() {
    alone("waits::while_a_call_of_the_table_waits_a_sibling_runs", || {
        let rows = Table::Waits.rows();
        let played: BTreeSet<_> = rows.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(played, names("## Calls that let other green threads run"));
        for (name, row) in rows {
            let Played { answer, turns } = play(row, true, &nobody());
            assert_eq!(answer, Ok(()), "{name}");
            assert!(turns > 0, "{name}: nobody ran meanwhile");
        }
    });
}

#[test]
fn while_a_call_passes_through_no_sibling_runs() {
    alone("waits::while_a_call_passes_through_no_sibling_runs", || {
        for (name, row) in Table::Passes.rows() {
            let played = play(row, false, &nobody());
            assert_eq!(played, Played { answer: Ok(()), turns: 0 }, "{name}");
        }
    });
}

/// A hub makes what it needs at its first wait, and several that do so at once may have to wait for each other's locks.
/// Here they do so by each call; `closing.rs` has some thousand races of one.
#[test]
fn the_first_wait_of_a_hub_leaves_errno_alone_whatever_the_call_is() {
    alone("waits::the_first_wait_of_a_hub_leaves_errno_alone_whatever_the_call_is", || {
        for (name, row) in Table::Waits.rows() {
            // Of those that sleep for a second there are enough in one.
            let rounds = if name == "sleep" { 1 } else { 12 };
            for _ in 0..rounds {
                let together = Arc::new(Barrier::new(HUBS));
                let hubs = [(); HUBS].map(|()| {
                    let together = Arc::clone(&together);
                    thread::spawn(move || play(row, true, &together).answer)
                });
                for hub in hubs {
                    assert_eq!(hub.join().expect("no panic"), Ok(()), "{name}");
                }
            }
        }
    });
}

/// By design: to have the kernel look first would cost each call a system call.
#[test]
fn what_is_not_there_is_refused_to_os_threads_and_a_fault_on_green_threads() {
    let test = "waits::what_is_not_there_is_refused_to_os_threads_and_a_fault_on_green_threads";
    let rows = Table::Faults.rows();
    if let Some(name) = alone::part() {
        let (_, row) = rows.into_iter().find(|(row, _)| *row == name).expect("a row");
        let _ = spawn(move || row.set_up().call()).join();
        return;
    }
    for (name, row) in rows {
        assert_ne!(row.set_up().call(), Err("the answer is another"), "{name}");
        let (status, output) = alone::process(test, &name);
        // A sanitizer handles the signal, and ends the process in another way.
        let is_fault = status.signal() == Some(libc::SIGSEGV)
            || output.contains("AddressSanitizer: SEGV on unknown address");
        assert!(is_fault, "{name}: {output}");
    }
}
