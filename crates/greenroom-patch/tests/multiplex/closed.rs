//! Fds that are closed, or come to mean other files, while somebody waits for them.

use std::{
    io::{Write, pipe},
    os::fd::{AsRawFd, IntoRawFd, RawFd},
    time::{Duration, Instant},
};

use greenroom::foreign::about_to_close;
use libc::{POLLIN, POLLNVAL};

use crate::{
    both::{Others, green, same},
    raw::{
        Answer, By, close, close_silently, dup_onto, dup_to_own_number, epoll, later, new_set,
        poll, watch,
    },
};

/// A poll of one fd, or of two of which the second is quiet, while something is done about the first.
fn poll_while(
    is_alone: bool,
    ms: i32,
    f: impl FnOnce(RawFd) + Send + 'static,
) -> (Answer, Vec<i16>) {
    let (reader, _writer) = pipe().unwrap();
    let (quiet, _keep) = pipe().unwrap();
    let fd = dup_to_own_number(reader.as_raw_fd());
    let mut asks = vec![(fd, POLLIN), (quiet.as_raw_fd(), POLLIN)];
    asks.truncate(if is_alone { 1 } else { 2 });
    let _later = later(move || f(fd));
    poll(By::Poll, &asks, ms)
}

fn close_it(fd: RawFd) {
    close(fd).unwrap();
}

#[test]
fn a_closed_fd_is_told_as_not_open() {
    // The kernel looks again only when the time is over; on a green thread it is told at once.
    for is_alone in [true, false] {
        let (answer, events) =
            same("closed", Others::Run, move || poll_while(is_alone, 60, close_it));
        assert_eq!((answer, events[0]), (Ok(1), POLLNVAL));
        let begin = Instant::now();
        let (answer, events) = green(move || poll_while(is_alone, -1, close_it));
        assert_eq!((answer, events[0]), (Ok(1), POLLNVAL), "who waits for ever is told as well");
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn a_green_thread_may_close_what_its_sibling_polls() {
    for is_alone in [true, false] {
        let answer = green(move || {
            let ((reader, _writer), (quiet, _keep)) = (pipe().unwrap(), pipe().unwrap());
            let (fd, quiet) = (dup_to_own_number(reader.as_raw_fd()), quiet.as_raw_fd());
            let asks: &'static [(RawFd, i16)] = match is_alone {
                true => vec![(fd, POLLIN)].leak(),
                false => vec![(fd, POLLIN), (quiet, POLLIN)].leak(),
            };
            let thread = greenroom::spawn(|| poll(By::Poll, asks, -1));
            greenroom::yield_now();
            close(fd).unwrap();
            thread.join().unwrap()
        });
        assert_eq!((answer.0, answer.1[0]), (Ok(1), POLLNVAL));
    }
}

#[test]
fn a_number_that_comes_to_mean_another_file_is_waited_for_as_that() {
    for is_alone in [true, false] {
        let (answer, events) = green(move || {
            let (other, mut writer) = pipe().unwrap();
            poll_while(is_alone, 5000, move |fd| {
                dup_onto(other.as_raw_fd(), fd).unwrap();
                std::thread::sleep(Duration::from_millis(10));
                writer.write_all(b"x").unwrap();
                // The writing end stays, so that nothing but data comes.
                let _ = writer.into_raw_fd();
            })
        });
        assert_eq!((answer, events[0]), (Ok(1), POLLIN));
    }
}

#[test]
fn who_hears_of_the_closing_before_it_is_done_waits_for_its_end() {
    for is_alone in [true, false] {
        let begin = Instant::now();
        let (answer, events) = green(move || {
            poll_while(is_alone, 20_000, |fd| {
                drop(about_to_close(fd..=fd));
                // Whoever closes may be held up after the word and before the deed.
                std::thread::sleep(Duration::from_millis(20));
                close_silently(fd);
            })
        });
        assert_eq!((answer, events[0]), (Ok(1), POLLNVAL));
        assert!(begin.elapsed() < Duration::from_secs(10), "it was told when the time was over");
    }
}

#[test]
fn a_set_that_is_closed_is_waited_for_no_longer() {
    // In the kernel the wait would hold the set open, and end in time.
    let answer = green(|| {
        let (reader, _writer) = pipe().unwrap();
        let first = new_set();
        let set = dup_to_own_number(first);
        close(first).unwrap();
        watch(set, reader.as_raw_fd(), libc::EPOLLIN, 0);
        let _later = later(move || close_it(set));
        epoll(set, 8, 5000, None).0
    });
    assert_eq!(answer, Err(libc::EBADF));
}
