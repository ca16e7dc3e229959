//! The crawler on its own site, and its command line.

use serde_json::Value;

use crate::program::{Outcome, run, run_after};

/// What a crawl said with `--json`.
#[track_caller]
pub(crate) fn report(outcome: &Outcome) -> Value {
    let parsed = serde_json::from_str(&outcome.stdout);
    parsed.unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

#[test]
fn a_thousand_green_threads_on_one_os_thread_fetch_three_thousand_pages() {
    let outcome = run("crawl", &["--json", "--timeout", "40"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "", "no progress is drawn where no terminal is");
    let report = report(&outcome);
    assert_eq!(report["pages"], 3000);
    assert_eq!(report["errors"], serde_json::json!({}));
    assert_eq!(report["stopped_at_limit"], false);
    assert_eq!(report["green_threads_peak"], 1000);
    assert_eq!(report["os_threads"], 2, "one is the crawl's, one the site's");
    let time = |name: &str| report[name].as_f64().expect("it is a number");
    assert!(time("waited_seconds") > 200.0, "the site sleeps for 210 s: {report}");
    assert!(time("waited_seconds") > 5.0 * time("wall_seconds"), "{report}");
}

#[test]
fn pages_and_green_threads_have_limits() {
    let outcome = run("crawl", &["--json", "--pages", "300", "--concurrency", "100"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let report = report(&outcome);
    assert_eq!(report["pages"], 300);
    assert_eq!(report["stopped_at_limit"], true);
    assert_eq!(report["green_threads_peak"], 100);
}

#[test]
fn one_green_thread_is_enough() {
    let outcome = run("crawl", &["--json", "--pages", "10", "--concurrency", "1"]);
    let report = report(&outcome);
    assert_eq!((&report["pages"], &report["green_threads_peak"]), (&10.into(), &1.into()));
}

#[test]
fn the_table_says_what_came_of_it() {
    let outcome = run("crawl", &["--pages", "50"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let rows = ["pages", "bytes", "errors", "green threads at once", "OS threads", "peak memory"];
    for row in rows.iter().chain(&["wall time", "waits, added up", "s of waiting: "]) {
        assert!(outcome.stdout.contains(row), "no {row:?}: {}", outcome.stdout);
    }
}

#[test]
fn a_wrong_command_line_is_explained() {
    let wrong: &[(&[&str], &str)] = &[
        (&["--url", "https://example.org/"], "http only"),
        (&["--url", "ftp://example.org/"], "http only"),
        (&["--url", "garbage"], "it must be like http://host/"),
        (&["--url", "http://"], "it must be like http://host/"),
        (&["--url", "http://host:99999/"], "it must be like http://host/"),
        (&["--url"], "missing argument"),
        (&["--concurrency", "0"], "a number from 1 up"),
        (&["--pages", "-1"], "a number from 1 up"),
        (&["--pages", "99999999999999999999999"], "a number from 1 up"),
        (&["--timeout", "0"], "seconds, from"),
        (&["--timeout", "inf"], "seconds, from"),
        (&["--timeout", "nan"], "seconds, from"),
        (&["--nonsense"], "invalid option"),
        (&["http://example.org/"], "unexpected argument"),
    ];
    for (arguments, explanation) in wrong {
        let outcome = run("crawl", arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains(explanation), "{arguments:?}: {outcome:?}");
        assert_eq!(outcome.stdout, "", "{arguments:?}");
    }
    let outcome = run("crawl", &["--help"]);
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stdout.contains("--concurrency N"), "{outcome:?}");
}

#[test]
fn the_limit_on_open_files_is_raised_if_that_is_allowed() {
    let outcome = run_after("ulimit -S -n 100", "crawl", &["--json", "--pages", "300"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(report(&outcome)["errors"], serde_json::json!({}));

    let outcome = run_after("ulimit -n 100", "crawl", &["--json"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("lower --concurrency"), "{outcome:?}");
}

#[test]
fn a_server_that_cannot_be_found_is_an_error() {
    let outcome = run("crawl", &["--url", "http://no-such-host.invalid/"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("cannot find the server of"), "{outcome:?}");
}
