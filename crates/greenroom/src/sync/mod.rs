//! Waiting for each other: locks, signals and meeting points for the green threads of one hub.
//!
//! Knows the wait queue and time. Nothing here is shared between OS threads, so there are no atomic operations
//! and nothing spins.

