//! A green thread forks: its parent notices nothing, and its child blocks as a process with one thread does.

use std::{
    cell::Cell,
    ffi::c_int,
    io::ErrorKind,
    os::{fd::AsRawFd, unix::net::UnixStream},
    process::{Command, id},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering},
    },
    time::Duration,
};

use greenroom::{
    JoinHandle,
    foreign::{Here, is_awaited},
    sleep, spawn, yield_now,
};

use crate::{
    case::{Case, PLAIN},
    kernel::{
        before_exec, child_after, close, dup2, exec, fork, fork_in_place, nap, pipe, read_byte,
        waitpid, write_byte,
    },
};

const MOMENT: Duration = Duration::from_millis(5);

/// A green thread that takes a turn every millisecond, of which every process counts its own.
fn ticker() -> (JoinHandle<()>, Rc<Cell<u32>>) {
    let turns = Rc::new(Cell::new(0));
    let counted = Rc::clone(&turns);
    let thread = spawn(move || {
        loop {
            counted.set(counted.get() + 1);
            nap(1);
            yield_now();
        }
    });
    (thread, turns)
}

/// Plays `child` in a child forked by a green thread with siblings; it must end with 0.
fn in_child(child: impl FnOnce(&Cell<u32>) -> bool + 'static) {
    let (ticker, turns) = ticker();
    let forks = spawn(move || {
        nap(5);
        let pid = fork(|| c_int::from(!child(&turns)));
        let before = turns.get();
        assert_eq!(waitpid(pid, 0).of(pid).status, 0);
        // It was waited for greenly.
        assert!(turns.get() > before);
    });
    forks.join().unwrap();
    ticker.kill();
    assert!(ticker.join().unwrap_err().is_killed());
}

/// An fd for which a green thread waits; what it is given ends the wait.
fn awaited() -> (c_int, UnixStream, JoinHandle<Option<u8>>) {
    let (here, there) = UnixStream::pair().unwrap();
    let fd = here.as_raw_fd();
    let reader = spawn(move || read_byte(here.as_raw_fd()));
    sleep(MOMENT);
    assert!(is_awaited(&(fd..=fd)));
    (fd, there, reader)
}

static AWAITED: AtomicI32 = AtomicI32::new(-1);
static PARENT: AtomicU32 = AtomicU32::new(0);
static STRANGERS: AtomicU32 = AtomicU32::new(0);

/// What a child of `vfork` does before `exec`, and more than it should.
extern "C" fn vforked() -> c_int {
    let fd = AWAITED.load(Ordering::Relaxed);
    let (read_end, write_end) = pipe();
    // Were this a wait on the hub, siblings would run in the child, in their parent's memory.
    nap(10);
    let is_green = Here::get().is_some();
    let is_written = write_byte(write_end, 7) == 1 && read_byte(read_end) == Some(7);
    let is_replaced = dup2(read_end, fd) == fd && close(fd) == 0;
    if !is_green && is_written && is_replaced {
        exec(c"true");
    }
    1
}

