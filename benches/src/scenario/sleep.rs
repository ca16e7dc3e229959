//! `sleep`: up to a hundred thousand tasks sleep at once, each for 1 to 50 ms.
//!
//! Must never round a length to what suits somebody's timer wheel.
//!
//! Measured: CPU time of the process for each task: spawn, sleep once, wake, join. Wall time is told beside it and
//! cannot be less than 50 ms divided by the count. Lengths are spread evenly, in microseconds, by a
//! generator with a fixed seed: the same lengths in the same order for every engine and every round. A
//! whole pass warms up first.

use std::sync::Arc;
use std::time::Duration;

use super::{Abstention, Case, Goal, NO_TASKS, Scenario, Size};
use crate::Fallible;
use crate::engine::Entry;
use crate::meter::{Sample, cheapest_pass};

const LIMIT: Duration = Duration::from_secs(60);
const LENGTH_US_MIN: u64 = 1_000;
const LENGTH_US_MAX: u64 = 50_000;
const SEED: u64 = 0x6772_6565_6e72_6f6f;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "sleep",
    about: "tasks sleep 1 to 50 ms each, all at once: CPU time per task",
    unit: "ns of CPU per sleep",
    param_unit: "sleeps of 1 to 50 ms",
    baseline: "greenroom",
    cases: &[
        Case { param: 10_000, goal: None, limit: LIMIT, abstain: &[] },
        Case {
            param: 100_000,
            goal: Some(Goal::AtMost(400.0)),
            limit: LIMIT,
            abstain: &[Abstention {
                engine: "may",
                why: "too many mappings: two for each stack, and the kernel allows 65,530",
            }],
        },
    ],
    abstain: &[Abstention { engine: "corosensei", why: "has no timers" }, NO_TASKS],
    run,
};

fn run(entry: &'static Entry, case: &Case, size: Size) -> Fallible<Sample> {
    let count = size.pick(case.param, case.param, 200);
    let lengths = lengths(count);
    let mut engine = entry.start()?;
    cheapest_pass(size.pick(3, 2, 1), count, || engine.sleeps(&lengths))
}

fn lengths(count: u64) -> Arc<[Duration]> {
    let mut random = SplitMix64 { state: SEED };
    let span = LENGTH_US_MAX - LENGTH_US_MIN + 1;
    (0..count).map(|_| Duration::from_micros(LENGTH_US_MIN + random.next() % span)).collect()
}

/// Steele, Lea and Flood's generator: one word of state, and good enough to spread lengths.
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generator_gives_its_published_numbers() {
        let mut random = SplitMix64 { state: 1_234_567 };
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn lengths_are_the_same_each_time_and_fill_the_range() {
        let drawn = lengths(100_000);
        assert_eq!(drawn, lengths(100_000));
        let least = drawn.iter().min().unwrap().as_micros() as u64;
        let most = drawn.iter().max().unwrap().as_micros() as u64;
        assert!((LENGTH_US_MIN..LENGTH_US_MIN + 10).contains(&least), "{least}");
        assert!((LENGTH_US_MAX - 10..=LENGTH_US_MAX).contains(&most), "{most}");
    }
}
