//! What becomes of green threads that are still alive: where their OS thread ends, where their hub
//! is aborted, where `main` returns, where they are stopped.
//!
//! The argument says which. Under `panic=unwind` destructors run in all cases but that of `main`;
//! under `panic=abort` that cannot be for one that has started, and the process ends with a report.

use std::{env, thread, time::Duration};

use greenroom::{JoinHandle, hub, scope, sleep, spawn, thread::Builder, with_timeout, yield_now};

/// Says so when it is dropped.
struct Guest;

impl Drop for Guest {
    fn drop(&mut self) {
        println!("the guest has left");
    }
}

/// A green thread that never ends by itself.
fn leave_behind() {
    drop(start_one());
    yield_now();
}

fn start_one() -> JoinHandle<()> {
    let guest = Guest;
    let stays = move || {
        let _guest = guest;
        sleep(Duration::MAX);
    };
    Builder::new().name("stays").spawn(stays).expect("there is room for one")
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
        Some("kill") => {
            let stays = start_one();
            yield_now();
            stays.kill();
            println!("{}", stays.join().expect_err("it was killed"));
        }
        Some("kill-unborn") => {
            let unborn = start_one();
            unborn.kill();
            println!("{}", unborn.join().expect_err("it was killed"));
        }
        Some("cancel") => {
            let unborn = start_one();
            unborn.cancel();
            println!("{}", unborn.join().expect_err("it was cancelled"));
        }
        Some("timeout") => {
            let late = with_timeout(Duration::from_millis(1), || {
                let _guest = Guest;
                sleep(Duration::MAX);
            });
            println!("{}", late.expect_err("it sleeps for ever"));
        }
        Some("scope") => {
            let mut sum = 0;
            scope(|s| {
                s.spawn(|| sum += 10);
            });
            assert_eq!(sum, 10);
        }
        _ => leave_behind(),
    }
    println!("main returns");
}
