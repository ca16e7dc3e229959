//! The rule that waiting, libc and the stack switch are reached through the house's own doors.
//!
//! Sees calls by their text. Never follows a name to what it stands for.

use super::{
    blocks::{line_of, occurrences},
    rule::{Finding, Rule},
    tree::{File, Tree},
};

/// A call that is refused somewhere.
struct Ban {
    needles: &'static [&'static str],
    /// Files under these paths are looked at; all files, if there are none.
    within: &'static [&'static str],
    /// Files under these paths may.
    except: &'static [&'static str],
    instead: &'static str,
}

const HUB: &str = "crates/greenroom-hub/src/";
const LIBRARY: &str = "crates/greenroom/src/";

const BANS: &[Ban] = &[
    Ban {
        needles: &["thread::sleep"],
        within: &[HUB, LIBRARY],
        except: &[],
        instead: "arm a deadline (in the hub) or call `time::sleep` (in the library)",
    },
    Ban {
        needles: &["libc::"],
        within: &[HUB],
        except: &[],
        instead: "use rustix: a libc symbol can be interposed, and the hub would wait on itself",
    },
    Ban {
        needles: &["Coroutine", "corosensei"],
        within: &[],
        except: &["crates/greenroom-fiber/", "benches/"],
        instead: "use `greenroom_fiber`, the only crate that switches stacks",
    },
    Ban {
        needles: &["force_reset"],
        within: &[],
        except: &[],
        instead: "cancel and unwind: a stack with live frames is never reused",
    },
];

pub(super) const RULE: Rule = Rule {
    name: "banned-calls",
    check: |tree| BANS.iter().flat_map(|ban| check(ban, tree)).collect(),
    refuses: || ("crates/greenroom/src/hub.rs", "//! Hub.\nfn nap() { thread::sleep(t) }\n".into()),
};

fn check(ban: &Ban, tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.rust().filter(|file| ban.covers(file)) {
        let code = &file.rust.code;
        for needle in ban.needles {
            for at in occurrences(code, needle) {
                let message = format!("`{needle}` is refused here: {}", ban.instead);
                found.push(Finding::new(&file.path, line_of(code, at), message));
            }
        }
    }
    found
}

impl Ban {
    fn covers(&self, file: &File) -> bool {
        let within =
            self.within.is_empty() || self.within.iter().any(|path| file.path.starts_with(path));
        let excepted = self.except.iter().any(|path| file.path.starts_with(path));
        within && !excepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn findings(path: &str, text: &str) -> usize {
        (RULE.check)(&Tree::sample(&[(path, text)])).len()
    }

    #[test]
    fn every_needle_is_refused_where_it_applies() {
        for ban in BANS {
            let folder = ban.within.first().unwrap_or(&"examples/src/");
            for needle in ban.needles {
                let text = format!("fn f() {{ {needle} }}");
                assert_eq!(findings(&format!("{folder}a.rs"), &text), 1, "{needle}");
            }
        }
    }

    #[test]
    fn exceptions_hold() {
        assert_eq!(findings("crates/greenroom-fiber/src/fiber.rs", "Coroutine::new()"), 0);
        assert_eq!(findings("crates/greenroom/tests/it/main.rs", "thread::sleep(t)"), 0);
        assert_eq!(findings("crates/greenroom/src/a.rs", "// thread::sleep is refused"), 0);
        assert_eq!(findings("crates/greenroom/src/a.rs", "fn f() { time::sleep(t) }"), 0);
    }
}
