//! The rule that every Rust file opens by saying what it is.
//!
//! Looks at the first line. Never knows whether what it says is true.

use super::{
    rule::{Finding, Rule},
    tree::Tree,
};

pub(super) const RULE: Rule = Rule {
    name: "head",
    check,
    refuses: || ("crates/greenroom/src/door.rs", "use std::io;\n//! Too late.\n".into()),
};

fn check(tree: &Tree) -> Vec<Finding> {
    let silent = tree.rust().filter(|file| !file.text.starts_with("//! "));
    silent
        .map(|file| {
            Finding::new(
                &file.path,
                1,
                "the first line must be `//!`: what this file is, then what it must never know",
            )
        })
        .collect()
}
