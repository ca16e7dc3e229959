//! What OS threads share, under its lock, and the way of a wait through that lock.
//!
//! Knows neither hubs nor what is shared: a wait is ended by a bell, whatever that is. The lock is
//! held for moves from and to queues. Nothing of the user's runs or is dropped meanwhile, and bells
//! are rung when it is free.
//!
//! A wait takes the lock twice. Before it, to be granted its wish or to take a place in a queue: so
//! nothing can be missed between a look and the wait. After it, to find out what came of it,
//! whatever it was that ended the wait. If it is thrown out instead, what it was granted meanwhile
//! is given to the next.

use std::{
    mem,
    sync::{PoisonError, TryLockError},
};

use super::{
    lock::{Mutex, MutexGuard},
    wait_queue::Ticket,
};

/// Ends the wait of one waiter, from any OS thread.
pub(super) trait Bell: Clone {
    /// Ends a wait that has begun, or nothing if it is over.
    fn ring(self);

    /// Ends one's own wait that is just about to begin.
    fn ring_ahead(self);
}

/// Bells to be rung once the lock is free.
pub(super) struct Calls<B> {
    // Mostly there is one, and no need to allocate.
    first: Option<B>,
    others: Vec<B>,
}

impl<B: Bell> Calls<B> {
    fn new() -> Calls<B> {
        Calls { first: None, others: Vec::new() }
    }

    pub(super) fn add(&mut self, bell: B) {
        match self.first {
            None => self.first = Some(bell),
            Some(_) => self.others.push(bell),
        }
    }

    fn ring(self) {
        self.first.into_iter().chain(self.others).for_each(B::ring);
    }
}

/// What is under the lock.
pub(super) trait Shared {
    /// How those who wait for it are woken.
    type Bell: Bell;
}

/// Something that is shared, and its lock.
pub(super) struct Guarded<S> {
    // Open to those who make one, since a lock is made by a `const fn`, but not the model
    // checker's.
    pub(super) lock: Mutex<S>,
}

impl<S: Shared> Guarded<S> {
    /// Changes what is shared, and wakes those whom that concerns.
    pub(super) fn change<R>(&self, f: impl FnOnce(&mut S, &mut Calls<S::Bell>) -> R) -> R {
        changed(self.locked(), f)
    }

    pub(super) fn look<R>(&self, f: impl FnOnce(&S) -> R) -> R {
        f(&self.locked())
    }

    /// Nothing under the lock panics halfway through a change.
    fn locked(&self) -> MutexGuard<'_, S> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, if nobody has it.
    fn try_locked(&self) -> Option<MutexGuard<'_, S>> {
        match self.lock.try_lock() {
            Ok(locked) => Some(locked),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

fn changed<S: Shared, R>(
    mut locked: MutexGuard<'_, S>,
    f: impl FnOnce(&mut S, &mut Calls<S::Bell>) -> R,
) -> R {
    let mut calls = Calls::new();
    let result = f(&mut locked, &mut calls);
    drop(locked);
    calls.ring();
    result
}

/// Something to wait for. Each method is called under the lock.
pub(super) trait Wish<S: Shared> {
    type Outcome;

    /// Has the wish granted or refused if that can be said, else takes a place in a queue.
    fn enter(&mut self, shared: &mut S, bell: &S::Bell, calls: &mut Calls<S::Bell>) -> Place;

    /// What came of it. A place that is still there is given up.
    fn end(self, shared: &mut S, place: Place, calls: &mut Calls<S::Bell>) -> Self::Outcome;

    /// Nobody wants it any more: what was granted goes to the next. Returns what is left to be
    /// dropped.
    fn give_up(
        self,
        shared: &mut S,
        place: Place,
        calls: &mut Calls<S::Bell>,
    ) -> Option<Self::Outcome>;
}

/// How it stands with a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Granted,
    /// It never will be granted.
    Refused,
    /// Granted if the place is gone.
    Queued(Ticket),
}

/// A wait, from before it begins until it is over or is thrown out of.
pub(super) struct Waiting<'a, S: Shared, W: Wish<S>> {
    guarded: &'a Guarded<S>,
    wait: Wait<W>,
}

enum Wait<W> {
    Ahead(W),
    Entered(W, Place),
    Over,
}

impl<'a, S: Shared, W: Wish<S>> Waiting<'a, S, W> {
    pub(super) fn new(guarded: &'a Guarded<S>, wish: W) -> Waiting<'a, S, W> {
        Waiting { guarded, wait: Wait::Ahead(wish) }
    }

    /// Before the wait begins: `bell` will end it, or ends it at once.
    pub(super) fn enter(&mut self, bell: S::Bell) {
        let Wait::Ahead(mut wish) = mem::replace(&mut self.wait, Wait::Over) else {
            unreachable!("a wait is entered once")
        };
        let place = self.guarded.change(|shared, calls| wish.enter(shared, &bell, calls));
        self.wait = Wait::Entered(wish, place);
        if !matches!(place, Place::Queued(_)) {
            bell.ring_ahead();
        }
    }

    /// After the wait, whatever has ended it: what came of the wish.
    pub(super) fn end(mut self) -> W::Outcome {
        let Wait::Entered(wish, place) = mem::replace(&mut self.wait, Wait::Over) else {
            unreachable!("a wait that is over was entered")
        };
        self.guarded.change(|shared, calls| wish.end(shared, place, calls))
    }

    /// Gives the wish up, unless the lock is held by somebody who is not in this process any more.
    pub(super) fn give_up_if_free(mut self) {
        let Wait::Entered(wish, place) = mem::replace(&mut self.wait, Wait::Over) else { return };
        if let Some(locked) = self.guarded.try_locked() {
            drop(changed(locked, |shared, calls| wish.give_up(shared, place, calls)));
        }
    }

    /// There was no wait: the wish.
    pub(super) fn into_wish(mut self) -> W {
        match mem::replace(&mut self.wait, Wait::Over) {
            Wait::Ahead(wish) => wish,
            _ => unreachable!("a wait that was entered is over or is thrown out of"),
        }
    }
}

impl<S: Shared, W: Wish<S>> Drop for Waiting<'_, S, W> {
    fn drop(&mut self) {
        if let Wait::Entered(wish, place) = mem::replace(&mut self.wait, Wait::Over) {
            let left = self.guarded.change(|shared, calls| wish.give_up(shared, place, calls));
            drop(left);
        }
    }
}
