//! The primitives that cross OS threads, named in one place.
//!
//! Nothing else in this crate is shared between threads. The model checker compiles `mailbox.rs`
//! against loom's versions of the same names.

pub(crate) use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU8, Ordering},
};
