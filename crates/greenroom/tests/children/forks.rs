//! A forked child goes on with the hub it inherits, and its parent notices nothing.

use std::{
    io::{Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    time::Duration,
};

use greenroom::{
    Instant, JoinHandle,
    foreign::{Here, Stop, about_to_close, is_awaited},
    hub,
    io::{GreenFd, Interest, trampoline},
    offload, sleep, spawn, thread, yield_now,
};
use rustix::process::Pid;

use crate::{
    case::{Case, PLAIN},
    kernel::{assert_ended_well, fork},
};

const MOMENT: Duration = Duration::from_millis(1);

/// A thread that reads one message.
fn reader(stream: UnixStream) -> JoinHandle<Vec<u8>> {
    spawn(move || {
        let mut bytes = vec![0; 5];
        GreenFd::new(stream).unwrap().read_exact(&mut bytes).unwrap();
        bytes
    })
}

/// A thread that waits in foreign code for an fd that is its own.
fn foreign_waiter() -> (RawFd, UnixStream, JoinHandle<Result<(), Stop>>) {
    let (here, there) = UnixStream::pair().unwrap();
    let fd = here.as_raw_fd();
    let waiter = spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(3600);
        let green = Here::get().expect("a green thread runs here");
        green.wait(here.as_raw_fd(), Interest::Read, Some(deadline))
    });
    yield_now();
    assert!(is_awaited(&(fd..=fd)));
    (fd, there, waiter)
}

/// So many times a process forks while another OS thread takes and gives back a lock, so that at some of the forks
/// that has it.
const FORKS_AT_A_LOCK: usize = 200;

