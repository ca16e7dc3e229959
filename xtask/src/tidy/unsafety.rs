//! The rules that give unsafe code an address.
//!
//! Looks for words and comments. Never judges whether a reason is true; reviewers do.

use super::{
    blocks::{line_of, occurrences},
    rule::{Finding, Rule},
    tree::Tree,
};

/// Every file that may hold unsafe code, and why it must. Its head tells the danger at length.
pub(super) const FILES: &[(&str, &str)] = &[
    ("crates/greenroom-fiber/src/block.rs", "keeps a fiber's header and closure in raw memory"),
    (
        "crates/greenroom-fiber/src/cells.rs",
        "lends raw memory for blocks, and gives its pages back",
    ),
    ("crates/greenroom-fiber/src/fiber.rs", "counts the handles of a block by hand"),
    ("crates/greenroom-fiber/src/guard.rs", "makes pages inaccessible by address"),
    ("crates/greenroom-fiber/src/overflow.rs", "handles a signal and reads the faulting fiber"),
    ("crates/greenroom-fiber/src/pool.rs", "lays guards over raw memory, and lends the rest"),
    ("crates/greenroom-fiber/src/prefetch.rs", "asks the processor for cache lines"),
    ("crates/greenroom-fiber/src/running.rs", "follows a thread-local to the running fiber"),
    ("crates/greenroom-fiber/src/shelf.rs", "gives pages of idle stacks back to the kernel"),
    ("crates/greenroom-fiber/src/signal_stack.rs", "registers memory that the kernel writes to"),
    ("crates/greenroom-fiber/src/slab.rs", "maps and unmaps the memory that stacks lie in"),
    ("crates/greenroom-fiber/src/switch.rs", "exchanges the stack pointer"),
    ("crates/greenroom-fiber/tests/it/raw.rs", "faults on purpose, and asks for what is refused"),
    ("crates/greenroom/src/debug/sample.rs", "handles a signal and walks the stack it interrupts"),
    ("crates/greenroom/src/hub/end.rs", "has the C library end a hub before any thread-local"),
    ("crates/greenroom/src/hub/local.rs", "reaches the hub by a thread-local pointer"),
    ("crates/greenroom-patch/examples/fault.rs", "reads past a block of memory on purpose"),
    ("crates/greenroom-patch/examples/cost.rs", "calls libc's functions past the patch"),
    ("crates/greenroom-patch/src/accept.rs", "stands in front of libc's functions"),
    ("crates/greenroom-patch/src/children.rs", "stands in front of libc's functions"),
    (
        "crates/greenroom-patch/src/children/change.rs",
        "makes system calls, and copies a caller's fd",
    ),
    ("crates/greenroom-patch/src/fork.rs", "goes over into libc's vfork"),
    ("crates/greenroom-patch/src/names.rs", "reads and sets errno and h_errno"),
    ("crates/greenroom-patch/src/names/addresses.rs", "stands in front of libc's functions"),
    ("crates/greenroom-patch/src/names/entries.rs", "stands in front of libc's functions"),
    ("crates/greenroom-patch/tests/children/kernel.rs", "forks, and makes libc's calls as C does"),
    ("crates/greenroom-patch/tests/names/libc_calls.rs", "makes libc's calls as C does"),
    ("crates/greenroom-patch/src/alarm.rs", "writes events where libc's caller says"),
    ("crates/greenroom-patch/src/close.rs", "stands in front of libc's functions"),
    ("crates/greenroom-patch/src/context.rs", "exchanges thread-locals of another library"),
    ("crates/greenroom-patch/src/exceptions.rs", "exchanges what the C++ runtime keeps"),
    ("crates/greenroom-patch/src/exchange.rs", "has the loader call a function"),
    ("crates/greenroom-patch/tests/exceptions.rs", "calls functions of C++"),
    ("crates/greenroom-patch/src/file.rs", "borrows fds that are known by number only"),
    (
        "crates/greenroom-patch/src/hook.rs",
        "defines functions by the names of libc's, and sets errno",
    ),
    ("crates/greenroom-patch/src/lock.rs", "stands in front of libc's functions"),
    ("crates/greenroom-patch/src/messages.rs", "stands in front of libc's functions"),
    ("crates/greenroom-patch/src/next.rs", "calls what the loader found under a name"),
    ("crates/greenroom-patch/src/parts.rs", "reads what libc's caller points to"),
    ("crates/greenroom-patch/src/raw.rs", "makes system calls"),
    ("crates/greenroom-patch/src/receive.rs", "stands in front of libc's functions"),
    ("crates/greenroom-patch/src/send.rs", "stands in front of libc's functions"),
    ("crates/greenroom-patch/src/sleep.rs", "stands in front of libc's functions"),
    ("crates/greenroom-patch/src/transfer.rs", "stands in front of libc's functions"),
    ("crates/greenroom-patch/tests/builds/guest/bound.rs", "takes a table of functions from C"),
    ("crates/greenroom-patch/tests/builds/guest/checks.rs", "calls functions of C by their table"),
    ("crates/greenroom-patch/tests/builds/guest/extension.rs", "is called by a program in C"),
    ("crates/greenroom-patch/tests/seeded/raw.rs", "makes libc's calls as C does"),
    ("crates/greenroom-patch/tests/lock.rs", "locks a mutex of C"),
    ("crates/greenroom-patch/tests/semantics/c_programs.rs", "loads actors written in C"),
    ("crates/greenroom-patch/tests/semantics/calls.rs", "makes libc's calls as C does"),
    ("crates/greenroom-patch/tests/semantics/raw.rs", "makes libc's calls as C does, and forks"),
    ("crates/greenroom-patch/tests/semantics/signals.rs", "handles signals"),
    ("crates/greenroom-patch/tests/signals.rs", "handles a signal, and counts allocations"),
    ("crates/greenroom-hub/tests/process.rs", "forks"),
    ("crates/greenroom-hub/tests/raw_syscalls.rs", "defines the libc functions it counts"),
    ("crates/greenroom-hub/src/fork.rs", "maps a page that the kernel wipes in a forked child"),
    ("crates/greenroom-hub/src/poller/descriptor.rs", "borrows fds that are known by number only"),
    ("crates/greenroom/src/thread/scope.rs", "erases the lifetime of a scoped thread's closure"),
    ("crates/greenroom/src/thread/signals.rs", "asks the C library which signals are blocked"),
    ("crates/greenroom/src/thread/errno.rs", "keeps the C library's errno across a wait"),
    ("crates/greenroom/tests/children/kernel.rs", "forks, and handles a signal"),
    ("crates/greenroom/tests/core/number.rs", "waits for fds that are known by number only"),
    ("crates/greenroom/tests/net/raw.rs", "closes numbers that others own, and handles a signal"),
    ("guests/src/libpq.rs", "calls a client in C"),
    ("crates/greenroom/tests/world/raw.rs", "forbids a system call, and ignores a signal"),
    ("crates/greenroom-patch/src/epoll.rs", "defines libc's functions that wait for an epoll set"),
    ("crates/greenroom-patch/src/mask.rs", "reads a signal mask of libc's caller"),
    ("crates/greenroom-patch/src/memory.rs", "copies what libc's caller points at, if it is there"),
    ("crates/greenroom-patch/src/poll.rs", "defines libc's poll, and reads its caller's array"),
    ("crates/greenroom-patch/src/select.rs", "defines libc's select, and writes its caller's sets"),
    ("crates/greenroom-patch/src/set.rs", "owns fds by number, and has the kernel write events"),
    (
        "crates/greenroom-patch/tests/multiplex/raw.rs",
        "calls libc with pointers, good and bad ones",
    ),
];

