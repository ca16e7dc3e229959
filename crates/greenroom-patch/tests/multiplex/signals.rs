//! Signals, with a mask of the call's own and without.
//!
//! Signals are counted for the whole process, so all of it is one test.

use std::{
    io::{Write, pipe},
    os::fd::{AsRawFd, RawFd},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use libc::{EPOLLIN, SIGUSR1, SIGUSR2, c_int};

use crate::{
    both::{Others, green, same},
    poll::data_later,
    raw::{
        Answer, HANDLED, Target, block, close, epoll, epoll_by_time, is_blocked, is_pending, later,
        new_set, on_signal, ppoll, pselect, watch,
    },
};

/// Waits until a pipe can be read, for so many milliseconds at most, under a mask that blocks these signals.
type Waits = fn(RawFd, i32, &[c_int]) -> Answer;

fn time(ms: i32) -> Option<(i64, i64)> {
    Some((i64::from(ms / 1000), i64::from(ms % 1000 * 1_000_000)))
}

/// For who is to wait to the end.
const SOON: i32 = 60;
/// For who is not.
const LATE: i32 = 20_000;

const ALL: [(&str, Waits); 4] = [
    ("ppoll", |fd, ms, mask| ppoll(fd, time(ms), Some(mask))),
    ("pselect", |fd, ms, mask| pselect(fd, time(ms), Some(mask)).0),
    ("epoll_pwait", |fd, ms, mask| with_set(fd, |set| epoll(set, 8, ms, Some(mask)).0)),
    ("epoll_pwait2", |fd, ms, mask| with_set(fd, |set| epoll_by_time(set, time(ms), Some(mask)).0)),
];

fn with_set(fd: RawFd, f: impl FnOnce(RawFd) -> Answer) -> Answer {
    let set = new_set();
    watch(set, fd, EPOLLIN, 0);
    let answer = f(set);
    close(set).unwrap();
    answer
}

/// The answer, how often the handler ran, and whether the signal is pending afterwards.
type Seen = (Answer, usize, bool);

/// The signal is blocked while `f` runs.
fn seen(f: impl FnOnce() -> Answer) -> Seen {
    block(&[SIGUSR1]);
    let before = HANDLED.load(Ordering::SeqCst);
    let begin = Instant::now();
    let answer = f();
    assert!(begin.elapsed() < Duration::from_secs(10), "the signal ends the wait, not the time");
    let handled = HANDLED.load(Ordering::SeqCst) - before;
    assert!(is_blocked(SIGUSR1), "the mask is what it was");
    (answer, handled, is_pending(SIGUSR1))
}

fn signal_later() -> crate::raw::Later {
    let here = Target::this_os_thread();
    later(move || here.send(SIGUSR1))
}

#[test]
fn a_mask_admits_signals_that_end_the_wait() {
    on_signal(SIGUSR1, true);
    on_signal(SIGUSR2, false);
    for (name, waits) in ALL {
        let comes = same(name, Others::Run, move || {
            let (reader, _writer) = pipe().unwrap();
            let _later = signal_later();
            seen(|| waits(reader.as_raw_fd(), LATE, &[]))
        });
        assert_eq!(comes, (Err(libc::EINTR), 1, false), "{name}: the signal comes");

        let pends = same(name, Others::Wait, move || {
            let (reader, _writer) = pipe().unwrap();
            seen(|| {
                Target::this_os_thread().send(SIGUSR1);
                waits(reader.as_raw_fd(), LATE, &[SIGUSR2])
            })
        });
        assert_eq!(pends, (Err(libc::EINTR), 1, false), "{name}: the signal is pending");

        let late = same(name, Others::Wait, move || {
            let (reader, mut writer) = pipe().unwrap();
            writer.write_all(b"x").unwrap();
            seen(|| {
                Target::this_os_thread().send(SIGUSR1);
                waits(reader.as_raw_fd(), LATE, &[])
            })
        });
        assert_eq!(late, (Ok(1), 0, true), "{name}: what is ready is told first");

        let refused = same(name, Others::Run, move || {
            let (reader, _writer) = pipe().unwrap();
            let _later = signal_later();
            seen(|| waits(reader.as_raw_fd(), SOON, &[SIGUSR1]))
        });
        assert_eq!(refused, (Ok(0), 0, true), "{name}: the mask blocks it as well");

        let data = same(name, Others::Run, move || {
            let (reader, writer) = pipe().unwrap();
            let _later = data_later(&writer);
            seen(|| waits(reader.as_raw_fd(), LATE, &[]))
        });
        assert_eq!(data, (Ok(1), 0, false), "{name}: data come, and no signal");
    }
    ignored_signals_end_nothing();
    without_a_mask_the_handler_runs_and_the_wait_goes_on();
}

fn ignored_signals_end_nothing() {
    for (name, waits) in ALL {
        let ignored = same(name, Others::Run, move || {
            let (reader, _writer) = pipe().unwrap();
            block(&[SIGUSR2]);
            let here = Target::this_os_thread();
            let _later = later(move || here.send(SIGUSR2));
            waits(reader.as_raw_fd(), SOON, &[])
        });
        assert_eq!(ignored, Ok(0), "{name}");
    }
}

/// Where a call on an OS thread would say `EINTR`.
fn without_a_mask_the_handler_runs_and_the_wait_goes_on() {
    let before = HANDLED.load(Ordering::SeqCst);
    let answers = green(|| {
        let (reader, writer) = pipe().unwrap();
        let (quiet, _writer) = pipe().unwrap();
        let fds = [(reader.as_raw_fd(), libc::POLLIN), (quiet.as_raw_fd(), libc::POLLIN)];
        let signal = signal_later();
        let nothing = crate::raw::poll(crate::raw::By::Poll, &fds, 60);
        drop(signal);
        let _later = data_later(&writer);
        let signal = signal_later();
        let data = crate::raw::poll(crate::raw::By::Poll, &fds, 5000);
        drop(signal);
        (nothing, data)
    });
    assert_eq!(answers, ((Ok(0), vec![0, 0]), (Ok(1), vec![libc::POLLIN, 0])));
    assert_eq!(HANDLED.load(Ordering::SeqCst) - before, 2);
}
