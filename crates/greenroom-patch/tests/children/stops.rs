//! Who is to be stopped while it waits for children: the call fails, and the child is left to be reaped.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, Instant},
};

use greenroom::{sleep, spawn, with_timeout, yield_now};

use crate::{
    case::{Case, PLAIN},
    kernel::{BEFORE, Ended, child_after, child_for_ever, send, waitid, waitpid},
};

const MOMENT: Duration = Duration::from_millis(5);

/// The calls that may wait, of one child.
const CALLS: [fn(i32) -> Ended; 4] = [
    |pid| waitpid(pid, 0),
    |_| waitpid(-1, 0),
    |pid| waitpid(pid, libc::WUNTRACED),
    |pid| waitid(libc::P_PID, pid as u32, libc::WEXITED).0,
];

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "stops::a_killed_waiter_leaves_the_child",
        play: || {
            for call in CALLS {
                let pid = child_for_ever();
                let seen = Rc::new(RefCell::new(Vec::new()));
                let to_see = Rc::clone(&seen);
                let waiter = spawn(move || {
                    // Asked again it refuses to wait; and then it is thrown out.
                    for _ in 0..2 {
                        let ended = call(pid);
                        to_see.borrow_mut().push(ended);
                    }
                    yield_now();
                });
                sleep(MOMENT);
                waiter.kill();
                assert!(waiter.join().unwrap_err().is_killed());
                let refused = Ended { answer: -1, errno: libc::ECANCELED, status: BEFORE };
                assert_eq!(*seen.borrow(), [refused; 2]);
                send(pid, libc::SIGKILL);
                assert_eq!(waitpid(pid, 0).of(pid).status, libc::SIGKILL);
            }
        },
        ..PLAIN
    },
    Case {
        name: "stops::a_killed_waiter_that_asks_again_and_again_is_told_of",
        play: || {
            let pid = child_for_ever();
            let waiter = spawn(move || {
                for _ in 0..110 {
                    assert_eq!(waitpid(pid, 0).errno, libc::ECANCELED);
                }
            });
            sleep(MOMENT);
            waiter.kill();
            let begin = Instant::now();
            let _ = waiter.join();
            assert!(begin.elapsed() < Duration::from_secs(5));
            send(pid, libc::SIGKILL);
            assert_eq!(waitpid(pid, 0).of(pid).status, libc::SIGKILL);
        },
        says: &["goes on waiting in foreign code although it was killed"],
        ..PLAIN
    },
    Case {
        name: "stops::a_limit_of_time_ends_the_call",
        play: || {
            for call in CALLS {
                let pid = child_for_ever();
                let waiter = spawn(move || {
                    let mut seen = None;
                    let begin = Instant::now();
                    let ended = with_timeout(Duration::from_millis(10), || {
                        seen = Some(call(pid));
                        yield_now();
                    });
                    assert!(ended.is_err());
                    assert!(begin.elapsed() < Duration::from_secs(1));
                    seen.unwrap()
                });
                assert_eq!(waiter.join().unwrap().errno, libc::ETIMEDOUT);
                send(pid, libc::SIGKILL);
                assert_eq!(waitpid(pid, 0).of(pid).status, libc::SIGKILL);
            }
        },
        ..PLAIN
    },
    Case {
        name: "stops::a_destructor_that_runs_because_of_a_panic_waits_for_a_moment_only",
        play: || {
            struct Waits(i32, fn(i32) -> Ended, Rc<RefCell<Vec<Ended>>>);
            impl Drop for Waits {
                fn drop(&mut self) {
                    let ended = self.1(self.0);
                    self.2.borrow_mut().push(ended);
                }
            }
            for call in CALLS {
                let lives = child_for_ever();
                let seen = Rc::new(RefCell::new(Vec::new()));
                let to_see = Rc::clone(&seen);
                let begin = Instant::now();
                let waiter = spawn(move || {
                    let _ = catch_unwind(AssertUnwindSafe(|| {
                        let _waits = Waits(lives, call, Rc::clone(&to_see));
                        panic!("on purpose");
                    }));
                    send(lives, libc::SIGKILL);
                    assert_eq!(waitpid(lives, 0).of(lives).status, libc::SIGKILL);
                    let _ = catch_unwind(AssertUnwindSafe(|| {
                        let _waits = Waits(child_after(10, 7), call, to_see);
                        panic!("on purpose");
                    }));
                });
                waiter.join().unwrap();
                assert!(begin.elapsed() < Duration::from_secs(2));
                let seen = seen.borrow();
                assert_eq!((seen[0].answer, seen[0].errno), (-1, libc::ECANCELED));
                assert_eq!(seen[1].errno, BEFORE);
            }
        },
        ..PLAIN
    },
];
