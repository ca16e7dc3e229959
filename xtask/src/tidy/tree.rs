//! The files that belong to the workspace, read once.
//!
//! Asks git which files those are; without git it walks the folders. Never judges a file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::mask::{Masked, mask};
use crate::{invocation::Invocation, workspace::Workspace};

/// The features cargo resolved, kept as one more file so that rules and examples can read them.
pub(super) const FEATURES: &str = "cargo tree -e features";

/// Folders a walk without git leaves out, besides hidden ones.
const BUILT: &str = "target";

/// Hidden folders that are nevertheless ours.
const HIDDEN_OURS: [&str; 3] = [".cargo", ".ci", ".github"];

/// Endings of the files that are read as text. A file without one is text too.
const TEXT: [&str; 9] = ["rs", "md", "toml", "py", "pyi", "sh", "yml", "yaml", "txt"];

/// What may not be ours to word or to lay out.
const FOREIGN: [&str; 2] = ["LICENSE-APACHE", "Cargo.lock"];

pub(super) struct Tree {
    files: Vec<File>,
}

/// One file, with the views that rules look at.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
    /// For Rust, the text in two halves: code, and comments. Empty for other files.
    pub(super) rust: Masked,
}

impl File {
    fn new(path: &str, text: &str) -> File {
        let rust = if path.ends_with(".rs") { mask(text) } else { Masked::default() };
        File { path: path.to_owned(), text: text.to_owned(), rust }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(super) fn has_ending(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == ending)
    }

    /// The last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl Tree {
    pub(super) fn read(workspace: &Workspace) -> Result<Tree, String> {
        let root = workspace.root();
        let mut paths = match listed_by_git(root) {
            Some(paths) if paths.iter().any(|path| path == "Cargo.toml") => paths,
            _ => walked(root)?,
        };
        paths.sort();
        paths.dedup();
        let mut tree = Tree { files: Vec::new() };
        for path in paths.iter().filter(|path| is_text(path) && root.join(path).is_file()) {
            let text = fs::read_to_string(root.join(path))
                .map_err(|error| format!("tidy: cannot read {path}: {error}"))?;
            tree.add(path, &text);
        }
        let resolved = Invocation::cargo("tree --workspace -e features --prefix none");
        tree.add(FEATURES, &resolved.captured(workspace)?);
        Ok(tree)
    }

    pub(super) fn sample(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| File::new(path, text)).collect() }
    }

    pub(super) fn add(&mut self, path: &str, text: &str) {
        self.files.push(File::new(path, text));
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// Tracked files, and new ones that are not ignored. `None` without git or outside a repository.
fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-co", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let names = String::from_utf8(output.stdout).ok()?;
    Some(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn walked(root: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root.join(&folder))
            .map_err(|error| format!("tidy: cannot list {}: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && is_ours(&path) => folders.push(path),
                Ok(kind) if kind.is_file() => found.push(path.display().to_string()),
                _ => {}
            }
        }
    }
    Ok(found)
}

fn is_ours(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let built = name == BUILT || name.starts_with("target-");
    !built && (!name.starts_with('.') || HIDDEN_OURS.contains(&&*name))
}

fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    if FOREIGN.contains(&name) {
        return false;
    }
    match name.trim_start_matches('.').rsplit_once('.') {
        Some((_, ending)) => TEXT.contains(&ending),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_file_is_found_with_git_and_without() {
        let workspace = Workspace::find().expect("the tests run inside the workspace");
        let here = "xtask/src/tidy/tree.rs";
        let walked = walked(workspace.root()).expect("the workspace can be listed");
        assert!(walked.iter().any(|path| path == here));
        assert!(walked.iter().any(|path| path == ".cargo/config.toml"));
        assert!(!walked.iter().any(|path| path.starts_with(".git/")));
        if let Some(listed) = listed_by_git(workspace.root()) {
            assert!(listed.iter().any(|path| path == here));
        }
    }

    #[test]
    fn built_and_hidden_folders_are_not_ours() {
        for (folder, ours) in [
            ("target", false),
            ("a/target-loom", false),
            (".git", false),
            (".ci", true),
            ("crates", true),
        ] {
            assert_eq!(is_ours(Path::new(folder)), ours, "{folder}");
        }
    }

    #[test]
    fn text_is_told_by_its_ending() {
        for (path, text) in
            [("a/b.rs", true), (".ci/run", true), (".gitignore", true), ("x.png", false)]
        {
            assert_eq!(is_text(path), text, "{path}");
        }
        assert!(!is_text("Cargo.lock"));
    }
}
