//! The watcher of a command, told to end by signals.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{path, run};

/// A watcher that does not outlive its test.
struct Watcher {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Watcher {
    #[track_caller]
    fn start(arguments: &[&str]) -> Watcher {
        let mut command = Command::new(path("watch"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Watcher { child, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it prints text");
        line.trim_end().to_owned()
    }

    fn tell(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is alive");
    }

    /// What it says until its end, and how it ends.
    fn finish(mut self) -> (String, ExitStatus) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("it prints text");
        (rest, self.child.wait().expect("it can be waited for"))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_command_is_run_again_and_again_until_ctrl_c() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut watcher = Watcher::start(&["--every", "0.001", "sh", "-c", "echo hello; exit 3"]);
        for _ in 0..5 {
            assert_eq!(watcher.line(), "hello");
            assert_eq!(watcher.line(), "-- exit status: 3");
        }
        watcher.tell(signal);
        let (rest, status) = watcher.finish();
        assert_eq!(status.code(), Some(0), "{rest}");
        let tally = rest.lines().last().expect("it tells how the runs went");
        let runs = tally.strip_prefix("runs: ").and_then(|rest| rest.split(',').next());
        assert!(
            runs.is_some_and(|runs| runs.parse::<u64>().is_ok_and(|runs| runs >= 5)),
            "{tally}"
        );
        assert!(tally.ends_with(", killed: 0"), "{tally}");
    }
}

#[test]
fn a_run_that_takes_too_long_is_killed() {
    let mut watcher = Watcher::start(&["--every", "0", "--limit", "0.02", "sleep", "1000"]);
    for _ in 0..3 {
        assert_eq!(watcher.line(), "-- killed: it took longer than 20ms");
    }
    watcher.tell(Signal::INT);
    let (rest, status) = watcher.finish();
    assert_eq!(status.code(), Some(0), "{rest}");
}

#[test]
fn what_runs_at_the_end_is_killed() {
    let mut watcher = Watcher::start(&["sh", "-c", "echo $$; exec sleep 1000"]);
    let run = watcher.line().parse().ok().and_then(Pid::from_raw).expect("it tells its number");
    watcher.tell(Signal::INT);
    // Whoever has the pipe keeps it open, so this ends when the run has.
    let (rest, status) = watcher.finish();
    assert_eq!((&*rest, status.code()), ("runs: 0, failed: 0, killed: 0\n", Some(0)));
    assert!(rustix::process::test_kill_process(run).is_err(), "it was killed and waited for");
}

#[test]
fn wrong_arguments_are_explained() {
    for arguments in [&[][..], &["--every"], &["--limit", "soon", "true"], &["--no"]] {
        let outcome = run("watch", arguments);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("usage: watch"), "{outcome:?}");
    }
    let outcome = run("watch", &["/no/such/program"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.stderr, "watch: /no/such/program: No such file or directory (os error 2)\n");
}