/// Forks again and again while another OS thread does something that takes a lock. The children hang if they wait for the
/// lock.
fn fork_while(holds_locks: impl Fn() + Send + Sync, child: impl Fn()) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                holds_locks();
            }
        });
        for _ in 0..FORKS_AT_A_LOCK {
            assert_ended_well(fork(&child));
            // So that the hub hears what it is sent.
            yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

/// Waits for a child as green threads should: somewhere else.
fn end_of(child: Pid) {
    offload(move || assert_ended_well(child));
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "forks::a_child_goes_on_using_the_hub",
        play: || {
            let (here, mut there) = UnixStream::pair().unwrap();
            let before = reader(here);
            yield_now();
            let child = fork(|| {
                sleep(MOMENT);
                assert_eq!(spawn(|| 7).join().unwrap(), 7);
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                let reader = reader(ours);
                yield_now();
                theirs.write_all(b"child").unwrap();
                assert_eq!(reader.join().unwrap(), b"child");
            });
            end_of(child);
            there.write_all(b"after").unwrap();
            assert_eq!(before.join().unwrap(), b"after");
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_thread_that_waited_before_the_fork_waits_on_in_the_child",
        play: || {
            let (here, mut there) = UnixStream::pair().unwrap();
            let before = reader(here);
            let sleeper = spawn(|| sleep(MOMENT));
            yield_now();
            let child = fork(|| {
                there.write_all(b"child").unwrap();
                assert_eq!(before.join().unwrap(), b"child");
                sleeper.join().unwrap();
            });
            // Were the loop to run here meanwhile, the parent's thread could be faster to read.
            assert_ended_well(child);
        },
        ..PLAIN
    },
    Case {
        name: "forks::what_a_child_closes_is_open_in_its_parent",
        play: || {
            let (here, mut there) = UnixStream::pair().unwrap();
            let fd = here.as_raw_fd();
            let foreign = UnixStream::pair().unwrap();
            let before = reader(here);
            let waiter = {
                let stream = foreign.0.try_clone().unwrap();
                spawn(move || trampoline(&stream, Interest::Read, None))
            };
            yield_now();
            let child = fork(|| {
                assert_eq!(hub::notify_close(fd), 1);
                hub::abort();
                assert_eq!((hub::stats().threads, hub::stats().listeners), (0, 0));
            });
            end_of(child);
            there.write_all(b"still").unwrap();
            (&foreign.1).write_all(b"!").unwrap();
            assert_eq!(before.join().unwrap(), b"still");
            waiter.join().unwrap().unwrap();
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_green_thread_may_fork",
        play: || {
            let forks = spawn(|| {
                let me = thread::current().id();
                let child = fork(move || {
                    assert_eq!(thread::current().id(), me);
                    sleep(MOMENT);
                    assert_eq!(spawn(|| 7).join().unwrap(), 7);
                });
                end_of(child);
                thread::current().id() == me
            });
            assert!(forks.join().unwrap());
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_child_may_offload_first_of_all",
        play: || {
            assert_eq!(spawn(|| 1).join().unwrap(), 1);
            assert_ended_well(fork(|| assert_eq!(offload(|| 7), 7)));
            assert_eq!(offload(|| 8), 8);
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_child_may_offload_although_the_helpers_are_its_parents",
        play: || {
            assert_eq!(offload(|| 1), 1);
            // The helper waits for more work now; that is what the child has none of.
            let child = fork(|| assert_eq!(offload(|| 7), 7));
            assert_ended_well(child);
            assert_eq!(offload(|| 8), 8);
        },
        ..PLAIN
    },
    Case {
        name: "forks::work_that_was_offloaded_before_is_lost_in_the_child_alone",
        play: || {
            let (go_on, gone_on) = channel::<()>();
            let worker = spawn(move || {
                offload(move || gone_on.recv().unwrap());
                7
            });
            yield_now();
            let worker = std::cell::Cell::new(Some(worker));
            let child = fork(|| {
                let error = worker.take().unwrap().join().unwrap_err().to_string();
                assert!(error.contains("lost: the process forked, without its helpers"), "{error}");
            });
            assert_ended_well(child);
            go_on.send(()).unwrap();
            assert_eq!(worker.take().unwrap().join().unwrap(), 7);
        },
        ..PLAIN
    },
    Case {
        name: "forks::work_that_was_queued_before_is_left_alone_in_the_child",
        play: || {
            struct Offloads;
            impl Drop for Offloads {
                fn drop(&mut self) {
                    offload(|| {});
                }
            }
            let (go_on, gone_on) = channel::<()>();
            let busy = spawn(move || offload(move || gone_on.recv().unwrap()));
            let owned = Offloads;
            let queued = spawn(move || offload(move || std::mem::forget(owned)));
            yield_now();
            assert_ended_well(fork(|| assert_eq!(offload(|| 7), 7)));
            go_on.send(()).unwrap();
            busy.join().unwrap();
            queued.join().unwrap();
        },
        env: &[("GREENROOM_OFFLOAD_THREADS", "1")],
        ..PLAIN
    },
    Case {
        name: "forks::a_child_of_a_child_goes_on_as_well",
        play: || {
            let (here, mut there) = UnixStream::pair().unwrap();
            let before = reader(here);
            yield_now();
            let child = fork(|| {
                sleep(MOMENT);
                let grandchild = fork(|| {
                    sleep(MOMENT);
                    assert_eq!(spawn(|| 7).join().unwrap(), 7);
                });
                end_of(grandchild);
            });
            end_of(child);
            there.write_all(b"after").unwrap();
            assert_eq!(before.join().unwrap(), b"after");
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_child_may_send_to_its_own_hub_again_and_again",
        play: || {
            let here = hub::remote();
            assert_eq!(here.spawn(|| 1).unwrap().join().unwrap(), 1);
            let child = fork(|| {
                for n in 0..3 {
                    assert_eq!(here.spawn(move || n).unwrap().join().unwrap(), n);
                }
            });
            assert_ended_well(child);
            assert_eq!(here.spawn(|| 2).unwrap().join().unwrap(), 2);
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_child_goes_on_although_somebody_was_just_sending_to_its_hub",
        play: || {
            let here = hub::remote();
            let other = here.clone();
            fork_while(
                || drop(other.clone()),
                || assert_eq!(here.spawn(|| 7).unwrap().join().unwrap(), 7),
            );
            assert_eq!(here.spawn(|| 2).unwrap().join().unwrap(), 2);
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_child_goes_on_although_somebody_was_just_closing_what_may_be_awaited",
        play: || {
            let (fd, mut there, waiter) = foreign_waiter();
            // Of another number, which is told from an awaited one later.
            let namesake = fd + 4096;
            assert!(is_awaited(&(namesake..=namesake)));
            fork_while(
                || drop(about_to_close(namesake..=namesake)),
                || sleep(Duration::from_micros(1)),
            );
            there.write_all(b"x").unwrap();
            assert_eq!(waiter.join().unwrap(), Ok(()));
        },
        ..PLAIN
    },
    Case {
        name: "forks::who_waited_in_foreign_code_before_the_fork_hears_of_a_closing_in_the_child",
        play: || {
            let (fd, mut there, waiter) = foreign_waiter();
            let child = {
                let waiter = &waiter;
                fork(move || {
                    sleep(MOMENT);
                    drop(about_to_close(fd..=fd));
                    sleep(MOMENT);
                    assert!(waiter.is_finished(), "nobody told it");
                })
            };
            assert_ended_well(child);
            assert!(!waiter.is_finished());
            there.write_all(b"x").unwrap();
            assert_eq!(waiter.join().unwrap(), Ok(()));
        },
        ..PLAIN
    },
];
