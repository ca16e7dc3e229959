//! Lives of timers that random steps would seldom come to: great numbers, long times, edges.

use std::{collections::VecDeque, rc::Rc};

use super::{TimerKey, Timers, far::SEARCHED_MAX, near::DEAD_KEPT, slots::SLOTS_KEPT};
use crate::Instant;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// Timers whose horizon is at `now`.
fn timers_at<W>(now: u64) -> Timers<W> {
    let mut timers = Timers::new();
    assert!(timers.pop_due(at(now)).is_none());
    timers
}

#[test]
fn a_million_timers_armed_and_cancelled_in_turn_need_the_room_of_one() {
    for far in [0, MILLISECOND, SECOND, u64::MAX / 2] {
        let mut timers = timers_at(SECOND);
        let kept = timers.arm(at(5), ());
        for nanos in 0..250_000 {
            let key = timers.arm(at(SECOND + far + nanos), ());
            assert!(timers.cancel(key).is_some());
        }
        timers.check();
        assert!(timers.slots.room() <= 8);
        assert!(timers.near.room() <= 4 * DEAD_KEPT);
        assert!(timers.cancel(kept).is_some());
    }
}

#[test]
fn a_burst_of_cancelled_timers_leaves_no_room_behind_though_one_lives_on() {
    for apart in [0, 1, MICROSECOND, MILLISECOND, SECOND] {
        let mut timers = Timers::new();
        let mut keys: Vec<_> =
            (0..200_000).map(|index| timers.arm(at(index * apart), Rc::new(()))).collect();
        let survivor = keys.swap_remove(123_456);
        for &key in &keys {
            assert_eq!(timers.cancel(key).as_ref().map(Rc::strong_count), Some(1));
        }
        timers.check();
        assert!(timers.slots.room() <= 2 * SLOTS_KEPT);
        assert!(timers.near.room() <= 4 * DEAD_KEPT);
        for &key in &keys {
            assert!(timers.cancel(key).is_none(), "the key of a timer that has gone names nothing");
        }
        assert_eq!(timers.next_deadline(), Some(at(123_456 * apart)));
        assert!(timers.cancel(survivor).is_some(), "its key still names the one that moved");
        assert!(timers.cancel(survivor).is_none());
        assert_eq!(timers.len(), 0);
        timers.check();
    }
}

#[test]
fn each_tier_and_bucket_fires_to_the_nanosecond() {
    for bit in 0..64 {
        for deadline in [(1 << bit) - 1, 1 << bit, (1 << bit) + 1] {
            let mut timers = timers_at(0);
            timers.arm(at(deadline), ());
            assert_eq!(timers.next_deadline(), Some(at(deadline)));
            if let Some(before) = deadline.checked_sub(1) {
                assert!(timers.pop_due(at(before)).is_none(), "{deadline} ns is not due before");
            }
            assert_eq!(timers.next_deadline(), Some(at(deadline)));
            assert!(timers.pop_due(at(deadline)).is_some(), "{deadline} ns is due");
            assert_eq!(timers.next_deadline(), None);
            timers.check();
        }
    }
}

#[test]
fn in_each_tier_and_bucket_equal_deadlines_fire_in_the_order_they_were_armed() {
    for bit in 0..64 {
        let mut timers = timers_at(0);
        let keys: Vec<_> = (0..40).map(|index| timers.arm(at(1 << bit), index)).collect();
        // Takes others out of their order in a bucket.
        for index in [0, 7, 20] {
            assert_eq!(timers.cancel(keys[index]), Some(index));
        }
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(Instant::NEVER)).collect();
        assert!(fired.is_sorted(), "after {bit} bits: {fired:?}");
        assert_eq!(fired.len(), 37);
    }
}

#[test]
fn a_timer_armed_late_fires_before_those_that_are_due_already() {
    let mut timers = timers_at(SECOND);
    timers.arm(at(SECOND + 40 * MILLISECOND), "due");
    timers.arm(at(SECOND + 90 * MILLISECOND), "not due");
    let now = at(SECOND + 50 * MILLISECOND);
    timers.arm(at(SECOND + 30 * MILLISECOND), "before it");
    timers.arm(at(3), "long ago");
    assert_eq!(timers.pop_due(now), Some("long ago"));
    timers.arm(at(2), "longer ago");
    assert_eq!(timers.pop_due(now), Some("longer ago"));
    assert_eq!(timers.pop_due(now), Some("before it"));
    assert_eq!(timers.pop_due(now), Some("due"));
    timers.arm(at(1), "still longer ago");
    assert_eq!(timers.pop_due(now), Some("still longer ago"));
    assert_eq!(timers.pop_due(now), None);
}

