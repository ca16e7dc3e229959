//! The order of a bout: case by case, and for each case round the engines, once a round.
//!
//! Must never measure anything itself, nor judge what came out.

use crate::Fallible;
use crate::args::Plan;
use crate::child;
use crate::engine::Entry;
use crate::meter::Sample;
use crate::report::{CaseReport, Report};
use crate::scenario::{Case, Scenario, Size};

/// What came of one engine in one case.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// One sample for each round.
    Measured(Vec<Sample>),
    /// It does not take part, and why.
    Abstains(String),
    /// It took part and came to grief; it was not tried again.
    Failed(String),
}

/// One engine in one case.
#[derive(Debug)]
pub(crate) struct Entrant {
    pub(crate) engine: &'static str,
    pub(crate) outcome: Outcome,
}

pub(crate) fn bout(plan: &Plan) -> Fallible<Report> {
    let mut cases = Vec::new();
    for scenario in &plan.scenarios {
        for case in scenario.cases {
            eprint!("{} {} ", scenario.name, case.param);
            let entrants = all_rounds(plan, scenario, case);
            eprintln!();
            cases.push(CaseReport::new(scenario, case, entrants));
        }
    }
    Report::new(plan.rounds, plan.size, cases)
}

fn all_rounds(plan: &Plan, scenario: &Scenario, case: &Case) -> Vec<Entrant> {
    let mut outcomes: Vec<_> =
        plan.engines.iter().map(|entry| before_the_first(scenario, case, entry)).collect();
    for round in 0..plan.rounds {
        for at in turn_order(plan.engines.len(), round) {
            let Outcome::Measured(samples) = &mut outcomes[at] else { continue };
            match measure(plan.engines[at], scenario, case, plan.size) {
                Ok(sample) => samples.push(sample),
                Err(error) => outcomes[at] = Outcome::Failed(error),
            }
            eprint!(".");
        }
    }
    let named = plan.engines.iter().zip(outcomes);
    named.map(|(entry, outcome)| Entrant { engine: entry.name, outcome }).collect()
}

fn before_the_first(scenario: &Scenario, case: &Case, entry: &Entry) -> Outcome {
    if let Some(why) = scenario.abstention(case, entry.name) {
        return Outcome::Abstains(why.to_owned());
    }
    if !entry.is_built() {
        return Outcome::Abstains("not built in".to_owned());
    }
    Outcome::Measured(Vec::new())
}

/// Each round begins with another engine, so that nobody is always the one after the same neighbour's heat.
fn turn_order(count: usize, round: u32) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| (at + round as usize) % count)
}

/// One measurement, in a process started for it.
fn measure(entry: &Entry, scenario: &Scenario, case: &Case, size: Size) -> Result<Sample, String> {
    let mut command = child::myself().map_err(|error| error.to_string())?;
    let param = case.param.to_string();
    command.args(["--one", entry.name, scenario.name, &param, size.name()]);
    let answer = child::answer(command, case.limit)?;
    serde_json::from_str(&answer).map_err(|error| format!("answer not understood: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine, scenario};

    #[test]
    fn every_engine_has_its_turn_in_every_round() {
        assert_eq!(turn_order(3, 0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(turn_order(3, 1).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(turn_order(3, 5).collect::<Vec<_>>(), [2, 0, 1]);
    }

    #[test]
    fn an_abstention_keeps_its_reason() {
        let scenario = scenario::find("yield").unwrap();
        let epoll = engine::find("epoll").unwrap();
        match before_the_first(scenario, &scenario.cases[0], epoll) {
            Outcome::Abstains(why) => assert_eq!(why, "has no tasks"),
            other => panic!("{other:?}"),
        }
    }
}
