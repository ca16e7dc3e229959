//! Waits of green threads that are killed, out of time, or unwinding.

use std::{
    cell::RefCell,
    io::{Write, pipe},
    os::fd::{AsRawFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, Instant},
};

use greenroom::{testing, with_timeout, yield_now};
use libc::{POLLIN, POLLOUT};

use crate::{
    both::green,
    raw::{Answer, By, USUAL, poll, select},
};

/// How to wait for ever for two pipes in which nothing comes.
type Way = (&'static str, fn([RawFd; 2]) -> Answer);

const WAYS: [Way; 4] = [
    ("one fd", |[fd, _]| poll(By::Poll, &[(fd, POLLIN)], -1).0),
    ("two fds", |[one, two]| poll(By::Ppoll, &[(one, POLLIN), (two, POLLIN)], -1).0),
    ("nobody", |_| poll(By::Poll, &[], -1).0),
    ("select", |fds| {
        let sets = [fds.to_vec(), vec![], fds.to_vec()];
        let selected = select(fds[0].max(fds[1]) + 1, &sets, None, USUAL, false);
        let sorted = |mut fds: Vec<RawFd>| {
            fds.sort_unstable();
            fds
        };
        assert_eq!(selected.sets, sets.map(sorted), "an error leaves the sets as they were");
        selected.answer
    }),
];

#[test]
fn a_killed_wait_says_so_and_so_does_each_later_one() {
    for (name, way) in WAYS {
        let (answers, is_killed) = green(move || {
            let (one, two) = (pipe().unwrap(), pipe().unwrap());
            let fds = [one.0.as_raw_fd(), two.0.as_raw_fd()];
            let answers = Rc::new(RefCell::new(Vec::new()));
            let seen = Rc::clone(&answers);
            let thread = greenroom::spawn(move || {
                for _ in 0..3 {
                    let answer = way(fds);
                    seen.borrow_mut().push(answer);
                }
                yield_now();
                seen.borrow_mut().clear();
            });
            yield_now();
            assert!(answers.borrow().is_empty(), "it waits");
            thread.kill();
            let is_killed = thread.join().unwrap_err().is_killed();
            (answers.take(), is_killed)
        });
        assert_eq!(answers, [Err(libc::ECANCELED); 3], "{name}");
        assert!(is_killed, "{name}: it is unwound where it can be");
    }
}

#[test]
fn a_limit_that_is_over_ends_the_wait() {
    for (name, way) in WAYS {
        let answer = green(move || {
            let (one, two) = (pipe().unwrap(), pipe().unwrap());
            let fds = [one.0.as_raw_fd(), two.0.as_raw_fd()];
            let mut answer = Ok(0);
            let limited = with_timeout(Duration::from_millis(10), || {
                answer = way(fds);
                yield_now();
            });
            limited.unwrap_err();
            answer
        });
        assert_eq!(answer, Err(libc::ETIMEDOUT), "{name}");
    }
}

#[test]
fn no_end_of_a_wait_leaves_an_fd_behind() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    green(move || {
        let (one, two) = (pipe().unwrap(), pipe().unwrap());
        let fds = [one.0.as_raw_fd(), two.0.as_raw_fd()];
        let before = open();
        for n in 0..1500 {
            let way = WAYS[if n % 2 == 0 { 1 } else { 3 }].1;
            match n % 3 {
                0 => {
                    let thread = greenroom::spawn(move || way(fds));
                    yield_now();
                    thread.kill();
                    // It ends by itself, without a wait of its own.
                    assert_eq!(thread.join().unwrap(), Err(libc::ECANCELED));
                }
                1 => drop(with_timeout(Duration::from_micros(10), || way(fds))),
                _ => {
                    let asks = [(fds[0], POLLIN), (fds[1], POLLIN), (one.1.as_raw_fd(), 0)];
                    assert_eq!(poll(By::Poll, &asks, 1).0, Ok(0));
                }
            }
        }
        // Other tests open some, at the same time.
        let after = open();
        assert!(after < before + 700, "{before} fds were open, and after 1500 waits {after}");
    });
}

