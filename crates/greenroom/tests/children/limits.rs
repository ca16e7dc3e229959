//! What happens when the kernel gives no more: an error, and those that live go on.

use std::{
    fs::File,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use greenroom::{
    JoinHandle,
    foreign::{Here, Stop},
    hub::{self, Backend},
    hubs,
    io::Interest,
    offload, sleep, spawn,
    thread::{Builder, SpawnError},
    yield_now,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::case::{Case, PANICKED, PLAIN};

/// Allows this process so many bytes of address space more than it has.
fn limit_address_space(more: u64) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let limit = Rlimit { current: Some(pages * 4096 + more), ..getrlimit(Resource::As) };
    setrlimit(Resource::As, limit).unwrap();
}

/// Spawns sleepers with large stacks until that fails.
fn fill() -> (Vec<JoinHandle<usize>>, SpawnError) {
    let mut threads = Vec::with_capacity(10_000);
    loop {
        let n = threads.len();
        let sleeper = Builder::new().stack_size(1 << 20).spawn(move || {
            sleep(Duration::from_millis(1));
            n
        });
        match sleeper {
            Ok(thread) => threads.push(thread),
            Err(error) => return (threads, error),
        }
    }
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "limits::without_address_space_spawning_is_an_error_and_the_others_go_on",
        play: || {
            yield_now();
            assert_eq!(spawn(|| 1).join().unwrap(), 1);
            limit_address_space(256 << 20);
            for _ in 0..2 {
                let (threads, error) = fill();
                assert!(matches!(&error, SpawnError::Stack(_)), "{error:?}");
                let error: std::io::Error = error.into();
                assert_eq!(error.raw_os_error().or(Some(libc::ENOMEM)), Some(libc::ENOMEM));
                assert!((100..=256).contains(&threads.len()), "{} stacks", threads.len());
                for (n, thread) in threads.into_iter().enumerate() {
                    assert_eq!(thread.join().unwrap(), n);
                }
            }
            assert_eq!(hub::stats().threads, 0);
        },
        ..PLAIN
    },
    Case {
        name: "limits::without_address_space_spawn_panics_and_says_why",
        play: || {
            hub::get();
            limit_address_space(64 << 20);
            let (_threads, _) = fill();
            let mut more = Vec::with_capacity(10_000);
            loop {
                more.push(spawn(|| {}));
            }
        },
        ends: PANICKED,
        says: &["failed to spawn a green thread: "],
        ..PLAIN
    },
    Case {
        name: "limits::without_address_space_offloading_panics_before_its_work_is_dropped_unlocked",
        play: || {
            struct Offloads;
            impl Drop for Offloads {
                fn drop(&mut self) {
                    let refused = std::panic::catch_unwind(|| offload(|| {}));
                    eprintln!("the work was dropped, and could ask for help: {refused:?}");
                }
            }
            hub::get();
            let owned = Offloads;
            limit_address_space(1 << 20);
            offload(move || drop(owned));
        },
        ends: PANICKED,
        says: &[
            "no helper OS thread can be started: ",
            "the work was dropped, and could ask for help: Err(",
            "no helper OS thread can be started: ",
        ],
        ..PLAIN
    },
    Case {
        name: "limits::without_address_space_offloading_beneath_foreign_frames_is_an_error",
        play: || {
            std::panic::set_hook(Box::new(|_| std::process::abort()));
            hub::get();
            let waiter = spawn(|| {
                limit_address_space(1 << 20);
                let here = Here::get().expect("this is a green thread");
                let owned = Arc::new(());
                let given = Arc::clone(&owned);
                let refused = here.offload(&"work", move || drop(given)).unwrap_err();
                (refused, Arc::strong_count(&owned))
            });
            assert_eq!(waiter.join().unwrap(), (Stop::NoHelper, 1));
        },
        ..PLAIN
    },
    Case {
        name: "limits::without_fds_there_is_no_hub_and_that_is_an_error",
        play: || {
            let lowest_free = std::os::fd::AsRawFd::as_raw_fd(&File::open("/dev/null").unwrap());
            let before = getrlimit(Resource::Nofile);
            let none = Rlimit { current: Some(u64::try_from(lowest_free).unwrap()), ..before };
            setrlimit(Resource::Nofile, none).unwrap();
            let error = Builder::new().spawn(|| {}).unwrap_err();
            assert!(matches!(&error, SpawnError::Hub(_)), "{error:?}");
            let error: std::io::Error = error.into();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            setrlimit(Resource::Nofile, before).unwrap();
            assert_eq!(spawn(|| 1).join().unwrap(), 1);
        },
        ..PLAIN
    },
    Case {
        name: "limits::without_fds_the_backend_stays_what_it_is",
        play: || {
            hub::use_hub(Backend::Poll).unwrap();
            let (here, _there) = UnixStream::pair().unwrap();
            let lowest_free = std::os::fd::AsRawFd::as_raw_fd(&File::open("/dev/null").unwrap());
            let before = getrlimit(Resource::Nofile);
            let none = Rlimit { current: Some(u64::try_from(lowest_free).unwrap()), ..before };
            setrlimit(Resource::Nofile, none).unwrap();
            let error = hub::use_hub(Backend::Epoll).unwrap_err().to_string();
            assert!(error.starts_with("the kernel refused a new hub: "), "{error}");
            assert_eq!(hub::get().backend(), Backend::Poll);
            hub::add(&here, Interest::Write, |_| {}).unwrap().remove();
            setrlimit(Resource::Nofile, before).unwrap();
            hub::use_hub(Backend::Epoll).unwrap();
        },
        ..PLAIN
    },
    Case {
        name: "limits::without_memory_for_another_os_thread_the_hubs_that_run_are_waited_for",
        play: || {
            static OTHERS_RUN: AtomicBool = AtomicBool::new(false);
            let ended = AtomicUsize::new(0);
            let green = spawn(|| OTHERS_RUN.store(true, Ordering::Relaxed));
            limit_address_space(640 << 20);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                hubs::run(4, |_| {
                    // For ever, if the caller's hub stands still.
                    while !OTHERS_RUN.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                })
            }));
            assert!(green.is_finished());
            let ended = ended.into_inner();
            assert!((1..4).contains(&ended), "{ended} have run");
            assert!(outcome.is_err());
        },
        env: &[("RUST_MIN_STACK", "268435456")],
        says: &["an OS thread for another hub cannot be started: "],
        ..PLAIN
    },
];
