//! Event loops over an epoll set, as async runtimes have them: non-blocking fds, and an eventfd that ends them.
//!
//! Knows records; each is had once.

use std::{
    collections::BTreeSet,
    os::fd::RawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    calls::{Actor, Deed},
    raw::{self, Reading, Writing},
    stage::Stage,
    streams::close,
};

const MEMBERS_MAX: usize = 5;
const EACH_MAX: usize = 60;

/// What a set says of the fd that ends its loops.
const END: u64 = u64::MAX;

struct Work {
    set: RawFd,
    members: Vec<RawFd>,
    bell: RawFd,
    had: Mutex<BTreeSet<u64>>,
    all: usize,
    loops: AtomicUsize,
}

impl Work {
    fn had(&self, number: u64) -> bool {
        let mut had = self.had.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(had.insert(number), "record {number} came twice");
        had.len() == self.all
    }
}

/// One or two loops over one set, and somebody who sends to each of its members.
pub(crate) fn cast_loops(stage: &mut Stage) {
    let set = raw::new_set();
    let (members, each) = (1 + stage.below(MEMBERS_MAX), 1 + stage.below(EACH_MAX));
    let loops = 1 + stage.below(2);
    let edge = if loops == 1 && stage.below(2) == 0 { libc::EPOLLET } else { 0 };
    let bell = raw::new_count();
    raw::watch(set, bell, libc::EPOLLIN, END).expect("it is an fd");
    let mut work = Work {
        set,
        members: Vec::new(),
        bell,
        had: Mutex::default(),
        all: members * each,
        loops: AtomicUsize::new(loops),
    };
    for member in 0..members {
        let [reads, writes] = raw::socket_pair(libc::SOCK_DGRAM);
        raw::set_nonblocking(reads);
        raw::watch(set, reads, libc::EPOLLIN | edge, member as u64).expect("it is an fd");
        work.members.push(reads);
        let place = stage.any_place();
        stage.cast("sender to a loop", place, move |mut actor| {
            for n in 0..each {
                actor.does(Deed::Write, writes);
                let bytes = ((member * each + n) as u64).to_le_bytes();
                let how = actor.one_of(Writing::SOCKET);
                assert_eq!(raw::write(how, writes, &bytes), Ok(8));
                actor.came_to(n + 1);
                actor.dawdle();
            }
            close(&actor, writes);
        });
    }
    let work = Arc::new(work);
    for _ in 0..loops {
        let work = Arc::clone(&work);
        let place = stage.any_place();
        stage.cast("event loop", place, move |mut actor| {
            run(&mut actor, &work);
            if work.loops.fetch_sub(1, Ordering::SeqCst) == 1 {
                let last = work.had.lock().unwrap_or_else(PoisonError::into_inner).len();
                assert_eq!(last, work.all, "each record has come");
                work.members.iter().for_each(|&member| close(&actor, member));
                close(&actor, work.set);
                close(&actor, work.bell);
            }
        });
    }
}

fn run(actor: &mut Actor, work: &Work) {
    loop {
        let ms = if actor.below(3) == 0 { 1 + actor.below(4) as i32 } else { -1 };
        actor.does(Deed::Ask, work.set);
        let found = raw::wait_for_set(work.set, ms).expect("a wait for a set does not fail");
        assert!(ms >= 0 || !found.is_empty(), "who waits for ever does not come back with nothing");
        for which in found {
            if which == END {
                return;
            }
            take_all(actor, work, work.members[which as usize]);
        }
        actor.dawdle();
    }
}

fn take_all(actor: &mut Actor, work: &Work, fd: RawFd) {
    loop {
        let mut bytes = [0; 8];
        let how = actor.one_of(Reading::SOCKET);
        actor.does(Deed::Read, fd);
        match raw::read(how, fd, &mut bytes) {
            Ok(8) => {
                if work.had(u64::from_le_bytes(bytes)) {
                    let one = 1u64.to_le_bytes();
                    assert_eq!(raw::write(Writing::Write, work.bell, &one), Ok(8));
                }
            }
            Err(libc::EAGAIN) => return,
            other => panic!("{how:?}: {other:?}"),
        }
    }
}
