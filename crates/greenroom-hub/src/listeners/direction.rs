//! Who listens in one direction of a source: one waiter, and those who queue behind it.
//!
//! First come, first woken. Knows no fds and no poller.

use std::collections::VecDeque;

use crate::{Waiter, Wake, ready::Ready};

/// The listeners of one direction, first come first.
#[derive(Debug)]
pub(super) struct Direction<W> {
    first: Option<Listener<W>>,
    /// Empty, and without memory, unless several waiters are allowed.
    behind: VecDeque<Listener<W>>,
}

#[derive(Debug)]
pub(super) struct Listener<W> {
    pub(super) waiter: W,
    pub(super) number: u64,
    /// Stays after it was woken, for callbacks.
    pub(super) lasting: bool,
}

impl<W> Direction<W> {
    pub(super) fn new() -> Direction<W> {
        Direction { first: None, behind: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn first(&self) -> Option<&Listener<W>> {
        self.first.as_ref()
    }

    pub(super) fn push(&mut self, listener: Listener<W>) {
        if self.first.is_none() {
            self.first = Some(listener);
        } else {
            self.behind.push_back(listener);
        }
    }

    /// Takes the first out; the next one moves up.
    pub(super) fn pop(&mut self) -> Option<Listener<W>> {
        let first = self.first.take();
        self.first = self.behind.pop_front();
        first
    }

    /// Takes one out, wherever it is. O(1) for the first, else O(n).
    pub(super) fn remove(&mut self, number: u64) -> Option<Listener<W>> {
        if self.first.as_ref()?.number == number {
            return self.pop();
        }
        let place = self.behind.iter().position(|listener| listener.number == number)?;
        self.behind.remove(place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Listener<W>> {
        self.first.iter().chain(&self.behind)
    }
}

impl<W: Waiter> Direction<W> {
    /// Wakes the first listener; true if that took it out.
    pub(super) fn wake_first(&mut self, wake: Wake, ready: &mut Ready<W>) -> bool {
        match &self.first {
            None => false,
            Some(first) if first.lasting => {
                ready.wake(first.waiter.clone(), wake);
                false
            }
            Some(_) => {
                let listener = self.pop().expect("there is a first listener");
                ready.wake(listener.waiter, wake);
                true
            }
        }
    }
}
