//! How a process ends while green threads are alive: just so, from wherever it is asked to.

use std::{
    io::{Read, Write, read_to_string},
    os::unix::net::UnixStream,
    process::exit,
    sync::mpsc::channel,
    time::Duration,
};

use greenroom::{
    hub,
    io::{GreenFd, Interest, trampoline},
    offload, sleep, sleep_until, spawn, spawn_after, thread, yield_now,
};

use crate::case::{ABORTED, Case, Ends, PANICKED, PLAIN};

const MOMENT: Duration = Duration::from_micros(1);

/// Green threads in every state, with destructors that would say so if they ran.
fn live_threads() {
    struct Loud(&'static str);
    impl Drop for Loud {
        fn drop(&mut self) {
            eprintln!("the {} is unwound", self.0);
        }
    }
    let (here, there) = UnixStream::pair().unwrap();
    let loud = ["sleeper", "reader", "joiner", "yielder", "unborn"].map(Loud);
    let [sleeper, reader, joiner, yielder, unborn] = loud;
    let sleeper = spawn(move || {
        let _loud = sleeper;
        sleep(Duration::MAX);
    });
    drop(spawn(move || {
        let _loud = (reader, there);
        trampoline(&here, Interest::Read, None).unwrap();
    }));
    drop(spawn(move || {
        let _loud = joiner;
        drop(sleeper.join());
    }));
    drop(spawn(move || {
        let _loud = yielder;
        loop {
            yield_now();
        }
    }));
    for _ in 0..10 {
        yield_now();
    }
    drop(spawn_after(Duration::from_secs(1000), move || drop(unborn)));
    hub::call_after_global(Duration::from_secs(1000), || {});
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "endings::blocking_calls_work_from_main_without_starting_anything",
        play: || {
            yield_now();
            sleep(MOMENT);
            sleep_until(greenroom::Instant::now() + MOMENT);
            assert_eq!(spawn(|| 1).join().unwrap(), 1);
            assert_eq!(spawn_after(MOMENT, || 2).join().unwrap(), 2);
            assert_eq!(offload(|| 3), 3);
            let (mut here, there) = UnixStream::pair().unwrap();
            drop(spawn(move || here.write_all(b"hello").unwrap()));
            trampoline(&there, Interest::Read, None).unwrap();
            let mut text = String::new();
            GreenFd::new(there).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
            assert_eq!(thread::current().name().as_deref(), Some("main"));
        },
        ..PLAIN
    },
    Case {
        name: "endings::main_that_returns_just_ends",
        play: live_threads,
        never_says: &["unwound"],
        ..PLAIN
    },
    Case {
        name: "endings::main_that_panics_ends_with_its_panic",
        play: || {
            live_threads();
            panic!("main is done");
        },
        ends: PANICKED,
        says: &["main is done"],
        never_says: &["unwound"],
        ..PLAIN
    },
    Case {
        name: "endings::exit_on_the_root_just_ends",
        play: || {
            live_threads();
            exit(7);
        },
        ends: Ends::Code(7),
        never_says: &["unwound"],
        ..PLAIN
    },
    Case {
        name: "endings::exit_on_a_green_thread_just_ends",
        play: || {
            live_threads();
            drop(spawn(|| exit(7)).join());
        },
        ends: Ends::Code(7),
        never_says: &["unwound"],
        ..PLAIN
    },
    Case {
        name: "endings::exit_in_a_callback_just_ends",
        play: || {
            live_threads();
            hub::call_after_global(Duration::ZERO, || exit(7));
            sleep(Duration::from_secs(1000));
        },
        ends: Ends::Code(7),
        never_says: &["unwound"],
        ..PLAIN
    },
    Case {
        name: "endings::exit_in_a_destructor_of_a_panicking_thread_just_ends",
        play: || {
            struct Exits;
            impl Drop for Exits {
                fn drop(&mut self) {
                    exit(7);
                }
            }
            live_threads();
            let panics = spawn(|| {
                let _exits = Exits;
                panic!("and out");
            });
            drop(panics.join());
        },
        ends: Ends::Code(7),
        says: &["and out"],
        never_says: &["unwound"],
        ..PLAIN
    },
    Case {
        name: "endings::exit_on_a_green_thread_of_another_os_thread_just_ends",
        play: || {
            live_threads();
            let other = std::thread::spawn(|| {
                live_threads();
                drop(spawn(|| exit(7)).join());
            });
            drop(spawn(|| offload(move || drop(other.join()))).join());
        },
        ends: Ends::Code(7),
        never_says: &["unwound"],
        ..PLAIN
    },
    Case {
        name: "endings::exit_on_the_root_of_another_os_thread_unwinds_its_green_threads",
        play: || {
            let other = std::thread::spawn(|| {
                live_threads();
                exit(7);
            });
            drop(other.join());
        },
        ends: Ends::Code(7),
        says: &["sleeper is unwound", "reader is unwound"],
        ..PLAIN
    },
    Case {
        name: "endings::exit_on_main_while_another_os_thread_is_in_its_loop_just_ends",
        play: || {
            let (ready, readiness) = channel();
            std::thread::spawn(move || {
                live_threads();
                ready.send(()).unwrap();
                sleep(Duration::from_secs(1000));
            });
            readiness.recv().unwrap();
        },
        never_says: &["unwound"],
        ..PLAIN
    },
    Case {
        name: "endings::main_may_return_while_work_is_offloaded",
        play: || {
            // Reads until the process ends.
            let reads = spawn(|| offload(|| read_to_string(std::io::stdin()).is_ok()));
            drop(reads.join_timeout(MOMENT));
        },
        ..PLAIN
    },
    Case {
        name: "endings::abort_on_a_green_thread_is_an_abort",
        play: || {
            live_threads();
            drop(spawn(|| std::process::abort()).join());
        },
        ends: ABORTED,
        never_says: &["unwound"],
        ..PLAIN
    },
];
