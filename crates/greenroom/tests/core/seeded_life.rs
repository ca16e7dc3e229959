//! Lives drawn from a seed: threads that do everything at once, and what must hold whatever they do.
//!
//! Says how a life goes and what is checked at its end. Knows no rule by which the library keeps
//! that true.

mod actor;
mod wire;
mod world;

use std::{cell::Cell, rc::Rc, time::Duration};

use greenroom::{
    JoinHandle,
    hub::{self, Backend},
    sleep,
    testing::{run_seeded, wait_all_parked},
};

use crate::seeds::with_seeds;
use actor::Fate;
use world::World;

const ACTORS: u32 = 12;
/// Looks at the world, with time passing in between, before it is closed.
const LOOKS: u32 = 20;
/// Whoever is not gone after so many seconds of virtual time will never be.
const PATIENCE_MAX: u32 = 1000;

/// How a life is disturbed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disturbance {
    None,
    AbortedByTheRoot,
    AbortedByAThread,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    backend: Backend,
    disturbance: Disturbance,
    /// Several may wait for one fd.
    queues: bool,
    /// Other OS threads take part: their timing is nobody's to repeat.
    offloads: bool,
}

impl Plan {
    fn of(seed: u64) -> Plan {
        Plan {
            backend: Backend::ALL[(seed % 2) as usize],
            queues: seed / 2 % 2 == 1,
            disturbance: match seed / 4 % 4 {
                0 => Disturbance::AbortedByTheRoot,
                1 => Disturbance::AbortedByAThread,
                _ => Disturbance::None,
            },
            offloads: seed / 16 % 4 == 3,
        }
    }
}

/// Plays the life of a seed; what happened, in order.
fn live(seed: u64, plan: Plan) -> Vec<(u64, &'static str, Duration)> {
    run_seeded(seed, || {
        hub::use_hub(plan.backend).unwrap();
        hub::allow_multiple_waiters(plan.queues);
        let world = World::new(seed, plan);
        let actors: Vec<_> = (0..ACTORS).map(|_| actor::spawn(&world, 0)).collect();
        for _ in 0..LOOKS {
            sleep(world.moment());
            wait_all_parked();
            world.check_quiet();
        }
        if plan.disturbance == Disturbance::AbortedByTheRoot {
            world.note_abort();
            hub::abort();
        }
        end(&world, actors);
        world.take_trace()
    })
}

/// Closes the world and checks that nothing is left of it.
fn end(world: &Rc<World>, actors: Vec<(JoinHandle<u64>, Fate)>) {
    world.close();
    for (handle, fate) in actors {
        actor::check(world, handle.join(), fate);
    }
    let mut patience = PATIENCE_MAX;
    while hub::stats().threads + hub::stats().timers > 0 {
        patience -= 1;
        assert!(patience > 0, "somebody never ends: {}", greenroom::debug::dump());
        sleep(Duration::from_secs(1));
    }
    world.remove_listeners();
    wait_all_parked();
    let stats = hub::stats();
    let left = (stats.threads, stats.timers, stats.listeners, stats.expected, stats.ready);
    assert_eq!(left, (0, 0, 0, 0, 0), "threads, timers, listeners, expected, ready");
    world.check_end();
    assert_eq!(Rc::strong_count(world), 1, "something still owns a share of the world");
}

#[test]
fn seeded_lives_leave_nothing_behind_and_lose_nothing() {
    with_seeds(64, |seed| {
        live(seed, Plan::of(seed));
    });
}

#[test]
fn seeded_lives_repeat_from_their_seed() {
    let events = Cell::new(0);
    with_seeds(16, |seed| {
        let plan = Plan { offloads: false, ..Plan::of(seed) };
        let (first, second) = (live(seed, plan), live(seed, plan));
        let differs = first.iter().zip(&second).position(|(one, other)| one != other);
        assert_eq!(differs, None, "{:?}", differs.map(|at| (first[at], second[at])));
        assert_eq!(first.len(), second.len());
        events.set(events.get() + first.len());
    });
    assert!(events.get() > 10_000, "little happens: {} events in all", events.get());
}
