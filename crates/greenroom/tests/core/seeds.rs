//! How many seeds a random test tries, and how it says which one failed.
//!
//! Knows nothing of what is tested.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

/// Longer than any seed takes, on the slowest machine. A hub that was not woken finds what it missed at the end of its
/// longest sleep, a minute later: so a wake-up that is lost shows as time.
const SEED_MAX: Duration = Duration::from_secs(40);

/// Runs a test with `few` seeds, or so many times as many as `GREENROOM_SOAK_SEEDS` says; if one
/// fails, says which.
pub(crate) fn with_seeds(few: u64, test: impl Fn(u64)) {
    let factor = match std::env::var("GREENROOM_SOAK_SEEDS") {
        Ok(text) => text.parse().expect("GREENROOM_SOAK_SEEDS is a whole number"),
        Err(_) => 1,
    };
    for seed in 0..few * factor {
        let begin = Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("failed with seed {seed}");
            resume_unwind(panic);
        }
        let took = begin.elapsed();
        assert!(took < SEED_MAX, "seed {seed} took {took:?}: somebody was not woken");
    }
}
