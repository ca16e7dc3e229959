//! A program built with `panic=abort` cannot unwind a green thread: it says so, and names it. All
//! else works as ever.
//!
//! The panic strategy belongs to a whole build, so this builds an example a second time, in a
//! folder of its own.

use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// Builds the example, the first time that it is asked for.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panic_abort");
        let build = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--offline", "--package", "greenroom"])
            .args(["--example", "left_behind", "--config", "profile.dev.panic='abort'"])
            .arg("--manifest-path")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target_dir)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .status()
            .unwrap();
        assert!(build.success(), "the example cannot be built: {build}");
        target_dir.join("debug/examples/left_behind")
    })
}

fn run(argument: &str) -> Output {
    Command::new(program()).arg(argument).output().unwrap()
}

/// The program did what it was asked to, and said so.
#[track_caller]
fn assert_fine(argument: &str, says: &str) {
    let output = run(argument);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), says);
}

#[track_caller]
fn assert_refused(argument: &str) {
    let output = run(argument);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    assert!(stderr.contains("greenroom: green thread \"stays\" (1) is alive while"), "{stderr}");
    assert!(stderr.contains("under panic=abort its stack cannot be unwound"), "{stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn one_that_is_alive_at_the_end_of_its_os_thread_is_refused() {
    assert_refused("os-thread");
}

#[test]
fn one_that_is_alive_when_its_hub_is_aborted_is_refused() {
    assert_refused("abort");
}

#[test]
fn killing_one_that_has_started_and_limiting_time_are_refused() {
    for (argument, what) in [("kill", "killing"), ("timeout", "a timeout")] {
        let output = run(argument);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
        let refusal =
            format!("{what} unwinds a green thread, and this program was built with panic");
        assert!(stderr.contains(&refusal), "{stderr}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn one_that_has_not_started_is_stopped_as_ever() {
    let was =
        |how| format!("the guest has left\nthe green thread was {how} it started\nmain returns\n");
    assert_fine("kill-unborn", &was("killed before"));
    assert_fine("cancel", &was("cancelled before"));
}

#[test]
fn a_scope_whose_threads_return_ends_as_ever() {
    assert_fine("scope", "main returns\n");
}

#[test]
fn one_that_never_ran_needs_no_unwinding() {
    assert_fine("unborn", "the guest has left\nmain returns\n");
}

#[test]
fn threads_that_return_are_joined_as_ever() {
    assert_fine("joined", "main returns\n");
}

#[test]
fn main_returns_as_ever() {
    assert_fine("main", "main returns\n");
}
