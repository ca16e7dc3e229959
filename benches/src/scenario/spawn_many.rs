//! `spawn_many`: ten thousand tasks are spawned, then all are joined.
//!
//! Must never let a task wait for anything: the tasks are born, run once and end.
//!
//! Measured: CPU time of the process for each task, spawn and join together, done by a task of the engine. A
//! pass over all ten thousand warms up first (what that one costs is told as `cold`), so an engine that pools
//! its stacks or tasks has them. The raw switch runs each coroutine when it joins it.

use std::time::Duration;

use super::{Case, Goal, NO_TASKS, Scenario, Size};
use crate::Fallible;
use crate::engine::Entry;
use crate::meter::{Sample, cheapest_pass};

const LIMIT: Duration = Duration::from_secs(60);

pub(super) static SCENARIO: Scenario = Scenario {
    name: "spawn_many",
    about: "spawn 10,000 tasks, then join them all: CPU time per task",
    unit: "ns of CPU per task",
    param_unit: "tasks",
    baseline: "greenroom",
    cases: &[Case { param: 10_000, goal: Some(Goal::AtMost(100.0)), limit: LIMIT, abstain: &[] }],
    abstain: &[NO_TASKS],
    run,
};

fn run(entry: &'static Entry, case: &Case, size: Size) -> Fallible<Sample> {
    let count = size.pick(case.param, case.param, 500);
    let mut engine = entry.start()?;
    cheapest_pass(size.pick(20, 5, 1), count, || engine.spawn_many(count))
}
