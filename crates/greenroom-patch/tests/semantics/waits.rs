//! Who else runs while a call is made on a green thread: others where the documents say that it lets them, and
//! nobody elsewhere. And what the first wait of a hub leaves in `errno`.
//!
//! Each test has a process of its own, for some calls wait for any child there is, and others use the standard files.

use std::{
    cell::Cell,
    collections::BTreeSet,
    env,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
    rc::Rc,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use greenroom::{spawn, yield_now};

use crate::{
    c_programs::{Row, Table, scribble},
    stage::nap,
};

/// What a process of its own is told by its environment.
const ALONE: &str = "GREENROOM_ALONE";

/// Hubs that have their first wait at once.
const HUBS: usize = 4;

/// So long the end of a wait is held back for a sibling to have run.
const SIBLING_MAX: Duration = Duration::from_secs(2);

/// Runs this test, or a part of it, in a process of its own.
fn in_a_process(test: &str, part: &str) -> (ExitStatus, String) {
    let output = Command::new(env::current_exe().expect("it is running"))
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, part)
        .output()
        .expect("it can be started again");
    (output.status, format!("{output:#?}"))
}

fn alone(test: &str, play: fn()) {
    if env::var_os(ALONE).is_some() {
        return play();
    }
    let (status, output) = in_a_process(test, "all");
    assert!(status.success(), "{output}");
    assert!(output.contains("1 passed"), "{output}");
}

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
        let is_over = Rc::new(Cell::new(false));
        let call = spawn({
            let (scene, turns, is_over) =
                (Arc::clone(&scene), Arc::clone(&turns), Rc::clone(&is_over));
            move || {
                together.wait();
                let before = turns.load(Ordering::SeqCst);
                let answer = scene.call();
                let turns = turns.load(Ordering::SeqCst) - before;
                is_over.set(true);
                Played { answer, turns }
            }
        });
        let sibling = spawn({
            let turns = Arc::clone(&turns);
            move || {
                while !is_over.get() {
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
                while turns_awaited
                    && turns.load(Ordering::SeqCst) == 0
                    && begin.elapsed() < SIBLING_MAX
                {
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

/// A hub's first wait makes what it needs, and hubs that hear of closed fds know each other, by a lock whose system
/// call fails in one of some thousand races.
#[test]
fn the_first_waits_of_many_hubs_at_once_leave_errno_alone() {
    alone("waits::the_first_waits_of_many_hubs_at_once_leave_errno_alone", || {
        for (name, row) in Table::Waits.rows() {
            let rounds = match name.as_str() {
                "sleep" => 1,
                "recv" => 300,
                _ => 10,
            };
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
    if let Ok(name) = env::var(ALONE) {
        let (_, row) = rows.into_iter().find(|(row, _)| *row == name).expect("a row");
        let _ = spawn(move || row.set_up().call()).join();
        return;
    }
    for (name, row) in rows {
        assert_ne!(row.set_up().call(), Err("the answer is another"), "{name}");
        let (status, output) = in_a_process(test, &name);
        assert_eq!(status.signal(), Some(libc::SIGSEGV), "{name}: {output}");
    }
}
