//! Children that were killed with their handles, and had not ended yet: waited for later.
//!
//! Asks how they are when a child is started or another one comes here. Never blocks, kills nobody.

use std::{
    collections::VecDeque,
    process::Child,
    sync::{Mutex, PoisonError},
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

/// Waits for those that have ended: they leave the kernel's table.
pub(super) fn reap() {
    let mut unwaited = UNWAITED.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..unwaited.len().min(ASKED_MAX) {
        let mut child = unwaited.pop_front().expect("it is as long as it was");
        // An error says that the kernel has forgotten it: so may we.
        if let Ok(None) = child.try_wait() {
            unwaited.push_back(child);
        }
    }
}
