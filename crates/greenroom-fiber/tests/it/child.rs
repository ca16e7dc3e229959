//! Scenarios that end their process, or change all of it: each runs in a child of its own.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, exit};
use std::{env, str};

const MARK: &str = "GREENROOM_FIBER_CHILD";

/// What AddressSanitizer is told in a child, so that the same tests hold with it and without.
///
/// It has handlers and a signal stack of its own for the very signals that these tests are about,
/// and keeps locals outside of the stacks that they measure. Leaks are looked for in the parent.
const ASAN_OPTIONS: &str = "handle_segv=0:handle_sigbus=0:handle_abort=0:use_sigaltstack=0:\
                            detect_stack_use_after_return=0:detect_leaks=0";

/// How a child ended, and what it wrote to standard error.
pub(crate) struct Ended {
    pub(crate) signal: Option<i32>,
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

/// Runs `scenario` in a new process, which is this test binary over again with this one test.
///
/// `test` is the test's own path, as `cargo test` prints it. In the child this does not return: a
/// scenario that comes to its end exits with 0.
pub(crate) fn run(test: &str, scenario: impl FnOnce()) -> Ended {
    if env::var_os(MARK).is_some() {
        scenario();
        exit(0);
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(MARK, test);
    command.env_remove("RUST_BACKTRACE");
    if cfg!(feature = "sanitizer") {
        command.env("ASAN_OPTIONS", ASAN_OPTIONS);
    }
    Ended::of(&command.output().unwrap(), test)
}

impl Ended {
    fn of(output: &Output, test: &str) -> Ended {
        let stdout = str::from_utf8(&output.stdout).unwrap();
        assert!(stdout.contains("running 1 test"), "no test is called {test}: {stdout}");
        Ended {
            signal: output.status.signal(),
            code: output.status.code(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The scenario came to its end.
    #[track_caller]
    pub(crate) fn assert_ok(&self) {
        let Ended { signal, code, stderr } = self;
        assert!(*code == Some(0), "code {code:?}, signal {signal:?}, stderr:\n{stderr}");
    }

    /// The process was killed by `signal`, and wrote all of `parts` to standard error.
    #[track_caller]
    pub(crate) fn assert_killed(&self, signal: i32, parts: &[&str]) {
        let stderr = &self.stderr;
        let Ended { signal: got, code, .. } = self;
        assert!(*got == Some(signal), "code {code:?}, signal {got:?}, stderr:\n{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "no {part:?} in:\n{stderr}");
        }
    }
}
