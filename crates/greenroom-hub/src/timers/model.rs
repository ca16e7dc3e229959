//! The timers beside a naive twin: a list that is searched from end to end.
//!
//! Random armings, cancellations and expiries must come to the same in both, and memory must stay
//! in proportion to the timers that live.

use std::rc::Rc;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{CHILDREN, SLOTS_KEPT, SLOTS_PER_TIMER_MAX, TimerKey, Timers};
use crate::{Instant, seeds::with_seeds};

#[derive(Clone, Debug)]
enum Step {
    /// Arms one, so much after now. Many deadlines are equal.
    Arm(u64),
    /// Arms many, with deadlines drawn from this number.
    Burst(usize, u64),
    /// Cancels one that is armed: the index counts from the last.
    Cancel(usize),
    /// Cancels with a key that is spent.
    CancelAgain(usize),
    /// Cancels all but so many, in an order drawn from this number.
    CancelAllBut(usize, u64),
    /// Lets the time pass.
    Expire(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..20u64).prop_map(Step::Arm),
        1 => (1..6000usize, any::<u64>()).prop_map(|(count, draw)| Step::Burst(count, draw)),
        6 => (0..40usize).prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::CancelAgain),
        1 => (0..300usize, any::<u64>()).prop_map(|(rest, draw)| Step::CancelAllBut(rest, draw)),
        3 => (0..15u64).prop_map(Step::Expire),
    ]
}

/// The naive twin, and the timers themselves.
struct Twins {
    timers: Timers<Rc<u64>>,
    /// What is armed, in the order of arming.
    armed: Vec<(Instant, Rc<u64>, TimerKey)>,
    spent: Vec<TimerKey>,
    now: Instant,
    armed_total: u64,
}

impl Twins {
    fn new() -> Twins {
        Twins {
            timers: Timers::new(),
            armed: Vec::new(),
            spent: Vec::new(),
            now: Instant::from_nanos(0),
            armed_total: 0,
        }
    }

    fn arm(&mut self, after: u64) {
        let waiter = Rc::new(self.armed_total);
        self.armed_total += 1;
        let deadline = Instant::from_nanos(self.now.as_nanos() + after);
        let key = self.timers.arm(deadline, Rc::clone(&waiter));
        self.armed.push((deadline, waiter, key));
    }

    fn cancel(&mut self, index: usize) {
        let (_, waiter, key) = self.armed.remove(index);
        let given_back = self.timers.cancel(key).expect("it is armed");
        assert!(Rc::ptr_eq(&given_back, &waiter), "another timer's waiter was given back");
        drop(given_back);
        assert_eq!(Rc::strong_count(&waiter), 1, "a cancelled timer keeps nothing");
        self.spent.push(key);
    }

    fn expire(&mut self, time: u64) {
        self.now = Instant::from_nanos(self.now.as_nanos() + time);
        let (mut due, armed): (Vec<_>, Vec<_>) =
            self.armed.drain(..).partition(|(deadline, ..)| *deadline <= self.now);
        self.armed = armed;
        // Stable, so that equal deadlines stay in the order they were armed.
        due.sort_by_key(|(deadline, ..)| *deadline);
        for (_, waiter, key) in due {
            let fired = self.timers.pop_due(self.now).expect("one more is due");
            assert_eq!(fired, waiter);
            drop(fired);
            assert_eq!(Rc::strong_count(&waiter), 1, "a timer that fired keeps nothing");
            self.spent.push(key);
        }
        assert_eq!(self.timers.pop_due(self.now), None, "nothing else is due");
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Arm(after) => self.arm(after),
            Step::Burst(count, draw) => {
                for index in 0..count as u64 {
                    self.arm((draw ^ index.wrapping_mul(0x9e37_79b9)) % 1000);
                }
            }
            Step::Cancel(back) => {
                if let Some(index) = self.armed.len().checked_sub(back + 1) {
                    self.cancel(index);
                }
            }
            Step::CancelAgain(index) => {
                if !self.spent.is_empty() {
                    let key = self.spent[index % self.spent.len()];
                    assert_eq!(self.timers.cancel(key), None, "a spent key names nothing");
                }
            }
            Step::CancelAllBut(rest, draw) => {
                while self.armed.len() > rest {
                    self.cancel(draw as usize % self.armed.len());
                }
            }
            Step::Expire(time) => self.expire(time),
        }
    }

    fn check(&self) {
        let first = self.armed.iter().map(|(deadline, ..)| *deadline).min();
        assert_eq!(self.timers.next_deadline(), first);
        assert_eq!(self.timers.len(), self.armed.len());
        check_memory(&self.timers);
    }

    fn check_listing(&self) {
        let mut listed: Vec<_> =
            self.timers.iter().map(|(deadline, waiter)| (deadline, **waiter)).collect();
        let mut armed: Vec<_> = self.armed.iter().map(|(at, waiter, _)| (*at, **waiter)).collect();
        listed.sort_unstable();
        armed.sort_unstable();
        assert_eq!(listed, armed);
    }
}