struct PollsWhenDropped(Rc<RefCell<Vec<Answer>>>, Vec<(RawFd, i16)>, i32);

impl Drop for PollsWhenDropped {
    fn drop(&mut self) {
        self.0.borrow_mut().push(poll(By::Poll, &self.1, self.2).0);
    }
}

#[test]
fn in_a_destructor_of_a_panic_the_os_thread_waits_but_not_for_long() {
    let begin = Instant::now();
    let answers = green(|| {
        let (reader, mut writer) = pipe().unwrap();
        let (full, quiet) = (pipe().unwrap(), pipe().unwrap());
        writer.write_all(b"x").unwrap();
        let (ready, never) = (reader.as_raw_fd(), quiet.0.as_raw_fd());
        let answers = Rc::new(RefCell::new(Vec::new()));
        let cases = [
            (vec![(ready, POLLIN), (never, POLLIN)], -1),
            (vec![(never, POLLIN)], -1),
            (vec![(never, POLLIN), (full.0.as_raw_fd(), POLLIN)], 10),
            (vec![], 10),
            (vec![(full.1.as_raw_fd(), POLLOUT)], -1),
        ];
        for (asks, ms) in cases {
            let polls = PollsWhenDropped(Rc::clone(&answers), asks, ms);
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _polls = polls;
                panic!("on purpose");
            }));
            panicked.unwrap_err();
        }
        answers.take()
    });
    assert_eq!(answers, [Ok(1), Err(libc::ECANCELED), Ok(0), Ok(0), Ok(1)]);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn virtual_time_passes_for_a_poll_as_for_a_sleep() {
    let begin = Instant::now();
    let times = testing::run(|| {
        let case = |asks: Vec<(RawFd, i16)>| {
            let begin = greenroom::Instant::now();
            let polled = poll(By::Poll, &asks, 3_600_000);
            (polled.0, begin.elapsed())
        };
        let thread = greenroom::spawn(move || {
            let (one, two) = (pipe().unwrap(), pipe().unwrap());
            let (one, two) = ((one.0.as_raw_fd(), POLLIN, one), (two.0.as_raw_fd(), POLLIN, two));
            [case(vec![]), case(vec![(one.0, one.1)]), case(vec![(one.0, one.1), (two.0, two.1)])]
        });
        thread.join().unwrap()
    });
    assert_eq!(times, [(Ok(0), Duration::from_secs(3600)); 3]);
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn who_goes_on_although_it_was_killed_is_slowed_down() {
    let (refused, took) = testing::run(|| {
        let refused = Rc::new(RefCell::new(0));
        let count = Rc::clone(&refused);
        let thread = greenroom::spawn(move || {
            while *count.borrow() < 150 {
                let answer = poll(By::Poll, &[], -1).0;
                assert_eq!(answer, Err(libc::ECANCELED));
                *count.borrow_mut() += 1;
            }
        });
        testing::wait_all_parked();
        let begin = greenroom::Instant::now();
        thread.kill();
        drop(thread.join());
        (*refused.borrow(), begin.elapsed())
    });
    assert_eq!(refused, 150);
    assert_eq!(took, Duration::from_millis(10) * 50, "from the hundredth on, a pause each time");
}

#[test]
fn limits_that_are_over_again_and_again_slow_nobody_down() {
    let took = testing::run(|| {
        let thread = greenroom::spawn(|| {
            let begin = greenroom::Instant::now();
            for _ in 0..300 {
                let limited = with_timeout(Duration::from_millis(1), || poll(By::Poll, &[], -1).0);
                assert_eq!(limited, Ok(Err(libc::ETIMEDOUT)));
            }
            begin.elapsed()
        });
        thread.join().unwrap()
    });
    assert_eq!(took, Duration::from_millis(300));
}
