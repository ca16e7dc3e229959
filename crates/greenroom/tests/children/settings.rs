//! What the environment says: taken, or refused in words that help.

use std::{
    hint::black_box,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
};

use greenroom::{
    hub::{self, Backend},
    offload, spawn,
    thread::{Builder, SpawnError},
    yield_now,
};

use crate::case::{Case, PANICKED, PLAIN};

/// Goes `kib` KiB deep at least.
#[inline(never)]
fn descend(kib: usize) -> usize {
    let frame = black_box([1u8; 1024]);
    if kib == 0 { 0 } else { descend(kib - 1) + usize::from(frame[kib % 1024]) }
}

/// Offloads more work than there are helpers; how many pieces were being done at once at most.
fn busiest(pieces: usize) -> usize {
    let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..pieces)
        .map(|_| {
            let (busy, most) = (Arc::clone(&busy), Arc::clone(&most));
            spawn(move || {
                offload(move || {
                    let now = busy.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    std::thread::yield_now();
                    busy.fetch_sub(1, Ordering::SeqCst);
                });
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    most.load(Ordering::SeqCst)
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "settings::the_hub_is_what_the_environment_says",
        play: || {
            assert_eq!(hub::get().backend(), Backend::Poll);
            let other = std::thread::spawn(|| hub::get().backend());
            assert_eq!(other.join().unwrap(), Backend::Poll);
            assert_eq!(spawn(|| 1).join().unwrap(), 1);
        },
        env: &[("GREENROOM_HUB", "poll")],
        ..PLAIN
    },
    Case {
        name: "settings::the_program_chooses_the_hub_over_the_environment",
        play: || {
            hub::use_hub(Backend::Epoll).unwrap();
            assert_eq!(hub::get().backend(), Backend::Epoll);
        },
        env: &[("GREENROOM_HUB", "poll")],
        ..PLAIN
    },
    Case {
        name: "settings::an_unknown_hub_is_refused_with_the_known_ones",
        play: || drop(spawn(|| {})),
        env: &[("GREENROOM_HUB", "kqueue")],
        ends: PANICKED,
        says: &["failed to spawn a green thread: no hub could be made for this OS thread: \
             GREENROOM_HUB: unknown hub \"kqueue\"; known are: epoll poll"],
        ..PLAIN
    },
    Case {
        name: "settings::an_unknown_hub_is_an_error_of_the_builder",
        play: || {
            let error = Builder::new().spawn(|| {}).unwrap_err();
            assert!(matches!(&error, SpawnError::Hub(_)), "{error:?}");
            assert!(error.to_string().contains("known are: epoll poll"), "{error}");
            yield_now();
            assert_eq!(hub::stats(), hub::Stats::default());
            hub::use_hub(Backend::Epoll).unwrap();
            assert_eq!(spawn(|| 1).join().unwrap(), 1);
        },
        env: &[("GREENROOM_HUB", "")],
        ..PLAIN
    },
    Case {
        name: "settings::stacks_are_as_large_as_the_environment_says",
        play: || assert_eq!(spawn(|| descend(6 << 10)).join().unwrap(), 6 << 10),
        env: &[("GREENROOM_STACK_SIZE", " 16777216 ")],
        ..PLAIN
    },
    Case {
        name: "settings::a_stack_size_that_is_no_number_is_refused",
        play: || {
            hub::get();
        },
        env: &[("GREENROOM_STACK_SIZE", "1M")],
        ends: PANICKED,
        says: &["GREENROOM_STACK_SIZE is \"1M\"; it must be a number of bytes from 16384 to "],
        ..PLAIN
    },
    Case {
        name: "settings::a_stack_size_that_is_too_small_is_refused",
        play: || {
            hub::get();
        },
        env: &[("GREENROOM_STACK_SIZE", "4096")],
        ends: PANICKED,
        says: &["GREENROOM_STACK_SIZE is \"4096\""],
        ..PLAIN
    },
    Case {
        name: "settings::work_that_waits_for_other_work_has_it_while_there_are_helpers",
        play: || {
            // Each time one more than before: the helpers there are must not be counted on twice.
            for pieces in 1..=20 {
                let all_there = Arc::new(Barrier::new(pieces));
                let workers: Vec<_> = (0..pieces)
                    .map(|_| {
                        let all_there = Arc::clone(&all_there);
                        spawn(move || offload(move || all_there.wait().is_leader()))
                    })
                    .collect();
                for worker in workers {
                    worker.join().unwrap();
                }
            }
        },
        env: &[("GREENROOM_OFFLOAD_THREADS", "20")],
        ..PLAIN
    },
    Case {
        name: "settings::one_helper_does_one_piece_of_work_at_a_time",
        play: || assert_eq!(busiest(50), 1),
        env: &[("GREENROOM_OFFLOAD_THREADS", "1")],
        ..PLAIN
    },
    Case {
        name: "settings::there_are_as_many_helpers_as_the_environment_says",
        play: || {
            let all_there = Arc::new(Barrier::new(3));
            let workers = [0; 3].map(|_| {
                let all_there = Arc::clone(&all_there);
                spawn(move || offload(move || all_there.wait().is_leader()))
            });
            let leaders = workers.map(|worker| usize::from(worker.join().unwrap()));
            assert_eq!(leaders.iter().sum::<usize>(), 1);
            assert!(busiest(50) <= 3);
        },
        env: &[("GREENROOM_OFFLOAD_THREADS", "3")],
        ..PLAIN
    },
    Case {
        name: "settings::twenty_helpers_are_the_most_unless_told_otherwise",
        play: || {
            let all_there = Arc::new(Barrier::new(20));
            let workers: Vec<_> = (0..20)
                .map(|_| {
                    let all_there = Arc::clone(&all_there);
                    spawn(move || offload(move || all_there.wait().is_leader()))
                })
                .collect();
            for worker in workers {
                worker.join().unwrap();
            }
            assert!(busiest(200) <= 20);
        },
        ..PLAIN
    },
    Case {
        name: "settings::no_helpers_is_refused",
        play: || offload(|| {}),
        env: &[("GREENROOM_OFFLOAD_THREADS", "0")],
        ends: PANICKED,
        says: &["GREENROOM_OFFLOAD_THREADS is \"0\"; it must be a number from 1 up"],
        ..PLAIN
    },
    Case {
        name: "settings::a_watchdog_that_cannot_be_is_an_error_of_the_builder",
        play: || {
            for _ in 0..2 {
                let error = Builder::new().spawn(|| {}).unwrap_err();
                assert!(matches!(&error, SpawnError::Hub(_)), "{error:?}");
                assert!(error.to_string().contains("GREENROOM_WATCHDOG is \"soon\""), "{error}");
            }
            assert_eq!(hub::stats(), hub::Stats::default());
        },
        env: &[("GREENROOM_WATCHDOG", "soon")],
        ..PLAIN
    },
    Case {
        name: "settings::a_watchdog_without_a_limit_is_refused",
        play: || {
            hub::get();
        },
        env: &[("GREENROOM_WATCHDOG", "0")],
        ends: PANICKED,
        says: &["GREENROOM_WATCHDOG is \"0\"; it must be milliseconds, from 1 up"],
        ..PLAIN
    },
];
