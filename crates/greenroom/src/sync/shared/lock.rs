//! The lock by which these primitives cross OS threads, named in one place.
//!
//! The model checker compiles the files that keep the rules against loom's lock of the same name.
//! Knows nothing of what is locked.

pub(super) use std::sync::{Mutex, MutexGuard};
