//! What the watchdog has seen, in words.
//!
//! An OS thread of its own resolves symbols, which may take seconds, and writes to standard error,
//! which may wait for its reader. Nobody watches less closely meanwhile. Knows no pulse.

use std::{
    fmt::Write as _,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Duration,
};

use crate::debug::{sample::Sample, say, trace};

/// So many reports may wait to be told. More are counted.
pub(super) const REPORTS_MAX: usize = 64;

/// Somebody has held a loop.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) tid: i32,
    pub(super) held: Duration,
    pub(super) seen: Seen,
    /// How many before this could not be told.
    pub(super) untold: u64,
}

/// What was seen of who has held it.
#[derive(Debug)]
pub(super) enum Seen {
    Stack(Sample),
    /// Nothing: it ran on before it was asked, or has answered.
    GaveWay,
    /// Nothing: its OS thread does not answer.
    Silent,
}

pub(super) fn channel() -> (SyncSender<Report>, Receiver<Report>) {
    sync_channel(REPORTS_MAX)
}

pub(super) fn keep_telling(reports: Receiver<Report>) {
    for report in reports {
        say(format_args!("{}", words(&report).trim_end()));
    }
}

fn words(report: &Report) -> String {
    let Report { tid, held, seen, untold } = report;
    let who = match seen {
        Seen::Stack(Sample { thread: Some((id, Some(name))), .. }) => {
            format!("green thread {name:?} ({id})")
        }
        Seen::Stack(Sample { thread: Some((id, None)), .. }) => format!("green thread {id}"),
        Seen::Stack(Sample { is_root: true, .. }) => "the root".into(),
        Seen::Stack(_) => "a hub callback".into(),
        Seen::GaveWay => "somebody who gave way before its stack was seen".into(),
        Seen::Silent => "somebody who does not answer".into(),
    };
    let mut words = format!(
        "{who} has held the loop of OS thread {tid} for {held:.0?}; nobody else runs meanwhile\n"
    );
    if let Seen::Stack(sample) = seen {
        trace::write(&sample.frames, &mut words);
    }
    if *untold > 0 {
        // A String takes everything.
        let _ = write!(words, "  and {untold} before it, too many at once to be told of");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_whom_nothing_was_told_are_counted() {
        let report = |untold| {
            let held = Duration::from_millis(20);
            words(&Report { tid: 7, held, seen: Seen::Silent, untold })
        };
        assert!(!report(0).contains("before it"));
        let report = report(3);
        assert!(
            report.starts_with("somebody who does not answer has held the loop of OS thread 7")
        );
        assert!(report.ends_with("and 3 before it, too many at once to be told of"), "{report}");
    }
}
