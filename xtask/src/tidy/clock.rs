//! The rule that the hub and the library tell time by their own clock, which a test can turn.
//!
//! Refuses std's clocks by name, wherever a file could get hold of one: what a file cannot name it
//! cannot read. Never minds an `Instant` of the house.

use super::{
    blocks::{line_of, occurrences},
    rule::{Finding, Rule},
    tree::Tree,
};

const WITHIN: [&str; 2] = ["crates/greenroom-hub/src/", "crates/greenroom/src/"];

/// The file, one a crate, that may read the kernel's clock.
const HOME: &str = "clock.rs";

const STD_CLOCKS: [&str; 2] = ["Instant", "SystemTime"];

/// The same clocks as the kernel offers them.
const KERNEL_CLOCKS: [&str; 1] = ["clock_gettime"];

pub(super) const RULE: Rule = Rule {
    name: "clock",
    check,
    refuses: || {
        let text = "//! Hub.\nuse std::{io, time::{Duration, Instant}};\n";
        ("crates/greenroom/src/hub.rs", text.into())
    },
};

fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let watched = |path: &str| WITHIN.iter().any(|folder| path.starts_with(folder));
    for file in tree.rust().filter(|file| watched(&file.path) && file.name() != HOME) {
        let code = &file.rust.code;
        let mut places: Vec<usize> = imports(code).collect();
        for clock in STD_CLOCKS {
            places.extend(occurrences(code, &format!("std::time::{clock}")));
        }
        places.extend(KERNEL_CLOCKS.iter().flat_map(|clock| occurrences(code, clock)));
        let mut lines: Vec<usize> = places.into_iter().map(|at| line_of(code, at)).collect();
        lines.sort_unstable();
        lines.dedup();
        let message = "a clock that no test can turn: ask the hub's `Clock`";
        found.extend(lines.into_iter().map(|line| Finding::new(&file.path, line, message)));
    }
    found
}

/// Where a clock of std stands in a `use`, however deep in its braces.
fn imports(code: &str) -> impl Iterator<Item = usize> {
    occurrences(code, "use std").into_iter().flat_map(move |start| {
        let length = code[start..].find(';').unwrap_or(code.len() - start);
        let names = &code[start..start + length];
        let clocks = STD_CLOCKS.iter().flat_map(|clock| occurrences(names, clock));
        clocks.map(move |at| start + at).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn findings(path: &str, text: &str) -> usize {
        check(&Tree::sample(&[(path, text)])).len()
    }

    #[test]
    fn std_clocks_are_refused_under_any_name() {
        let path = "crates/greenroom/src/a.rs";
        for text in [
            "use std::time::Instant;",
            "use std::{\n    io,\n    time::{Duration, Instant as Clock},\n};",
            "use std::time::SystemTime;",
            "fn f() { std::time::Instant::now() }",
            "use rustix::time::{ClockId, clock_gettime};",
        ] {
            assert_eq!(findings(path, text), 1, "{text}");
        }
    }

    #[test]
    fn clocks_of_the_house_are_welcome() {
        let path = "crates/greenroom/src/a.rs";
        for text in [
            "use std::time::Duration;\nuse crate::time::Instant;\nfn f() { Instant::now() }",
            "use greenroom_hub::{Clock, Instant};",
            "/// [`std::time::Instant`] cannot be turned.\nfn f() {}",
        ] {
            assert_eq!(findings(path, text), 0, "{text}");
        }
        assert_eq!(findings("crates/greenroom-hub/src/clock.rs", "use std::time::Instant;"), 0);
        assert_eq!(findings("crates/greenroom/tests/it/time.rs", "use std::time::Instant;"), 0);
    }
}
