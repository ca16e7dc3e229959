//! One command line: how it is shown, run and counted.
//!
//! Passes a program's output through as it comes. Never knows which chore it serves.

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use crate::{tally::Tally, workspace::Workspace};

/// A program with its arguments and environment.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    program: OsString,
    name: &'static str,
    args: Vec<String>,
    env: Vec<(&'static str, String)>,
    counts: Counts,
}

/// What is expected of the tests a command runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Counts {
    /// It runs no tests: its output is not read.
    Nothing,
    /// It runs tests, and a run of none is a failure.
    AtLeastOne,
}

impl Invocation {
    /// The cargo that runs us, or the one on the path. The arguments are split at spaces.
    pub(crate) fn cargo(arguments: &str) -> Invocation {
        Invocation::new("CARGO", "cargo", arguments)
    }

    /// The compiler itself, for what cargo has no part in.
    pub(crate) fn rustc(arguments: &str) -> Invocation {
        Invocation::new("RUSTC", "rustc", arguments)
    }

    fn new(variable: &str, name: &'static str, arguments: &str) -> Invocation {
        Invocation {
            program: env::var_os(variable).unwrap_or_else(|| name.into()),
            name,
            args: arguments.split_whitespace().map(str::to_owned).collect(),
            env: Vec::new(),
            counts: Counts::Nothing,
        }
    }

    pub(crate) fn args(mut self, more: &[String]) -> Invocation {
        self.args.extend_from_slice(more);
        self
    }

    pub(crate) fn arg_path(mut self, option: &str, path: &Path) -> Invocation {
        self.args.push(option.to_owned());
        self.args.push(path.display().to_string());
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Invocation {
        self.env.push((name, value.into()));
        self
    }

    /// Builds with these compiler flags in a target folder of their own.
    pub(crate) fn flags(self, flags: &str, target: &Path) -> Invocation {
        self.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", target.display().to_string())
    }

    /// Reads the output for test counts; a run that tested nothing is then a failure.
    pub(crate) fn counted(mut self) -> Invocation {
        self.counts = Counts::AtLeastOne;
        self
    }

    /// The command line, to be read and to be typed again.
    pub(crate) fn shown(&self) -> String {
        let settings = self.env.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let words = self.args.iter().map(|word| quoted(word));
        let all: Vec<String> = settings.chain([self.name.to_owned()]).chain(words).collect();
        all.join(" ")
    }

    /// Runs to the end, with output passed through.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<Tally, String> {
        let mut command = self.command(workspace);
        if self.counts == Counts::Nothing {
            let status = command.status().map_err(|error| self.not_started(&error))?;
            return self.judge(status).map(|()| Tally::default());
        }
        let mut child =
            command.stdout(Stdio::piped()).spawn().map_err(|error| self.not_started(&error))?;
        let output = child.stdout.take().expect("the output was asked for as a pipe");
        let tally =
            count(output, &mut io::stdout().lock()).map_err(|error| self.not_started(&error))?;
        let status = child.wait().map_err(|error| self.not_started(&error))?;
        self.judge(status)?;
        self.judge_tally(tally)
    }

    /// Runs to the end and returns what it printed, stdout first.
    pub(crate) fn captured(&self, workspace: &Workspace) -> Result<String, String> {
        let output = self.command(workspace).output().map_err(|error| self.not_started(&error))?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        self.judge(output.status).map_err(|failure| format!("{text}\n{failure}"))?;
        Ok(text)
    }

    fn command(&self, workspace: &Workspace) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(workspace.root());
        if self.env.iter().any(|(name, _)| *name == "RUSTFLAGS") {
            // Cargo prefers this one, and would ignore ours without a word.
            command.env_remove("CARGO_ENCODED_RUSTFLAGS");
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn judge(&self, status: ExitStatus) -> Result<(), String> {
        if status.success() { Ok(()) } else { Err(format!("`{}`: {status}", self.shown())) }
    }

    fn judge_tally(&self, tally: Tally) -> Result<Tally, String> {
        match tally.total() {
            0 => Err(format!("`{}` ran no test at all", self.shown())),
            _ => Ok(tally),
        }
    }

    fn not_started(&self, error: &io::Error) -> String {
        format!("cannot run `{}`: {error}", self.shown())
    }
}

/// Copies test output to `sink` as it comes and adds up the closing lines.
fn count(output: impl Read, sink: &mut impl Write) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        sink.write_all(chunk)?;
        sink.flush()?;
        for byte in chunk {
            if *byte == b'\n' {
                tally.read_line(&String::from_utf8_lossy(&line));
                line.clear();
            } else {
                line.push(*byte);
            }
        }
        let length = chunk.len();
        reader.consume(length);
    }
    tally.read_line(&String::from_utf8_lossy(&line));
    Ok(tally)
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let command = Invocation::cargo("test --release").flags("--cfg loom", Path::new("t"));
        assert_eq!(
            command.shown(),
            "RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR=t cargo test --release"
        );
    }

    #[test]
    fn quotes_survive_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a=b"), "a=b");
    }

    #[test]
    fn counts_are_found_in_a_stream_whose_last_line_is_open() {
        let output =
            "test result: ok. 2 passed; 0 failed;\nx\ntest result: ok. 1 passed; 0 failed;";
        let mut copied = Vec::new();
        let tally = count(output.as_bytes(), &mut copied).expect("bytes in memory do not fail");
        assert_eq!(tally, Tally { passed: 3, failed: 0 });
        assert_eq!(copied, output.as_bytes());
    }

    #[test]
    fn a_run_without_tests_is_a_failure() {
        let command = Invocation::cargo("test").counted();
        let failure = command.judge_tally(Tally::default()).expect_err("no test ran");
        assert!(failure.contains("`cargo test` ran no test at all"), "{failure}");
        assert!(command.judge_tally(Tally { passed: 1, failed: 0 }).is_ok());
    }

    #[test]
    fn a_failing_program_is_named_with_its_status() {
        let workspace = Workspace::find().expect("the tests run inside the workspace");
        let failure = Invocation::cargo("no-such-command-here")
            .captured(&workspace)
            .expect_err("cargo has no such command");
        assert!(failure.contains("`cargo no-such-command-here`: exit status"), "{failure}");
    }
}
