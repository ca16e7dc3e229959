//! What the machine lacks, and which of Debian's packages has it.
//!
//! A test without its server or library is skipped, in plain sight: the line goes past the test
//! runner, which shows nothing of tests that pass. Where `CI` is set nothing may be missing. Knows no
//! guest by name.

use std::{
    env, fmt,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Something that a test needs and the machine has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What it is.
    pub what: &'static str,
    /// The package of Debian that has it.
    pub package: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is missing: the package {} has it", self.what, self.package)
    }
}

/// Says that a test is skipped, and why.
///
/// # Panics
///
/// If `CI` is set: there nothing is skipped.
#[track_caller]
pub fn skip(guest: &str, missing: &Missing) {
    assert!(env::var_os("CI").is_none(), "{guest}: {missing}, and under CI nothing is skipped");
    tell(format_args!("skipped: {guest}: {missing}"));
}

/// Prints a line that the test runner does not swallow.
pub(crate) fn tell(line: fmt::Arguments<'_>) {
    // Without standard error there is nobody to tell.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Where a program is: on the path, or in a folder that Debian does not put there.
pub(crate) fn program(
    what: &'static str,
    folders: &[&str],
    package: &'static str,
) -> Result<PathBuf, Missing> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).chain(folders.iter().map(PathBuf::from));
    on_path
        .map(|folder| folder.join(what))
        .find(|file| Path::is_file(file))
        .ok_or(Missing { what, package })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_misses_a_program_is_told_the_package() {
        assert!(program("sh", &[], "dash").is_ok());
        let missing = program("no-such-program", &["/usr/sbin"], "no-such-package").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "no-such-program is missing: the package no-such-package has it"
        );
    }
}
