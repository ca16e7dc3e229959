//! The primitives that cross OS threads, named in one place.
//!
//! Nothing else in this crate is shared between threads. The model checker compiles `mailbox.rs`
//! against loom's versions of the same names.
//!
//! A mutex that is contended waits by libc's `syscall`, the one function of libc that may be called
//! here: nobody can make it green without knowing what every number means, and the lock is held for
//! a push or a swap.

pub(crate) use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU8, Ordering},
};
