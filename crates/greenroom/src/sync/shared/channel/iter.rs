//! Receiving in a loop, as from a channel of one hub.
//!
//! Knows nothing but the receiver's calls.

crate::sync::channel::iterators!();
