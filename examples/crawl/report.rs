//! What came of a crawl, counted and printed.
//!
//! Knows neither how pages are fetched nor by whom.

use std::{collections::BTreeMap, fmt, io, time::Duration};

use indicatif::{BinaryBytes, HumanCount};
use procfs::process::Process;
use serde_json::json;
use url::Url;

use crate::failure::Failure;

/// Counts while the crawl runs.
#[derive(Default)]
pub(crate) struct Tally {
    pages: u64,
    bytes: u64,
    pub(crate) redirects: u64,
    failures: BTreeMap<Failure, Failed>,
    /// How long each page took, added up.
    pub(crate) time: Duration,
}

struct Failed {
    count: u64,
    first: Url,
}

impl Tally {
    pub(crate) fn page(&mut self, bytes: usize) {
        self.pages += 1;
        self.bytes += bytes as u64;
    }

    pub(crate) fn failure(&mut self, failure: Failure, url: &Url) {
        let failed = self.failures.entry(failure);
        failed.or_insert_with(|| Failed { count: 0, first: url.clone() }).count += 1;
    }
}

pub(crate) struct Report {
    start: Url,
    pub(crate) pages: u64,
    tally: Tally,
    /// Pages were left out because there were too many.
    is_cut: bool,
    wall: Duration,
    /// How long there was to wait for pages, added up.
    waited: Duration,
    green_threads_peak: usize,
    os_threads: u64,
    /// One of the OS threads is the site that was crawled.
    is_own_site: bool,
    memory_peak_bytes: u64,
}

impl Report {
    pub(crate) fn new(
        start: Url,
        tally: Tally,
        wall: Duration,
        is_cut: bool,
    ) -> io::Result<Report> {
        let process = Process::myself().and_then(|process| process.status());
        let process = process.map_err(io::Error::other)?;
        Ok(Report {
            start,
            pages: tally.pages,
            waited: tally.time,
            tally,
            is_cut,
            wall,
            green_threads_peak: greenroom::hub::stats().threads_peak,
            os_threads: process.threads,
            is_own_site: false,
            memory_peak_bytes: process.vmhwm.unwrap_or_default() * 1024,
        })
    }

    /// Of pages of our own it is known how long there was to wait. Of others the time they took is
    /// the best guess, though it includes what they waited for the processor.
    pub(crate) fn of_own_site(self, slept: Duration) -> Report {
        Report { waited: slept, is_own_site: true, ..self }
    }

    pub(crate) fn to_json(&self) -> String {
        let errors: BTreeMap<_, _> = self
            .tally
            .failures
            .iter()
            .map(|(failure, failed)| (failure.to_string(), failed.count))
            .collect();
        let report = json!({
            "start": self.start.as_str(),
            "pages": self.pages,
            "bytes": self.tally.bytes,
            "redirects": self.tally.redirects,
            "errors": errors,
            "stopped_at_limit": self.is_cut,
            "green_threads_peak": self.green_threads_peak,
            "os_threads": self.os_threads,
            "memory_peak_bytes": self.memory_peak_bytes,
            "wall_seconds": self.wall.as_secs_f64(),
            "waited_seconds": self.waited.as_secs_f64(),
        });
        report.to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { tally, .. } = self;
        writeln!(f, "{}", self.start)?;
        row(f, "pages", HumanCount(self.pages))?;
        row(f, "bytes", BinaryBytes(tally.bytes))?;
        if tally.redirects > 0 {
            row(f, "redirects", HumanCount(tally.redirects))?;
        }
        let errors = tally.failures.values().map(|failed| failed.count).sum();
        row(f, "errors", HumanCount(errors))?;
        for (failure, Failed { count, first }) in &tally.failures {
            row(f, &format!("  {failure}"), format_args!("{}   {first}", HumanCount(*count)))?;
        }
        if self.is_cut {
            row(f, "more pages", "left out: --pages")?;
        }
        row(f, "green threads at once", HumanCount(self.green_threads_peak as u64))?;
        let note = if self.is_own_site { ", one of them the site's" } else { "" };
        row(f, "OS threads", format_args!("{}{note}", self.os_threads))?;
        row(f, "peak memory", BinaryBytes(self.memory_peak_bytes))?;
        let (wall, waited) = (self.wall.as_secs_f64(), self.waited.as_secs_f64());
        row(f, "wall time", format_args!("{wall:.2} s"))?;
        row(f, "waits, added up", format_args!("{waited:.1} s"))?;
        writeln!(f, "{wall:.2} s of wall time for {waited:.0} s of waiting: {:.0}x", waited / wall)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "  {name:<24}{value}")
}
