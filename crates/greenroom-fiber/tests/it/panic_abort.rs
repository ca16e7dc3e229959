//! A program built with `panic=abort` cannot unwind a fiber: it says so, and which one.
//!
//! The panic strategy belongs to a whole build, so this builds an example a second time.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

/// Builds and runs the example with `panic=abort`.
fn run() -> Output {
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panic_abort");
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "greenroom-fiber"])
        .args(["--example", "dropped_while_suspended"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .args(["--config", "profile.dev.panic='abort'"])
        .arg("--target-dir")
        .arg(&target_dir)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .status()
        .unwrap();
    assert!(build.success());
    Command::new(target_dir.join("debug/examples/dropped_while_suspended")).output().unwrap()
}

#[test]
fn a_suspended_fiber_that_is_dropped_aborts_and_is_named() {
    let output = run();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{stderr}");
    assert!(stderr.contains("greenroom: green thread \"host\" (id 7) was dropped"), "{stderr}");
    assert!(stderr.contains("panic=abort"), "{stderr}");
    assert!(output.stdout.is_empty());
}
