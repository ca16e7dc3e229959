//! The rule that files and folders are named for what they hold.
//!
//! Looks at paths. Never opens a file.

use super::{
    rule::{Finding, Rule},
    tree::{FEATURES, Tree},
};

/// Names that any content fits, so that any content ends up there.
const EMPTY: [&str; 9] =
    ["utils", "util", "common", "helpers", "helper", "manager", "managers", "misc", "types"];

pub(super) const RULE: Rule = Rule {
    name: "names",
    check,
    refuses: || ("crates/greenroom/tests/common/mod.rs", "//! Anything.\n".into()),
};

fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files().iter().filter(|file| file.path != FEATURES) {
        for part in file.path.split('/') {
            let name = part.split('.').next().unwrap_or(part);
            if EMPTY.contains(&name) {
                let message = format!("`{name}` says nothing: name the thing that is in there");
                found.push(Finding::new(&file.path, 1, message));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_stems_count_but_not_parts_of_words() {
        let tree = Tree::sample(&[
            ("crates/utils/src/a.rs", ""),
            ("crates/greenroom/src/types.rs", ""),
            ("crates/greenroom/src/types_of_wake.rs", ""),
            ("docs/uncommon.md", ""),
        ]);
        let paths: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(paths.len(), 2, "{paths:?}");
    }
}
