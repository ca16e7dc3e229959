//! Runs a command again and again, until ctrl-c.
//!
//! ```text
//! cargo run --example watch -- date
//! cargo run --example watch -- --every 0.5 --limit 2 curl -sS example.org
//! ```
//!
//! A run that takes longer than the limit is killed. At the end, by ctrl-c or a request to terminate,
//! it kills what runs and tells how the runs went; a second ctrl-c ends it at once.

#![deny(unsafe_code)]

use std::{
    cell::Cell, error::Error, ffi::OsString, fmt, process::ExitCode, rc::Rc, time::Duration,
};

use greenroom::{
    process::{Child, Command},
    signal::{Signal, Signals},
    sleep, spawn,
};
use lexopt::{Arg, Parser, ValueExt};

const USAGE: &str = "\
usage: watch [--every SECONDS] [--limit SECONDS] COMMAND [ARGUMENT...]
  --every SECONDS  pause between two runs; 2, if not said
  --limit SECONDS  kill a run that takes longer; 60, if not said";

struct Options {
    every: Duration,
    limit: Duration,
    program: OsString,
    arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    let options = match parse(Parser::from_env()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("watch: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match watch(options) {
        Ok(tally) => {
            println!("{tally}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("watch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut parser: Parser) -> Result<Options, lexopt::Error> {
    let (mut every, mut limit) = (Duration::from_secs(2), Duration::from_secs(60));
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("every") => every = parser.value()?.parse_with(seconds)?,
            Arg::Long("limit") => limit = parser.value()?.parse_with(seconds)?,
            Arg::Value(program) => {
                // What follows is the command's own.
                let arguments = parser.raw_args()?.collect();
                return Ok(Options { every, limit, program, arguments });
            }
            other => return Err(other.unexpected()),
        }
    }
    Err("which command?".into())
}

fn seconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn watch(options: Options) -> Result<Tally, Box<dyn Error>> {
    let tally = Rc::new(Cell::new(Tally::default()));
    let counted = Rc::clone(&tally);
    let signals = Signals::new([Signal::INT, Signal::TERM])?;
    let mut command = Command::new(&options.program);
    // Ctrl-c is for us: whoever runs is killed by us.
    command.args(&options.arguments).process_group(0);

    let watcher = spawn(move || {
        loop {
            match run(&mut command, options.limit) {
                Ok(how) => counted.set(counted.get().and(how)),
                Err(error) => return error,
            }
            sleep(options.every);
        }
    });
    let watched = watcher.thread();
    let told_to_end = spawn(move || signals.wait().map(|_| watched.kill()));
    let outcome = watcher.join();
    // If the watcher could not go on, nobody has told it to end.
    told_to_end.thread().kill();
    match outcome {
        Ok(error) => Err(format!("{}: {error}", options.program.display()).into()),
        Err(killed) if killed.is_killed() => Ok(tally.get()),
        Err(panicked) => Err(panicked.into()),
    }
}

/// A run that does not outlive whoever watches it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; and whoever is killed waits no longer than it takes to die.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn run(command: &mut Command, limit: Duration) -> std::io::Result<How> {
    let mut running = Running(command.spawn()?);
    Ok(match running.0.wait_timeout(limit)? {
        Some(status) if status.success() => How::Well,
        Some(status) => {
            println!("-- {status}");
            How::Badly
        }
        None => {
            println!("-- killed: it took longer than {limit:?}");
            How::TooLong
        }
    })
}

enum How {
    Well,
    Badly,
    TooLong,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    runs: u64,
    failed: u64,
    killed: u64,
}

impl Tally {
    fn and(self, how: How) -> Tally {
        let Tally { runs, mut failed, mut killed } = self;
        match how {
            How::Well => {}
            How::Badly => failed += 1,
            How::TooLong => killed += 1,
        }
        Tally { runs: runs + 1, failed, killed }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "runs: {}, failed: {}, killed: {}", self.runs, self.failed, self.killed)
    }
}
