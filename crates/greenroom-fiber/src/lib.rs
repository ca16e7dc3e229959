//! A closure on a stack of its own: stacks, guards, pool, switch and overflow report.
//!
//! A [`Fiber`] is a closure that can stop in the middle, anywhere in its call stack, and go on
//! later. [`Fiber::resume`] runs it until it calls [`suspend`] or ends; both are a handful of
//! instructions and make no system call. This crate knows no scheduling: it has no queue, no
//! clock and no file descriptor, and it never decides who runs next.
//!
//! ```
//! use greenroom_fiber::{Fiber, Options, Pool, Progress, suspend};
//!
//! let pool = Pool::new();
//! let fiber = Fiber::new(&pool, Options::default(), (), || {
//!     let half = 21;
//!     suspend();
//!     half * 2
//! })?;
//! assert_eq!(fiber.resume(), Progress::Suspended);
//! assert_eq!(fiber.resume(), Progress::Finished);
//! assert_eq!(fiber.take().unwrap().unwrap(), 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds always
//!
//! - **One OS thread.** A pool, its stacks, its fibers and all handles belong to the OS thread
//!   that made them. None of them is `Send` or `Sync`, so a fiber may own an `Rc` and hold a
//!   borrow of a thread-local while it is suspended.
//! - **Strict nesting.** A fiber may resume another. Fibers that run form a stack: [`suspend`]
//!   leaves the innermost one and goes back to whoever resumed it.
//! - **No failure later.** A fiber that was made can run: its stack is reserved when it is made,
//!   taken at its first resume and given back as soon as its closure has returned.
//! - **No lost frames.** A stack is given back to its pool only when nothing lives on it. The
//!   last handle of a suspended fiber unwinds its stack, so that its destructors run; where that
//!   is impossible the process aborts and names the fiber. See [`Fiber`] for the whole rule.
//! - **Guards.** At least 64 KiB below each stack cannot be touched. A fiber that overflows its
//!   stack is named in a message on standard error before the process aborts.
//! - **errno survives.** [`Fiber::resume`] and [`suspend`] make no system call and no libc call
//!   and so leave `errno` alone. Carrying it across the work that is done between the two is the
//!   embedder's duty, as is any other state that an OS thread has once: the floating-point
//!   environment, a C++ exception in flight, a tracing span.
//!
//! # AddressSanitizer
//!
//! The feature `sanitizer` tells AddressSanitizer about every switch. Without it the sanitizer
//! takes a fiber's stack for a foreign one, and reports faults that are none.
//!
//! # Signals
//!
//! The first pool of a process installs a handler for `SIGSEGV` and `SIGBUS` on an alternate
//! stack. Faults that are not a fiber's overflow are handed to the handler that was there before,
//! which in a Rust program is the standard library's.
#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "greenroom-fiber runs on Linux, on x86-64 and aarch64; there is no port to this target"
);

mod fiber;
mod running;

mod block;
mod switch;

mod pool;

mod cells;
mod shelf;
mod slab;

mod guard;
mod stack;

mod overflow;
mod signal_stack;

mod error;
mod prefetch;
mod report;

pub use error::StackError;
pub use fiber::{Fiber, NotCreated, Options, Output};
pub use guard::Guard;
pub use pool::{Pool, PoolConfig, PoolStats};
pub use prefetch::prefetch;
pub use running::{Progress, suspend};
pub use stack::{GUARD_SIZE_MIN, STACK_SIZE_DEFAULT, STACK_SIZE_MAX, STACK_SIZE_MIN};
