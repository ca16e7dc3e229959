//! `spawn_join`: a task is spawned and joined, again and again.
//!
//! Must never have two of them alive: that is `spawn_many`.
//!
//! Measured: CPU time of the process for each spawn and join, done by a task of the engine. The new task returns
//! a number that the sum of all is checked against. A whole pass warms up first, so stacks come from their pools.

use std::time::Duration;

use super::{Case, Goal, NO_TASKS, Scenario, Size};
use crate::Fallible;
use crate::engine::Entry;
use crate::meter::{Sample, cheapest_pass};

const LIMIT: Duration = Duration::from_secs(60);
const PASSES: u32 = 5;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "spawn_join",
    about: "spawn one task and join it: CPU time for both",
    unit: "ns of CPU per task",
    param_unit: "task at a time",
    baseline: "greenroom",
    cases: &[Case { param: 1, goal: Some(Goal::AtMost(40.0)), limit: LIMIT, abstain: &[] }],
    abstain: &[NO_TASKS],
    run,
};

fn run(entry: &'static Entry, _case: &Case, size: Size) -> Fallible<Sample> {
    let count = size.pick(200_000, 50_000, 2_000);
    let mut engine = entry.start()?;
    cheapest_pass(size.pick(PASSES, PASSES, 1), count, || engine.spawn_join(count))
}
