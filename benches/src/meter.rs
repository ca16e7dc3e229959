//! What a stretch of work cost this process: CPU time of all its threads, and wall time.
//!
//! Must never know what the work was.

use std::collections::BTreeMap;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::Fallible;

/// One measurement: the figure of its scenario, and whatever else is worth seeing beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) value: f64,
    /// Named with their unit last.
    pub(crate) extras: BTreeMap<String, f64>,
}

impl Sample {
    pub(crate) fn new<const N: usize>(value: f64, extras: [(&str, f64); N]) -> Self {
        let extras = extras.map(|(name, value)| (name.to_owned(), value)).into();
        Self { value, extras }
    }
}

/// CPU time used so far by all threads of this process.
pub(crate) fn process_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec)
        .expect("CPU time never runs below zero")
}

struct Spent {
    cpu_ns: f64,
    wall_ns: f64,
}

fn spent(work: impl FnOnce() -> Fallible) -> Fallible<Spent> {
    let wall = Instant::now();
    let cpu_before_ns = process_cpu_ns();
    work()?;
    let cpu_ns = (process_cpu_ns() - cpu_before_ns) as f64;
    Ok(Spent { cpu_ns, wall_ns: wall.elapsed().as_nanos() as f64 })
}

/// Does `work`, which is `ops` operations, once to warm up and then `passes` times.
///
/// The figure is CPU time for each operation in the cheapest pass: what disturbs a pass only ever adds.
/// Beside it: that pass's wall time, and what the warm-up cost (`cold`: empty pools, first touch of every page).
pub(crate) fn cheapest_pass(
    passes: u32,
    ops: u64,
    mut work: impl FnMut() -> Fallible,
) -> Fallible<Sample> {
    assert!(passes > 0 && ops > 0, "a measurement of nothing");
    let cold = spent(&mut work)?;
    let mut best = spent(&mut work)?;
    for _ in 1..passes {
        let pass = spent(&mut work)?;
        if pass.cpu_ns < best.cpu_ns {
            best = pass;
        }
    }
    let ops = ops as f64;
    let extras = [("cold_ns", cold.cpu_ns / ops), ("wall_ns", best.wall_ns / ops)];
    Ok(Sample::new(best.cpu_ns / ops, extras))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cheapest_pass_warms_up_once_and_divides_by_the_operations() {
        let mut calls = 0;
        let sample = cheapest_pass(3, 10, || {
            calls += 1;
            // Sleeping takes wall time and next to no CPU time.
            std::thread::sleep(std::time::Duration::from_millis(2));
            Ok(())
        })
        .unwrap();
        assert_eq!(calls, 4);
        assert!(sample.extras["wall_ns"] >= 200_000.0);
        assert!(sample.value < sample.extras["wall_ns"]);
    }

    #[test]
    fn a_failing_pass_fails_the_measurement() {
        assert!(cheapest_pass(3, 10, || Err("no".into())).is_err());
    }

    #[test]
    fn a_sample_survives_its_line_of_json() {
        let sample = Sample::new(2.5, [("wall_ns", 3.25)]);
        let line = serde_json::to_string(&sample).unwrap();
        assert_eq!(serde_json::from_str::<Sample>(&line).unwrap(), sample);
    }
}
