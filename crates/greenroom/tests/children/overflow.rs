//! A green thread that overflows its stack: a report that names it and its stack, then the end.

use std::hint::black_box;

use greenroom::{spawn, thread::Builder, yield_now};

use crate::case::{ABORTED, Case, PLAIN};

/// Recurses until the stack is used up.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[7] }
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "overflow::is_told_with_name_and_size",
        play: || {
            let deep = Builder::new().name("deep").stack_size(1 << 20).spawn(|| recurse(0));
            drop(deep.unwrap().join());
        },
        ends: ABORTED,
        says: &[
            "greenroom: green thread \"deep\"",
            "overflowed its stack of 1 MiB",
            "Builder::stack_size or GREENROOM_STACK_SIZE",
        ],
        ..PLAIN
    },
    Case {
        name: "overflow::of_one_among_many_is_told_with_its_number",
        play: || {
            for n in 1..=10 {
                drop(spawn(move || {
                    yield_now();
                    if n == 7 { recurse(0) } else { 0 }
                }));
            }
            loop {
                yield_now();
            }
        },
        ends: ABORTED,
        says: &["greenroom: green thread 7 overflowed its stack of 256 KiB"],
        ..PLAIN
    },
    Case {
        name: "overflow::on_another_os_thread_is_told_too",
        play: || {
            let other = std::thread::spawn(|| {
                drop(Builder::new().name("deep").spawn(|| recurse(0)).unwrap().join());
            });
            drop(other.join());
        },
        ends: ABORTED,
        says: &["greenroom: green thread \"deep\"", "overflowed its stack of 256 KiB"],
        ..PLAIN
    },
    Case {
        name: "overflow::of_a_stack_as_large_as_the_environment_says",
        play: || drop(spawn(|| recurse(0)).join()),
        env: &[("GREENROOM_STACK_SIZE", "65536")],
        ends: ABORTED,
        says: &["overflowed its stack of 64 KiB"],
        ..PLAIN
    },
];
