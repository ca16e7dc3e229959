//! How many seeds a random test tries, and how it says which one failed.
//!
//! Knows nothing of what is tested.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// The seeds of one test: `few`, or so many times as many as `GREENROOM_SOAK_SEEDS` says.
pub(crate) fn seeds(few: u64) -> Range<u64> {
    let factor = match std::env::var("GREENROOM_SOAK_SEEDS") {
        Ok(text) => text.parse().expect("GREENROOM_SOAK_SEEDS is a whole number"),
        Err(_) => 1,
    };
    0..few * factor
}

/// Runs a test with each of its seeds; if one fails, says which.
pub(crate) fn with_seeds(few: u64, test: impl Fn(u64)) {
    for seed in seeds(few) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("failed with seed {seed}");
            resume_unwind(panic);
        }
    }
}
