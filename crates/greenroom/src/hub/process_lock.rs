//! A lock that each process of a family of forks has for itself.
//!
//! A forked child has the OS thread alone that forked; a lock that another one held at that moment is never let go
//! of there. So the child takes over what is locked, if nobody held it, and begins anew if somebody did.
//! Knows nothing of what that is.

use std::{
    mem,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError},
};

use greenroom_hub::era;

/// What the parent had locked, as a forked child begins with it.
pub(super) trait Inherit: Default {
    /// Gives up what only the parent has.
    fn leave_parent(&mut self);
}

/// To be made when there is a hub.
pub(super) struct ProcessLock<T> {
    made_in: u32,
    value: Mutex<T>,
    of_child: OnceLock<Box<ProcessLock<T>>>,
}

impl<T: Inherit> ProcessLock<T> {
    pub(super) fn new() -> ProcessLock<T> {
        ProcessLock::of(era(), T::default())
    }

    fn of(made_in: u32, value: T) -> ProcessLock<T> {
        ProcessLock { made_in, value: Mutex::new(value), of_child: OnceLock::new() }
    }

    /// To be held for some moves, while nothing of the user's runs.
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        let era = era();
        let mut own = self;
        while own.made_in != era {
            own = own.of_child.get_or_init(|| Box::new(ProcessLock::of(era, own.inherited())));
        }
        own.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn inherited(&self) -> T {
        let mut value = match self.value.try_lock() {
            Ok(mut value) => mem::take(&mut *value),
            Err(TryLockError::Poisoned(error)) => mem::take(&mut *error.into_inner()),
            // Who held it is not here, and was in the middle of a change.
            Err(TryLockError::WouldBlock) => T::default(),
        };
        value.leave_parent();
        value
    }
}