#[test]
fn the_horizon_follows_the_time_though_nothing_is_due() {
    let mut timers = timers_at(0);
    for now in [3 * SECOND, 4 * SECOND] {
        assert!(timers.pop_due(at(now)).is_none());
        assert_eq!(timers.far.bucket_of(at(now)), None, "or all would be filed coarsely");
        timers.arm(at(now + 3600 * SECOND), ());
    }
}

#[test]
fn a_look_with_an_earlier_time_changes_nothing() {
    let mut timers = timers_at(10 * SECOND);
    timers.arm(at(10 * SECOND + MILLISECOND), 1);
    assert_eq!(timers.pop_due(at(3 * SECOND)), None);
    timers.check();
    timers.arm(at(4 * SECOND), 0);
    assert_eq!(timers.pop_due(at(3 * SECOND)), None);
    assert_eq!(timers.pop_due(at(20 * SECOND)), Some(0));
    assert_eq!(timers.pop_due(at(20 * SECOND)), Some(1));
}

#[test]
fn at_the_end_of_time_timers_still_fire_in_order() {
    let mut timers = timers_at(0);
    for nanos in [u64::MAX, u64::MAX - 1, u64::MAX - 70_000, 5] {
        timers.arm(at(nanos), nanos);
    }
    assert_eq!(timers.pop_due(at(u64::MAX - 1)), Some(5));
    assert_eq!(timers.pop_due(at(u64::MAX - 1)), Some(u64::MAX - 70_000));
    timers.arm(at(u64::MAX - 60_000), 7);
    assert_eq!(timers.pop_due(at(u64::MAX - 1)), Some(7));
    assert_eq!(timers.pop_due(at(u64::MAX - 1)), Some(u64::MAX - 1));
    assert_eq!(timers.pop_due(at(u64::MAX - 1)), None);
    assert_eq!(timers.next_deadline(), Some(Instant::NEVER));
    assert_eq!(timers.pop_due(Instant::NEVER), Some(u64::MAX));
    timers.arm(Instant::NEVER, 8);
    assert_eq!(timers.pop_due(Instant::NEVER), Some(8));
}

#[test]
fn among_few_timers_the_next_deadline_is_exact_whatever_was_cancelled() {
    for bit in 0..64 {
        let mut timers = timers_at(0);
        let arm = |index| timers.arm(at((1 << bit) + index), ());
        let mut keys: VecDeque<_> = (0..SEARCHED_MAX as u64 + 1).map(arm).collect();
        for index in 1..keys.len() as u64 {
            let first = keys.pop_front().expect("one more is armed");
            assert!(timers.cancel(first).is_some());
            assert_eq!(timers.next_deadline(), Some(at((1 << bit) + index)));
        }
    }
}

/// Plays a server: each connection has a timeout, armed again at each of its requests, which come
/// in turn, 10 µs apart. Returns how often it was woken for nothing.
fn serve(connections: usize, timeout: u64, requests: usize) -> usize {
    let mut now = 1_234 * SECOND;
    let mut timers = timers_at(now);
    let mut keys: Vec<TimerKey> =
        (0..connections).map(|_| timers.arm(at(now + timeout), ())).collect();
    let mut woken = 0;
    for request in 0..requests {
        let arrives = now + 10 * MICROSECOND;
        while let Some(next) = timers.next_deadline().filter(|next| next.as_nanos() < arrives) {
            assert!(next.as_nanos() > now, "the hub would not sleep");
            now = next.as_nanos();
            assert!(timers.pop_due(at(now)).is_none(), "all are armed again in time");
            woken += 1;
        }
        now = arrives;
        assert!(timers.pop_due(at(now)).is_none(), "all are armed again in time");
        let key = &mut keys[request % connections];
        assert!(timers.cancel(*key).is_some());
        *key = timers.arm(at(now + timeout), ());
        assert_eq!(timers.len(), connections);
    }
    timers.check();
    assert!(timers.slots.room() <= 2 * connections.max(4));
    woken
}

#[test]
fn timeouts_armed_again_at_each_request_wake_next_to_nobody() {
    assert_eq!(serve(1, 30 * SECOND, 100_000), 0);
    assert_eq!(serve(10, 30 * SECOND, 100_000), 0);
    // Ten seconds, in which all timeouts are in few buckets, and cancelled long before.
    assert!(serve(1000, 30 * SECOND, 1_000_000) <= 2);
    // Timeouts little longer than the time between requests: 10 ms, in buckets of 4 ms, then 65 µs.
    // A second has 250 of the first kind.
    assert!(serve(1000, 11 * MILLISECOND, 100_000) <= 250);
}
