//! Whoever always finds something, or only looks, gives way to others all the same.

use std::{
    cell::Cell,
    io::{Write, pipe},
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
};

use greenroom::{spawn, yield_now};
use libc::{EPOLLIN, EPOLLONESHOT, POLLIN};
use tokio::runtime::Builder;

use crate::{
    both::green,
    raw::{Answer, By, USUAL, close, epoll, new_set, poll, pselect, select, watch},
};

/// So often one may look while a sibling is ready.
const LOOKS_MAX: u32 = 1000;

/// How to look at an fd that is ready: at itself, or by a set that watches it.
type Way = (&'static str, fn(RawFd, RawFd) -> Answer);

const WAYS: [Way; 8] = [
    ("poll", |fd, _| poll(By::Poll, &[(fd, POLLIN)], -1).0),
    ("select", |fd, _| select(fd + 1, &[vec![fd], vec![], vec![]], None, USUAL, false).answer),
    ("poll without time", |fd, _| poll(By::Poll, &[(fd, POLLIN)], 0).0),
    ("ppoll without time", |fd, _| poll(By::Ppoll, &[(fd, POLLIN)], 0).0),
    ("select without time", |fd, _| {
        select(fd + 1, &[vec![fd], vec![], vec![]], Some((0, 0)), USUAL, false).answer
    }),
    ("pselect without time", |fd, _| pselect(fd, Some((0, 0)), None).0),
    ("epoll", |_, set| epoll(set, 8, -1, None).0),
    ("epoll without time", |_, set| epoll(set, 8, 0, None).0),
];

/// Looks until it is `told` or an answer is an error. Returns that answer, and how many there were.
fn look(way: Way, told: &Cell<bool>) -> (Answer, u32) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"x").unwrap();
    let set = new_set();
    watch(set, reader.as_raw_fd(), EPOLLIN, 0);
    let mut looks = 0;
    let last = loop {
        let answer = way.1(reader.as_raw_fd(), set);
        looks += 1;
        if answer != Ok(1) || told.get() || looks == LOOKS_MAX {
            break answer;
        }
    };
    close(set).unwrap();
    (last, looks)
}

#[test]
fn who_always_finds_something_lets_others_run() {
    for way in WAYS {
        let (last, looks) = green(move || {
            let told = Rc::new(Cell::new(false));
            let sibling = spawn({
                let told = Rc::clone(&told);
                move || told.set(true)
            });
            let looked = look(way, &told);
            sibling.join().unwrap();
            looked
        });
        assert_eq!(last, Ok(1), "{}", way.0);
        assert!(looks < LOOKS_MAX, "{}: it keeps others from running", way.0);
    }
}

#[test]
fn who_looks_for_what_a_sibling_has_yet_to_do_lets_it_run() {
    for way in WAYS.iter().filter(|way| way.0.ends_with("without time")) {
        let looks = green(move || {
            let (reader, mut writer) = pipe().unwrap();
            let set = new_set();
            watch(set, reader.as_raw_fd(), EPOLLIN, 0);
            let sibling = spawn(move || {
                writer.write_all(b"x").unwrap();
                writer
            });
            let looks = (1..=LOOKS_MAX).find(|_| way.1(reader.as_raw_fd(), set) != Ok(0));
            sibling.join().unwrap();
            close(set).unwrap();
            looks
        });
        assert!(looks.is_some(), "{}: it keeps others from running", way.0);
    }
}

#[test]
fn what_a_set_tells_once_is_not_lost_on_somebody_who_is_to_be_stopped() {
    // One of these is the call before which it has to give way.
    for calls in 0..=130 {
        let (then, later) = green(move || {
            let (reader, mut writer) = pipe().unwrap();
            writer.write_all(b"x").unwrap();
            let set = new_set();
            watch(set, reader.as_raw_fd(), EPOLLIN | EPOLLONESHOT, 7);
            let fd = reader.as_raw_fd();
            let then = Rc::new(Cell::new(Ok(0)));
            let looking = spawn({
                let then = Rc::clone(&then);
                move || {
                    for _ in 0..calls {
                        let _ = poll(By::Poll, &[(fd, POLLIN)], -1);
                    }
                    then.set(epoll(set, 8, -1, None).0);
                }
            });
            // When the first gives way, it is its turn.
            let sibling = spawn(move || {
                looking.kill();
                let _ = looking.join();
            });
            sibling.join().unwrap();
            let later = epoll(set, 8, 0, None).0;
            close(set).unwrap();
            (then.get(), later)
        });
        assert!(then == Ok(1) || later == Ok(1), "{calls} calls, then {then:?}, later {later:?}");
    }
}

#[test]
fn who_always_finds_something_hears_that_it_is_killed() {
    // An event loop is told by what it reads and writes.
    for way in &WAYS[..6] {
        let (last, looks) = green(move || {
            let seen = Rc::new(Cell::new((Ok(0), 0)));
            let looking = spawn({
                let seen = Rc::clone(&seen);
                move || {
                    seen.set(look(*way, &Cell::new(false)));
                    yield_now();
                }
            });
            spawn(move || {
                looking.kill();
                assert!(looking.join().unwrap_err().is_killed());
            })
            .join()
            .unwrap();
            seen.get()
        });
        assert_eq!(last, Err(libc::ECANCELED), "{}", way.0);
        assert!(looks < LOOKS_MAX, "{}", way.0);
    }
}

#[test]
fn nothing_but_standard_input_to_look_at_lets_nobody_run() {
    green(|| {
        let told = Rc::new(Cell::new(false));
        let sibling = spawn({
            let told = Rc::clone(&told);
            move || told.set(true)
        });
        for _ in 0..LOOKS_MAX {
            // Nobody knows what that is here; but its end or an error is an answer at once.
            assert!(poll(By::Poll, &[(0, POLLIN), (1, libc::POLLOUT)], 100).0.is_ok());
        }
        assert!(!told.get());
        sibling.join().unwrap();
    });
}

#[test]
fn a_runtime_whose_tasks_are_always_ready_lets_others_run() {
    const ROUNDS_MAX: u32 = 1_000_000;
    let rounds = green(|| {
        let told = Rc::new(Cell::new(false));
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let sibling = spawn({
            let told = Rc::clone(&told);
            move || told.set(true)
        });
        let rounds = runtime.block_on(async {
            let mut rounds = 0;
            while !told.get() && rounds < ROUNDS_MAX {
                tokio::task::yield_now().await;
                rounds += 1;
            }
            rounds
        });
        sibling.join().unwrap();
        rounds
    });
    assert!(rounds < ROUNDS_MAX, "it keeps others from running");
}
