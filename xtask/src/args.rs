//! The command line of `cargo xtask`.
//!
//! Turns words into a [`Chore`]. Never starts one.

use std::ffi::OsString;

/// What was asked for.
#[derive(Debug, PartialEq)]
pub(crate) enum Chore {
    Help,
    Test { list: bool, only: Vec<String> },
    Tidy,
    Loom,
    Asan,
    Soak(Length),
    Bench(Vec<String>),
}

/// How long a soak lasts.
#[derive(Debug, PartialEq)]
pub(crate) struct Length {
    /// By how much the first round multiplies the seeds of each test.
    pub(crate) seeds: u64,
    /// Rounds go on until this is spent; without it there is one.
    pub(crate) minutes: Option<u64>,
}

const SEEDS_DEFAULT: u64 = 20;

/// One line of the usage text a chore: how it is called, what it does.
const CHORES: [(&str, &str); 6] = [
    ("test [--list] [STEP...]", "all checks of the README's test command, or some of them"),
    ("tidy", "the textual rules of STYLE.md"),
    ("loom", "what OS threads share, under the loom model checker"),
    ("asan", "the tests of fibers, green threads and the patch under AddressSanitizer"),
    ("soak [--seeds N] [--minutes M]", "the seeded tests with many more seeds"),
    ("bench [ARGS...]", "the scenarios beside their rivals; ARGS go to the bench program"),
];

pub(crate) fn usage() -> String {
    let mut text = String::from("usage: cargo xtask CHORE\n\n");
    for (call, what) in CHORES {
        text.push_str(&format!("  {call:<32}{what}\n"));
    }
    text
}

/// Reads the words after `cargo xtask`. The error names the word and what was expected.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Chore, String> {
    let words: Vec<String> = words.map(readable).collect::<Result<_, _>>()?;
    let Some((chore, rest)) = words.split_first() else {
        return Err("no chore was named".into());
    };
    if chore != "bench" && rest.iter().any(|word| is_help(word)) {
        return Ok(Chore::Help);
    }
    match chore.as_str() {
        word if is_help(word) => Ok(Chore::Help),
        "test" => test(rest),
        "tidy" => alone("tidy", rest, Chore::Tidy),
        "loom" => alone("loom", rest, Chore::Loom),
        "asan" => alone("asan", rest, Chore::Asan),
        "soak" => soak(rest),
        "bench" => Ok(Chore::Bench(rest.to_vec())),
        other => Err(format!("there is no chore `{other}`")),
    }
}

fn readable(word: OsString) -> Result<String, String> {
    word.into_string().map_err(|word| format!("{} is not UTF-8", word.display()))
}

fn is_help(word: &str) -> bool {
    matches!(word, "help" | "--help" | "-h")
}

fn alone(name: &str, rest: &[String], chore: Chore) -> Result<Chore, String> {
    match rest.first() {
        None => Ok(chore),
        Some(word) => Err(format!("`{name}` takes no arguments, but got `{word}`")),
    }
}

fn test(rest: &[String]) -> Result<Chore, String> {
    let mut list = false;
    let mut only = Vec::new();
    for word in rest {
        match word.as_str() {
            "--list" => list = true,
            flag if flag.starts_with('-') => return Err(format!("`test` has no option `{flag}`")),
            step => only.push(step.to_owned()),
        }
    }
    if list && !only.is_empty() {
        return Err("`test --list` runs nothing, so it takes no steps".into());
    }
    Ok(Chore::Test { list, only })
}

fn soak(rest: &[String]) -> Result<Chore, String> {
    let mut length = Length { seeds: SEEDS_DEFAULT, minutes: None };
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seeds" => length.seeds = count(word, words.next())?,
            "--minutes" => length.minutes = Some(count(word, words.next())?),
            other => return Err(format!("`soak` has no option `{other}`")),
        }
    }
    Ok(Chore::Soak(length))
}

fn count(option: &str, value: Option<&String>) -> Result<u64, String> {
    let Some(value) = value else {
        return Err(format!("`{option}` needs a number after it"));
    };
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{option}` needs a whole number above zero, not `{value}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Chore, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn every_chore_of_the_usage_text_is_understood() {
        for (call, _) in CHORES {
            let name = call.split(' ').next().expect("a chore has a name");
            assert!(parsed(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn test_takes_steps_or_the_list() {
        assert_eq!(
            parsed("test fmt loom"),
            Ok(Chore::Test { list: false, only: vec!["fmt".into(), "loom".into()] })
        );
        assert_eq!(parsed("test --list"), Ok(Chore::Test { list: true, only: vec![] }));
    }

    #[test]
    fn soak_has_defaults_and_takes_numbers() {
        let first = Length { seeds: SEEDS_DEFAULT, minutes: None };
        assert_eq!(parsed("soak"), Ok(Chore::Soak(first)));
        let second = Length { seeds: 7, minutes: Some(3) };
        assert_eq!(parsed("soak --minutes 3 --seeds 7"), Ok(Chore::Soak(second)));
    }

    #[test]
    fn bench_passes_everything_on_even_help() {
        assert_eq!(
            parsed("bench --help yield"),
            Ok(Chore::Bench(vec!["--help".into(), "yield".into()]))
        );
    }

    #[test]
    fn help_is_found_anywhere_else() {
        for line in ["help", "--help", "-h", "test --help", "soak -h"] {
            assert_eq!(parsed(line), Ok(Chore::Help), "{line}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (line, named) in [
            ("", "no chore"),
            ("brew", "`brew`"),
            ("tidy now", "`now`"),
            ("test --fast", "`--fast`"),
            ("test --list fmt", "takes no steps"),
            ("soak --seeds", "needs a number"),
            ("soak --seeds none", "`none`"),
            ("soak --minutes 0", "`0`"),
            ("soak 5", "`5`"),
        ] {
            let mistake = parsed(line).expect_err(line);
            assert!(mistake.contains(named), "{line}: {mistake}");
        }
    }
}
