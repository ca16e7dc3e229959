//! All that a bout found, computed once: the table and the JSON file are two ways to print it.
//!
//! Must never print, nor know how wide a screen is.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::rounds::{Entrant, Outcome};
use crate::scenario::{Case, Goal, Scenario, Size};
use crate::statistics::{Summary, median, paired_ratio, summary};
use crate::{Fallible, cores};

/// Who has to reach the goals.
const OURS: &str = "greenroom";

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) size: Size,
    pub(crate) cases: Vec<CaseReport>,
}

/// Where the figures were taken: they mean little elsewhere.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) measured_core: usize,
    pub(crate) load_core: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct CaseReport {
    pub(crate) scenario: &'static str,
    pub(crate) param: u64,
    pub(crate) param_unit: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) baseline: &'static str,
    pub(crate) goal: Option<GoalReport>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct GoalReport {
    pub(crate) at_most: f64,
    /// Whether the goal and the figure are ratios to the baseline.
    pub(crate) is_ratio: bool,
    /// What is held against the goal, if it was measured.
    pub(crate) figure: Option<f64>,
    pub(crate) is_met: Option<bool>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) engine: &'static str,
    #[serde(flatten)]
    pub(crate) finding: Finding,
}

#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub(crate) enum Finding {
    Measured(Measured),
    Abstains { why: String },
    Failed { error: String },
}

#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) summary: Summary,
    /// To the baseline of the case, round by round; `None` if that has no figures.
    pub(crate) ratio: Option<f64>,
    /// Median of each.
    pub(crate) extras: BTreeMap<String, f64>,
    /// One for each round.
    pub(crate) samples: Vec<f64>,
}

impl Report {
    pub(crate) fn new(rounds: u32, size: Size, cases: Vec<CaseReport>) -> Fallible<Self> {
        Ok(Self { machine: Machine::this()?, rounds, size, cases })
    }

