//! AddressSanitizer over the crates that switch stacks.
//!
//! A sanitizer that is not there finds nothing and looks like success. So the run starts with two
//! proofs: a program with a known fault must be caught, and every test binary must be instrumented.
//! Never judges the tests themselves.

use std::{fs, path::PathBuf, process::Command};

use crate::{Step, invocation::Invocation, step::Work, tally::Tally, workspace::Workspace};

const FLAGS: &str = "-Zsanitizer=address";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Fake stack frames outlive a switch of stacks, and a leak checker takes for lost whatever only a
/// suspended fiber's stack refers to: both would report faults that are none.
const OPTIONS: &str = "detect_stack_use_after_return=0:detect_leaks=0";

/// The constructor the compiler adds to each instrumented object file.
const INSTRUMENTED: &[u8] = b"asan.module_ctor";

const FAULT: &str = "AddressSanitizer: heap-buffer-overflow";

/// Reads one byte past a heap block. `black_box` hides the fault from the compiler.
const PROBE: &str = "//! Faulty on purpose: the sanitizer must catch it.
fn main() {
    let bytes = vec![0u8; 8];
    let past = std::hint::black_box(bytes.len());
    // SAFETY: none; this is the fault.
    println!(\"{}\", unsafe { *bytes.as_ptr().add(past) });
}
";

pub(crate) fn plan(workspace: &Workspace) -> Vec<Step> {
    vec![
        Step { name: "probe", what: "a known heap overflow is caught", work: Work::Here(probe) },
        Step {
            name: "instrumented",
            what: "every test binary is built with the sanitizer",
            work: Work::Here(instrumented),
        },
        Step {
            name: "tests",
            what: "fibers and green threads under the sanitizer",
            work: Work::Command(tests("", workspace).counted()),
        },
    ]
}

fn tests(more: &str, workspace: &Workspace) -> Invocation {
    let packages = "-p greenroom-fiber -p greenroom --features greenroom-fiber/sanitizer";
    let command = Invocation::cargo(&format!("test --target {TARGET} {packages} --tests {more}"));
    under_sanitizer(command, workspace).env("ASAN_OPTIONS", OPTIONS)
}

/// The sanitizers ship with the stable compiler but are switched on by an unstable flag.
fn under_sanitizer(command: Invocation, workspace: &Workspace) -> Invocation {
    command.env("RUSTC_BOOTSTRAP", "1").flags(FLAGS, &workspace.target_dir("asan"))
}

fn probe(workspace: &Workspace) -> Result<Tally, String> {
    let folder = workspace.target_dir("asan").join("probe");
    let (source, program) = (folder.join("overflow.rs"), folder.join("overflow"));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&source, PROBE))
        .map_err(|error| format!("cannot write {}: {error}", source.display()))?;
    let compile = Invocation::rustc(&format!("--edition 2024 {FLAGS} --target {TARGET}"))
        .arg_path("-o", &program)
        .args(&[source.display().to_string()])
        .env("RUSTC_BOOTSTRAP", "1");
    println!("   {}", compile.shown());
    compile.run(workspace)?;
    let output = Command::new(&program)
        .env("ASAN_OPTIONS", OPTIONS)
        .output()
        .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    let report = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !report.contains(FAULT) {
        return Err(format!("the sanitizer missed a heap overflow; the probe said:\n{report}"));
    }
    println!("   caught: {FAULT}");
    Ok(Tally::default())
}

fn instrumented(workspace: &Workspace) -> Result<Tally, String> {
    let build = tests("--no-run", workspace).env("CARGO_TERM_COLOR", "never");
    println!("   {}", build.shown());
    let binaries = executables(&build.captured(workspace)?);
    if binaries.is_empty() {
        return Err("cargo named no test binary: is `--no-run` printed differently now?".into());
    }
    for binary in &binaries {
        let path = workspace.root().join(binary);
        let bytes =
            fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        if !bytes.windows(INSTRUMENTED.len()).any(|window| window == INSTRUMENTED) {
            return Err(format!("{} was built without the sanitizer", path.display()));
        }
    }
    println!("   {} test binaries, all instrumented", binaries.len());
    Ok(Tally::default())
}

/// The paths in lines such as `Executable unittests src/lib.rs (target/debug/deps/x-0123)`.
fn executables(output: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let (_, path) = line.trim().strip_prefix("Executable ")?.rsplit_once('(')?;
        Some(PathBuf::from(path.strip_suffix(')')?))
    };
    output.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_names_the_binaries_it_built() {
        let output = "   Compiling a v0.1.0\n  Executable unittests src/lib.rs (target/deps/a-1)\n";
        assert_eq!(executables(output), [PathBuf::from("target/deps/a-1")]);
        assert!(executables("    Finished `test` profile").is_empty());
    }

    #[test]
    fn the_probe_and_the_tests_share_their_flags() {
        let workspace = Workspace::find().expect("the tests run inside the workspace");
        let shown = tests("", &workspace).shown();
        assert!(shown.contains(&format!("RUSTFLAGS={FLAGS} ")), "{shown}");
        assert!(shown.contains("greenroom-fiber/sanitizer"), "{shown}");
    }
}
