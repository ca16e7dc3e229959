//! What becomes of green threads that are still alive: where their OS thread ends, where their hub
//! is aborted, where `main` returns.
//!
//! The argument says which. Under `panic=unwind` destructors run in the first two cases; under
//! `panic=abort` that cannot be, and the process ends with a report.

use std::{env, thread, time::Duration};

use greenroom::{hub, sleep, spawn, thread::Builder, yield_now};

/// Says so when it is dropped.
struct Guest;

impl Drop for Guest {
    fn drop(&mut self) {
        println!("the guest has left");
    }
}

/// A green thread that never ends by itself.
fn leave_behind() {
    let guest = Guest;
    let stays = move || {
        let _guest = guest;
        sleep(Duration::MAX);
    };
    drop(Builder::new().name("stays").spawn(stays).expect("there is room for one"));
    yield_now();
}

fn main() {
    match env::args().nth(1).as_deref() {
        Some("os-thread") => {
            let other = thread::spawn(leave_behind);
            other.join().expect("its end is no panic");
        }
        Some("abort") => {
            leave_behind();
            hub::abort();
        }
        Some("unborn") => {
            let guest = Guest;
            drop(spawn(move || drop(guest)));
            hub::abort();
        }
        Some("joined") => {
            let sum: u32 = (1..=4).map(|n| spawn(move || n).join().expect("it returns")).sum();
            assert_eq!(sum, 10);
        }
        _ => leave_behind(),
    }
    println!("main returns");
}
