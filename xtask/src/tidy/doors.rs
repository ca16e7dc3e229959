//! The rule of one door each way: what only one file may do, that file does and no other.
//!
//! Sees calls by their text. Never knows what is behind a door.

use super::{
    blocks::{line_of, occurrences},
    rule::{Finding, Rule},
    tree::{File, Tree},
};

/// Something that exactly one file does.
pub(super) struct Door {
    what: &'static str,
    /// How it looks in code, in any of its spellings.
    pub(super) needles: &'static [&'static str],
    /// Files under this path are looked at.
    within: &'static str,
    pub(super) home: &'static str,
}

pub(super) const DOORS: &[Door] = &[
    Door {
        what: "suspends a fiber",
        needles: &["suspend()", "fiber::suspend", "greenroom_fiber::suspend"],
        within: "crates/greenroom/src/",
        home: "crates/greenroom/src/thread/park.rs",
    },
    Door {
        what: "resumes a fiber",
        needles: &[".resume("],
        within: "crates/greenroom/src/",
        home: "crates/greenroom/src/thread/run.rs",
    },
];

pub(super) const RULE: Rule = Rule {
    name: "one-door",
    check: |tree| DOORS.iter().flat_map(|door| check(door, tree)).collect(),
    refuses: || {
        ("crates/greenroom/src/net/tcp.rs", "//! Tcp.\nfn f() { fiber.resume(()); }\n".into())
    },
};

fn check(door: &Door, tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut home_uses_it = false;
    for file in tree.rust().filter(|file| file.path.starts_with(door.within)) {
        if file.path == door.home {
            home_uses_it = !uses(door, file).is_empty();
            continue;
        }
        for line in uses(door, file) {
            let message = format!("{}: only {} may", door.what, door.home);
            found.push(Finding::new(&file.path, line, message));
        }
    }
    if !home_uses_it {
        let message = format!(
            "nothing here {}: was the door moved? xtask/src/tidy/doors.rs must know",
            door.what
        );
        found.push(Finding::new(door.home, 1, message));
    }
    found
}

fn uses(door: &Door, file: &File) -> Vec<usize> {
    let code = &file.rust.code;
    let places = door.needles.iter().flat_map(|needle| occurrences(code, needle));
    let mut lines: Vec<usize> = places.map(|at| line_of(code, at)).collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_door_is_watched_from_inside_and_outside() {
        for door in DOORS {
            let stray = format!("{}stray.rs", door.within);
            for needle in door.needles {
                let text = format!("fn f() {{ {needle} }}");
                let inside = Tree::sample(&[(door.home, &text)]);
                assert!(check(door, &inside).is_empty(), "{}", door.what);
                let both = Tree::sample(&[(door.home, &text), (&stray, &text)]);
                assert_eq!(check(door, &both).len(), 1, "{}", door.what);
            }
            let gone = Tree::sample(&[(door.home, "fn other() {}")]);
            assert_eq!(check(door, &gone).len(), 1, "{}", door.what);
        }
    }

    #[test]
    fn a_comment_goes_through_no_door() {
        let text = "// then .resume(x) runs it\nfn a() { panic::resume_unwind(p) }\n";
        let resume = &DOORS[1];
        let tree =
            Tree::sample(&[("crates/greenroom/src/a.rs", text), (resume.home, "f.resume()")]);
        assert!(check(resume, &tree).is_empty());
    }
}
