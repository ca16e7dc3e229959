//! Timers as the embedder sees them: order, cancellation, and what they own.

use std::time::Duration;

use greenroom_hub::{Backend, Clock, Faults, Hub, Instant, Interest, Outcome, Sim, Wake};

use crate::stage::{Probe, Stage, on_every_backend};

#[test]
fn timers_fire_in_the_order_of_their_deadlines() {
    on_every_backend(|stage| {
        for (millis, name) in [(30, "c"), (10, "a"), (40, "d"), (20, "b")] {
            stage.hub.arm(stage.at(millis), Probe::new(name));
        }
        stage.advance_to(30);
        assert_eq!(stage.names(), ["a", "b", "c"]);
        stage.advance_to(40);
        assert_eq!(stage.names(), ["d"]);
    });
}

#[test]
fn equal_deadlines_fire_in_the_order_they_were_armed() {
    on_every_backend(|stage| {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let keys = names.map(|name| stage.hub.arm(stage.at(10), Probe::new(name)));
        stage.hub.cancel(keys[3]);
        stage.hub.cancel(keys[0]);
        stage.hub.arm(stage.at(10), Probe::new("k"));
        stage.advance_to(10);
        assert_eq!(stage.names(), ["b", "c", "e", "f", "g", "h", "i", "j", "k"]);
    });
}

#[test]
fn a_timer_does_not_fire_before_its_deadline_and_then_says_expired() {
    on_every_backend(|stage| {
        let probe = Probe::new("a");
        stage.hub.arm(stage.at(10), probe.clone());
        stage.clock.advance_to(Instant::from_nanos(stage.at(10).as_nanos() - 1));
        assert!(stage.names().is_empty());
        stage.advance_to(10);
        assert_eq!(stage.names(), ["a"]);
        assert_eq!(probe.wakes(), [Wake::Expired]);
    });
}

#[test]
fn cancelling_gives_the_waiter_back_once_and_frees_it_at_once() {
    on_every_backend(|stage| {
        let probe = Probe::new("a");
        let key = stage.hub.arm(stage.at(10), probe.clone());
        stage.hub.arm(stage.at(5), Probe::new("b"));
        assert_eq!(probe.holders(), 2);
        assert_eq!(stage.hub.cancel(key).expect("it is armed").name(), "a");
        assert_eq!(probe.holders(), 1, "the hub has let go of it");
        assert!(stage.hub.cancel(key).is_none());
        assert!(stage.hub.cancel(key).is_none());
        stage.advance_to(10);
        assert_eq!(stage.names(), ["b"]);
    });
}

#[test]
fn a_timer_that_fired_is_freed_and_cannot_be_cancelled() {
    on_every_backend(|stage| {
        let probe = Probe::new("a");
        let key = stage.hub.arm(stage.at(10), probe.clone());
        stage.advance_to(10);
        assert_eq!(stage.turn().len(), 1);
        assert_eq!(probe.holders(), 1);
        assert!(stage.hub.cancel(key).is_none());
        let later = stage.hub.arm(stage.at(20), Probe::new("b"));
        assert!(stage.hub.cancel(key).is_none(), "the key of a spent timer names no other");
        assert!(stage.hub.cancel(later).is_some());
    });
}

#[test]
fn a_timer_armed_while_others_run_fires_in_a_later_turn() {
    on_every_backend(|stage| {
        stage.hub.arm(stage.at(0), Probe::new("first"));
        stage.hub.prepare();
        stage.hub.wait().expect("a look never fails");
        let mut ran = Vec::new();
        while let Some(probe) = stage.hub.pop() {
            ran.push(probe.name());
            stage.hub.arm(stage.at(0), Probe::new("armed while it ran"));
        }
        assert_eq!(ran, ["first"]);
        assert_eq!(stage.names(), ["armed while it ran"]);
    });
}

