//! Chance decides who comes to a gate, for how long, and who is thrown out; one is inside at a
//! time, and what there is to be had is never lost.
//!
//! Knows the gates' common face. The order in which threads run is drawn as well.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use greenroom::{
    JoinHandle, sleep, spawn,
    testing::{run_seeded, wait_all_parked},
    with_timeout, yield_now,
};
use greenroom_hub::Chance;

use crate::{
    gate::{Gate, all},
    scenes::assert_nothing_left,
    seeds::with_seeds,
};

const ACTORS: usize = 10;
const VISITS: u32 = 6;

struct World {
    gate: Box<dyn Gate>,
    chance: RefCell<Chance>,
    inside: Cell<u32>,
    visits: Cell<u32>,
    /// Those who wait and will not leave, in the order in which they came.
    patient: RefCell<VecDeque<u64>>,
    tickets: Cell<u64>,
}

impl World {
    fn below(&self, bound: usize) -> usize {
        self.chance.borrow_mut().below(bound)
    }

    /// Some time that ends together with that of others, now and then.
    fn moment(&self) -> Duration {
        Duration::from_millis(self.below(4) as u64)
    }
}

/// Whoever has come through the gate, and gives back what it got there however it leaves.
struct Inside<'a>(&'a World);

impl<'a> Inside<'a> {
    fn enter(world: &'a World) -> Inside<'a> {
        world.inside.set(world.inside.get() + 1);
        world.visits.set(world.visits.get() + 1);
        assert_eq!(world.inside.get(), 1, "two are inside");
        Inside(world)
    }

    fn stay(&self) {
        match self.0.below(3) {
            0 => {}
            1 => yield_now(),
            _ => sleep(self.0.moment()),
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.set(self.0.inside.get() - 1);
        self.0.gate.give();
    }
}

fn visit(world: &World, is_doomed: bool) {
    match world.below(if is_doomed { 3 } else { 4 }) {
        0 => {
            if world.gate.wait_timeout(world.moment()).is_ok() {
                Inside::enter(world).stay();
            }
        }
        1 => {
            // Thrown out while it waits, or while it is inside.
            let _in_time = with_timeout(world.moment(), || {
                world.gate.wait();
                Inside::enter(world).stay();
            });
        }
        2 => {
            if world.gate.try_wait() == Some(true) {
                Inside::enter(world).stay();
            }
        }
        _ => {
            let ticket = world.tickets.get() + 1;
            world.tickets.set(ticket);
            world.patient.borrow_mut().push_back(ticket);
            world.gate.wait();
            let first = world.patient.borrow_mut().pop_front();
            assert_eq!(first, Some(ticket), "somebody was overtaken");
            Inside::enter(world).stay();
        }
    }
}

fn actor(world: &Rc<World>, is_doomed: bool) -> JoinHandle<()> {
    let world = Rc::clone(world);
    spawn(move || {
        for _ in 0..VISITS {
            sleep(world.moment());
            visit(&world, is_doomed);
        }
    })
}

/// A life at the gate; how often somebody came through.
fn live(seed: u64, gate: fn() -> Box<dyn Gate>) -> u32 {
    run_seeded(seed, || {
        let world = Rc::new(World {
            gate: gate(),
            chance: RefCell::new(Chance::from_seed(seed)),
            inside: Cell::new(0),
            visits: Cell::new(0),
            patient: RefCell::default(),
            tickets: Cell::new(0),
        });
        world.gate.give();
        let actors: Vec<_> = (0..ACTORS).map(|n| (n % 3 == 0, actor(&world, n % 3 == 0))).collect();
        for _ in 0..VISITS {
            sleep(world.moment());
            let victim = world.below(ACTORS);
            if let (true, actor) = &actors[victim] {
                actor.kill();
            }
        }
        for (is_doomed, actor) in actors {
            if let Err(error) = actor.join() {
                assert!(is_doomed && error.is_killed(), "{error}");
            }
        }
        wait_all_parked();
        assert_eq!((world.inside.get(), world.patient.borrow().len()), (0, 0));
        assert_eq!(world.gate.try_wait(), Some(true), "what there was is lost");
        assert_eq!(world.gate.try_wait(), Some(false), "there is more than there was");
        assert_nothing_left();
        world.visits.get()
    })
}

#[test]
fn seeded_visitors_of_all_gates_are_alone_inside_and_lose_nothing() {
    for kind in all().filter(|kind| kind.keeps && !(kind.make)().is_used_at_once()) {
        let visits = Cell::new(0);
        with_seeds(32, |seed| visits.set(visits.get() + live(seed, kind.make)));
        assert!(visits.get() > 200, "{}: little happens: {} visits", kind.name, visits.get());
    }
}
