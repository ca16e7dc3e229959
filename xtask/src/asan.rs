//! AddressSanitizer over the crates that switch stacks.
//!
//! The sanitizer puts functions of its own in front of libc's, and so does the patch. In one program the patch's
//! win, for theirs are weak, and the *next* function is libc's. So what those calls read and write is not
//! checked in a program with the patch; all else is.
//!
//! A sanitizer that is not there finds nothing and looks like success. So the run starts with three
//! proofs: a program with a known fault must be caught, one with the patch as well, and every test binary must
//! be instrumented.
//! Never judges the tests themselves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Step, invocation::Invocation, step::Work, tally::Tally, workspace::Workspace};

const FLAGS: &str = "-Zsanitizer=address";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Fake stack frames outlive a switch of stacks, and a leak checker takes for lost whatever only a
/// suspended fiber's stack refers to: both would report faults that are none.
const OPTIONS: &str = "detect_stack_use_after_return=0:detect_leaks=0";

/// The constructor the compiler adds to each instrumented object file.
const INSTRUMENTED: &[u8] = b"asan.module_ctor";

const CRATES: [&str; 3] = ["greenroom-fiber", "greenroom", "greenroom-patch"];

/// Tests that say nothing here, and why.
const LEFT_OUT: [(&str, &str); 2] = [
    (
        "calls",
        "compares the names that a program defines with a table; the sanitizer defines hundreds",
    ),
    ("builds", "has programs built of its own, without the sanitizer"),
];

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

pub(crate) fn plan(workspace: &Workspace) -> Result<Vec<Step>, String> {
    Ok(vec![
        Step { name: "probe", what: "a known heap overflow is caught", work: Work::Here(probe) },
        Step {
            name: "probe-patch",
            what: "one more, on a green thread of a program with the patch",
            work: Work::Here(probe_patch),
        },
        Step {
            name: "instrumented",
            what: "every test binary is built with the sanitizer",
            work: Work::Here(instrumented),
        },
        Step {
            name: "tests",
            what: "fibers, green threads and the patch under the sanitizer",
            work: Work::Command(tests("", workspace)?.counted()),
        },
    ])
}

fn tests(more: &str, workspace: &Workspace) -> Result<Invocation, String> {
    let mut names = Vec::new();
    for name in CRATES {
        let folder = workspace.root().join("crates").join(name).join("tests");
        names.extend(test_names(&folder)?);
    }
    for (name, _) in LEFT_OUT {
        if !names.iter().any(|known| known == name) {
            return Err(format!("there is no test `{name}` to leave out: was it renamed?"));
        }
    }
    names.retain(|name| LEFT_OUT.iter().all(|(left_out, _)| name != left_out));
    names.sort();
    names.dedup();
    let tests: Vec<String> = names.into_iter().flat_map(|name| ["--test".into(), name]).collect();
    let more: Vec<String> = more.split_whitespace().map(str::to_owned).collect();
    let command = cargo("test --lib").args(&tests).args(&more);
    Ok(under_sanitizer(command, workspace).env("ASAN_OPTIONS", OPTIONS))
}

/// Where cargo looks for them: a file each, or a folder with a `main.rs`.
fn test_names(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder)
        .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let name = |path: PathBuf| {
        let is_test =
            path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").is_file();
        is_test.then(|| path.file_stem().map(|stem| stem.display().to_string()))?
    };
    Ok(entries.flatten().filter_map(|entry| name(entry.path())).collect())
}

/// All crates at once, whatever is built: so they are built once.
fn cargo(command: &str) -> Invocation {
    let crates: Vec<String> = CRATES.iter().map(|name| format!("-p {name}")).collect();
    let features = "--features greenroom-fiber/sanitizer";
    Invocation::cargo(&format!("{command} --target {TARGET} {} {features}", crates.join(" ")))
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
    catches(&program)
}

fn probe_patch(workspace: &Workspace) -> Result<Tally, String> {
    let build = under_sanitizer(cargo("build --example fault"), workspace);
    println!("   {}", build.shown());
    build.run(workspace)?;
    let folder = workspace.target_dir("asan").join(TARGET).join("debug/examples");
    catches(&folder.join("fault"))
}

/// Runs a program with a known fault.
fn catches(program: &Path) -> Result<Tally, String> {
    let output = Command::new(program)
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
    let build = tests("--no-run", workspace)?.env("CARGO_TERM_COLOR", "never");
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
    for (name, why) in LEFT_OUT {
        println!("   left out: `{name}`, which {why}");
    }
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
        let shown = tests("", &workspace).expect("the tests are where they were").shown();
        assert!(shown.contains(&format!("RUSTFLAGS={FLAGS} ")), "{shown}");
        assert!(shown.contains("greenroom-fiber/sanitizer"), "{shown}");
        assert!(shown.contains("--test seeded") && shown.contains("--test core"), "{shown}");
        assert!(!shown.contains("--test calls"), "{shown}");
    }
}