#[test]
fn the_hub_knows_its_first_deadline_and_all_timers() {
    on_every_backend(|stage| {
        assert_eq!(stage.hub.next_deadline(), None);
        stage.hub.arm(stage.at(20), Probe::new("b"));
        let first = stage.hub.arm(stage.at(10), Probe::new("a"));
        assert_eq!(stage.hub.next_deadline(), Some(stage.at(10)));
        let mut armed: Vec<_> = stage.hub.timers().map(|(at, probe)| (at, probe.name())).collect();
        armed.sort_unstable();
        assert_eq!(armed, [(stage.at(10), "a"), (stage.at(20), "b")]);
        stage.hub.cancel(first);
        assert_eq!(stage.hub.next_deadline(), Some(stage.at(20)));
        assert_eq!(stage.hub.stats().timers, 1);
    });
}

#[test]
fn when_nobody_is_ready_a_virtual_clock_jumps_to_the_first_deadline() {
    on_every_backend(|stage| {
        stage.hub.arm(stage.at(3_600_000), Probe::new("in an hour"));
        assert_eq!(stage.sleep(), Outcome::Continue);
        assert_eq!(stage.clock.now(), stage.at(3_600_000));
        assert_eq!(stage.names(), ["in an hour"]);
    });
}

#[test]
fn a_deadline_that_never_comes_is_not_jumped_to() {
    on_every_backend(|stage| {
        let far = stage.clock.now() + Duration::MAX;
        assert_eq!(far, Instant::NEVER);
        let key = stage.hub.arm(far, Probe::new("never"));
        let before = stage.clock.now();
        assert_eq!(stage.sleep(), Outcome::Stuck);
        assert_eq!(stage.clock.now(), before);
        assert!(stage.hub.cancel(key).is_some());
    });
}

#[test]
fn a_simulated_kernel_does_not_creep_to_the_end_of_time() {
    let clock = Clock::manual();
    let sim = Sim::new(clock.clone(), 0, Faults::default());
    let mut hub = Hub::simulated(sim, clock.clone()).expect("the kernel has an eventfd");
    hub.arm(Instant::NEVER, Probe::new("never"));
    hub.prepare();
    assert_eq!(hub.wait().expect("a simulated wait never fails"), Outcome::Stuck);
}

#[test]
fn a_timer_at_the_end_of_time_is_nothing_to_wait_for_on_any_clock() {
    for clock in [Clock::manual(), Clock::monotonic()] {
        let mut hub = Hub::new(Backend::default(), clock).expect("the kernel has an epoll set");
        hub.arm(Instant::NEVER, Probe::new("never"));
        hub.prepare();
        assert_eq!(hub.wait().expect("the kernel waits"), Outcome::Stuck);
    }
}

#[test]
fn chores_before_the_sleep_do_not_make_it_longer() {
    let clock = Clock::manual();
    let sim = Sim::new(clock.clone(), 0, Faults::default());
    let mut hub = Hub::simulated(sim, clock.clone()).expect("the kernel has an eventfd");
    let deadline = clock.now() + Duration::from_millis(10);
    hub.arm(deadline, Probe::new("a"));
    hub.prepare();
    clock.advance_to(clock.now() + Duration::from_millis(9));
    hub.wait().expect("a simulated wait never fails");
    assert_eq!(clock.now(), deadline);
}

#[test]
fn nobody_sleeps_for_more_than_a_minute_at_once() {
    let minute = Duration::from_secs(60);
    for timer in [None, Some(Duration::from_secs(3600))] {
        let clock = Clock::manual();
        let sim = Sim::new(clock.clone(), 0, Faults::default());
        let mut hub =
            Hub::simulated(sim.clone(), clock.clone()).expect("the kernel has an eventfd");
        hub.listen_fd(sim.open(), Interest::Read, Probe::new("reader"), false).unwrap();
        let start = clock.now();
        if let Some(time) = timer {
            hub.arm(start + time, Probe::new("in an hour"));
        }
        for sleeps in 1..=3 {
            hub.prepare();
            assert_eq!(hub.wait().expect("a simulated wait never fails"), Outcome::Continue);
            assert_eq!(clock.now(), start + minute * sleeps, "with a timer: {timer:?}");
            assert!(hub.pop().is_none());
        }
    }
}

