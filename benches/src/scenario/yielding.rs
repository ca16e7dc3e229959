//! `yield`: tasks that do nothing but give way to each other.
//!
//! Must never let a task do work of its own between two switches.
//!
//! Measured: CPU time of the process, divided by all the yields of all the tasks. Each yield ends one
//! task's turn and begins another's. For the raw switch, that is one suspend and one resume. Spawning and
//! joining the tasks is inside, and drowns in the count. A pass over everything warms up first.
//! Two tasks show the bare path; a thousand show what it costs when stacks and tasks do not stay in the cache,
//! and what an engine does once a turn rather than once a switch.

use std::time::Duration;

use super::{Case, Goal, NO_TASKS, Scenario, Size};
use crate::Fallible;
use crate::engine::Entry;
use crate::meter::{Sample, cheapest_pass};

const LIMIT: Duration = Duration::from_secs(60);
const PASSES: u32 = 5;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "yield",
    about: "tasks give way to each other: CPU time per switch",
    unit: "ns of CPU per switch",
    param_unit: "tasks",
    baseline: "greenroom",
    cases: &[
        Case { param: 2, goal: Some(Goal::AtMost(8.0)), limit: LIMIT, abstain: &[] },
        Case { param: 1000, goal: None, limit: LIMIT, abstain: &[] },
    ],
    abstain: &[NO_TASKS],
    run,
};

fn run(entry: &'static Entry, case: &Case, size: Size) -> Fallible<Sample> {
    let switches = size.pick(1_000_000, 200_000, 10_000);
    let yields_each = switches / case.param;
    let mut engine = entry.start()?;
    let passes = size.pick(PASSES, PASSES, 1);
    cheapest_pass(passes, yields_each * case.param, || engine.yields(case.param, yields_each))
}