    pub(crate) fn to_json(&self) -> Fallible<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

impl Machine {
    fn this() -> Fallible<Self> {
        let [measured_core, load_core] = cores::pair()?;
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown processor", |(_, name)| name)
            .to_owned();
        Ok(Self { processor, kernel, measured_core, load_core })
    }
}

impl CaseReport {
    pub(crate) fn new(scenario: &Scenario, case: &Case, entrants: Vec<Entrant>) -> Self {
        let baseline = values_of(&entrants, scenario.baseline);
        let goal = case.goal.map(|goal| {
            let ours = values_of(&entrants, OURS);
            GoalReport::new(goal, &ours, &baseline)
        });
        let rows = entrants
            .into_iter()
            .map(|entrant| Row {
                engine: entrant.engine,
                finding: Finding::new(entrant.outcome, &baseline),
            })
            .collect();
        Self {
            scenario: scenario.name,
            param: case.param,
            param_unit: scenario.param_unit,
            unit: scenario.unit,
            baseline: scenario.baseline,
            goal,
            rows,
        }
    }
}

/// The figures of `engine`, round by round; none if it was not measured to the end.
fn values_of(entrants: &[Entrant], engine: &str) -> Vec<f64> {
    match entrants.iter().find(|entrant| entrant.engine == engine) {
        Some(Entrant { outcome: Outcome::Measured(samples), .. }) => {
            samples.iter().map(|sample| sample.value).collect()
        }
        _ => Vec::new(),
    }
}

impl GoalReport {
    fn new(goal: Goal, ours: &[f64], baseline: &[f64]) -> Self {
        let (at_most, is_ratio, figure) = match goal {
            Goal::AtMost(at_most) => (at_most, false, summary(ours).map(|summary| summary.min)),
            Goal::AtMostOfBaseline(at_most) => (at_most, true, paired_ratio(ours, baseline)),
        };
        Self { at_most, is_ratio, figure, is_met: figure.map(|figure| figure <= at_most) }
    }
}

impl Finding {
    fn new(outcome: Outcome, baseline: &[f64]) -> Self {
        let samples = match outcome {
            Outcome::Measured(samples) => samples,
            Outcome::Abstains(why) => return Self::Abstains { why },
            Outcome::Failed(error) => return Self::Failed { error },
        };
        let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        let Some(summary) = summary(&values) else {
            return Self::Failed { error: "no round was run".to_owned() };
        };
        let mut by_name: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (name, value) in samples.into_iter().flat_map(|sample| sample.extras) {
            by_name.entry(name).or_default().push(value);
        }
        let extras = by_name.into_iter().filter_map(|(name, row)| Some((name, median(&row)?)));
        let ratio = paired_ratio(&values, baseline);
        Self::Measured(Measured { summary, ratio, extras: extras.collect(), samples: values })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::meter::Sample;
    use crate::scenario;

    fn measured(engine: &'static str, values: &[f64]) -> Entrant {
        let samples =
            values.iter().map(|&value| Sample::new(value, [("wall_us", value * 2.0)])).collect();
        Entrant { engine, outcome: Outcome::Measured(samples) }
    }

    fn case(scenario: &str, entrants: Vec<Entrant>) -> CaseReport {
        let scenario = scenario::find(scenario).unwrap();
        CaseReport::new(scenario, &scenario.cases[0], entrants)
    }

    /// A report of every kind of row, for the tests of what prints it.
    pub(crate) fn example() -> Report {
        let echo = case(
            "echo",
            vec![
                measured("greenroom", &[4.0, 8.4, 4.1]),
                Entrant { engine: "tokio", outcome: Outcome::Failed("it broke".to_owned()) },
                Entrant {
                    engine: "corosensei",
                    outcome: Outcome::Abstains("has no sockets".to_owned()),
                },
                measured("epoll", &[4.0, 8.0, 4.0]),
            ],
        );
        let spawn = case("spawn_join", vec![measured("tokio", &[433.0])]);
        let yielding =
            case("yield", vec![measured("greenroom", &[9.0, 8.5]), measured("tokio", &[180.0])]);
        let machine = Machine {
            processor: "a processor".to_owned(),
            kernel: "6.18".to_owned(),
            measured_core: 0,
            load_core: 1,
        };
        Report { machine, rounds: 3, size: Size::Full, cases: vec![echo, spawn, yielding] }
    }

    #[test]
    fn a_ratio_goal_is_judged_by_paired_rounds() {
        let goal = example().cases.remove(0).goal.unwrap();
        let expected = GoalReport {
            at_most: 1.05,
            is_ratio: true,
            figure: Some(4.1 / 4.0),
            is_met: Some(true),
        };
        assert_eq!(goal, expected);
    }

    #[test]
    fn an_absolute_goal_is_judged_by_the_least_round() {
        let goal = example().cases.remove(2).goal.unwrap();
        let expected =
            GoalReport { at_most: 8.0, is_ratio: false, figure: Some(8.5), is_met: Some(false) };
        assert_eq!(goal, expected);
    }

    #[test]
    fn a_goal_without_figures_is_neither_met_nor_missed() {
        let goal = example().cases.remove(1).goal.unwrap();
        assert_eq!((goal.figure, goal.is_met), (None, None));
    }

    #[test]
    fn json_tells_every_row_its_outcome_and_samples() {
        let json: serde_json::Value = serde_json::from_str(&example().to_json().unwrap()).unwrap();
        let rows = &json["cases"][0]["rows"];
        assert_eq!(rows[0]["outcome"], "measured");
        assert_eq!(rows[0]["samples"], serde_json::json!([4.0, 8.4, 4.1]));
        assert_eq!(rows[0]["median"], 4.1);
        assert_eq!(rows[0]["extras"]["wall_us"], 8.2);
        assert_eq!(rows[1]["outcome"], "failed");
        assert_eq!(rows[1]["error"], "it broke");
        assert_eq!(rows[2]["why"], "has no sockets");
        assert_eq!(json["cases"][1]["rows"][0]["ratio"], serde_json::Value::Null);
        assert_eq!(json["size"], "full");
    }
}
