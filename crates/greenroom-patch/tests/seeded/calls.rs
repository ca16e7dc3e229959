//! One who makes calls, and leaves a note of what it is about to do.
//!
//! Knows no call's meaning.

use std::{
    os::fd::RawFd,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use greenroom::with_timeout;

use crate::{
    pattern::Random,
    raw::{Answer, give_way, nap},
};

/// Where somebody plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As a green thread of one of the hubs.
    Green(usize),
    /// On an OS thread of its own.
    Os,
}

/// What somebody did last, for whoever wonders why a play does not end.
#[derive(Debug)]
pub(crate) struct Note {
    role: String,
    place: Place,
    deed: AtomicUsize,
    fd: AtomicI32,
    /// Bytes or messages so far.
    progress: AtomicU64,
}

impl Note {
    pub(crate) fn shown(&self) -> String {
        let deed = DEEDS[self.deed.load(Ordering::Relaxed)];
        let (fd, progress) = (&self.fd, &self.progress);
        format!(
            "{:<24} {:?}: {deed} {}, after {}",
            self.role,
            self.place,
            fd.load(Ordering::Relaxed),
            progress.load(Ordering::Relaxed)
        )
    }
}

/// What is done, in words.
const DEEDS: [&str; 11] = [
    "has not begun",
    "has ended",
    "reads",
    "peeks at",
    "writes",
    "asks",
    "accepts at",
    "connects",
    "naps",
    "closes",
    "waits for somebody about",
];

#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum Deed {
    Ended = 1,
    Read,
    Peek,
    Write,
    Ask,
    Accept,
    Connect,
    Nap,
    Close,
    Wait,
}

/// What came of a call that perhaps had a limit.
pub(crate) struct Limited {
    pub(crate) answer: Answer,
    pub(crate) is_limited: bool,
}

/// One of the cast.
#[derive(Clone)]
pub(crate) struct Actor {
    note: Arc<Note>,
    pub(crate) random: Random,
}

impl Actor {
    pub(crate) fn new(role: &str, place: Place, random: Random) -> Actor {
        let note = Note {
            role: role.to_owned(),
            place,
            deed: AtomicUsize::new(0),
            fd: AtomicI32::new(-1),
            progress: AtomicU64::new(0),
        };
        Actor { note: Arc::new(note), random }
    }

    pub(crate) fn note(&self) -> Arc<Note> {
        Arc::clone(&self.note)
    }

    pub(crate) fn place(&self) -> Place {
        self.note.place
    }

    /// Is about to do something.
    pub(crate) fn does(&self, deed: Deed, fd: RawFd) {
        self.note.fd.store(fd, Ordering::Relaxed);
        self.note.deed.store(deed as usize, Ordering::Relaxed);
    }

    pub(crate) fn came_to(&self, progress: usize) {
        self.note.progress.store(progress as u64, Ordering::Relaxed);
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit)
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Makes a call that may wait. On a green thread it has a limit of time now and then, and fails with
    /// `ETIMEDOUT` if that is over; `is_limited` says so.
    pub(crate) fn perhaps_limited(&mut self, call: impl FnOnce() -> Answer) -> Limited {
        if self.place() == Place::Os || self.below(6) != 0 {
            return Limited { answer: call(), is_limited: false };
        }
        let limit = Duration::from_micros(self.below(1500) as u64);
        let answer = with_timeout(limit, call).expect("a call of libc's is not unwound");
        Limited { answer, is_limited: true }
    }

    /// Lets a little time pass, or none.
    pub(crate) fn dawdle(&mut self) {
        match self.below(12) {
            0 => {
                self.does(Deed::Nap, -1);
                nap(1 + self.random.below(300));
            }
            1 | 2 => give_way(),
            _ => {}
        }
    }
}
