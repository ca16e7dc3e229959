//! `memory`: tasks that sleep for an hour, and the memory they sit on.
//!
//! Must never count what an engine needs once, however many tasks it has.
//!
//! Measured: resident memory of the process with all tasks parked, less the same with one parked, divided by
//! the count. A parked task has run and sleeps. Page tables are the kernel's and not resident memory
//! of the process, but they are paid for all the same, so they are told beside it. Nothing is warmed up: each
//! process parks once.

use std::time::Duration;

use super::{Abstention, Case, Goal, NO_TASKS, Scenario, Size};
use crate::Fallible;
use crate::engine::Entry;
use crate::meter::Sample;

const LIMIT: Duration = Duration::from_secs(120);
const GOAL: Option<Goal> = Some(Goal::AtMost(4_600.0));
/// A measurement asks for this much free memory for each task, so as not to push others out of theirs.
const NEEDED_BYTES_PER_TASK: u64 = 10_000;
const SMOKE_TASKS: u64 = 200;

const TOO_MANY_MAPPINGS: &[Abstention] = &[
    Abstention {
        engine: "may",
        why: "too many mappings: two for each stack, and the kernel allows 65,530",
    },
    Abstention {
        engine: "corosensei",
        why: "too many mappings: its own stacks take two each, and the kernel allows 65,530",
    },
];

pub(super) static SCENARIO: Scenario = Scenario {
    name: "memory",
    about: "tasks are parked: resident memory per task",
    unit: "bytes resident per parked task",
    param_unit: "tasks",
    baseline: "greenroom",
    cases: &[
        Case { param: 10_000, goal: GOAL, limit: LIMIT, abstain: &[] },
        Case { param: 100_000, goal: GOAL, limit: LIMIT, abstain: TOO_MANY_MAPPINGS },
        Case { param: 1_000_000, goal: GOAL, limit: LIMIT, abstain: TOO_MANY_MAPPINGS },
    ],
    abstain: &[NO_TASKS],
    run,
};

fn run(entry: &'static Entry, case: &Case, size: Size) -> Fallible<Sample> {
    let count = size.pick(case.param, case.param, SMOKE_TASKS);
    let available = bytes_of("/proc/meminfo", "MemAvailable:")?;
    if available < count * NEEDED_BYTES_PER_TASK {
        let [available, needed] =
            [available, count * NEEDED_BYTES_PER_TASK].map(|bytes| bytes >> 20);
        return Err(format!("{available} MiB of memory are free, {needed} needed").into());
    }
    let mut engine = entry.start()?;
    engine.park(1)?;
    let before = Footprint::now()?;
    engine.park(count)?;
    let after = Footprint::now()?;
    let each = |after: u64, before: u64| (after as f64 - before as f64) / count as f64;
    let page_tables = each(after.page_table_bytes, before.page_table_bytes);
    let resident = each(after.resident_bytes, before.resident_bytes);
    Ok(Sample::new(resident, [("page_table_bytes", page_tables)]))
}

struct Footprint {
    resident_bytes: u64,
    page_table_bytes: u64,
}

impl Footprint {
    fn now() -> Fallible<Self> {
        Ok(Self {
            // Counted page by page; the figure in `status` lags behind by what each core has not added yet.
            resident_bytes: bytes_of("/proc/self/smaps_rollup", "Rss:")?,
            page_table_bytes: bytes_of("/proc/self/status", "VmPTE:")?,
        })
    }
}

fn bytes_of(path: &str, key: &str) -> Fallible<u64> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    parse_kib(&text, key).ok_or_else(|| format!("{path} has no {key}").into())
}

/// The value of the line `key  N kB`, in bytes.
fn parse_kib(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_tables_are_read_by_key() {
        let text = "Name:\tx\nVmPTE:\t      48 kB\nVmSwap:\t0 kB\n";
        assert_eq!(parse_kib(text, "VmPTE:"), Some(48 * 1024));
        assert_eq!(parse_kib(text, "VmHWM:"), None);
    }

    #[test]
    fn touched_memory_shows_in_the_footprint() {
        const BYTES: usize = 64 << 20;
        let before = Footprint::now().unwrap();
        let block = std::hint::black_box(vec![1u8; BYTES]);
        let after = Footprint::now().unwrap();
        assert!(after.resident_bytes >= before.resident_bytes + (BYTES as u64) / 2);
        drop(block);
    }
}
