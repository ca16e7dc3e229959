//! All plays together, at random.

use crate::{
    closings::{cast_closed_at_any_time, cast_closed_in_the_same_moment, cast_closed_under_wait},
    event_loops::cast_loops,
    raw,
    seeds::with_seeds,
    shared_fds::{cast_count, cast_records},
    stage::Stage,
    stops::{cast_kill, cast_kill_from_elsewhere, cast_limits},
    streams::{cast_connections, cast_stream},
};

/// Plays that go on at the same time.
const PLAYS_MAX: usize = 12;

// One test for the whole binary: another one's fds would get into the way of the numbers.
#[test]
fn seeded_blocking_code_does_what_it_would_do_on_os_threads() {
    raw::raise_limit_of_fds();
    with_seeds(SEEDS, |seed| {
        let mut stage = Stage::new(seed);
        for tag in 0..1 + stage.below(PLAYS_MAX) as u64 {
            match stage.below(11) {
                0 | 1 => cast_stream(&mut stage, tag),
                2 => cast_connections(&mut stage, tag),
                3 => cast_records(&mut stage, tag),
                4 => cast_count(&mut stage),
                5 => cast_loops(&mut stage),
                6 => cast_kill(&mut stage),
                7 => {
                    cast_limits(&mut stage);
                    cast_kill_from_elsewhere(&mut stage);
                }
                8 => cast_closed_under_wait(&mut stage),
                9 => cast_closed_in_the_same_moment(&mut stage),
                _ => cast_closed_at_any_time(&mut stage),
            }
        }
        stage.play();
    });
}

const SEEDS: u64 = 40;
