//! The guests of the patch, as many of them as can be built here.
//!
//! Asks `pkg-config` which libraries of the system there are. A guest whose library is missing is not built; the
//! tests say so, and under CI that is a failure. Never decides what a guest has to show.

use std::process::{Command, Stdio};

use crate::{invocation::Invocation, tally::Tally, workspace::Workspace};

/// The library that a feature of `greenroom-guests` needs, by `pkg-config`'s name.
const LIBRARIES: [(&str, &str); 3] =
    [("curl", "libcurl"), ("libpq", "libpq"), ("openssl", "openssl")];

/// Guests mostly wait, so more of them than there are processors are tested at a time.
const AT_A_TIME: usize = 4;

pub(crate) fn run(workspace: &Workspace) -> Result<Tally, String> {
    let invocation = invocation(&features(is_there));
    println!("{}", invocation.shown());
    invocation.run(workspace)
}

fn features(is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let found = LIBRARIES.iter().filter(|(_, library)| is_there(library));
    found.map(|(feature, _)| *feature).collect()
}

/// Without `pkg-config` there is none: the crates that bind to a library need it as well.
fn is_there(library: &str) -> bool {
    let mut question = Command::new("pkg-config");
    question.args(["--exists", library]).stdout(Stdio::null()).stderr(Stdio::null());
    question.status().is_ok_and(|status| status.success())
}

fn invocation(features: &[&str]) -> Invocation {
    Invocation::cargo("test -p greenroom-guests --tests")
        .args(&[
            format!("--features={}", features.join(",")),
            "--".to_owned(),
            format!("--test-threads={AT_A_TIME}"),
        ])
        .counted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_built_where_its_library_is() {
        assert_eq!(features(|library| library == "libpq"), ["libpq"]);
        assert_eq!(features(|_| false), [""; 0]);
        let shown = invocation(&features(|_| true)).shown();
        assert!(shown.contains("--features=curl,libpq,openssl -- "), "{shown}");
        assert!(invocation(&[]).shown().contains("--features= -- "));
    }
}