/// Memory is in proportion to the live timers, and the heap is in order.
fn check_memory<W>(timers: &Timers<W>) {
    // A vector grows to twice what it needs.
    let slots_max = 2 * SLOTS_KEPT.max(timers.len() * SLOTS_PER_TIMER_MAX + SLOTS_PER_TIMER_MAX);
    assert!(timers.slots.capacity() <= slots_max, "{} timers", timers.len());
    assert!(timers.free.capacity() <= slots_max);
    assert!(timers.heap.capacity() <= slots_max);
    assert!(timers.moved.capacity() <= slots_max);
    assert_eq!(timers.slots.len(), timers.heap.len() + timers.free.len());
    for (place, entry) in timers.heap.iter().enumerate() {
        assert_eq!(timers.slots[entry.slot as usize].place as usize, place);
        if place > 0 {
            assert!(timers.heap[(place - 1) / CHILDREN].rank() < entry.rank());
        }
    }
}

#[test]
fn seeded_timers_do_what_a_naive_list_does() {
    with_seeds(5, |seed| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config = Config { cases: 16, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new_with_rng(config, rng).run(&vec(step(), 1..120), |steps| {
            let mut twins = Twins::new();
            for step in &steps {
                twins.play(step);
                twins.check();
            }
            twins.check_listing();
            twins.play(&Step::CancelAllBut(0, 7));
            twins.check();
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
    });
}

#[test]
fn a_million_timers_armed_and_cancelled_in_turn_need_the_room_of_one() {
    let mut timers = Timers::new();
    let kept = timers.arm(Instant::from_nanos(5), ());
    for nanos in 0..1_000_000 {
        let key = timers.arm(Instant::from_nanos(nanos), ());
        assert!(timers.cancel(key).is_some());
    }
    assert!(timers.slots.capacity() <= 8 && timers.heap.capacity() <= 8);
    assert!(timers.cancel(kept).is_some());
}

#[test]
fn a_burst_of_cancelled_timers_leaves_no_room_behind_though_one_lives_on() {
    let mut timers = Timers::new();
    let mut keys: Vec<_> =
        (0..200_000).map(|nanos| timers.arm(Instant::from_nanos(nanos), ())).collect();
    let survivor = keys.swap_remove(123_456);
    for &key in &keys {
        assert!(timers.cancel(key).is_some());
    }
    check_memory(&timers);
    assert!(timers.slots.capacity() <= 2 * SLOTS_KEPT);
    for &key in &keys {
        assert!(timers.cancel(key).is_none(), "the key of a timer that has gone names nothing");
    }
    assert_eq!(timers.next_deadline(), Some(Instant::from_nanos(123_456)));
    assert!(timers.cancel(survivor).is_some(), "its key still names the one that moved");
    assert!(timers.cancel(survivor).is_none());
    assert_eq!(timers.len(), 0);
}