/// The section of such a head, under either name.
const DANGER_HEADINGS: [&str; 2] = ["//! # Safety", "//! # The danger"];

pub(super) const ADDRESS: Rule = Rule {
    name: "unsafe-address",
    check: check_address,
    refuses: || ("crates/greenroom/src/net/tcp.rs", "//! Tcp.\nfn f() { unsafe { g() } }\n".into()),
};

pub(super) const TABLE: Rule = Rule {
    name: "unsafe-table",
    check: check_table,
    refuses: || (FILES[0].0, "//! Says nothing of any danger.\n\nfn f() {}\n".into()),
};

pub(super) const ROOTS: Rule = Rule {
    name: "unsafe-denied",
    check: check_roots,
    refuses: || ("crates/greenroom/src/lib.rs", "//! A crate.\n\nmod io;\n".into()),
};

pub(super) const IMPLS: Rule = Rule {
    name: "unsafe-impl",
    check: check_impls,
    refuses: || ("src/a.rs", "//! A file.\n\n// It is fine.\nunsafe impl Send for A {}\n".into()),
};

fn is_listed(path: &str) -> bool {
    FILES.iter().any(|(listed, _)| *listed == path)
}

/// The first place in each file outside the table with unsafe code, or with permission for it.
fn check_address(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let words = ["unsafe", "allow(unsafe_code", "expect(unsafe_code", "warn(unsafe_code"];
    for file in tree.rust().filter(|file| !is_listed(&file.path)) {
        let code = &file.rust.code;
        if let Some(at) = words.iter().flat_map(|word| occurrences(code, word)).min() {
            let message = "unsafe code without an address: see FILES in xtask/src/tidy/unsafety.rs";
            found.push(Finding::new(&file.path, line_of(code, at), message));
        }
    }
    found
}

