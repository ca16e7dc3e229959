//! The command line: words in, one [`Command`] out.
//!
//! Must never run anything, nor look at the machine.

use std::path::PathBuf;

use crate::Fallible;
use crate::engine::{self, Entry};
use crate::scenario::{self, Scenario, Size};

pub(crate) const HELP: &str = "\
greenroom-bench: scenarios beside rivals, measured in one run

  --scenario NAME   only this scenario (may be repeated)
  --engine NAME     only this engine (may be repeated)
  --rounds N        times round the engines (7; with --quick 3)
  --quick           fewer rounds, smaller counts
  --json FILE       write everything that was measured to FILE too
  --list            name the scenarios and the engines
  --help            this text";

const ROUNDS_FULL: u32 = 7;
const ROUNDS_QUICK: u32 = 3;
const ROUNDS_MAX: u32 = 1000;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    List,
    Bout(Plan),
    /// Hidden: one measurement, in the process that was started for it.
    One {
        engine: &'static Entry,
        scenario: &'static Scenario,
        param: u64,
        size: Size,
    },
    /// Hidden: be the echo server of one engine.
    Serve {
        engine: &'static Entry,
    },
}

/// A bout as asked for: who, what, how often.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) engines: Vec<&'static Entry>,
    pub(crate) scenarios: Vec<&'static Scenario>,
    pub(crate) rounds: u32,
    pub(crate) size: Size,
    pub(crate) json: Option<PathBuf>,
}

pub(crate) fn parse(words: impl Iterator<Item = String>) -> Fallible<Command> {
    let mut words = words.peekable();
    match words.peek().map(String::as_str) {
        Some("--one") => parse_one(words.skip(1)),
        Some("--serve") => {
            let name = words.nth(1).ok_or("--serve needs an engine")?;
            Ok(Command::Serve { engine: engine::find(&name)? })
        }
        _ => parse_bout(words),
    }
}

fn parse_one(mut words: impl Iterator<Item = String>) -> Fallible<Command> {
    let mut next = |what: &str| words.next().ok_or(format!("--one needs {what}"));
    let engine = engine::find(&next("an engine")?)?;
    let scenario = scenario::find(&next("a scenario")?)?;
    let param = next("a parameter")?.parse()?;
    let size = Size::from_name(&next("a size")?)?;
    Ok(Command::One { engine, scenario, param, size })
}

fn parse_bout(mut words: impl Iterator<Item = String>) -> Fallible<Command> {
    let mut engines = Vec::new();
    let mut scenarios = Vec::new();
    let mut rounds = None;
    let mut size = Size::Full;
    let mut json = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value; see --help"));
        match word.as_str() {
            "--engine" => engines.push(engine::find(&value()?)?),
            "--scenario" => scenarios.push(scenario::find(&value()?)?),
            "--rounds" => rounds = Some(parse_rounds(&value()?)?),
            "--json" => json = Some(PathBuf::from(value()?)),
            "--quick" => size = Size::Quick,
            // Hidden: the smallest run that passes through everything, for the tests.
            "--smoke" => size = Size::Smoke,
            "--list" => return Ok(Command::List),
            "--help" | "-h" => return Ok(Command::Help),
            _ => return Err(format!("unknown argument {word:?}; see --help").into()),
        }
    }
    if engines.is_empty() {
        engines.extend(engine::ALL);
    }
    if scenarios.is_empty() {
        scenarios.extend(scenario::ALL);
    }
    let rounds = rounds.unwrap_or(size.pick(ROUNDS_FULL, ROUNDS_QUICK, 1));
    Ok(Command::Bout(Plan { engines, scenarios, rounds, size, json }))
}

fn parse_rounds(word: &str) -> Fallible<u32> {
    match word.parse() {
        Ok(rounds @ 1..=ROUNDS_MAX) => Ok(rounds),
        _ => Err(format!("--rounds wants a number from 1 to {ROUNDS_MAX}, not {word:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Fallible<Command> {
        parse(line.split_whitespace().map(String::from))
    }

    fn plan(line: &str) -> Plan {
        match parsed(line) {
            Ok(Command::Bout(plan)) => plan,
            other => panic!("{line:?} gave {other:?}"),
        }
    }

    #[test]
    fn nothing_said_means_everybody_and_everything() {
        let plan = plan("");
        assert_eq!(plan.engines.len(), engine::ALL.len());
        assert_eq!(plan.scenarios.len(), scenario::ALL.len());
        assert_eq!((plan.rounds, plan.size), (ROUNDS_FULL, Size::Full));
    }

    #[test]
    fn filters_add_up() {
        let plan = plan("--quick --scenario echo --scenario yield --engine epoll --json x.json");
        let scenarios: Vec<_> = plan.scenarios.iter().map(|scenario| scenario.name).collect();
        assert_eq!(scenarios, ["echo", "yield"]);
        assert_eq!(plan.engines.len(), 1);
        assert_eq!((plan.rounds, plan.size), (ROUNDS_QUICK, Size::Quick));
        assert_eq!(plan.json, Some(PathBuf::from("x.json")));
    }

    #[test]
    fn rounds_said_win_over_quick() {
        assert_eq!(plan("--rounds 5 --quick").rounds, 5);
    }

    #[test]
    fn hidden_command_names_one_measurement() {
        match parsed("--one epoll echo 64 quick") {
            Ok(Command::One { engine, scenario, param, size }) => {
                assert_eq!((engine.name, scenario.name), ("epoll", "echo"));
                assert_eq!((param, size), (64, Size::Quick));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--engine none", "--scenario none", "--rounds 0", "--rounds", "extra"] {
            assert!(parsed(line).is_err(), "{line:?} was taken");
        }
    }
}
