//! Producers and consumers, in a number that a test has time for.

use crate::program::run;

#[test]
fn every_item_is_used_once() {
    for (count, said) in [
        ("0", "0 items, which add up to 0"),
        ("1", "1 items, which add up to 0"),
        ("10000", "10,000 items, which add up to 49995000"),
    ] {
        let outcome = run("producer", &[count]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains(said), "no {said:?}: {outcome:?}");
    }
}

#[test]
fn all_consumers_have_their_share() {
    let outcome = run("producer", &["9000"]);
    let shares = outcome.stdout.lines().filter(|line| line.starts_with("consumer ")).map(|line| {
        let digits: String = line
            .split(':')
            .nth(1)
            .unwrap_or_default()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        digits.parse::<u32>().expect("each consumer says how many items it used")
    });
    let shares: Vec<_> = shares.collect();
    assert_eq!(shares.iter().sum::<u32>(), 9000, "{outcome:?}");
    assert!(shares.len() == 3 && shares.iter().all(|&share| share > 1000), "{outcome:?}");
}

#[test]
fn a_wrong_command_line_is_explained() {
    for arguments in [&["many"][..], &["-1"], &["1", "2"]] {
        let outcome = run("producer", arguments);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.starts_with("usage: producer"), "{outcome:?}");
    }
}
