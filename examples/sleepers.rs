//! A million green threads asleep at once, on one OS thread.
//!
//! ```text
//! cargo run --release --example sleepers
//! cargo run --release --example sleepers -- 100000
//! ```
//!
//! Tells how long it takes to start them, how much memory each needs, and how late they wake.
//! A million of them take about 5 GB.

#![deny(unsafe_code)]

use std::{
    env,
    error::Error,
    ffi::OsString,
    process::ExitCode,
    time::{Duration, Instant},
};

use greenroom::{JoinHandle, hub, thread};
use indicatif::{BinaryBytes, HumanCount};
use procfs::process::Process;

const USAGE: &str = "usage: sleepers [COUNT]  green threads that sleep; a million, if not said";

const COUNT_DEFAULT: usize = 1_000_000;

/// How far apart they wake on average.
const APART: Duration = Duration::from_micros(10);

/// Nobody wakes before so much time has passed, and so much for each of them: the last is asleep by
/// then.
const SLEEP_MIN: Duration = Duration::from_secs(1);
const START: Duration = Duration::from_micros(10);

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).map(OsString::into_string).collect();
    let count = match &arguments[..] {
        [] => Some(COUNT_DEFAULT),
        [Ok(count)] => count.parse().ok().filter(|&count| count > 0),
        _ => None,
    };
    let Some(count) = count else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let Err(error) = run(count) else { return ExitCode::SUCCESS };
    eprintln!("sleepers: {error}");
    ExitCode::FAILURE
}

fn run(count: usize) -> Result<(), Box<dyn Error>> {
    let memory_before = memory_bytes()?;
    let begin = Instant::now();
    let sleepers = spawn(count)?;
    let spawned = begin.elapsed();
    println!("{} green threads spawned in {spawned:.2?}", HumanCount(count as u64));

    // It is our turn again when each of them has run until it sleeps.
    greenroom::yield_now();
    let asleep = begin.elapsed() - spawned;
    let memory = memory_bytes()? - memory_before;
    println!("{} asleep {asleep:.2?} later", HumanCount(hub::stats().timers as u64));
    println!("memory: {}, {} bytes each", BinaryBytes(memory), memory / count as u64);

    let mut lateness = Vec::with_capacity(count);
    for sleeper in sleepers {
        lateness.push(sleeper.join()?);
    }
    lateness.sort_unstable();
    let late = |share: f64| lateness[((count - 1) as f64 * share) as usize];
    println!(
        "late by: median {:.1?}, 99 % {:.1?}, 99.9 % {:.1?}, worst {:.1?}",
        late(0.5),
        late(0.99),
        late(0.999),
        late(1.0)
    );
    Ok(())
}

fn spawn(count: usize) -> Result<Vec<JoinHandle<Duration>>, thread::SpawnError> {
    let number = u32::try_from(count).unwrap_or(u32::MAX);
    let (first, spread) = (SLEEP_MIN + START * number, APART * number);
    // Steps of the golden ratio: in no order, and evenly spread.
    let sleeps = (0..count).map(|n| first + spread.mul_f64((n as f64 * 0.618_034).fract()));
    let sleepers = sleeps.map(|time| thread::Builder::new().spawn(move || sleep_and_look(time)));
    sleepers.collect()
}

/// What each of them does. Returns how late it woke.
fn sleep_and_look(time: Duration) -> Duration {
    let begin = Instant::now();
    greenroom::sleep(time);
    begin.elapsed() - time
}

fn memory_bytes() -> procfs::ProcResult<u64> {
    let status = Process::myself()?.status()?;
    Ok(status.vmrss.unwrap_or_default() * 1024)
}
