//! `channel`: two tasks send a number to and fro through two channels.
//!
//! Must never have anything in a channel when something is sent into it: each receive waits.
//!
//! Measured: CPU time of the process for each round trip, which is two sends, two receives that wait, and two
//! switches at least. Each engine uses a channel without a limit of its own make, or of its crate's
//! fastest kind. The numbers must come back counted up. A whole pass warms up first.

use std::time::Duration;

use super::{Abstention, Case, Goal, NO_TASKS, Scenario, Size};
use crate::Fallible;
use crate::engine::Entry;
use crate::meter::{Sample, cheapest_pass};

const LIMIT: Duration = Duration::from_secs(60);
const PASSES: u32 = 5;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "channel",
    about: "two tasks send a number to and fro: CPU time per round trip",
    unit: "ns of CPU per round trip",
    param_unit: "number on its way",
    baseline: "greenroom",
    cases: &[Case { param: 1, goal: Some(Goal::AtMost(45.0)), limit: LIMIT, abstain: &[] }],
    abstain: &[NO_TASKS, Abstention { engine: "corosensei", why: "has no channels" }],
    run,
};

fn run(entry: &'static Entry, _case: &Case, size: Size) -> Fallible<Sample> {
    let count = size.pick(500_000, 100_000, 2_000);
    let mut engine = entry.start()?;
    cheapest_pass(size.pick(PASSES, PASSES, 1), count, || engine.ping_pong(count))
}
