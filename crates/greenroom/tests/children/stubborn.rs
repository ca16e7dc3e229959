//! Green threads that will not be unwound: the process ends, and says who it was.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use greenroom::{hub, sleep, spawn, testing, thread::Builder, yield_now};

use crate::case::{ABORTED, Case, PLAIN};

/// Catches whatever it is thrown and waits again.
fn stubborn(wait: fn()) {
    let body = move || {
        loop {
            // That it is unwound is what it will not hear of.
            let _ = catch_unwind(AssertUnwindSafe(wait));
        }
    };
    drop(Builder::new().name("stubborn").spawn(body).unwrap());
    yield_now();
}

/// Spawns itself again as it is dropped.
struct Undying;

impl Drop for Undying {
    fn drop(&mut self) {
        let heir = Undying;
        drop(Builder::new().name("undying").spawn(move || drop(heir)).unwrap());
    }
}

const TELLS: &[&str] =
    &["greenroom: green thread \"stubborn\" (1) waits again however often it is killed"];

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "stubborn::a_sleeper_at_the_end_of_its_os_thread",
        play: || drop(std::thread::spawn(|| stubborn(|| sleep(Duration::MAX))).join()),
        ends: ABORTED,
        says: TELLS,
        ..PLAIN
    },
    Case {
        name: "stubborn::a_yielder_at_the_end_of_its_os_thread",
        play: || drop(std::thread::spawn(|| stubborn(yield_now)).join()),
        ends: ABORTED,
        says: TELLS,
        ..PLAIN
    },
    Case {
        name: "stubborn::a_sleeper_on_a_hub_that_is_aborted",
        play: || {
            stubborn(|| sleep(Duration::MAX));
            hub::abort();
        },
        ends: ABORTED,
        says: TELLS,
        ..PLAIN
    },
    Case {
        name: "stubborn::one_that_always_spawns_another",
        play: || {
            let other = std::thread::spawn(|| {
                let undying = Undying;
                drop(spawn(move || {
                    let _undying = undying;
                    sleep(Duration::MAX);
                }));
                yield_now();
            });
            drop(other.join());
        },
        ends: ABORTED,
        says: &["greenroom: green thread \"undying\""],
        ..PLAIN
    },
    Case {
        name: "stubborn::one_that_is_left_when_it_is_too_late_to_unwind_it",
        play: || {
            let other = std::thread::spawn(|| {
                let left = Builder::new().name("left").spawn(|| {
                    loop {
                        yield_now();
                    }
                });
                drop(left.unwrap());
                for _ in 0..100_000 {
                    yield_now();
                }
            });
            drop(other.join());
        },
        ends: ABORTED,
        says: &["greenroom: green thread \"left\" (1) is alive while its OS thread ends"],
        ..PLAIN
    },
    Case {
        name: "stubborn::after_many_waits_an_os_thread_still_ends_if_all_are_joined",
        play: || {
            let other = std::thread::spawn(|| {
                let companion = spawn(|| (0..100_000).for_each(|_| yield_now()));
                for _ in 0..100_000 {
                    yield_now();
                }
                companion.join().unwrap();
                drop(spawn(|| unreachable!("it never runs")));
            });
            other.join().unwrap();
            testing::run(|| drop(spawn(|| sleep(Duration::MAX))));
        },
        ..PLAIN
    },
];
