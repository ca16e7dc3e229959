//! The rules on plain text: nothing invisible in it, and no machine's folders in what others read.
//!
//! Treats all files alike. Never knows a language.

use super::{
    blocks::line_of,
    rule::{Finding, Rule},
    tree::{FEATURES, Tree},
};

/// Folders that exist on one machine only.
const MACHINE: [&str; 5] = ["/home/", "/root/", "/tmp/", "/work/", "/Users/"];

pub(super) const CLEAN: Rule = Rule {
    name: "clean-text",
    check: check_clean,
    refuses: || ("src/a.rs", "//! A file. \n".into()),
};

pub(super) const PATHS: Rule = Rule {
    name: "machine-paths",
    check: check_paths,
    refuses: || ("README.md", "Run it in /home/me/greenroom.\n".into()),
};

fn check_clean(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files().iter().filter(|file| file.path != FEATURES) {
        for (index, line) in file.text.split('\n').enumerate() {
            if let Some(fault) = fault(line) {
                found.push(Finding::new(&file.path, index + 1, fault));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            let last = file.text.lines().count();
            found.push(Finding::new(&file.path, last, "the last line has no newline"));
        }
    }
    found
}

fn fault(line: &str) -> Option<String> {
    if line.contains('\t') {
        return Some("a tab: indent with spaces".into());
    }
    if let Some(c) = line.chars().find(|c| is_invisible(*c)) {
        return Some(format!("an invisible character: {}", c.escape_unicode()));
    }
    line.ends_with(char::is_whitespace).then(|| "white space at the end of the line".into())
}

/// Control characters, and the marks that make text read differently from what it says.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || c == '\u{feff}'
}

fn check_paths(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files().iter().filter(|file| file.has_ending("md") || file.has_ending("toml"))
    {
        for folder in MACHINE {
            let begins = |at: &usize| {
                let before = file.text[..*at].chars().last();
                !before.is_some_and(|c| c.is_alphanumeric() || "/.-_".contains(c))
            };
            for (at, _) in file.text.match_indices(folder).filter(|(at, _)| begins(at)) {
                let message = format!("`{folder}` is a folder of one machine");
                found.push(Finding::new(&file.path, line_of(&file.text, at), message));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_seen() {
        for line in ["a\tb", "a ", "a\r", "a\u{7}", "a\u{202e}b", "\u{feff}a", "a\u{a0}"] {
            assert!(fault(line).is_some(), "{line:?}");
        }
        assert_eq!(fault("    ä → ok"), None);
        assert_eq!(fault(""), None);
    }

    #[test]
    fn a_last_line_without_newline_is_seen() {
        let tree = Tree::sample(&[("a.md", "one\ntwo"), ("b.md", "one\n"), ("c.md", "")]);
        assert_eq!(check_clean(&tree).len(), 1);
    }

    #[test]
    fn a_path_counts_where_it_begins() {
        let tree = Tree::sample(&[
            ("a.md", "in `/tmp/x`\n"),
            ("b.md", "see benches/work/ and ./home/\n"),
            ("c.rs", "\"/tmp/socket\"\n"),
        ]);
        let found = check_paths(&tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].is_in("a.md"));
    }
}
