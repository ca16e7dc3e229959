//! Children that were killed with their handles, and had not ended yet: waited for later.
//!
//! Asks how they are when a child is started or another one comes here. Never blocks, kills nobody.

use std::{
    collections::VecDeque,
    process::Child,
    sync::{Mutex, PoisonError, TryLockError},
};

/// One list for the process, as the kernel has one: a hub may be gone before a child is.
static UNWAITED: Mutex<VecDeque<Child>> = Mutex::new(VecDeque::new());

/// How many are asked at a time: more than come at a time, so that the list shrinks as they end.
const ASKED_MAX: usize = 16;

const _: () = assert!(ASKED_MAX > 1, "the list would never shrink");

/// Keeps a child that ends soon, until it has been waited for.
pub(super) fn keep(child: Child) {
    reap();
    UNWAITED.lock().unwrap_or_else(PoisonError::into_inner).push_back(child);
}

/// Waits for those that have ended: they leave the kernel's table. Unless somebody does so right now, on whatever OS
/// thread: also on one that a forked child does not have.
pub(super) fn reap() {
    let mut unwaited = match UNWAITED.try_lock() {
        Ok(unwaited) => unwaited,
        Err(TryLockError::Poisoned(error)) => error.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    for _ in 0..unwaited.len().min(ASKED_MAX) {
        let mut child = unwaited.pop_front().expect("it is as long as it was");
        // An error says that the kernel has forgotten it: so may we.
        if let Ok(None) = child.try_wait() {
            unwaited.push_back(child);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_another_who_looks_how_children_are() {
        let _looks = UNWAITED.lock().unwrap_or_else(PoisonError::into_inner);
        reap();
    }
}
