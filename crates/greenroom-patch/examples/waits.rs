//! What it costs to wait: a message to and fro, between OS threads, between green threads with sockets of std
//! through the patch, and between green threads with greenroom's own. Prints nanoseconds of CPU a round trip.
//!
//! Run it with `taskset -c 0 cargo run --release -p greenroom-patch --example waits`, so that OS threads are not
//! woken across processors.

#![deny(unsafe_code)]

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use greenroom::{net, spawn};
use greenroom_patch as _;
use rustix::time::{ClockId, clock_gettime};

const TRIPS: u32 = 100_000;
const ROUNDS: u32 = 5;
const BYTES: usize = 64;

fn ask(mut stream: impl Read + Write) {
    let mut message = [7; BYTES];
    for _ in 0..TRIPS {
        stream.write_all(&message).unwrap();
        stream.read_exact(&mut message).unwrap();
    }
}

fn answer(mut stream: impl Read + Write) {
    let mut message = [0; BYTES];
    for _ in 0..TRIPS {
        stream.read_exact(&mut message).unwrap();
        stream.write_all(&message).unwrap();
    }
}

fn os_threads() {
    let (here, there) = UnixStream::pair().unwrap();
    let answers = thread::spawn(|| answer(there));
    thread::spawn(|| ask(here)).join().unwrap();
    answers.join().unwrap();
}

fn patched() {
    let (here, there) = UnixStream::pair().unwrap();
    let answers = spawn(|| answer(there));
    spawn(|| ask(here)).join().unwrap();
    answers.join().unwrap();
}

fn own() {
    let (here, there) = net::UnixStream::pair().unwrap();
    let answers = spawn(|| answer(there));
    spawn(|| ask(here)).join().unwrap();
    answers.join().unwrap();
}

fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("it is not negative")
}

fn main() {
    let ways: [(&str, fn()); 3] = [
        ("OS threads, sockets of std", os_threads),
        ("green threads, sockets of std", patched),
        ("green threads, greenroom's sockets", own),
    ];
    let mut best = [f64::MAX; 3];
    for _ in 0..ROUNDS {
        for ((_, way), best) in ways.iter().zip(&mut best) {
            let begin = cpu_time();
            way();
            let spent = (cpu_time() - begin).as_nanos() as f64 / f64::from(TRIPS);
            *best = best.min(spent);
        }
    }
    for ((name, _), best) in ways.iter().zip(best) {
        println!("{name:36} {best:6.0} ns a round trip");
    }
}
