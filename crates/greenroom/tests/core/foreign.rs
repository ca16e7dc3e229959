//! Waits beneath frames that cannot be unwound.

use std::{
    cell::{Cell, RefCell},
    io::Write,
    os::{fd::AsRawFd, unix::net::UnixStream},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use greenroom::{
    Elapsed, Instant,
    foreign::{Here, Stop, about_to_close, is_awaited, no_switch},
    hub::{self, Backend},
    io::Interest,
    sleep, spawn, testing, with_timeout, yield_now,
};

const HOUR: Duration = Duration::from_secs(3600);

fn here() -> Here {
    Here::get().expect("this runs on a green thread")
}

fn nap(time: Duration) -> Result<(), Stop> {
    here().sleep_until(Instant::now() + time)
}

#[test]
fn a_kill_is_told_as_an_error_until_there_is_a_wait_that_can_be_unwound() {
    testing::run(|| {
        let told = Rc::new(RefCell::new(Vec::new()));
        let tell = Rc::clone(&told);
        let thread = spawn(move || {
            for _ in 0..3 {
                tell.borrow_mut().push(nap(HOUR));
            }
            yield_now();
            unreachable!("it was killed");
        });
        testing::wait_all_parked();
        thread.kill();
        assert!(thread.join().unwrap_err().is_killed());
        assert_eq!(*told.borrow(), [Err(Stop::Killed); 3]);
    });
}

#[test]
fn a_limit_that_is_over_is_told_within_it_and_not_after_it() {
    testing::run(|| {
        let thread = spawn(|| {
            let within = with_timeout(Duration::from_millis(1), || (nap(HOUR), nap(HOUR)));
            assert_eq!(within, Ok((Err(Stop::TimeIsOver), Err(Stop::TimeIsOver))));
            assert_eq!(nap(HOUR), Ok(()));
            // Where it can be unwound it is.
            let unwound = with_timeout(Duration::from_millis(1), || {
                assert_eq!(nap(HOUR), Err(Stop::TimeIsOver));
                sleep(HOUR);
            });
            assert_eq!(unwound, Err(Elapsed));
            // The outer one is over first.
            let outer = with_timeout(Duration::from_millis(1), || with_timeout(HOUR, || nap(HOUR)));
            assert_eq!(outer, Ok(Ok(Err(Stop::TimeIsOver))));
        });
        thread.join().unwrap();
    });
}

#[test]
fn a_deadline_of_its_own_is_told_from_a_limit() {
    testing::run(|| {
        let (here_end, _there) = UnixStream::pair().unwrap();
        let thread = spawn(move || {
            let soon = Some(Instant::now() + Duration::from_millis(1));
            let fd = here_end.as_raw_fd();
            assert_eq!(here().wait(fd, Interest::Read, soon), Err(Stop::Expired));
            let limited = with_timeout(Duration::from_millis(1), || {
                here().wait(fd, Interest::Read, Some(Instant::now() + HOUR))
            });
            assert_eq!(limited, Ok(Err(Stop::TimeIsOver)));
            assert_eq!(here().wait(fd, Interest::Write, None), Ok(()));
            assert_eq!(here().wait(-1, Interest::Read, None), Err(Stop::Refused(libc::EBADF)));
        });
        thread.join().unwrap();
    });
}

#[test]
fn there_is_no_such_wait_where_nothing_may_switch() {
    testing::run(|| {
        assert!(Here::get().is_none(), "on the root");
        let seen = Rc::new(Cell::new(None));
        let see = Rc::clone(&seen);
        hub::call_after_global(Duration::ZERO, move || see.set(Some(Here::get().is_none())));
        sleep(Duration::from_millis(1));
        assert_eq!(seen.get(), Some(true), "in a callback");
        let thread = spawn(|| {
            let inside = no_switch(|| (Here::get().is_none(), no_switch(|| Here::get().is_none())));
            assert_eq!(inside, (true, true));
            assert!(Here::get().is_some(), "that is over");
            let thrown = catch_unwind(|| no_switch(|| panic!("out of it")));
            assert!(thrown.is_err() && Here::get().is_some(), "that is over as well");
            no_switch(yield_now);
        });
        yield_now();
        let sibling = spawn(|| assert!(Here::get().is_some(), "it is another thread's"));
        sibling.join().unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn in_a_destructor_that_runs_because_of_a_panic_each_wait_is_refused() {
    struct Naps(Rc<Cell<Option<Result<(), Stop>>>>);
    impl Drop for Naps {
        fn drop(&mut self) {
            self.0.set(Some(nap(HOUR)));
        }
    }
    testing::run(|| {
        let told = Rc::new(Cell::new(None));
        let naps = Naps(Rc::clone(&told));
        let thread = spawn(move || {
            let _naps = naps;
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        assert_eq!(told.get(), Some(Err(Stop::Unwinding)));
    });
}

#[test]
fn one_who_never_gives_in_neither_keeps_others_from_running_nor_spins() {
    testing::run(|| {
        let tries = Rc::new(Cell::new(0));
        let count = Rc::clone(&tries);
        let stubborn = spawn(move || {
            while count.get() < 300 {
                assert_eq!(nap(HOUR), Err(Stop::Killed));
                count.set(count.get() + 1);
            }
            yield_now();
        });
        testing::wait_all_parked();
        let begin = Instant::now();
        stubborn.kill();
        let others = Rc::clone(&tries);
        let polite = spawn(move || {
            let mut last = 0;
            while others.get() < 100 {
                yield_now();
                assert!(others.get() - last <= 1, "it runs once each time it is its turn");
                last = others.get();
            }
        });
        polite.join().unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO, "at first it only gives way");
        assert!(stubborn.join().unwrap_err().is_killed());
        assert!(begin.elapsed() >= Duration::from_secs(1), "200 tries with pauses of 10 ms");
    });
}

#[test]
fn one_who_never_has_to_wait_is_stopped_where_it_gives_way() {
    testing::run(|| {
        let thread = spawn(|| {
            let mut calls = 0;
            let stop = loop {
                here().count_call();
                calls += 1;
                if here().must_give_way()
                    && let Err(stop) = here().give_way()
                {
                    break stop;
                }
            };
            assert_eq!((stop, calls % 128), (Stop::Killed, 0));
        });
        yield_now();
        thread.kill();
        thread.join().unwrap();
    });
}

#[test]
fn several_wait_for_one_fd_and_each_gets_its_turn() {
    testing::run(|| {
        let (here_end, mut there) = UnixStream::pair().unwrap();
        let fd = here_end.as_raw_fd();
        let waiting: Vec<_> =
            (0..5).map(|_| spawn(move || here().wait(fd, Interest::Read, None))).collect();
        testing::wait_all_parked();
        there.write_all(b"!").unwrap();
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), Ok(()));
        }
        drop(here_end);
    });
}

#[test]
fn who_waits_hears_of_the_closing_on_whatever_os_thread_that_is() {
    for closes_elsewhere in [false, true] {
        testing::run(move || {
            let (here_end, _there) = UnixStream::pair().unwrap();
            let fd = here_end.as_raw_fd();
            let waiting: Vec<_> =
                (0..3).map(|_| spawn(move || here().wait(fd, Interest::Read, None))).collect();
            testing::wait_all_parked();
            assert!(is_awaited(&(fd..=fd)));
            if closes_elsewhere {
                thread::spawn(move || drop(about_to_close(fd..=fd))).join().unwrap();
            } else {
                drop(about_to_close(fd..=i32::MAX));
            }
            for thread in waiting {
                assert_eq!(thread.join().unwrap(), Err(Stop::Closed));
            }
            assert!(!is_awaited(&(fd..=fd)));
            drop(here_end);
        });
    }
}

#[test]
fn a_closing_elsewhere_is_heard_of_by_one_whose_fd_has_just_become_ready() {
    testing::run(|| {
        let ((one, mut to_one), (two, mut to_two)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let (first, second) = (one.as_raw_fd(), two.as_raw_fd());
        // Woken in one turn, in this order: the hub has no turn in between, in which it would hear.
        let closes = spawn(move || {
            here().wait(first, Interest::Read, None).unwrap();
            thread::spawn(move || drop(about_to_close(second..=second))).join().unwrap();
        });
        let waits = spawn(move || here().wait(second, Interest::Read, None));
        testing::wait_all_parked();
        to_one.write_all(b"!").unwrap();
        to_two.write_all(b"!").unwrap();
        closes.join().unwrap();
        assert_eq!(waits.join().unwrap(), Err(Stop::Closed));
        drop((one, two));
    });
}

#[test]
fn who_begins_to_wait_while_a_file_is_being_closed_hears_of_it_if_it_was_closed() {
    for (backend, is_closed) in Backend::ALL.into_iter().flat_map(|b| [(b, true), (b, false)]) {
        thread::spawn(move || {
            hub::use_hub(backend).unwrap();
            let (here_end, mut there) = UnixStream::pair().unwrap();
            let fd = here_end.as_raw_fd();
            let closing = about_to_close(fd..=fd);
            let waiting = spawn(move || here().wait(fd, Interest::Read, None));
            yield_now();
            let kept = Some(here_end).filter(|_| !is_closed);
            drop(closing);
            if kept.is_some() {
                yield_now();
                there.write_all(b"!").unwrap();
            }
            let expected = if is_closed { Err(Stop::Closed) } else { Ok(()) };
            assert_eq!(waiting.join().unwrap(), expected, "on {backend}");
        })
        .join()
        .unwrap();
    }
}

#[test]
fn what_was_closed_before_a_wait_began_is_not_what_it_waits_for() {
    testing::run(|| {
        let (here_end, mut there) = UnixStream::pair().unwrap();
        let fd = here_end.as_raw_fd();
        let first = spawn(move || here().wait(fd, Interest::Read, None));
        testing::wait_all_parked();
        thread::spawn(move || drop(about_to_close(fd..=fd))).join().unwrap();
        // The news are there, and not heard yet: as if the number meant another file by now.
        let second = spawn(move || here().wait(fd, Interest::Read, None));
        there.write_all(b"!").unwrap();
        assert_eq!(second.join().unwrap(), Ok(()));
        assert_eq!(first.join().unwrap(), Err(Stop::Closed));
        drop(here_end);
    });
}

#[test]
fn offloaded_work_comes_back_or_is_left_to_its_helper() {
    testing::run(|| {
        assert_eq!(spawn(|| here().offload(&"a sum", || 2 + 2)).join().unwrap(), Ok(4));
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let (done, is_done) = mpsc::channel();
        let thread = spawn(move || {
            let work = move || {
                may_go_on.recv().unwrap();
                done.send("done").unwrap();
            };
            assert_eq!(here().offload(&"long work", work), Err(Stop::Killed));
            yield_now();
        });
        testing::wait_all_parked();
        thread.kill();
        assert!(thread.join().unwrap_err().is_killed());
        go_on.send(()).unwrap();
        assert_eq!(is_done.recv(), Ok("done"));
        let panics = spawn(|| {
            catch_unwind(AssertUnwindSafe(|| here().offload(&"a panic", || panic!("there"))))
        });
        assert!(panics.join().unwrap().is_err());
    });
}

#[test]
fn a_proof_that_outlives_its_hub_is_good_for_nothing() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    struct Late(Cell<Option<Here>>);
    impl Drop for Late {
        fn drop(&mut self) {
            let here = self.0.get().expect("a green thread left it");
            let calls: [fn(Here); 6] = [
                Here::count_call,
                Here::yield_now,
                |here| _ = here.must_give_way(),
                |here| _ = here.give_way(),
                |here| _ = here.sleep_until(Instant::now()),
                |here| _ = here.wait(0, Interest::Read, None),
            ];
            let refused =
                calls.iter().filter(|call| catch_unwind(AssertUnwindSafe(|| call(here))).is_err());
            REFUSED.store(refused.count(), Ordering::Relaxed);
        }
    }
    thread_local! {
        static LATE: Late = const { Late(Cell::new(None)) };
    }
    let os_thread = thread::spawn(|| {
        // What was used first is destroyed last: after the hub.
        LATE.with(|_| ());
        spawn(|| LATE.with(|late| late.0.set(Some(here())))).join().unwrap();
    });
    os_thread.join().unwrap();
    assert_eq!(REFUSED.load(Ordering::Relaxed), 6);
}
