//! How many seeds a random test tries, and how it says which one failed.
//!
//! Knows nothing of what is tested.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs a test with `few` seeds, or so many times as many as `GREENROOM_SOAK_SEEDS` says; if one
/// fails, says which.
pub(crate) fn with_seeds(few: u64, test: impl Fn(u64)) {
    let factor = match std::env::var("GREENROOM_SOAK_SEEDS") {
        Ok(text) => text.parse().expect("GREENROOM_SOAK_SEEDS is a whole number"),
        Err(_) => 1,
    };
    for seed in 0..few * factor {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("failed with seed {seed}");
            resume_unwind(panic);
        }
    }
}
