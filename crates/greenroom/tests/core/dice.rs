//! Lots drawn from a seed: what a random test does next.
//!
//! Knows nothing of what is tested.

use std::{cell::RefCell, rc::Rc, time::Duration};

use greenroom_hub::Chance;

/// A stream of numbers that repeats from its seed. A clone draws from the same stream.
#[derive(Clone)]
pub(crate) struct Dice(Rc<RefCell<Chance>>);

impl Dice {
    pub(crate) fn from_seed(seed: u64) -> Dice {
        Dice(Rc::new(RefCell::new(Chance::from_seed(seed))))
    }

    /// A stream of its own, drawn from this one.
    pub(crate) fn split(&self) -> Dice {
        Dice::from_seed(self.0.borrow_mut().next_u64())
    }

    /// A number below `bound`.
    pub(crate) fn below(&self, bound: usize) -> usize {
        self.0.borrow_mut().below(bound)
    }

    /// A time below `bound` milliseconds, in whole ones.
    pub(crate) fn ms_below(&self, bound: usize) -> Duration {
        Duration::from_millis(self.below(bound) as u64)
    }
}
