//! One file with many readers: what comes is had by one of them, and by one only.
//!
//! Knows datagrams, records in a pipe, and counts.

use std::{
    collections::BTreeSet,
    os::fd::RawFd,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    calls::{Actor, Deed, Limited},
    raw::{self, Asking, For, Reading, Writing},
    stage::Stage,
    streams::close,
};

const RECORD: usize = 16;

/// Tells a reader to end.
const LAST: u64 = u64::MAX;

const MESSAGES_MAX: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Datagrams,
    Packets,
    Pipe,
}

/// What was had, by whomever.
type Had = Arc<Mutex<BTreeSet<u64>>>;

/// Records, each with a number, from several writers to several readers.
pub(crate) fn cast_records(stage: &mut Stage, tag: u64) {
    let kind = [Kind::Datagrams, Kind::Packets, Kind::Pipe][stage.below(3)];
    let [reads, writes] = match kind {
        Kind::Datagrams => raw::socket_pair(libc::SOCK_DGRAM),
        Kind::Packets => raw::socket_pair(libc::SOCK_SEQPACKET),
        Kind::Pipe => raw::pipe(),
    };
    let is_socket = kind != Kind::Pipe;
    let (readers, writers) = (1 + stage.below(4), 1 + stage.below(2));
    let each = 1 + stage.below(MESSAGES_MAX);
    let had = Had::default();
    let left = Arc::new(Mutex::new(writers));
    let ended = Arc::new(Mutex::new(readers));
    for writer in 0..writers {
        let left = Arc::clone(&left);
        let place = stage.any_place();
        stage.cast("record writer", place, move |mut actor| {
            let first = (writer * each) as u64;
            for number in first..first + each as u64 {
                write_record(&mut actor, writes, tag, number, is_socket);
                actor.came_to(number as usize);
                actor.dawdle();
            }
            if is_last(&left) {
                for _ in 0..readers {
                    write_record(&mut actor, writes, tag, LAST, is_socket);
                }
                close(&actor, writes);
            }
        });
    }
    // Some by a number of their own, some by the same.
    for _ in 0..readers {
        let (had, ended) = (Arc::clone(&had), Arc::clone(&ended));
        let own = (stage.below(2) == 0).then(|| raw::dup_from(reads, 3));
        let place = stage.any_place();
        stage.cast("record reader", place, move |mut actor| {
            let fd = own.unwrap_or(reads);
            while let Some(number) = read_record(&mut actor, fd, tag, is_socket) {
                let is_new = had.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
                assert!(is_new, "record {number} came twice");
                actor.dawdle();
            }
            if let Some(own) = own {
                close(&actor, own);
            }
            if is_last(&ended) {
                let had = had.lock().unwrap_or_else(PoisonError::into_inner).len();
                assert_eq!(had, writers * each, "each record has come");
                close(&actor, reads);
            }
        });
    }
}

fn is_last(left: &Mutex<usize>) -> bool {
    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
    *left -= 1;
    *left == 0
}

fn write_record(actor: &mut Actor, fd: RawFd, tag: u64, number: u64, is_socket: bool) {
    let bytes = [tag.to_le_bytes(), number.to_le_bytes()].concat();
    let how = actor.one_of(if is_socket { Writing::SOCKET } else { Writing::ANY_FILE });
    actor.does(Deed::Write, fd);
    assert_eq!(raw::write(how, fd, &bytes), Ok(RECORD), "{how:?}");
}

fn read_record(actor: &mut Actor, fd: RawFd, tag: u64, is_socket: bool) -> Option<u64> {
    let mut bytes = [0; RECORD];
    let how = actor.one_of(if is_socket { Reading::SOCKET } else { Reading::ANY_FILE });
    if actor.below(4) == 0 {
        // Another may be faster after it, so this promises nothing.
        let how = actor.one_of(Asking::ALL);
        actor.does(Deed::Ask, fd);
        let found = raw::ask(how, &[fd], For::Reading, 1 + actor.random.below(3) as i32);
        assert!(matches!(found, Ok(0 | 1)), "{how:?}: {found:?}");
    }
    actor.does(Deed::Read, fd);
    loop {
        let Limited { answer, is_limited } =
            actor.perhaps_limited(|| raw::read(how, fd, &mut bytes));
        match answer {
            Err(libc::ETIMEDOUT) if is_limited => {}
            answer => {
                assert_eq!(answer, Ok(RECORD), "{how:?}");
                break;
            }
        }
    }
    let number = |n: usize| u64::from_le_bytes(bytes[n..n + 8].try_into().expect("eight bytes"));
    assert_eq!(number(0), tag, "meant for another file");
    Some(number(8)).filter(|&number| number != LAST)
}

/// A count that some raise and some lower.
pub(crate) fn cast_count(stage: &mut Stage) {
    let fd = raw::new_count();
    let (takers, each) = (1 + stage.below(5), 1 + stage.below(60));
    let all = takers * each;
    let left = Arc::new(Mutex::new(takers + 1));
    let raised = Arc::clone(&left);
    let place = stage.any_place();
    stage.cast("count raiser", place, move |mut actor| {
        let mut rest = all;
        while rest > 0 {
            let by = (1 + actor.below(9)).min(rest);
            actor.does(Deed::Write, fd);
            let bytes = (by as u64).to_le_bytes();
            // In parts it is neither written nor read.
            assert_eq!(raw::write(Writing::Write, fd, &bytes), Ok(8));
            rest -= by;
            actor.came_to(all - rest);
            actor.dawdle();
        }
        if is_last(&raised) {
            close(&actor, fd);
        }
    });
    for _ in 0..takers {
        let left = Arc::clone(&left);
        let place = stage.any_place();
        stage.cast("count taker", place, move |mut actor| {
            let mut n = 0;
            while n < each {
                let mut bytes = [0; 8];
                actor.does(Deed::Read, fd);
                let call = || raw::read(Reading::Read, fd, &mut bytes);
                let Limited { answer, is_limited } = actor.perhaps_limited(call);
                if is_limited && answer == Err(libc::ETIMEDOUT) {
                    continue;
                }
                assert_eq!(answer, Ok(8));
                n += 1;
                assert_eq!(u64::from_le_bytes(bytes), 1);
                actor.came_to(n);
                actor.dawdle();
            }
            if is_last(&left) {
                close(&actor, fd);
            }
        });
    }
}
