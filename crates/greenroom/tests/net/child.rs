//! Scenarios that need a process of their own: this test binary over again, with one test.
//!
//! Knows how to start one and how it ended; knows nothing of what it does.

use std::{
    env,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio, exit},
    sync::mpsc::channel,
    time::Duration,
};

const MARK: &str = "GREENROOM_NET_CHILD";

/// In the child that [`start`] made for this test: plays the scenario, and does not return.
pub(crate) fn play_if_child(scenario: impl FnOnce()) {
    if env::var_os(MARK).is_some() {
        scenario();
        exit(0);
    }
}

/// A process that plays the scenario of `test`, which is named as `cargo test` prints it.
///
/// `Process::finished` kills it if it takes longer than it may.
pub(crate) fn start(test: &str) -> Process {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(MARK, test);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    Process { input: child.stdin.take(), output, child }
}

pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Waits for a line that says `name value`, as the child prints with [`say`].
    #[track_caller]
    pub(crate) fn told(&mut self, name: &str) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            // What the test harness prints may stand before it in the same line.
            if let Some((_, value)) = line.split_once(&format!("@{name} ")) {
                return value.trim_end().to_owned();
            }
            line.clear();
        }
        panic!("the child ended without telling {name}: {:?}", self.child.wait());
    }

    /// Closes the child's standard input, by which it may know that it shall end.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits until the child has ended well; kills it after `patience`.
    #[track_caller]
    pub(crate) fn finished(mut self, patience: Duration) {
        self.close_input();
        let (done, ended) = channel::<()>();
        let pid = rustix::process::Pid::from_child(&self.child);
        let guard = std::thread::spawn(move || {
            let late = ended
                .recv_timeout(patience)
                .is_err_and(|why| why == std::sync::mpsc::RecvTimeoutError::Timeout);
            if late {
                // Should it have ended this moment, nobody is left to be killed.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            late
        });
        std::io::copy(&mut self.output, &mut std::io::sink()).unwrap();
        let status = self.child.wait().unwrap();
        drop(done);
        let late = guard.join().unwrap();
        let signal = status.signal();
        assert!(
            !late && status.success(),
            "the child ended with {status}, signal {signal:?}, killed after {patience:?}: {late}"
        );
    }
}

/// Tells the parent something.
pub(crate) fn say(name: &str, value: impl std::fmt::Display) {
    println!("@{name} {value}");
}
