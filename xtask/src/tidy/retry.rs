//! The rule that one file tries again when the kernel says "not now".
//!
//! Looks for the kernel's words inside loops. Never minds a function that hands them on.

use super::{
    blocks::{Block, blocks, occurrences},
    rule::{Finding, Rule},
    tree::Tree,
};

/// Each folder, and its one file that may.
pub(super) const HOMES: [(&str, &str); 2] = [
    ("crates/greenroom/src/", "crates/greenroom/src/io/descriptor.rs"),
    ("crates/greenroom-patch/src/", "crates/greenroom-patch/src/wait.rs"),
];

/// The kernel's "not now", as rustix, std and libc spell it.
const NOT_NOW: [&str; 4] = ["AGAIN", "EAGAIN", "WouldBlock", "WOULDBLOCK"];

pub(super) const RULE: Rule = Rule {
    name: "retry-loop",
    check,
    refuses: || {
        let text = "//! Udp.\nfn f() { loop { if recv() != Err(Errno::AGAIN) { return } } }\n";
        ("crates/greenroom/src/net/udp.rs", text.into())
    },
};

fn check(tree: &Tree) -> Vec<Finding> {
    HOMES.iter().flat_map(|(folder, home)| check_folder(tree, folder, home)).collect()
}

fn check_folder(tree: &Tree, folder: &str, home: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut is_home_used = false;
    for file in tree.rust().filter(|file| file.path.starts_with(folder)) {
        let lines = retries(&file.rust.code);
        if file.path == home {
            is_home_used = !lines.is_empty();
            continue;
        }
        let message = format!("a retry loop of its own: only {home} has one");
        found.extend(lines.iter().map(|line| Finding::new(&file.path, *line, &*message)));
    }
    if !is_home_used {
        let message = "no retry loop here: was it moved? xtask/src/tidy/retry.rs must know";
        found.push(Finding::new(home, 1, message));
    }
    found
}

/// The first lines of the loops that mention the kernel's "not now".
fn retries(code: &str) -> Vec<usize> {
    let retries = |block: &Block| {
        let body = &code[block.body.clone()];
        NOT_NOW.iter().any(|word| !occurrences(body, word).is_empty())
    };
    loops(code).filter(retries).map(|block| block.first_line).collect()
}

fn loops(code: &str) -> impl Iterator<Item = Block> {
    // `for` also stands in `impl X for Y` and `for<'a>`; only a loop has an `in`.
    let counted = |block: &Block| !occurrences(&block.header, "in").is_empty();
    let endless = ["loop", "while"].into_iter().flat_map(|word| blocks(code, word));
    endless.chain(blocks(code, "for").into_iter().filter(move |block| counted(block)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_kind_of_loop_counts() {
        for text in [
            "while e.kind() == X { WouldBlock }",
            "for _ in 0..9 { Errno::WOULDBLOCK }",
            "loop { libc::EAGAIN }",
        ] {
            assert_eq!(retries(text), [1], "{text}");
        }
    }

    #[test]
    fn telling_the_caller_is_no_loop() {
        for text in [
            "impl Read for T { fn f() { Err(WouldBlock) } }",
            "fn try_read() { if again == AGAIN { None } }",
            "fn f<F>(op: F) where F: for<'a> Fn(&'a T) { Err(Errno::AGAIN) }",
        ] {
            assert!(retries(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn there_is_one_home_in_each_folder_and_it_is_lived_in() {
        let text = "loop { Errno::AGAIN }";
        let others = ["crates/greenroom/src/net/tcp.rs", "crates/greenroom-patch/src/read.rs"];
        let found = |more: &[(&str, &str)]| {
            let mut files = HOMES.map(|(_, home)| (home, text)).to_vec();
            files.retain(|(home, _)| more.iter().all(|(path, _)| path != home));
            files.extend(more);
            check(&Tree::sample(&files)).len()
        };
        assert_eq!(found(&[]), 0);
        assert_eq!(found(&[("crates/greenroom-hub/a.rs", text)]), 0);
        for ((_, home), other) in HOMES.into_iter().zip(others) {
            assert_eq!(found(&[(other, text)]), 1, "{other}");
            assert_eq!(found(&[(home, "fn f() {}")]), 1, "{home}");
        }
    }
}
