//! What is reported, written and left in `errno`, call by call.

use std::{
    ffi::c_int,
    thread,
    time::{Duration, Instant},
};

use greenroom::spawn;

use crate::{
    alike::alike,
    case::{Case, PLAIN},
    kernel::{
        BEFORE, Ended, be_traced, child_after, child_for_ever, close, dup2, fork, ignore_children,
        let_go_on, make_group, nap, other_names, pidfd, send, stop_myself, wait, waitid,
        waitid_without_info, waitpid, with_usage,
    },
};

const MOMENT_MS: u64 = 20;

/// What ends with 7 looks so to its parent.
const SEVEN: c_int = 7 << 8;

const REAPED: Ended = Ended { answer: 1, errno: BEFORE, status: SEVEN };

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "reports::a_child_by_its_number_whether_it_has_ended_or_is_about_to",
        play: || {
            for millis in [0, MOMENT_MS] {
                let ended = alike(move || {
                    let pids = [(); 4].map(|()| child_after(millis, 7));
                    let (with_usage, is_used) = with_usage(Some(pids[2]), 0);
                    assert!(is_used);
                    [
                        waitpid(pids[0], 0).of(pids[0]),
                        other_names(Some(pids[1])).of(pids[1]),
                        with_usage.of(pids[2]),
                        waitpid(pids[3], libc::__WALL).of(pids[3]),
                    ]
                });
                assert_eq!(ended, [REAPED; 4]);
            }
        },
        ..PLAIN
    },
    Case {
        name: "reports::any_child_whether_it_has_ended_or_is_about_to",
        play: || {
            for millis in [0, MOMENT_MS] {
                let ended = alike(move || {
                    let next = || child_after(millis, 7);
                    let pid = next();
                    let by_wait = wait().of(pid);
                    let pid = next();
                    let by_other_name = other_names(None).of(pid);
                    let pid = next();
                    let (by_wait3, is_used) = with_usage(None, 0);
                    assert!(is_used);
                    let by_wait3 = by_wait3.of(pid);
                    let pid = next();
                    let by_waitpid = waitpid(-1, 0).of(pid);
                    let pid = next();
                    let of_my_group = waitpid(0, 0).of(pid);
                    let pid = next();
                    make_group(pid);
                    let of_its_group = waitpid(-pid, 0).of(pid);
                    [by_wait, by_other_name, by_wait3, by_waitpid, of_my_group, of_its_group]
                });
                assert_eq!(ended, [REAPED; 6]);
            }
        },
        ..PLAIN
    },
    Case {
        name: "reports::waitid_writes_who_it_was_and_how_it_ended",
        play: || {
            for millis in [0, MOMENT_MS] {
                alike(move || {
                    let of = |which, id, pid, options| {
                        let (ended, mut info) = waitid(which, id, options);
                        assert_eq!(info.pid, pid);
                        info.pid = 0;
                        (ended, info)
                    };
                    let pids = [(); 4].map(|()| child_after(millis, 7));
                    let ids = pids.map(|pid| pid as u32);
                    let by_number = of(libc::P_PID, ids[0], pids[0], libc::WEXITED);
                    assert_eq!(by_number.1.code, libc::CLD_EXITED);
                    assert_eq!(by_number.1.status, 7);
                    let fd = pidfd(pids[1], 0);
                    let by_fd = of(libc::P_PIDFD, fd as u32, pids[1], libc::WEXITED);
                    close(fd);
                    let left = of(libc::P_PID, ids[2], pids[2], libc::WEXITED | libc::WNOWAIT);
                    let reaped = waitpid(pids[2], 0).of(pids[2]);
                    let unseen = waitid_without_info(libc::P_PID, ids[3], libc::WEXITED);
                    let any = child_after(millis, 7);
                    let any = of(libc::P_ALL, 0, any, libc::WEXITED);
                    (by_number, by_fd, left, reaped, unseen, any)
                });
            }
        },
        ..PLAIN
    },
    Case {
        name: "reports::whose_pidfd_comes_to_mean_another_child_waits_for_the_first",
        play: || {
            alike(|| {
                let (first, other) = (child_after(60, 7), child_for_ever());
                let (fd, others) = (pidfd(first, 0), pidfd(other, 0));
                let replacer = thread::spawn(move || {
                    nap(20);
                    dup2(others, fd)
                });
                let (ended, info) = waitid(libc::P_PIDFD, fd as u32, libc::WEXITED);
                assert_eq!(replacer.join().unwrap(), fd);
                assert_eq!(info.pid, first);
                close(fd);
                close(others);
                send(other, libc::SIGKILL);
                (ended, waitpid(other, 0).of(other))
            });
        },
        ..PLAIN
    },
    Case {
        name: "reports::who_only_looks_lets_a_sibling_run_that_ends_the_child",
        play: || {
            let looks: [fn(i32) -> bool; 2] = [
                |pid| waitpid(pid, libc::WNOHANG).answer != 0,
                |pid| {
                    let options = libc::WEXITED | libc::WNOHANG;
                    waitid(libc::P_PID, pid as u32, options).1.pid != 0
                },
            ];
            for look in looks {
                let pid = child_for_ever();
                let looking = spawn(move || {
                    let begin = Instant::now();
                    while !look(pid) {
                        assert!(begin.elapsed() < Duration::from_secs(10), "nobody else runs");
                    }
                });
                let sibling = spawn(move || send(pid, libc::SIGKILL));
                looking.join().unwrap();
                sibling.join().unwrap();
            }
        },
        ..PLAIN
    },
    Case {
        name: "reports::who_has_no_such_child_is_told_at_once",
        play: || {
            let errnos = alike(|| {
                let one = std::process::id() as i32;
                let ended = [
                    wait(),
                    waitpid(-1, 0),
                    waitpid(0, 0),
                    waitpid(one, 0),
                    waitpid(-one, 0),
                    waitpid(i32::MIN, 0),
                    waitpid(-1, 1 << 20),
                    with_usage(None, libc::WUNTRACED).0,
                    waitid(libc::P_ALL, 0, libc::WEXITED).0,
                    waitid(libc::P_ALL, 0, 0).0,
                    waitid(77, 0, libc::WEXITED).0,
                    waitid(libc::P_PIDFD, 999, libc::WEXITED).0,
                ];
                assert!(ended.iter().all(|ended| ended.answer == -1 && ended.status == BEFORE));
                ended.map(|ended| ended.errno)
            });
            assert_eq!(errnos[0], libc::ECHILD);
            assert_eq!(errnos[9], libc::EINVAL);
        },
        ..PLAIN
    },
    Case {
        name: "reports::who_does_not_want_to_wait_does_not",
        play: || {
            alike(|| {
                let pid = child_for_ever();
                let fd = pidfd(pid, libc::O_NONBLOCK as u32);
                let before = [
                    waitpid(pid, libc::WNOHANG),
                    waitpid(-1, libc::WNOHANG | libc::WUNTRACED),
                    waitid(libc::P_PID, pid as u32, libc::WEXITED | libc::WNOHANG).0,
                    waitid(libc::P_PIDFD, fd as u32, libc::WEXITED).0,
                ];
                assert_eq!(before[3].errno, libc::EAGAIN);
                close(fd);
                send(pid, libc::SIGKILL);
                (before, waitpid(pid, 0).of(pid))
            });
        },
        ..PLAIN
    },
    Case {
        name: "reports::stops_and_their_ends_to_those_who_ask",
        play: || {
            alike(|| {
                let pid = fork(|| {
                    stop_myself();
                    nap(MOMENT_MS);
                    stop_myself();
                    7
                });
                let stopped = waitpid(pid, libc::WUNTRACED).of(pid);
                assert!(libc::WIFSTOPPED(stopped.status));
                send(pid, libc::SIGCONT);
                let continued = waitpid(-1, libc::WCONTINUED).of(pid);
                assert!(libc::WIFCONTINUED(continued.status));
                let (again, info) = waitid(libc::P_PID, pid as u32, libc::WSTOPPED);
                assert_eq!(info.code, libc::CLD_STOPPED);
                send(pid, libc::SIGCONT);
                (stopped, continued, again, info.status, waitpid(pid, 0).of(pid))
            });
        },
        ..PLAIN
    },
    Case {
        name: "reports::the_stops_of_a_traced_child_unasked",
        play: || {
            let (stopped, ended) = alike(|| {
                let pid = fork(|| {
                    be_traced();
                    nap(MOMENT_MS);
                    stop_myself();
                    7
                });
                nap(MOMENT_MS / 2);
                let stopped = waitpid(pid, 0).of(pid);
                let_go_on(pid);
                (stopped, waitpid(pid, 0).of(pid))
            });
            assert!(libc::WIFSTOPPED(stopped.status));
            assert_eq!(ended, REAPED);
        },
        ..PLAIN
    },
    Case {
        name: "reports::a_child_that_was_killed_with_the_signal",
        play: || {
            let ended = alike(|| {
                let pid = child_for_ever();
                let killer = thread::spawn(move || {
                    nap(MOMENT_MS);
                    send(pid, libc::SIGKILL);
                });
                let ended = waitpid(pid, 0).of(pid);
                killer.join().unwrap();
                ended
            });
            assert_eq!(ended.status, libc::SIGKILL);
        },
        ..PLAIN
    },
    Case {
        name: "reports::a_child_that_the_kernel_forgets_when_it_has_ended_and_not_before",
        play: || {
            ignore_children();
            let waited_long = alike(|| {
                let mut waited_long = true;
                for any in [false, true] {
                    let begin = Instant::now();
                    let pid = child_after(MOMENT_MS, 7);
                    let ended = waitpid(if any { -1 } else { pid }, 0);
                    assert_eq!((ended.answer, ended.errno), (-1, libc::ECHILD));
                    waited_long &= begin.elapsed().as_millis() >= u128::from(MOMENT_MS);
                }
                waited_long
            });
            assert!(waited_long);
        },
        ..PLAIN
    },
    Case {
        name: "reports::a_child_that_somebody_else_has_reaped_meanwhile",
        play: || {
            alike(|| {
                let pid = child_after(MOMENT_MS, 7);
                let other = thread::spawn(move || waitpid(pid, 0));
                let (mine, others) = (waitpid(pid, 0), other.join().unwrap());
                let mut answers = [mine.answer, others.answer].map(|answer| answer == pid);
                answers.sort_unstable();
                let errno = if mine.answer == pid { others.errno } else { mine.errno };
                (answers, errno)
            });
        },
        ..PLAIN
    },
];
