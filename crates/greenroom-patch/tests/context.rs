//! Runtimes of tokio's, several at a time on one OS thread, each on a green thread.

use std::{cell::Cell, env, fs, path::PathBuf, process::Command, rc::Rc, thread, time::Duration};

use greenroom::{JoinHandle, spawn};
use greenroom_patch as _;
use tokio::runtime::{Builder, Handle, Runtime};

const RUNTIMES: usize = 50;
const ROUNDS: usize = 5;
const WAIT: Duration = Duration::from_millis(2);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Blocks on futures in which ordinary blocking code waits, and notes how many do so at once.
fn block_on(at_once: &Rc<Cell<usize>>, most: &Rc<Cell<usize>>) -> JoinHandle<()> {
    let (at_once, most) = (Rc::clone(at_once), Rc::clone(most));
    spawn(move || {
        let runtime = runtime();
        for _ in 0..ROUNDS {
            runtime.block_on(async {
                let id = Handle::current().id();
                at_once.set(at_once.get() + 1);
                most.set(most.get().max(at_once.get()));
                thread::sleep(WAIT);
                at_once.set(at_once.get() - 1);
                assert_eq!(Handle::current().id(), id, "each is in its own runtime");
            });
            assert!(Handle::try_current().is_err(), "outside there is none");
            thread::sleep(WAIT);
        }
    })
}

#[test]
fn each_green_thread_has_the_runtime_it_has_entered() {
    let (at_once, most) = (Rc::default(), Rc::default());
    let threads: Vec<_> = (0..RUNTIMES).map(|_| block_on(&at_once, &most)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(most.get() > 1, "{} at once", most.get());
    assert!(Handle::try_current().is_err(), "the root is in none");
    runtime().block_on(async { tokio::task::yield_now().await });
}

#[test]
fn a_runtime_that_the_root_has_entered_is_kept_for_it_while_others_enter_theirs() {
    let outer = runtime();
    let others_run = || {
        let id = Handle::current().id();
        let (at_once, most) = (Rc::default(), Rc::default());
        let threads: Vec<_> = (0..RUNTIMES).map(|_| block_on(&at_once, &most)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        greenroom::yield_now();
        assert!(most.get() > 1, "{} at once", most.get());
        assert_eq!(Handle::current().id(), id);
    };
    outer.block_on(async { others_run() });
    let entered = outer.enter();
    others_run();
    drop(entered);
    assert!(Handle::try_current().is_err());
}

#[test]
fn green_threads_on_an_os_thread_of_a_runtime_s_leave_it_as_it_was() {
    let outer = runtime();
    let inner = move || {
        let (at_once, most) = (Rc::default(), Rc::default());
        let threads: Vec<_> = (0..RUNTIMES).map(|_| block_on(&at_once, &most)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        Handle::current().id()
    };
    let id = outer.block_on(async { tokio::task::spawn_blocking(inner).await.unwrap() });
    assert_eq!(id, outer.handle().id());
}

/// A future that calls greenroom by name has no need to block on it: a wait of greenroom's own would pay for that each
/// time.
#[test]
fn a_green_thread_s_own_wait_in_a_runtime_leaves_the_runtime_to_its_siblings() {
    let waits = spawn(|| runtime().block_on(async { greenroom::yield_now() }));
    let refused = spawn(|| runtime().block_on(async {}));
    waits.join().unwrap();
    let error = refused.join().expect_err("a sibling is in one");
    assert!(error.to_string().contains(REFUSED), "{error}");
}

#[test]
fn one_that_is_killed_leaves_the_others_theirs() {
    let (at_once, most) = (Rc::default(), Rc::default());
    let others: Vec<_> = (0..10).map(|_| block_on(&at_once, &most)).collect();
    let victim = spawn(|| {
        runtime().block_on(async {
            thread::sleep(Duration::from_secs(3600));
            greenroom::yield_now();
        });
    });
    greenroom::sleep(WAIT);
    victim.kill();
    assert!(victim.join().unwrap_err().is_killed());
    others.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(Handle::try_current().is_err());
}

/// This program, stripped in such a way; gone when it is dropped.
struct Stripped(PathBuf);

impl Stripped {
    fn by(how: &str) -> Stripped {
        let name = format!("greenroom-context{how}-{}", std::process::id());
        let program = Stripped(env::temp_dir().join(name));
        let strip = Command::new("strip")
            .arg(how)
            .arg("-o")
            .args([&program.0, &env::current_exe().unwrap()])
            .status();
        assert!(strip.expect("strip comes with the linker").success());
        program
    }

    /// Whether a test goes well, and what is said on standard error.
    fn run(&self, test: &str) -> (bool, String) {
        let output = Command::new(&self.0).args(["--exact", test, "--nocapture"]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Stripped {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_program_needs_its_table_of_symbols_for_that_and_no_debug_information() {
    let many = "each_green_thread_has_the_runtime_it_has_entered";
    let stripped = Stripped::by("--strip-debug");
    assert_eq!(stripped.run(many), (true, String::new()));
    let stripped = Stripped::by("--strip-all");
    let (goes_well, said) = stripped.run(many);
    assert!(!goes_well && said.contains(REFUSED), "there is one variable for all: {said}");
    let (goes_well, said) = stripped.run("an_event_loop_on_a_green_thread");
    assert!(goes_well && said.matches(HINT).count() == 1, "{said}");
    assert_eq!(stripped.run("an_event_loop_on_an_os_thread"), (true, String::new()));
}

const REFUSED: &str = "Cannot start a runtime from within a runtime";
const HINT: &str = "greenroom: this program was stripped of its table of symbols, so each OS thread can run one \
    runtime of tokio's at a time; on green threads the next one panics with \"Cannot start a runtime from within a \
    runtime\". Build it with strip = \"debuginfo\"\n";

fn sleep_twice() {
    for _ in 0..2 {
        runtime().block_on(async { tokio::time::sleep(WAIT).await });
    }
}

#[test]
fn an_event_loop_on_a_green_thread() {
    spawn(sleep_twice).join().unwrap();
}

#[test]
fn an_event_loop_on_an_os_thread() {
    sleep_twice();
}
