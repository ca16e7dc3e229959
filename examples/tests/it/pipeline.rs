//! The build, with all going well and with jobs that fail.

use crate::program::{Outcome, run};

/// The line that tells of a job.
#[track_caller]
fn line<'a>(outcome: &'a Outcome, job: &str) -> &'a str {
    let mut lines = outcome.stdout.lines().map(str::trim_start);
    let line = lines.find_map(|line| line.strip_prefix(job)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no line of {job}: {outcome:?}"))
}

/// When a job began and ended, in tenths of a second, by its line in the chart.
#[track_caller]
fn times(outcome: &Outcome, job: &str) -> (usize, usize) {
    let line = line(outcome, job);
    (line.find('#').expect("it was built"), line.len())
}

#[test]
fn jobs_run_when_what_they_need_is_built() {
    let outcome = run("pipeline", &["--jobs", "11"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "");
    let needs = [("fetch", "docs"), ("headers", "lex"), ("parse", "link"), ("data", "test")];
    for (first, then) in needs.into_iter().chain([("link", "test"), ("test", "package")]) {
        let (first, then) = (times(&outcome, first), times(&outcome, then));
        assert!(first.1 <= then.0, "{outcome:?}");
    }
    let says = "; all the work is 3.4 s, and the longest chain of it 1.7 s";
    assert!(outcome.stdout.trim_end().ends_with(says), "{outcome:?}");
}

#[test]
fn one_hand_does_one_job_at_a_time() {
    let outcome = run("pipeline", &["--jobs", "1"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let jobs = ["fetch", "data", "headers", "grammar", "lex", "parse", "emit", "docs"];
    let mut times: Vec<_> = jobs.map(|job| times(&outcome, job)).into();
    times.sort_unstable();
    assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{outcome:?}");
}

#[test]
fn a_job_that_fails_takes_those_with_it_that_need_it_and_no_others() {
    for (flag, says) in [
        ("--fail", "FAILED: the command ended with status 1"),
        ("--panic", "FAILED: the green thread panicked: a bug in the job"),
    ] {
        let outcome = run("pipeline", &[flag, "parse"]);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert_eq!(line(&outcome, "parse"), says);
        for job in ["link", "test", "package"] {
            assert_eq!(line(&outcome, job), "not built, since parse failed");
        }
        for job in ["fetch", "headers", "grammar", "lex", "emit", "docs", "data"] {
            times(&outcome, job);
        }
        assert!(outcome.stdout.contains("no package: the task \"parse\" has no result: "));
    }
}

#[test]
fn a_wrong_command_line_is_explained() {
    let wrong: &[(&[&str], &str)] = &[
        (&["--jobs", "0"], "jobs at once are from 1 to 100"),
        (&["--jobs", "many"], "jobs at once are from 1 to 100"),
        (&["--fail", "lunch"], "there is no such job; there are package link"),
        (&["--quick"], "invalid option '--quick'"),
        (&["parse"], "unexpected argument"),
    ];
    for (arguments, says) in wrong {
        let outcome = run("pipeline", arguments);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(says), "no {says:?}: {outcome:?}");
        assert!(outcome.stderr.contains("usage: pipeline"), "{outcome:?}");
    }
}
