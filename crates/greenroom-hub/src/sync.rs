//! The primitives by which the mailbox crosses OS threads, named in one place.
//!
//! The model checker compiles `mailbox.rs` against loom's versions of the same names. Nothing else
//! of a hub is shared between threads; what all hubs share is the word of `fork.rs`, an atomic that
//! changes in a new child only.
//!
//! A mutex that is contended waits by libc's `syscall`, the one function of libc that may be called
//! here: nobody can make it green without knowing what every number means, and the lock is held for
//! a push or a swap.

pub(crate) use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU8, Ordering},
};
