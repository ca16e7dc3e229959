//! A terminal, and who sits at it.
//!
//! Knows no test.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, openpt, ptsname, unlockpt},
};

/// Where one types and reads, and the terminal of the program. It is nobody's controlling one.
pub(crate) fn terminal() -> [OwnedFd; 2] {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
    unlockpt(&master).expect("it is ours");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let terminal =
        open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it is unlocked");
    [master, terminal]
}
