//! The sleepers, in a number that a test has time for.

use crate::program::run;

#[test]
fn ten_thousand_fall_asleep_and_all_wake() {
    let outcome = run("sleepers", &["10000"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for said in ["10,000 green threads spawned", " asleep ", "bytes each", "late by: median"] {
        assert!(outcome.stdout.contains(said), "no {said:?}: {outcome:?}");
    }
}

#[test]
fn a_wrong_command_line_is_explained() {
    for arguments in [&["0"][..], &["many"], &["-1"], &["1", "2"]] {
        let outcome = run("sleepers", arguments);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.starts_with("usage: sleepers"), "{outcome:?}");
    }
}
