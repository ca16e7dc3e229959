//! Green threads, time, the hub's face and the rules around them, one behaviour a test.
//!
//! One module a topic. Time is virtual: nobody sleeps and hopes, but for `real_time`, whose subject
//! is the clock. What ends a process or needs a `main` of its own is in `children`. Knows nothing
//! of the library's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

mod number;
mod seeds;
mod trace;

mod join;
mod spawn;
mod spawn_after;
mod stack;
mod time;

mod callbacks;
mod copies;
mod listeners;
mod timers;
mod trampoline;

mod abort;
mod backend;
mod deadlock;
mod fairness;
mod offload;
mod os_threads;

mod errno;
mod foreign;
mod green_local;
mod heirs;
mod thread_end;
mod unwinding;

mod advance;
mod dump;
mod traces;
mod virtual_time;

mod many;
mod panic_abort;
mod real_time;
mod seeded_life;
