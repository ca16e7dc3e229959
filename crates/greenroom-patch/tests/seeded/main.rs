//! Ordinary blocking code at random: on green threads of two hubs and on plain OS threads, with fds that
//! are shared, shut down and closed by anybody, kills and limits.
//!
//! Time is real. Knows nothing of the patch's insides.

#[path = "../../../greenroom/tests/net/pattern.rs"]
#[allow(dead_code, reason = "a part of it is needed")]
mod pattern;
#[path = "../../../greenroom/tests/core/seeds.rs"]
mod seeds;

mod calls;
mod raw;
mod stage;

mod closings;
mod event_loops;
mod shared_fds;
mod stops;
mod streams;

mod seeded_blocking_code;

use greenroom_patch as _;
