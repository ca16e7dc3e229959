//! The rule that nothing unfinished is left behind.
//!
//! Looks for words. Never guesses at an intention that is not marked.

use super::{
    blocks::{line_of, occurrences},
    rule::{Finding, Rule},
    tree::{FEATURES, Tree},
};

/// Refused in any text. Written in two halves, so that this file keeps its own rule.
const MARKERS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Refused in code.
const CODE: [&str; 4] = ["dbg!", "todo!", "unimplemented!", "#[ignore"];

/// Refused in comments: an example that is neither compiled nor run.
const COMMENTS: [&str; 1] = ["```ignore"];

pub(super) const RULE: Rule = Rule {
    name: "leftovers",
    check,
    refuses: || ("src/a.rs", concat!("//! A file.\n// TO", "DO: the rest\n").into()),
};

fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files().iter().filter(|file| file.path != FEATURES) {
        let mut look = |text: &str, words: &[&str], advice: &str| {
            for word in words {
                for at in occurrences(text, word) {
                    let message = format!("`{word}`: {advice}");
                    found.push(Finding::new(&file.path, line_of(text, at), message));
                }
            }
        };
        look(&file.text, &MARKERS, "finish it, or say what is missing where users read it");
        look(&file.rust.code, &CODE, "not in finished code; a test says what holds today");
        look(&file.rust.comments, &COMMENTS, "compile it, or mark it `text`");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_found_in_its_half() {
        for word in MARKERS {
            assert_eq!(check(&Tree::sample(&[("notes.md", word)])).len(), 1, "{word}");
        }
        for word in CODE {
            assert_eq!(check(&Tree::sample(&[("a.rs", word)])).len(), 1, "{word}");
            let comment = format!("// {word} is refused");
            assert!(check(&Tree::sample(&[("a.rs", &comment)])).is_empty(), "{word}");
        }
        assert_eq!(check(&Tree::sample(&[("a.rs", "/// ```ignore\n")])).len(), 1);
    }

    #[test]
    fn longer_words_are_no_markers() {
        assert!(
            check(&Tree::sample(&[("a.md", concat!("HA", "CKER")), ("b.rs", "x.ignore()")]))
                .is_empty()
        );
    }
}