/// The first wait of a process, on an OS thread of its own, and forks meanwhile, whose children wait as well.
fn first_wait_and_forks() -> c_int {
    let is_over = Arc::new(AtomicBool::new(false));
    let first = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            spawn(|| nap(1)).join().unwrap();
            is_over.store(true, Ordering::Relaxed);
        }
    });
    // One right after the other: what is found out at the first wait takes some hundred microseconds.
    let mut children = Vec::new();
    while children.len() < 3 || children.len() < 40 && !is_over.load(Ordering::Relaxed) {
        children.push(fork(|| {
            spawn(|| nap(1)).join().unwrap();
            0
        }));
    }
    first.join().unwrap();
    let all_ended_well = children.iter().all(|&pid| waitpid(pid, 0).of(pid).status == 0);
    c_int::from(!all_ended_well)
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "forks::a_child_sleeps_reads_and_waits_without_its_siblings",
        play: || {
            in_child(|turns| {
                let before = turns.get();
                let (read_end, write_end) = pipe();
                let grandchild = fork(move || {
                    nap(10);
                    c_int::from(write_byte(write_end, 7) != 1)
                });
                let is_read = read_byte(read_end) == Some(7);
                let is_reaped = waitpid(grandchild, 0).of(grandchild).status == 0;
                nap(10);
                is_read && is_reaped && turns.get() == before && Here::get().is_none()
            });
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_child_that_waits_by_the_hub_is_green_from_then_on",
        play: || {
            in_child(|turns| {
                let before = turns.get();
                let was_green = Here::get().is_some();
                sleep(MOMENT);
                let by_hub = turns.get();
                let child = child_after(20, 7);
                let is_reaped = waitpid(child, 0).of(child).status == 7 << 8;
                !was_green && by_hub > before && is_reaped && turns.get() > by_hub
            });
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_child_may_end_by_a_wait_for_its_siblings_pipe",
        play: || {
            // The parent's green thread writes while the child reads with its whole process.
            let (read_end, write_end) = pipe();
            let forks = spawn(move || {
                let pid = fork(|| c_int::from(read_byte(read_end) != Some(7)));
                waitpid(pid, 0).of(pid).status
            });
            let writer = spawn(move || {
                nap(20);
                write_byte(write_end, 7)
            });
            assert_eq!((forks.join().unwrap(), writer.join().unwrap()), (0, 1));
        },
        ..PLAIN
    },
    Case {
        name: "forks::what_is_closed_and_replaced_before_exec_is_awaited_in_the_parent_all_the_same",
        play: || {
            let (fd, there, reader) = awaited();
            let forks = spawn(move || {
                let pid = fork(|| {
                    let (read_end, write_end) = pipe();
                    let is_replaced = dup2(read_end, fd) == fd && close(fd) == 0;
                    if is_replaced
                        && write_byte(write_end, 7) == 1
                        && read_byte(read_end) == Some(7)
                    {
                        exec(c"true");
                    }
                    1
                });
                waitpid(pid, 0).of(pid).status
            });
            assert_eq!(forks.join().unwrap(), 0);
            assert!(!reader.is_finished());
            assert_eq!(write_byte(there.as_raw_fd(), 9), 1);
            assert_eq!(reader.join().unwrap(), Some(9));
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_child_of_vfork_neither_switches_nor_ends_its_parents_waits",
        play: || {
            for _ in 0..3 {
                let (fd, there, reader) = awaited();
                AWAITED.store(fd, Ordering::Relaxed);
                PARENT.store(id(), Ordering::Relaxed);
                let ticker = spawn(|| {
                    loop {
                        let strange = id() != PARENT.load(Ordering::Relaxed);
                        STRANGERS.fetch_add(u32::from(strange), Ordering::Relaxed);
                        nap(1);
                        yield_now();
                    }
                });
                let forks = spawn(|| {
                    let pid = fork_in_place(vforked);
                    // The parent is green again.
                    assert!(Here::get().is_some());
                    waitpid(pid, 0).of(pid).status
                });
                assert_eq!(forks.join().unwrap(), 0);
                assert_eq!(STRANGERS.load(Ordering::Relaxed), 0);
                ticker.kill();
                assert!(ticker.join().unwrap_err().is_killed());
                assert!(!reader.is_finished());
                assert_eq!(write_byte(there.as_raw_fd(), 9), 1);
                assert_eq!(reader.join().unwrap(), Some(9));
            }
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_child_forked_after_a_vfork_is_green_once_it_waits_by_the_hub",
        play: || {
            AWAITED.store(1000, Ordering::Relaxed);
            spawn(|| {
                fork_in_place(vforked);
            })
            .join()
            .unwrap();
            // On the root, and before anybody has asked who the parent is.
            let pid = fork(|| {
                sleep(MOMENT);
                let is_green = spawn(|| Here::get().is_some()).join().unwrap();
                c_int::from(!is_green)
            });
            assert_eq!(waitpid(pid, 0).of(pid).status, 0);
        },
        ..PLAIN
    },
    Case {
        name: "forks::commands_of_std_start_by_posix_spawn_and_by_fork",
        play: || {
            let (fd, there, reader) = awaited();
            let starts = spawn(|| {
                for forks in [false, true] {
                    let mut command = Command::new("sh");
                    command.args(["-c", "cat; exit 7"]);
                    let mut missing = Command::new("/nonexistent/program");
                    if forks {
                        before_exec(&mut command, || {
                            // A wait in between is the child's own.
                            nap(5);
                            Ok(())
                        });
                        before_exec(&mut missing, || Ok(()));
                    }
                    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
                    assert_eq!((output.status.code(), output.stdout.len()), (Some(7), 0));
                    assert_eq!(missing.status().unwrap_err().kind(), ErrorKind::NotFound);
                    let mut refuses = Command::new("true");
                    before_exec(&mut refuses, || Err(std::io::Error::from_raw_os_error(71)));
                    assert_eq!(refuses.status().unwrap_err().raw_os_error(), Some(71));
                }
            });
            starts.join().unwrap();
            assert!(fd > 2 && !reader.is_finished());
            assert_eq!(write_byte(there.as_raw_fd(), 9), 1);
            assert_eq!(reader.join().unwrap(), Some(9));
        },
        ..PLAIN
    },
    Case {
        name: "forks::system_works",
        play: || {
            let played = spawn(|| crate::kernel::system(c"exit 7"));
            assert_eq!(played.join().unwrap(), 7 << 8);
        },
        ..PLAIN
    },
    Case {
        name: "forks::a_child_waits_although_another_os_thread_was_just_finding_out_what_is_kept_with_a_wait",
        play: || {
            for _ in 0..8 {
                let pid = fork(first_wait_and_forks);
                assert_eq!(waitpid(pid, 0).of(pid).status, 0);
            }
        },
        ..PLAIN
    },
];
