//! The rules of STYLE.md that text alone can check.
//!
//! Each rule carries an example it refuses and proves itself on it before it is believed: a check
//! that cannot fail is worse than none. Never parses Rust beyond comments, strings and braces.

mod blocks;
mod mask;
mod rule;
mod tree;

mod backend;
mod calls;
mod clock;
mod doors;
mod head;
mod leftovers;
mod length;
mod names;
mod retry;
mod text;
mod unsafety;

use crate::{tally::Tally, workspace::Workspace};
use rule::{Finding, Rule};
use tree::Tree;

/// All rules, in the order of STYLE.md.
const RULES: &[Rule] = &[
    head::RULE,
    names::RULE,
    length::FILES,
    length::FUNCTIONS,
    doors::RULE,
    retry::RULE,
    calls::RULE,
    clock::RULE,
    unsafety::ADDRESS,
    unsafety::TABLE,
    unsafety::ROOTS,
    unsafety::IMPLS,
    leftovers::RULE,
    text::CLEAN,
    text::PATHS,
    backend::MANIFESTS,
    backend::RAW,
];

/// Reads every file that belongs to the workspace and prints what the rules find.
pub(crate) fn run(workspace: &Workspace) -> Result<Tally, String> {
    for rule in RULES {
        prove(rule)?;
    }
    let tree = Tree::read(workspace)?;
    let mut findings = check(&tree);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        return Err(format!("tidy: places to mend: {}", findings.len()));
    }
    println!("tidy: {} files keep {} rules", tree.files().len(), RULES.len());
    Ok(Tally::default())
}

/// Fails if the rule finds nothing wrong with the example it carries.
fn prove(rule: &Rule) -> Result<(), String> {
    let (path, text) = (rule.refuses)();
    let found = (rule.check)(&Tree::sample(&[(path, &text)]));
    if found.iter().any(|finding| finding.is_in(path)) {
        Ok(())
    } else {
        Err(format!("tidy: rule `{}` no longer refuses its own bad example", rule.name))
    }
}

fn check(tree: &Tree) -> Vec<Finding> {
    let named = |rule: &Rule| {
        let found = (rule.check)(tree);
        found.into_iter().map(|finding| finding.by(rule.name)).collect::<Vec<_>>()
    };
    RULES.iter().flat_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_refuses_its_bad_example() {
        for rule in RULES {
            assert_eq!(prove(rule), Ok(()));
        }
    }

    #[test]
    fn a_rule_that_finds_nothing_is_not_believed() {
        let blind = Rule { name: "blind", check: |_| vec![], refuses: || ("a.rs", "any".into()) };
        assert!(prove(&blind).is_err());
        let elsewhere = |_: &Tree| vec![Finding::new("b.rs", 1, "not where the fault is")];
        assert!(prove(&Rule { check: elsewhere, ..blind }).is_err());
    }

    #[test]
    fn rules_are_told_apart_by_name() {
        let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn a_clean_tree_has_no_findings() {
        let mut tree = Tree::sample(&[
            ("crates/greenroom/src/lib.rs", "//! A house.\n\n#![deny(unsafe_code)]\n\nmod io;\n"),
            ("crates/greenroom-hub/Cargo.toml", "[dependencies]\nrustix = \"1\"\n"),
            ("README.md", "# A house\n\nIt stands at `/srv/house`.\n"),
            (tree::FEATURES, "rustix v1.1.6\nrustix feature \"event\"\n"),
        ]);
        for (_, home) in retry::HOMES {
            tree.add(home, "//! The retry.\n\nfn a() {\n    loop { Errno::AGAIN }\n}\n");
        }
        for door in doors::DOORS {
            tree.add(door.home, &format!("//! A door.\n\nfn a() {{ {} }}\n", door.needles[0]));
        }
        for (path, _) in unsafety::FILES {
            tree.add(path, "//! # Safety\n//!\n//! Why.\n\n#![allow(unsafe_code)]\n");
        }
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}
