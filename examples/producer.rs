//! Producers and consumers over a bounded channel, on one OS thread.
//!
//! ```text
//! cargo run --release --example producer
//! cargo run --release --example producer -- 10000000
//! ```
//!
//! Producers are faster than consumers, and the channel holds few items: so producers wait for room,
//! and memory stays small however many items there are. It ends when the last producer has.

#![deny(unsafe_code)]

use std::{env, error::Error, ffi::OsString, process::ExitCode, time::Instant};

use greenroom::{
    JoinHandle, hub, spawn,
    sync::channel::{self, Receiver, Sender},
    yield_now,
};
use indicatif::HumanCount;

const USAGE: &str = "usage: producer [COUNT]  items to make and to use; a million, if not said";

const COUNT_DEFAULT: u64 = 1_000_000;
const PRODUCERS: u64 = 4;
const CONSUMERS: u64 = 3;
/// Items that may lie in the channel.
const CAPACITY: usize = 64;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).map(OsString::into_string).collect();
    let count = match &arguments[..] {
        [] => Some(COUNT_DEFAULT),
        [Ok(count)] => count.parse().ok(),
        _ => None,
    };
    let Some(count) = count else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let Err(error) = run(count) else { return ExitCode::SUCCESS };
    eprintln!("producer: {error}");
    ExitCode::FAILURE
}

fn run(count: u64) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let (sender, receiver) = channel::bounded(CAPACITY);
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|first| {
            let sender = sender.clone();
            spawn(move || produce(&sender, (first..count).step_by(PRODUCERS as usize)))
        })
        .collect();
    // The others are the producers': when they have ended, so has the channel.
    drop(sender);
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|_| {
            let receiver = receiver.clone();
            spawn(move || consume(&receiver))
        })
        .collect();

    join_all(producers)?.into_iter().collect::<Result<Vec<()>, _>>()?;
    let mut total = Used::default();
    for (number, used) in join_all(consumers)?.into_iter().enumerate() {
        println!("consumer {number}: {} items", HumanCount(used.items));
        total = Used { items: total.items + used.items, sum: total.sum + used.sum };
    }
    println!("{} items, which add up to {}", HumanCount(total.items), total.sum);
    let switches = HumanCount(hub::stats().switches);
    println!("{switches} switches in {:.1?}", begin.elapsed());
    Ok(())
}

fn join_all<T>(threads: Vec<JoinHandle<T>>) -> Result<Vec<T>, greenroom::JoinError> {
    threads.into_iter().map(JoinHandle::join).collect()
}

/// Waits whenever the channel is full.
fn produce(
    sender: &Sender<u64>,
    items: impl Iterator<Item = u64>,
) -> Result<(), channel::SendError<u64>> {
    for item in items {
        sender.send(item)?;
    }
    Ok(())
}

/// What a consumer has used.
#[derive(Default)]
struct Used {
    items: u64,
    sum: u64,
}

/// Waits whenever the channel is empty, and ends with it.
fn consume(receiver: &Receiver<u64>) -> Used {
    let mut used = Used::default();
    for item in receiver {
        used.items += 1;
        used.sum += item;
        // Work in which it would wait for something, so that the other consumers have their turn.
        yield_now();
    }
    used
}
