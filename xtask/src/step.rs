//! Steps: run in order, each timed, up to the first that fails.
//!
//! Never decides what the steps are; that is [`crate::plan`]'s and [`crate::asan`]'s.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use crate::{Outcome, invocation::Invocation, tally::Tally, workspace::Workspace};

/// One check among several.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) work: Work,
}

/// How a step is done.
pub(crate) enum Work {
    Command(Invocation),
    Here(fn(&Workspace) -> Result<Tally, String>),
}

/// A step that ended, well or not.
struct Done {
    name: &'static str,
    took: Duration,
    tally: Tally,
}

/// The names of all steps with what they do, a line each.
pub(crate) fn listing(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        writeln!(text, "{:<16}{}", step.name, step.what).expect("a string takes any text");
    }
    text
}

/// The steps named, in the order of the plan; all of them if none is named.
pub(crate) fn chosen(steps: Vec<Step>, only: &[String]) -> Result<Vec<Step>, String> {
    for name in only {
        if !steps.iter().any(|step| step.name == name) {
            let known: Vec<&str> = steps.iter().map(|step| step.name).collect();
            return Err(format!("there is no step `{name}`; known are: {}", known.join(", ")));
        }
    }
    let wanted = |step: &Step| only.is_empty() || only.iter().any(|name| name == step.name);
    Ok(steps.into_iter().filter(wanted).collect())
}

/// Runs steps until one fails, then prints what each took. The error says how to repeat it.
pub(crate) fn run_all(chore: &str, steps: &[Step], workspace: &Workspace) -> Outcome {
    let mut done = Vec::new();
    let mut failure = None;
    for step in steps {
        println!("\n== {}: {}", step.name, step.what);
        let start = Instant::now();
        let result = step.run(workspace);
        let took = start.elapsed();
        let tally = result.as_ref().copied().unwrap_or_default();
        done.push(Done { name: step.name, took, tally });
        if let Err(reason) = result {
            println!("== {} FAILED after {}", step.name, seconds(took));
            failure = Some(format!("{}{}", reason, repeat(chore, step)));
            break;
        }
        println!("== {} took {}", step.name, seconds(took));
    }
    print!("\n{}", table(steps, &done, failure.is_some()));
    failure.map_or(Ok(()), Err)
}

impl Step {
    fn run(&self, workspace: &Workspace) -> Result<Tally, String> {
        match &self.work {
            Work::Here(function) => function(workspace),
            Work::Command(command) => {
                println!("   {}", command.shown());
                command.run(workspace)
            }
        }
    }
}

fn repeat(chore: &str, step: &Step) -> String {
    let alone = if chore == "test" { format!("test {}", step.name) } else { chore.to_owned() };
    format!("\n  step `{}` failed; to repeat it alone: cargo xtask {alone}", step.name)
}

fn table(steps: &[Step], done: &[Done], failed: bool) -> String {
    let mut text = format!("{:<16}{:>10}{:>8}\n", "step", "time", "tests");
    let mut total = Done { name: "all", took: Duration::ZERO, tally: Tally::default() };
    for (index, step) in done.iter().enumerate() {
        let note = if failed && index + 1 == done.len() { "  FAILED" } else { "" };
        text.push_str(&row(step, note));
        total.took += step.took;
        total.tally += step.tally;
    }
    for step in steps.iter().skip(done.len()) {
        writeln!(text, "{:<16}{:>10}", step.name, "not run").expect("a string takes any text");
    }
    text.push_str(&row(&total, ""));
    text
}

fn row(done: &Done, note: &str) -> String {
    let tests = match done.tally.total() {
        0 => String::new(),
        count => count.to_string(),
    };
    let line = format!("{:<16}{:>10}{tests:>8}{note}", done.name, seconds(done.took));
    format!("{}\n", line.trim_end())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Vec<Step> {
        let good = Work::Here(|_| Ok(Tally { passed: 2, failed: 0 }));
        let bad = Work::Here(|_| Err("the roof leaks".into()));
        let never = Work::Here(|_| panic!("a step after the failing one was run"));
        vec![
            Step { name: "floor", what: "stands", work: good },
            Step { name: "roof", what: "leaks", work: bad },
            Step { name: "door", what: "is not reached", work: never },
        ]
    }

    #[test]
    fn the_first_failure_ends_the_run_and_says_how_to_repeat_it() {
        let workspace = Workspace::find().expect("the tests run inside the workspace");
        let failure = run_all("test", &steps(), &workspace).expect_err("the roof leaks");
        assert!(failure.contains("the roof leaks"), "{failure}");
        assert!(failure.contains("cargo xtask test roof"), "{failure}");
        assert!(run_all("test", &steps()[..1], &workspace).is_ok());
    }

    #[test]
    fn the_table_shows_what_was_not_run() {
        let took = Duration::from_millis(1250);
        let good = Done { name: "floor", took, tally: Tally { passed: 3, failed: 0 } };
        let bad = Done { name: "roof", took, tally: Tally::default() };
        let text = table(&steps(), &[good, bad], true);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        assert_eq!(lines[1], "floor 1.2 s 3");
        assert_eq!(lines[2], "roof 1.2 s FAILED");
        assert_eq!(lines[3], "door not run");
        assert_eq!(lines[4], "all 2.5 s 3");
    }

    #[test]
    fn steps_are_chosen_in_the_order_of_the_plan() {
        let names = |steps: Vec<Step>| steps.iter().map(|step| step.name).collect::<Vec<_>>();
        let only = ["door".to_owned(), "floor".to_owned()];
        assert_eq!(chosen(steps(), &only).map(names), Ok(vec!["floor", "door"]));
        assert_eq!(chosen(steps(), &[]).map(names), Ok(vec!["floor", "roof", "door"]));
    }

    #[test]
    fn an_unknown_step_is_answered_with_the_known_ones() {
        let mistake = chosen(steps(), &["attic".to_owned()]).err().expect("there is no attic");
        assert!(mistake.contains("`attic`") && mistake.contains("floor, roof, door"), "{mistake}");
    }

    #[test]
    fn the_listing_has_a_line_a_step() {
        assert_eq!(listing(&steps()).lines().count(), 3);
    }
}
