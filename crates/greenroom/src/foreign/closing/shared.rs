//! What words of closing cross OS threads by, named in one place.
//!
//! The model checker compiles `word.rs` against loom's versions of the same names. Knows nothing of what is
//! shared.

pub(super) use super::lock;
pub(super) use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU32, Ordering, fence},
};
