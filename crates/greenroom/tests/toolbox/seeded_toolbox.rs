//! A crowd that uses everything at once, and is killed at random: nobody waits for ever for what is
//! there, nothing is granted twice, nothing is left.

use std::time::Duration;

use greenroom::{hub, sleep, spawn, testing};

use crate::{actor::Actor, dice::Dice, seeds::with_seeds, world::World};

const ACTORS: usize = 12;
const DEEDS: u64 = 12;

/// Longer than all time limits of all deeds together.
const PATIENCE: Duration = Duration::from_secs(3600);

fn play(seed: u64) {
    let dice = Dice::from_seed(seed);
    let world = World::new();
    let threads: Vec<_> = (0..ACTORS)
        .map(|_| {
            let mut actor = Actor::new(&world, dice.split());
            spawn(move || actor.live(DEEDS))
        })
        .collect();
    let mut killed = vec![false; ACTORS];
    for _ in 0..dice.below(10) {
        sleep(dice.ms_below(11));
        let index = dice.below(ACTORS);
        killed[index] |= threads[index].kill();
    }
    for (thread, killed) in threads.into_iter().zip(killed) {
        let name = thread.thread();
        match thread.join_timeout(PATIENCE) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => assert!(killed && error.is_killed(), "{name}: {error}"),
            Err(_) => panic!("a wake-up was lost:\n{}", greenroom::debug::dump()),
        }
    }
    world.workers.waitall();
    world.check_end();
    drop(world);
    let stats = hub::stats();
    let left = (stats.threads, stats.timers, stats.listeners, stats.expected);
    assert_eq!(left, (0, 0, 0, 0), "something is left: {}", greenroom::debug::dump());
}

#[test]
fn seeded_crowds_that_use_everything_lose_nothing_and_leave_nothing() {
    with_seeds(150, |seed| testing::run_seeded(seed, move || play(seed)));
}

#[test]
fn seeded_crowds_in_order_of_arrival_do_so_too() {
    with_seeds(50, |seed| testing::run(move || play(seed)));
}
