//! A soak: the seeded tests with many seeds, in rounds.
//!
//! Multiplies seeds through the environment. Never knows what the tests do with them.

use std::time::{Duration, Instant};

use crate::{Outcome, args::Length, invocation::Invocation, workspace::Workspace};

/// Read by every test whose name contains `seeded`: by how much it multiplies its seeds.
const SEEDS_VARIABLE: &str = "GREENROOM_SOAK_SEEDS";

/// Runs rounds until the time is spent. Each has twice the seeds of the last, so each tries new ones.
pub(crate) fn run(length: &Length, workspace: &Workspace) -> Outcome {
    let start = Instant::now();
    let limit = Duration::from_secs(60 * length.minutes.unwrap_or(0));
    for round in 0.. {
        let seeds = length.seeds.saturating_mul(1 << round.min(u64::BITS - 1));
        let command = command(seeds);
        println!("\n== round {}: seeds x {seeds}\n   {}", round + 1, command.shown());
        let tally = command.run(workspace)?;
        let spent = start.elapsed();
        println!("== {} seeded tests passed, {} s in all", tally.passed, spent.as_secs());
        if spent >= limit {
            break;
        }
    }
    Ok(())
}

fn command(seeds: u64) -> Invocation {
    Invocation::cargo("test --release --workspace seeded -- --nocapture")
        .env(SEEDS_VARIABLE, seeds.to_string())
        .counted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_travel_in_the_environment() {
        assert!(command(40).shown().starts_with("GREENROOM_SOAK_SEEDS=40 cargo test"));
    }
}
