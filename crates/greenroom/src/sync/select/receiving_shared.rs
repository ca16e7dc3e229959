//! An item of a channel that OS threads share, among other things that are waited for.
//!
//! Another OS thread may take what was there a moment ago, so here to ask is to take. Whoever is ready is chosen,
//! and nothing that was taken is left behind.

use super::{Chosen, source::Source};
use crate::{
    sync::{
        channel::{RecvError, TryRecvError},
        shared::{Receives, channel::Receiver},
    },
    thread::Waiter,
};

pub(super) struct ReceivingShared<'a, T, F> {
    receiver: &'a Receiver<T>,
    wait: Option<Receives<'a, T>>,
    item: Option<Result<T, RecvError>>,
    f: F,
}

impl<'a, T, F> ReceivingShared<'a, T, F> {
    pub(super) fn new(receiver: &'a Receiver<T>, f: F) -> ReceivingShared<'a, T, F> {
        ReceivingShared { receiver, wait: None, item: None, f }
    }

    fn took(&mut self, outcome: Result<T, TryRecvError>) -> bool {
        self.item = match outcome {
            Ok(item) => Some(Ok(item)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        };
        self.item.is_some()
    }
}

impl<T, R, F: FnOnce(Result<T, RecvError>) -> R> Source<R> for ReceivingShared<'_, T, F> {
    fn is_ready(&mut self) -> bool {
        let outcome = self.receiver.try_recv();
        self.took(outcome)
    }

    fn enter(&mut self, waiter: &Waiter, _index: u32) -> bool {
        self.wait = Some(Receives::begin(self.receiver, waiter.clone()));
        true
    }

    fn has_spoken(&mut self) -> bool {
        let outcome = self.wait.take().map(Receives::end);
        outcome.is_some_and(|outcome| self.took(outcome))
    }

    fn leave(&mut self) {
        drop(self.wait.take());
    }

    fn orphaned(&mut self) {
        if let Some(wait) = self.wait.take() {
            wait.orphaned();
        }
    }

    fn take(self: Box<Self>, _how: Chosen) -> R {
        (self.f)(self.item.expect("only a receiver that has taken something is chosen"))
    }
}
