//! Many waits on one OS thread take the time of one.

use std::{
    io::pipe,
    os::fd::AsRawFd,
    process::Command,
    time::{Duration, Instant},
};

use greenroom::foreign::no_switch;
use libc::POLLIN;

use crate::{
    both::green,
    raw::{By, USUAL, close, epoll, new_set, poll, select, watch},
};

/// Each wait takes so long.
const EACH: i32 = 60;
const WAITS: u32 = 100;

fn waits_once(n: u32) {
    let ((one, _one), (two, _two)) = (pipe().unwrap(), pipe().unwrap());
    let (one, two) = (one.as_raw_fd(), two.as_raw_fd());
    let answer = match n % 4 {
        0 => poll(By::Poll, &[(one, POLLIN)], EACH).0,
        1 => poll(By::Ppoll, &[(one, POLLIN), (two, POLLIN)], EACH).0,
        2 => {
            let time = Some((0, i64::from(EACH) * 1000));
            select(one.max(two) + 1, &[vec![one], vec![], vec![two]], time, USUAL, false).answer
        }
        _ => {
            let set = new_set();
            watch(set, one, libc::EPOLLIN, 0);
            let answer = epoll(set, 8, EACH, None).0;
            close(set).unwrap();
            answer
        }
    };
    assert_eq!(answer, Ok(0));
}

#[test]
fn a_hundred_waits_take_the_time_of_one() {
    green(|| {
        let begin = Instant::now();
        let threads: Vec<_> = (0..WAITS).map(|n| greenroom::spawn(move || waits_once(n))).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let (took, sum) = (begin.elapsed(), Duration::from_millis(EACH as u64) * WAITS);
        assert!(took >= Duration::from_millis(EACH as u64), "{took:?}");
        assert!(took < sum / 4, "{took:?} of {sum:?}");
    });
}

#[test]
fn in_a_region_without_switches_nobody_else_runs() {
    green(|| {
        let other = greenroom::spawn(|| ());
        no_switch(|| waits_once(1));
        assert!(!other.is_finished());
        other.join().unwrap();
    });
}

#[test]
fn the_output_of_children_is_read_by_several_at_once() {
    green(|| {
        let begin = Instant::now();
        let threads: Vec<_> = (0..5)
            .map(|n| {
                greenroom::spawn(move || {
                    let script = format!("sleep 0.3; echo out {n}; echo err {n} >&2");
                    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
                    (output.stdout, output.stderr)
                })
            })
            .collect();
        for (n, thread) in threads.into_iter().enumerate() {
            let (out, err) = thread.join().unwrap();
            assert_eq!(out, format!("out {n}\n").as_bytes());
            assert_eq!(err, format!("err {n}\n").as_bytes());
        }
        assert!(begin.elapsed() < Duration::from_millis(1200), "{:?}", begin.elapsed());
    });
}