#[test]
fn on_the_monotonic_clock_a_timer_fires_in_time_and_not_before() {
    for backend in Backend::ALL {
        let mut hub = Hub::new(backend, Clock::monotonic()).expect("the kernel has this backend");
        for wait in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(2)] {
            let deadline = hub.clock().now() + wait;
            let probe = Probe::new("a");
            hub.arm(deadline, probe.clone());
            while probe.is_waiting() {
                hub.prepare();
                hub.wait().expect("a sleep never fails");
            }
            assert!(hub.clock().now() >= deadline, "on {backend}: {wait:?} was cut short");
            assert!(hub.now() >= deadline);
            hub.extend_turn();
            assert_eq!(hub.pop().expect("it is ready").name(), "a");
        }
    }
}

#[test]
fn many_timers_armed_and_cancelled_leave_nothing_behind() {
    on_every_backend(|stage: &mut Stage| {
        let probe = Probe::new("a");
        for round in 0..100 {
            let keys: Vec<_> =
                (0..100).map(|ms| stage.hub.arm(stage.at(ms + round), probe.clone())).collect();
            for key in keys {
                assert!(stage.hub.cancel(key).is_some());
            }
        }
        assert_eq!(probe.holders(), 1);
        assert_eq!(stage.hub.stats().timers, 0);
        assert_eq!(stage.hub.next_deadline(), None);
    });
}

#[test]
fn a_thousand_timers_due_at_once_fire_in_order_and_in_time() {
    on_every_backend(|stage: &mut Stage| {
        let sleepers: Vec<_> = (0..1000).map(|_| Probe::new("one of many")).collect();
        for sleeper in &sleepers {
            stage.hub.arm(stage.at(10), sleeper.clone());
        }
        stage.hub.arm(stage.at(11), Probe::new("later"));
        assert_eq!(stage.sleep(), Outcome::Continue);
        let mut fired = Vec::new();
        while fired.len() < sleepers.len() {
            let turn = stage.turn();
            assert!(!turn.is_empty(), "as long as some are due, each turn fires some");
            fired.extend(turn);
        }
        assert!(fired.iter().zip(&sleepers).all(|(fired, armed)| fired.is(armed)));
        assert_eq!((fired.len(), stage.clock.now()), (sleepers.len(), stage.at(10)));
    });
}

#[test]
fn a_turn_fires_a_bounded_number_of_timers() {
    // As the crate's documentation of a turn has it.
    const FIRED_MAX: usize = 256;
    on_every_backend(|stage: &mut Stage| {
        for _ in 0..2 * FIRED_MAX + 1 {
            stage.hub.arm(stage.at(0), Probe::new("one of many"));
        }
        for fired in [FIRED_MAX, FIRED_MAX, 1, 0] {
            stage.hub.prepare();
            assert_eq!(stage.hub.stats().ready, fired);
            stage.hub.extend_turn();
            assert_eq!(stage.pop_all().len(), fired);
        }
    });
}

#[test]
fn timers_of_the_dead_do_not_delay_those_of_the_living() {
    on_every_backend(|stage: &mut Stage| {
        let dead = Probe::new("dead");
        stage.hub.call(dead.clone());
        stage.turn();
        for _ in 0..1000 {
            stage.hub.arm(stage.at(10), dead.clone());
        }
        stage.hub.arm(stage.at(10), Probe::new("alive"));
        assert_eq!(stage.sleep(), Outcome::Continue);
        let turns = (0..10).position(|_| {
            stage.hub.prepare();
            assert_eq!(stage.hub.wait().expect("a sleep never fails"), Outcome::Continue);
            stage.pop_all().iter().any(|probe| probe.name() == "alive")
        });
        assert!(turns.is_some());
        assert_eq!(stage.clock.now(), stage.at(10), "nobody slept with a timer due");
        assert_eq!(dead.holders(), 1);
    });
}
