//! The steps of `cargo xtask test`, as data.
//!
//! Says what is run and in which order: what needs no test run comes first. Never runs anything.

use crate::{Step, guests, invocation::Invocation, step::Work, tidy, workspace::Workspace};

pub(crate) fn test(workspace: &Workspace) -> Result<Vec<Step>, String> {
    Ok(vec![
        cargo("fmt", "the formatter has nothing to change", "fmt --all --check"),
        cargo(
            "clippy",
            "no lint of rustc or clippy speaks up",
            "clippy --workspace -- -D warnings",
        ),
        clippy_testing(workspace)?,
        Step { name: "tidy", what: "the rules of STYLE.md", work: Work::Here(tidy::run) },
        counted(
            "tests",
            "unit and integration tests",
            "test --workspace --exclude greenroom-examples --exclude greenroom-guests --tests --examples",
        ),
        counted(
            "doctests",
            "the examples of the documentation",
            "test --workspace --exclude greenroom-guests --doc",
        ),
        counted(
            "release",
            "green threads and fibers once more, optimised",
            "test --release -p greenroom -p greenroom-fiber --tests",
        ),
        counted("examples", "the example programs, each by its test", "test -p greenroom-examples"),
        Step {
            name: "guests",
            what: "crates and C programs of others on green threads, with real servers",
            work: Work::Here(guests::run),
        },
        loom(workspace),
        docs(),
    ])
}

/// Loom explores interleavings, so it replaces the atomics: another cfg, another target folder.
pub(crate) fn loom(workspace: &Workspace) -> Step {
    let work = Invocation::cargo("test -p greenroom-hub -p greenroom --release --test loom")
        .flags("--cfg loom", &workspace.target_dir("loom"))
        .counted();
    Step {
        name: "loom",
        what: "every interleaving of what OS threads share",
        work: Work::Command(work),
    }
}

/// Tests switch the simulated world on even where their crate does not, so the step before lints
/// what users get, and this one the rest. Features are listed, not `--all-features`: some of them
/// need compiler flags of their own.
fn clippy_testing(workspace: &Workspace) -> Result<Step, String> {
    let features = workspace.with_feature("testing")?;
    if features.is_empty() {
        return Err("no crate has a feature `testing`: was it renamed?".into());
    }
    let work = Invocation::cargo("clippy --workspace --all-targets --features").args(&[
        features.join(","),
        "--".to_owned(),
        "-D".to_owned(),
        "warnings".to_owned(),
    ]);
    Ok(Step {
        name: "clippy-testing",
        what: "the same for tests and all, the simulated world built in",
        work: Work::Command(work),
    })
}

fn docs() -> Step {
    let work = Invocation::cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings");
    Step { name: "docs", what: "documentation without a warning", work: Work::Command(work) }
}

fn cargo(name: &'static str, what: &'static str, arguments: &str) -> Step {
    Step { name, what, work: Work::Command(Invocation::cargo(arguments)) }
}

fn counted(name: &'static str, what: &'static str, arguments: &str) -> Step {
    Step { name, what, work: Work::Command(Invocation::cargo(arguments).counted()) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn step_names_are_words_of_their_own() {
        let workspace = Workspace::find().expect("the tests run inside the workspace");
        let steps = test(&workspace).expect("the hub has a feature `testing`");
        let names: HashSet<&str> = steps.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), steps.len());
        assert!(names.iter().all(|name| !name.starts_with('-') && !name.contains(' ')));
    }
}
