//! Where the workspace is, and what its manifests say.
//!
//! Reads `Cargo.toml` files as text. Never builds anything.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The root folder of this workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Looks upwards, from the manifest cargo started us for or else from the current folder.
    pub(crate) fn find() -> Result<Workspace, String> {
        let start = match env::var_os("CARGO_MANIFEST_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => env::current_dir().map_err(|error| format!("no current folder: {error}"))?,
        };
        match start.ancestors().find(|dir| is_root(dir)) {
            Some(root) => Ok(Workspace { root: root.to_owned() }),
            None => Err(format!("{} is not inside a cargo workspace", start.display())),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A target folder of its own beside the usual one, for builds with other compiler flags.
    pub(crate) fn target_dir(&self, purpose: &str) -> PathBuf {
        let usual = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let mut name = self.root.join(usual).into_os_string();
        name.push("-");
        name.push(purpose);
        name.into()
    }

    /// The crates under `crates/` that have a feature of this name, as `crate/feature`.
    pub(crate) fn with_feature(&self, feature: &str) -> Result<Vec<String>, String> {
        let crates = self.root.join("crates");
        let entries = fs::read_dir(&crates)
            .map_err(|error| format!("cannot list {}: {error}", crates.display()))?;
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
            if has_feature(&manifest, feature) {
                found.push(format!("{}/{feature}", entry.file_name().display()));
            }
        }
        found.sort();
        Ok(found)
    }
}

fn is_root(dir: &Path) -> bool {
    fs::read_to_string(dir.join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
}

fn has_feature(manifest: &str, feature: &str) -> bool {
    manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[features]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.split('=').next().is_some_and(|name| name.trim() == feature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_a_member() {
        let workspace = Workspace::find().expect("the tests run inside the workspace");
        assert!(workspace.root().join("xtask/src/workspace.rs").is_file());
    }

    #[test]
    fn a_feature_counts_only_in_its_own_section() {
        let manifest = "[features]\ntesting = []\nfast = []\n\n[dependencies]\nslow = \"1\"\n";
        assert!(has_feature(manifest, "testing"));
        assert!(has_feature(manifest, "fast"));
        assert!(!has_feature(manifest, "slow"));
        assert!(!has_feature("[dependencies]\ntesting = \"1\"\n", "testing"));
    }

    #[test]
    fn other_flags_get_another_target_folder() {
        let workspace = Workspace { root: "house".into() };
        let folder = workspace.target_dir("loom");
        assert!(folder.to_string_lossy().ends_with("-loom"), "{}", folder.display());
    }
}
