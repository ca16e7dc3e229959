//! A case: what is played, in which surroundings, and what must come of it.
//!
//! Data only; never runs anything.

/// Played in a process of its own.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The sentence it proves.
    pub(crate) name: &'static str,
    /// Runs on `main`'s stack. If it returns, so does `main`.
    pub(crate) play: fn(),
    /// What its environment has besides.
    pub(crate) env: &'static [(&'static str, &'static str)],
    pub(crate) ends: Ends,
    /// What standard error must say, one after the other. When all is said the case's standard
    /// input is closed, by which it can know.
    pub(crate) says: &'static [&'static str],
    /// What standard error must not say.
    pub(crate) never_says: &'static [&'static str],
    /// Whether standard error is read, or is a device without room.
    pub(crate) stderr: Stderr,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ends {
    Code(i32),
    /// Killed by a signal.
    Signal(i32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stderr {
    Read,
    Full,
}

/// What a program that panics on its main thread returns.
pub(crate) const PANICKED: Ends = Ends::Code(101);

pub(crate) const ABORTED: Ends = Ends::Signal(libc::SIGABRT);

/// A case that ends well and says nothing in particular, to be filled in.
pub(crate) const PLAIN: Case = Case {
    name: "",
    play: || {},
    env: &[],
    ends: Ends::Code(0),
    says: &[],
    never_says: &[],
    stderr: Stderr::Read,
};
