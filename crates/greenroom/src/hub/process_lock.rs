//! A lock that each process of a family of forks has for itself: a forked child takes over what is locked, if nobody
//! held it, and begins anew if somebody did.
//!
//! Knows nothing of what that is.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
};

use greenroom_hub::era;

use crate::per_process::PerProcess;

/// What the parent had locked, as a forked child begins with it.
pub(super) trait Inherit: Default {
    /// Gives up what only the parent has.
    fn leave_parent(&mut self);
}

/// To be made when there is a hub.
pub(super) struct ProcessLock<T>(PerProcess<Mutex<T>>);

impl<T: Inherit> ProcessLock<T> {
    pub(super) fn new() -> ProcessLock<T> {
        ProcessLock(PerProcess::new(era(), Mutex::default()))
    }

    /// To be held for some moves, while nothing of the user's runs.
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.of(era(), inherited).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cold]
fn inherited<T: Inherit>(parents: &Mutex<T>) -> Mutex<T> {
    let mut value = match parents.try_lock() {
        Ok(mut value) => mem::take(&mut *value),
        Err(TryLockError::Poisoned(error)) => mem::take(&mut *error.into_inner()),
        // Who held it is not here, and was in the middle of a change.
        Err(TryLockError::WouldBlock) => T::default(),
    };
    value.leave_parent();
    Mutex::new(value)
}