/// A row of the table whose file is gone, is safe by now, or hides its danger.
fn check_table(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, _) in FILES {
        let Some(file) = tree.get(path) else {
            found.push(Finding::new(
                path,
                1,
                "listed in xtask/src/tidy/unsafety.rs, but not there",
            ));
            continue;
        };
        let mut head = file.text.lines().take_while(|line| line.starts_with("//!"));
        if !head.any(|line| DANGER_HEADINGS.contains(&line)) {
            found.push(Finding::new(
                path,
                1,
                "the head needs a section `# Safety`: what is at stake",
            ));
        }
        if !file.rust.code.contains("#![allow(unsafe_code)]") {
            let message = "no `#![allow(unsafe_code)]`: if it is safe now, unlist it";
            found.push(Finding::new(path, 1, message));
        }
    }
    found
}

fn check_roots(tree: &Tree) -> Vec<Finding> {
    let silent = tree.rust().filter(|file| {
        let denied = ["#![deny(unsafe_code)]", "#![forbid(unsafe_code)]"];
        is_root(&file.path) && !denied.iter().any(|line| file.rust.code.contains(line))
    });
    silent
        .map(|file| Finding::new(&file.path, 1, "a crate root must say `#![deny(unsafe_code)]`"))
        .collect()
}

fn is_root(path: &str) -> bool {
    let named = ["src/lib.rs", "src/main.rs"].iter().any(|root| path.ends_with(root));
    let program = path.rsplit_once('/').is_some_and(|(folder, _)| folder.ends_with("src/bin"));
    named || program
}

/// Clippy watches the blocks; this watches what a type promises.
fn check_impls(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.rust() {
        let code = &file.rust.code;
        for at in occurrences(code, "unsafe impl") {
            let line = line_of(code, at);
            if !has_reason(&file.text, line) {
                let message = "say in a `// SAFETY:` above which invariant holds and who keeps it";
                found.push(Finding::new(&file.path, line, message));
            }
        }
    }
    found
}

/// Whether the comments and attributes directly above a line hold a reason.
fn has_reason(text: &str, line: usize) -> bool {
    let above: Vec<&str> = text.lines().take(line - 1).map(str::trim_start).collect();
    let mut attached =
        above.iter().rev().take_while(|line| line.starts_with("//") || line.starts_with("#["));
    attached.any(|line| line.starts_with("// SAFETY: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn findings(check: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> usize {
        check(&Tree::sample(&[(path, text)])).len()
    }

    #[test]
    fn permission_counts_like_use() {
        let path = "crates/greenroom/src/a.rs";
        for text in ["#![allow(unsafe_code)]", "#[expect(unsafe_code)]", "unsafe fn f() {}"] {
            assert_eq!(findings(check_address, path, text), 1, "{text}");
        }
        assert_eq!(findings(check_address, path, "#![deny(unsafe_code)] // unsafe"), 0);
        assert_eq!(findings(check_address, FILES[0].0, "unsafe { f() }"), 0);
    }

    #[test]
    fn a_missing_row_is_told_from_a_stale_one() {
        let path = FILES[0].0;
        let rows = FILES.len();
        assert_eq!(check_table(&Tree::sample(&[])).len(), rows);
        let sound = "//! A map.\n//!\n//! # Safety\n#![allow(unsafe_code)]\n";
        assert_eq!(findings(check_table, path, sound), rows - 1);
        let silent = "//! Maps memory.\n#![allow(unsafe_code)]\n";
        assert_eq!(findings(check_table, path, silent), rows);
        assert_eq!(findings(check_table, path, "//! # Safety\n"), rows);
    }

    #[test]
    fn roots_are_libraries_and_programs() {
        for path in ["src/lib.rs", "xtask/src/main.rs", "examples/src/bin/echo.rs"] {
            assert_eq!(findings(check_roots, path, "//! Silent."), 1, "{path}");
            assert_eq!(findings(check_roots, path, "#![forbid(unsafe_code)]"), 0, "{path}");
        }
        assert_eq!(findings(check_roots, "crates/greenroom/src/io.rs", "//! A part."), 0);
    }

    #[test]
    fn the_reason_stands_directly_above() {
        let attached =
            "// SAFETY: the owner\n// keeps it alive.\n#[rustfmt::skip]\nunsafe impl A {}";
        assert_eq!(findings(check_impls, "a.rs", attached), 0);
        let apart = "// SAFETY: of something else.\nfn f() {}\nunsafe impl A {}";
        assert_eq!(findings(check_impls, "a.rs", apart), 1);
        let doc = "/// SAFETY: this is documentation.\nunsafe impl A {}";
        assert_eq!(findings(check_impls, "a.rs", doc), 1);
    }
}
