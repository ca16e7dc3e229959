//! Runs cases, each in a process of its own, and reports as other test programs do.
//!
//! Knows nothing of what is played.

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{
    CASE,
    case::{Case, Ends, Stderr},
};

/// A case that takes longer hangs, and is killed. Less than a hub's longest sleep, at whose end it would find what it was
/// not woken for.
const TIME_MAX: Duration = Duration::from_secs(50);

/// AddressSanitizer has handlers and a signal stack of its own for what some cases are about.
const ASAN_OPTIONS: &str = "handle_segv=0:handle_sigbus=0:handle_abort=0:use_sigaltstack=0:\
                            detect_stack_use_after_return=0:detect_leaks=0";

pub(crate) fn run(cases: &[&Case]) -> ExitCode {
    let choice = Choice::of_arguments();
    let chosen: Vec<_> = cases.iter().filter(|case| choice.includes(case.name)).collect();
    if choice.lists {
        chosen.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let begin = Instant::now();
    println!("\nrunning {} tests", chosen.len());
    let mut failures = Vec::new();
    for case in &chosen {
        let outcome = play(case);
        println!("test {} ... {}", case.name, if outcome.is_ok() { "ok" } else { "FAILED" });
        failures.extend(outcome.err().map(|why| (case.name, why)));
    }
    for (name, why) in &failures {
        println!("\n---- {name} ----\n{why}");
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished \
         in {:.2}s\n",
        if failures.is_empty() { "ok" } else { "FAILED" },
        chosen.len() - failures.len(),
        failures.len(),
        cases.len() - chosen.len(),
        begin.elapsed().as_secs_f64()
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// Which cases the arguments name; those of libtest, as far as they choose.
#[derive(Default)]
struct Choice {
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
    lists: bool,
}

impl Choice {
    fn of_arguments() -> Choice {
        let mut choice = Choice::default();
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => choice.exact = true,
                "--list" => choice.lists = true,
                "--skip" => choice.skips.extend(arguments.next()),
                // These take a value, which is no filter.
                "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => {
                    drop(arguments.next());
                }
                option if option.starts_with('-') => {}
                _ => choice.filters.push(argument),
            }
        }
        choice
    }

    fn includes(&self, name: &str) -> bool {
        let fits =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter) };
        (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.skips.iter().any(fits)
    }
}

/// Plays a case; why it failed, if it did.
fn play(case: &Case) -> Result<(), String> {
    let mut command = Command::new(env::current_exe().expect("this program has a path"));
    command.env(CASE, case.name).envs(case.env.iter().copied()).env_remove("RUST_BACKTRACE");
    if env::var_os("ASAN_OPTIONS").is_some() {
        command.env("ASAN_OPTIONS", ASAN_OPTIONS);
    }
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
    command.stderr(match case.stderr {
        Stderr::Read => Stdio::piped(),
        Stderr::Full => {
            File::options().write(true).open("/dev/full").map_or(Stdio::null(), Into::into)
        }
    });
    let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    let stdin = child.stdin.take();
    let stderr = child.stderr.take();
    let (done, ended) = channel();
    let says = case.says;
    thread::spawn(move || {
        let said = stderr.map_or_else(String::new, |stderr| listen(stderr, stdin, says));
        // Nobody listens any more if it took too long.
        let _ = done.send(said);
    });
    match ended.recv_timeout(time_max(case)) {
        Ok(said) => judge(case, &mut child, &said),
        Err(_) => {
            // With all that it has forked. It may have ended this moment: then nobody is left.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let said = ended.recv().unwrap_or_default();
            Err(format!("hangs; it said:\n{said}"))
        }
    }
}

/// How long a case may take: one with seeds, so many times as long as it has more of them.
fn time_max(case: &Case) -> Duration {
    let factor = env::var("GREENROOM_SOAK_SEEDS").ok().filter(|_| case.name.contains("seeded"));
    TIME_MAX * factor.and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// Reads to the end, and closes the input as soon as all is said that shall be.
fn listen(stderr: impl Read, stdin: Option<ChildStdin>, says: &[&str]) -> String {
    let (mut said, mut stdin) = (String::new(), stdin);
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        said.push_str(&String::from_utf8_lossy(&line));
        line.clear();
        if missing(&said, says).is_none() {
            stdin = None;
        }
    }
    drop(stdin);
    said
}

/// The first part that is not said where it should be.
fn missing<'a>(said: &str, says: &[&'a str]) -> Option<&'a str> {
    let mut rest = said;
    says.iter().copied().find(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            false
        }
        None => true,
    })
}

fn judge(case: &Case, child: &mut Child, said: &str) -> Result<(), String> {
    let status = child.wait().map_err(|error| format!("cannot be waited for: {error}"))?;
    let ended = match (status.code(), status.signal()) {
        (Some(code), _) => Ends::Code(code),
        (None, signal) => Ends::Signal(signal.unwrap_or(0)),
    };
    if ended != case.ends {
        return Err(format!("ended with {ended:?} instead of {:?}; it said:\n{said}", case.ends));
    }
    if let Some(part) = missing(said, case.says) {
        return Err(format!("did not say {part:?}; it said:\n{said}"));
    }
    if let Some(part) = case.never_says.iter().find(|part| said.contains(**part)) {
        return Err(format!("said {part:?}; it said:\n{said}"));
    }
    Ok(())
}
