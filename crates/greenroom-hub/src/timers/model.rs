//! The timers beside a naive twin: a list that is searched from end to end.
//!
//! Random armings, cancellations and expiries, from nanoseconds to centuries away, must come to the
//! same in both, and memory must stay in proportion to the timers that live.

use std::{collections::BTreeSet, rc::Rc};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{TimerKey, Timers, far::SEARCHED_MAX};
use crate::{Instant, seeds::with_seeds};

#[derive(Clone, Debug)]
enum Step {
    /// Arms one, so much after now. Many deadlines are equal.
    Arm(u64),
    /// Arms one, one bit's worth of nanoseconds after now and a few more or less: at the edge of a
    /// bucket, if now is round.
    ArmFar(u32, i64),
    /// Arms one whose deadline has passed so long ago.
    ArmLate(u64),
    /// Arms one that never fires.
    ArmNever,
    /// Arms many, with deadlines drawn from this number, spread over one bit's worth of nanoseconds.
    Burst(usize, u64, u32),
    /// Cancels one that is armed: the index counts from the last.
    Cancel(usize),
    /// Cancels with a key that is spent.
    CancelAgain(usize),
    /// Cancels all but so many, in an order drawn from this number.
    CancelAllBut(usize, u64),
    /// Lets the time pass.
    Expire(u64),
    /// Lets one bit's worth of nanoseconds pass, up to the next round number.
    ExpireFar(u32),
    /// Lets the time pass until the timers ask for a look.
    ExpireNext,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..20u64).prop_map(Step::Arm),
        8 => (0..64u32, -2..3i64).prop_map(|(bit, more)| Step::ArmFar(bit, more)),
        2 => (0..200_000u64).prop_map(Step::ArmLate),
        1 => Just(Step::ArmNever),
        1 => (1..6000usize, any::<u64>(), 8..64u32)
            .prop_map(|(count, draw, bit)| Step::Burst(count, draw, bit)),
        6 => (0..40usize).prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::CancelAgain),
        1 => (0..300usize, any::<u64>()).prop_map(|(rest, draw)| Step::CancelAllBut(rest, draw)),
        3 => (0..15u64).prop_map(Step::Expire),
        2 => (0..50u32).prop_map(Step::ExpireFar),
        5 => Just(Step::ExpireNext),
    ]
}

/// The naive twin, and the timers themselves.
struct Twins {
    timers: Timers<Rc<u64>>,
    /// What is armed, in the order of arming.
    armed: Vec<(Instant, Rc<u64>, TimerKey)>,
    spent: Vec<TimerKey>,
    /// The deadlines of timers that were cancelled.
    cancelled: BTreeSet<Instant>,
    now: Instant,
    armed_total: u64,
}

impl Twins {
    fn new() -> Twins {
        Twins {
            timers: Timers::new(),
            armed: Vec::new(),
            spent: Vec::new(),
            cancelled: BTreeSet::new(),
            now: Instant::from_nanos(0),
            armed_total: 0,
        }
    }

    fn arm(&mut self, deadline: u64) {
        let deadline = Instant::from_nanos(deadline);
        let waiter = Rc::new(self.armed_total);
        self.armed_total += 1;
        let key = self.timers.arm(deadline, Rc::clone(&waiter));
        self.armed.push((deadline, waiter, key));
    }

    fn cancel(&mut self, index: usize) {
        let (deadline, waiter, key) = self.armed.remove(index);
        self.cancelled.insert(deadline);
        let given_back = self.timers.cancel(key).expect("it is armed");
        assert!(Rc::ptr_eq(&given_back, &waiter), "another timer's waiter was given back");
        drop(given_back);
        assert_eq!(Rc::strong_count(&waiter), 1, "a cancelled timer keeps nothing");
        self.spent.push(key);
    }

    fn expire(&mut self, now: u64) {
        self.now = Instant::from_nanos(now);
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
        let now = self.now.as_nanos();
        match *step {
            Step::Arm(after) => self.arm(now.saturating_add(after)),
            Step::ArmFar(bit, more) => {
                self.arm(now.saturating_add(1 << bit).saturating_add_signed(more));
            }
            Step::ArmLate(ago) => self.arm(now.saturating_sub(ago)),
            Step::ArmNever => self.arm(u64::MAX),
            Step::Burst(count, draw, bit) => {
                for index in 0..count as u64 {
                    let drawn = draw ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    self.arm(now.saturating_add(drawn % (1 << bit)));
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
            Step::Expire(time) => self.expire(now.saturating_add(time)),
            Step::ExpireFar(bit) => self.expire((now >> bit).saturating_add(1) << bit),
            Step::ExpireNext => self.expire_next(),
        }
    }

    fn expire_next(&mut self) {
        // Not to the end of time, where nothing could be told apart any more.
        let next = self.timers.next_deadline().map_or(0, Instant::as_nanos);
        if next < u64::MAX - 1000 {
            self.expire(next.max(self.now.as_nanos()));
            assert!(self.timers.next_deadline().is_none_or(|next| next > self.now), "it turns");
        }
    }

    /// Lives on until no deadline is left but those that never come.
    fn finish(&mut self) {
        let mut looks = 0;
        while self.armed.iter().any(|(deadline, ..)| deadline.as_nanos() < u64::MAX - 1000) {
            self.expire_next();
            looks += 1;
            // Each look fires one or opens a bucket, and a timer is in so many at most.
            assert!(looks <= 50 * 9, "woken again and again");
        }
        self.play(&Step::CancelAllBut(0, 7));
        self.check();
    }

    fn check(&self) {
        let first = self.armed.iter().map(|(deadline, ..)| *deadline).min();
        let next = self.timers.next_deadline();
        if next != first {
            let (next, first) = (next.expect("one is armed"), first.expect("one is armed"));
            assert!(next < first, "{next:?} is too late for {first:?}");
            assert!(self.cancelled.contains(&next), "nobody ever asked for {next:?}");
            assert!(self.armed.len() > SEARCHED_MAX, "among few it is exact");
        }
        assert_eq!(self.timers.len(), self.armed.len());
        self.timers.check();
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
            twins.play(&Step::CancelAllBut(50, 7));
            twins.finish();
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
    });
}
