//! The rules on dependencies: rustix speaks to the kernel itself, and one crate switches stacks.
//!
//! Cargo unites features: one crate anywhere that asks rustix for libc would give the hub libc too.
//! So the manifests are read, and then what cargo made of them. Never builds anything.

use super::{
    blocks::line_of,
    rule::{Finding, Rule},
    tree::{FEATURES, Tree},
};

/// The manifests that may name corosensei: where its version stands, who uses it, who races it.
const SWITCHERS: [&str; 3] =
    ["Cargo.toml", "crates/greenroom-fiber/Cargo.toml", "benches/Cargo.toml"];

/// What makes rustix call libc: its feature, and its cfg.
const LIBC_SWITCHES: [&str; 2] = ["\"use-libc\"", "rustix_use_libc"];

pub(super) const MANIFESTS: Rule = Rule {
    name: "manifests",
    check: check_manifests,
    refuses: || {
        let text = "[dependencies]\nrustix = { version = \"1\", features = [\"use-libc\"] }\n";
        ("crates/greenroom-hub/Cargo.toml", text.into())
    },
};

pub(super) const RAW: Rule = Rule {
    name: "raw-syscalls",
    check: check_resolved,
    refuses: || (FEATURES, "rustix v1.1.6\nrustix feature \"use-libc\"\n".into()),
};

fn check_manifests(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files().iter().filter(|file| file.has_ending("toml")) {
        let switches = LIBC_SWITCHES.iter().flat_map(|word| file.text.match_indices(word));
        for (at, word) in switches {
            let message = format!("{word}: the hub may call no libc symbol, they are interposable");
            found.push(Finding::new(&file.path, line_of(&file.text, at), message));
        }
        if file.name() != "Cargo.toml" || SWITCHERS.contains(&file.path.as_str()) {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            if line.trim_start().starts_with("corosensei") {
                let message = "depend on greenroom-fiber, the only crate that switches stacks";
                found.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    found
}

/// A tree without rustix proves nothing, so that is a finding too.
fn check_resolved(tree: &Tree) -> Vec<Finding> {
    let text = tree.get(FEATURES).map_or("", |file| &file.text);
    if !text.lines().any(|line| line.starts_with("rustix v")) {
        return vec![Finding::new(FEATURES, 1, "cargo named no rustix: nothing was checked")];
    }
    let on = text.lines().position(|line| line.starts_with("rustix feature \"use-libc\""));
    let message = "some crate switches on rustix's `use-libc`; \
                   `cargo tree --workspace -e features -i rustix` shows which";
    on.map(|index| Finding::new(FEATURES, index + 1, message)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_may_not_come_from_anywhere() {
        for (path, text) in [
            ("Cargo.toml", "rustix = { features = [\"use-libc\"] }\n"),
            (".cargo/config.toml", "rustflags = [\"--cfg\", \"rustix_use_libc\"]\n"),
            ("crates/greenroom/Cargo.toml", "corosensei.workspace = true\n"),
        ] {
            assert_eq!(check_manifests(&Tree::sample(&[(path, text)])).len(), 1, "{path}");
        }
    }

    #[test]
    fn the_fiber_crate_may_switch_stacks() {
        let text = "corosensei.workspace = true\n";
        let tree = Tree::sample(&[("crates/greenroom-fiber/Cargo.toml", text)]);
        assert!(check_manifests(&tree).is_empty());
    }

    #[test]
    fn an_empty_answer_of_cargo_is_not_taken_for_a_good_one() {
        assert_eq!(check_resolved(&Tree::sample(&[])).len(), 1);
        assert_eq!(check_resolved(&Tree::sample(&[(FEATURES, "greenroom v0.1.0\n")])).len(), 1);
        assert!(check_resolved(&Tree::sample(&[(FEATURES, "rustix v1.1.6\n")])).is_empty());
    }
}
