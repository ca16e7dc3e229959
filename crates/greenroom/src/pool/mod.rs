//! Pools: a bounded number of green threads, a bounded number of things, and tasks that need each
//! other's results.
//!
//! - [`GreenPool`] runs functions, so many at once; [`GreenPile`] hands out their results in order.
//! - [`Pool`] lends things that are dear to make, connections mostly, to one borrower each.
//! - [`DagPool`] runs each task as soon as those have ended whose results it needs.
//!
//! Knows green threads and wait queues, and nothing of fds. A pool belongs to its hub; its handles
//! are clones of each other.

mod apply;
mod green_pile;
mod green_pool;
mod imap;
mod slots;

mod builder;
mod item;
mod resource;

mod dag_pool;

pub use apply::Apply;
pub use builder::{Builder, Order};
pub use dag_pool::{DagError, DagPool, PropagateError, Results, TaskError, WaitEach};
pub use green_pile::GreenPile;
pub use green_pool::{Full, GreenPool};
pub use imap::IMap;
pub use item::{GetError, Item};
pub use resource::Pool;
