//! What greenroom-fiber promises, one behaviour a test; one file for each topic.

#![deny(unsafe_code)]

mod child;
mod raw;

mod life;
mod nesting;
mod refusal;

mod end;
mod panic_abort;

mod guard;
mod limits;
mod memory;
mod pool;

mod overflow;
mod random;
mod signals;
