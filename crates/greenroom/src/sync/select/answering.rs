//! Things to wait for that are asked a question, and asked again when an fd of theirs is ready.
//!
//! Knows the order of asking and listening. What is asked knows its fd, and that an answer may fail to come
//! although the fd was ready.

use std::io;

use greenroom_hub::ListenerKey;

use super::{Chosen, source::Source};
use crate::{hub::local::local, process::Child, signal::Signals, thread::Waiter};

/// Whoever has an answer, now or later.
pub(super) trait Answering {
    type Answer;

    /// The answer, if there is one. `None` says that the fd has nothing to tell either.
    fn ask(&mut self) -> Option<io::Result<Self::Answer>>;

    /// Has `waiter` called when it is worth asking again.
    fn listen(&mut self, waiter: Waiter) -> io::Result<ListenerKey>;
}

impl Answering for &mut Child {
    type Answer = std::process::ExitStatus;

    fn ask(&mut self) -> Option<io::Result<Self::Answer>> {
        self.try_wait().transpose()
    }

    fn listen(&mut self, waiter: Waiter) -> io::Result<ListenerKey> {
        self.listen_for_end(waiter)
    }
}

impl Answering for &Signals {
    type Answer = crate::signal::Signal;

    fn ask(&mut self) -> Option<io::Result<Self::Answer>> {
        self.heard().transpose()
    }

    fn listen(&mut self, waiter: Waiter) -> io::Result<ListenerKey> {
        self.listen_for_next(waiter)
    }
}

/// The answer of one of them.
pub(super) struct Asked<A: Answering, F> {
    whom: A,
    place: Option<ListenerKey>,
    answer: Option<io::Result<A::Answer>>,
    f: F,
}

impl<A: Answering, F> Asked<A, F> {
    pub(super) fn new(whom: A, f: F) -> Asked<A, F> {
        Asked { whom, place: None, answer: None, f }
    }

    fn ask(&mut self) -> bool {
        if self.answer.is_none() {
            self.answer = self.whom.ask();
        }
        self.answer.is_some()
    }
}

impl<A: Answering, R, F: FnOnce(io::Result<A::Answer>) -> R> Source<R> for Asked<A, F> {
    fn is_ready(&mut self) -> bool {
        self.ask()
    }

    fn enter(&mut self, waiter: &Waiter, _index: u32) -> bool {
        match self.whom.listen(waiter.clone()) {
            Ok(place) => self.place = Some(place),
            Err(error) => self.answer = Some(Err(error)),
        }
        self.answer.is_none()
    }

    fn has_spoken(&mut self) -> bool {
        let Some(place) = self.place.take() else { return self.answer.is_some() };
        let waits = local().hub.borrow_mut().unlisten(place);
        waits.is_none() && self.ask()
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            let waiter = local().hub.borrow_mut().unlisten(place);
            drop(waiter);
        }
    }

    fn take(self: Box<Self>, _how: Chosen) -> R {
        (self.f)(self.answer.expect("only who has answered is chosen"))
    }
}
