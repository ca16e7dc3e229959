//! The scenarios, each in a file of its own: what is done, in which sizes, what is aimed at, and who sits out.
//!
//! Must never know how an engine does what it is asked.

mod channel;
mod echo;
mod memory;
mod sleep;
mod spawn_join;
mod spawn_many;
mod yielding;

use std::time::Duration;

use serde::Serialize;

use crate::Fallible;
use crate::engine::Entry;
use crate::meter::Sample;

/// In the order of the report.
pub(crate) static ALL: &[&Scenario] = &[
    &yielding::SCENARIO,
    &spawn_join::SCENARIO,
    &spawn_many::SCENARIO,
    &channel::SCENARIO,
    &sleep::SCENARIO,
    &memory::SCENARIO,
    &echo::SCENARIO,
];

/// One thing to measure. The same for all engines.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// One line: what is done and what is counted.
    pub(crate) about: &'static str,
    pub(crate) unit: &'static str,
    /// What the parameter of a case counts.
    pub(crate) param_unit: &'static str,
    /// The engine that the others are divided by.
    pub(crate) baseline: &'static str,
    pub(crate) cases: &'static [Case],
    /// Engines that sit out all cases, with the reason.
    pub(crate) abstain: &'static [Abstention],
    pub(crate) run: fn(&'static Entry, &Case, Size) -> Fallible<Sample>,
}

/// A scenario with its parameter.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) param: u64,
    /// What greenroom must reach here.
    pub(crate) goal: Option<Goal>,
    /// After this, one measurement is given up.
    pub(crate) limit: Duration,
    /// Engines that sit out this case, with the reason.
    pub(crate) abstain: &'static [Abstention],
}

#[derive(Debug)]
pub(crate) struct Abstention {
    pub(crate) engine: &'static str,
    pub(crate) why: &'static str,
}

/// What greenroom must reach in the very run that measured its rivals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// The least of the rounds must not be above this, in the scenario's unit.
    AtMost(f64),
    /// The median of the rounds' ratios to the baseline must not be above this.
    AtMostOfBaseline(f64),
}

/// How much is done in one measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Size {
    Full,
    Quick,
    /// Just enough to pass through all code; the figures mean nothing.
    Smoke,
}

impl Size {
    pub(crate) fn pick<T>(self, full: T, quick: T, smoke: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
            Self::Smoke => smoke,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.pick("full", "quick", "smoke")
    }

    pub(crate) fn from_name(name: &str) -> Fallible<Self> {
        [Self::Full, Self::Quick, Self::Smoke]
            .into_iter()
            .find(|size| size.name() == name)
            .ok_or_else(|| format!("no size {name:?}").into())
    }
}

impl Scenario {
    pub(crate) fn case(&self, param: u64) -> Fallible<&Case> {
        self.cases
            .iter()
            .find(|case| case.param == param)
            .ok_or_else(|| format!("{} has no case {param}", self.name).into())
    }

    /// Why `engine` sits this case out, if it does.
    pub(crate) fn abstention(&self, case: &Case, engine: &str) -> Option<&'static str> {
        let mut all = self.abstain.iter().chain(case.abstain);
        all.find(|abstention| abstention.engine == engine).map(|abstention| abstention.why)
    }
}

pub(crate) fn find(name: &str) -> Fallible<&'static Scenario> {
    ALL.iter().copied().find(|scenario| scenario.name == name).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|scenario| scenario.name).collect();
        format!("no scenario {name:?}; there are {}", known.join(", ")).into()
    })
}

const NO_TASKS: Abstention = Abstention { engine: "epoll", why: "has no tasks" };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine;

    #[test]
    fn every_name_that_a_scenario_mentions_is_an_engine() {
        for scenario in ALL {
            assert!(engine::find(scenario.baseline).is_ok(), "{}", scenario.name);
            let of_cases = scenario.cases.iter().flat_map(|case| case.abstain);
            for abstention in scenario.abstain.iter().chain(of_cases) {
                assert!(engine::find(abstention.engine).is_ok(), "{}", scenario.name);
                assert!(!abstention.why.is_empty(), "{}", scenario.name);
            }
        }
    }

    #[test]
    fn greenroom_and_the_baseline_never_sit_out() {
        for scenario in ALL {
            for case in scenario.cases {
                assert_eq!(scenario.abstention(case, "greenroom"), None);
                assert_eq!(scenario.abstention(case, scenario.baseline), None);
            }
        }
    }

    #[test]
    fn cases_are_told_apart_by_their_parameter() {
        for scenario in ALL {
            for case in scenario.cases {
                assert!(std::ptr::eq(scenario.case(case.param).unwrap(), case));
            }
            assert!(scenario.case(77).is_err());
        }
    }

    #[test]
    fn sizes_are_found_by_their_names() {
        for size in [Size::Full, Size::Quick, Size::Smoke] {
            assert_eq!(Size::from_name(size.name()).unwrap(), size);
        }
        assert!(Size::from_name("huge").is_err());
    }
}
