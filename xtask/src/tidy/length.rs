//! The rules that files and functions end in sight of their beginning.
//!
//! Counts lines. Never knows what is on them.

use super::{
    blocks::blocks,
    mask::is_name,
    rule::{Finding, Rule},
    tree::Tree,
};

const FILE_LINES_MAX: usize = 700;

/// The taste is nearer to 70; this is where it is an error.
const FUNCTION_LINES_MAX: usize = 100;

pub(super) const FILES: Rule = Rule {
    name: "file-length",
    check: check_files,
    refuses: || ("src/a.rs", lines(FILE_LINES_MAX + 1)),
};

pub(super) const FUNCTIONS: Rule = Rule {
    name: "function-length",
    check: check_functions,
    refuses: || ("src/a.rs", function(FUNCTION_LINES_MAX + 1)),
};

/// An example of so many lines.
fn lines(count: usize) -> String {
    "// a line\n".repeat(count)
}

/// An example function of so many lines, its braces included.
fn function(count: usize) -> String {
    format!("fn a() {{\n{}}}\n", lines(count - 2))
}

fn check_files(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let code = tree.files().iter().filter(|file| file.is_rust() || file.has_ending("py"));
    for file in code {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            let message = format!("{lines} lines, the bound is {FILE_LINES_MAX}: one idea a file");
            found.push(Finding::new(&file.path, FILE_LINES_MAX, message));
        }
    }
    found
}

fn check_functions(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.rust() {
        for block in blocks(&file.rust.code, "fn") {
            let lines = block.last_line - block.first_line + 1;
            let name: String = block.header.chars().take_while(|c| is_name(*c)).collect();
            if lines > FUNCTION_LINES_MAX && !name.is_empty() {
                let message =
                    format!("`{name}` has {lines} lines, the bound is {FUNCTION_LINES_MAX}");
                found.push(Finding::new(&file.path, block.first_line, message));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_themselves_are_allowed() {
        let (file, function) = (lines(FILE_LINES_MAX), function(FUNCTION_LINES_MAX));
        let tree = Tree::sample(&[("src/a.rs", &file), ("src/b.rs", &function)]);
        assert!(check_files(&tree).is_empty());
        assert!(check_functions(&tree).is_empty());
    }

    #[test]
    fn a_long_function_is_named_where_it_begins() {
        let text = format!("//! A file.\n\n{}", function(FUNCTION_LINES_MAX + 1));
        let found = check_functions(&Tree::sample(&[("src/a.rs", &text)]));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("src/a.rs:3: `a` has 101 lines"), "{}", found[0]);
    }
}
