//! What a rule is, and what it finds.
//!
//! Never holds a rule itself.

use std::fmt;

use super::tree::Tree;

/// One check over the whole tree.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) check: fn(&Tree) -> Vec<Finding>,
    /// A file, as (path, text), that the rule must find fault with.
    pub(super) refuses: fn() -> (&'static str, String),
}

/// One place that breaks a rule. Sorted by place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    message: String,
}

impl Finding {
    /// At a line, counted from one.
    pub(super) fn new(path: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, rule: "", message: message.into() }
    }

    pub(super) fn by(self, rule: &'static str) -> Finding {
        Finding { rule, ..self }
    }

    pub(super) fn is_in(&self, path: &str) -> bool {
        self.path == path
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} [{}]", self.path, self.line, self.message, self.rule)
    }
}
