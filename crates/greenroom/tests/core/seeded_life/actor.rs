//! A thread that does what chance tells it to, and checks what it is told in return.
//!
//! Knows the library as its users do.

use std::{cell::Cell, panic::resume_unwind, rc::Rc, time::Duration};

use greenroom::{
    Instant, JoinError, JoinHandle,
    hub::{self, Timer},
    io::{Interest, is_closed, trampoline},
    offload, sleep, sleep_until, spawn_after, spawn_after_local, yield_now,
};

use super::{Disturbance, world::World, world::count};

const STEPS_MAX: usize = 24;
const DEPTH_MAX: u32 = 3;

/// How a thread is meant to end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Returns(u64),
    Panics(u64),
    /// It may never start, for it depends on who spawned it; and if it does it returns.
    MayBeCancelled(u64),
}

/// What a thread panics with whose fate that is.
struct Planned(u64);

type Step = fn(&mut Actor);

struct Actor {
    world: Rc<World>,
    depth: u32,
    children: Vec<(JoinHandle<u64>, Fate)>,
    timers: Vec<(Timer, Rc<Cell<bool>>)>,
}

pub(super) fn spawn(world: &Rc<World>, depth: u32) -> (JoinHandle<u64>, Fate) {
    let id = world.new_id();
    // Whom an abort takes its joiner, of that one a panic would be told on standard error.
    let may_panic = world.plan.disturbance == Disturbance::None;
    let panics = may_panic && world.below(4) == 0;
    let fate = if panics { Fate::Panics(id) } else { Fate::Returns(id) };
    (greenroom::spawn(life(world, depth, fate)), fate)
}

/// The life of one thread, as a closure.
fn life(world: &Rc<World>, depth: u32, fate: Fate) -> impl FnOnce() -> u64 + 'static {
    let world = Rc::clone(world);
    move || {
        let (children, timers) = (Vec::new(), Vec::new());
        let mut actor = Actor { world, depth, children, timers };
        for _ in 0..actor.world.below(STEPS_MAX) {
            actor.step();
        }
        actor.end();
        match fate {
            Fate::Returns(id) | Fate::MayBeCancelled(id) => id,
            Fate::Panics(id) => resume_unwind(Box::new(Planned(id))),
        }
    }
}

/// Checks that a thread ended as it was meant to.
pub(super) fn check(world: &World, outcome: Result<u64, JoinError>, fate: Fate) {
    let as_meant = match (&outcome, fate) {
        (Ok(got), Fate::Returns(id) | Fate::MayBeCancelled(id)) => *got == id,
        (Err(error), Fate::MayBeCancelled(_)) if error.is_cancelled() => true,
        (Err(error), _) if error.is_killed() || error.is_cancelled() => world.was_aborted(),
        (Err(error), Fate::Panics(_)) => error.is_panic(),
        _ => false,
    };
    world.expect(as_meant, || format!("{fate:?}, and came to {outcome:?}"));
    if let (Err(error), Fate::Panics(id)) = (outcome, fate)
        && let Ok(payload) = error.into_panic()
    {
        let planned = payload.downcast_ref::<Planned>().map(|planned| planned.0);
        world.expect(planned == Some(id), || format!("{fate:?}, and panicked otherwise"));
    }
}

impl Actor {
    fn step(&mut self) {
        let steps: [(&'static str, Step); 14] = [
            ("yield", |_| yield_now()),
            ("sleep", Actor::sleep),
            ("spawn", Actor::spawn),
            ("spawn later", Actor::spawn_later),
            ("join", Actor::join),
            ("join for a while", Actor::join_for_a_while),
            ("arm", Actor::arm),
            ("cancel", Actor::cancel),
            ("send", Actor::send),
            ("send", Actor::send),
            ("receive", Actor::receive),
            ("listen", Actor::listen),
            ("reopen", Actor::reopen),
            ("offload or abort", Actor::offload_or_abort),
        ];
        let (name, step) = steps[self.world.below(steps.len())];
        self.world.tell(name);
        step(self);
    }

    fn sleep(&mut self) {
        let (begin, time) = (Instant::now(), self.world.moment());
        if self.world.below(2) == 0 {
            sleep(time);
        } else {
            sleep_until(begin + time);
        }
        self.world.expect_took("a sleep", begin, time);
    }

    fn spawn(&mut self) {
        if self.depth < DEPTH_MAX && !self.world.is_closed() {
            self.children.push(spawn(&self.world, self.depth + 1));
        }
    }

    fn spawn_later(&mut self) {
        if self.depth == DEPTH_MAX || self.world.is_closed() {
            return;
        }
        let (begin, delay, id) = (Instant::now(), self.world.moment(), self.world.new_id());
        let (local, world) = (self.world.below(2) == 0, Rc::clone(&self.world));
        let fate = if local { Fate::MayBeCancelled(id) } else { Fate::Returns(id) };
        let life = life(&self.world, self.depth + 1, fate);
        let late = move || {
            world.expect_took("a delayed start", begin, delay);
            drop(world);
            life()
        };
        let handle = if local { spawn_after_local(delay, late) } else { spawn_after(delay, late) };
        self.children.push((handle, fate));
    }

    fn join(&mut self) {
        if let Some((handle, fate)) = self.take_child() {
            check(&self.world, handle.join(), fate);
        }
    }

    fn join_for_a_while(&mut self) {
        let Some((handle, fate)) = self.take_child() else { return };
        let (begin, time) = (Instant::now(), self.world.moment());
        match handle.join_timeout(time) {
            Ok(outcome) => check(&self.world, outcome, fate),
            Err(handle) => {
                self.world.expect_took("a join in vain", begin, time);
                self.children.push((handle, fate));
            }
        }
    }

    fn take_child(&mut self) -> Option<(JoinHandle<u64>, Fate)> {
        let count = self.children.len();
        (count > 0).then(|| self.children.swap_remove(self.world.below(count)))
    }

    fn arm(&mut self) {
        let delay = self.world.moment();
        let cancelled = Rc::new(Cell::new(false));
        let shot = Shot::load(&self.world, delay, &cancelled);
        let fire = move || shot.fire();
        let timer = if self.world.below(2) == 0 {
            hub::call_after_local(delay, fire)
        } else {
            hub::call_after_global(delay, fire)
        };
        self.timers.push((timer, cancelled));
    }

    fn cancel(&mut self) {
        let Some((timer, cancelled)) = self.timers.pop() else { return };
        let was_pending = timer.is_pending();
        cancelled.set(true);
        let kept = timer.cancel();
        self.world.expect(kept == was_pending, || "pending, and not to be cancelled".into());
        self.world.expect(!timer.cancel(), || "a timer was cancelled twice".into());
        if kept {
            count(&self.world.timers.cancelled);
        }
    }

    fn send(&mut self) {
        let wire = &self.world.wires[self.world.below(self.world.wires.len())];
        wire.send(1 + self.world.below(200));
    }

    fn receive(&mut self) {
        if self.world.is_closed() {
            return;
        }
        let wire = &self.world.wires[self.world.below(self.world.wires.len())];
        let (begin, generation) = (Instant::now(), wire.generation());
        let time = (self.world.below(2) == 0).then(|| self.world.moment());
        let waits = wire.wait();
        let outcome = trampoline(wire.number(), Interest::Read, time.map(|time| begin + time));
        drop(waits);
        match outcome {
            Ok(()) => {
                let same = generation == wire.generation();
                self.world.expect(same, || "a wait for one file ended with another".into());
                wire.receive(1 + self.world.below(200));
            }
            Err(error) if is_closed(&error) => wire.hear(),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                let time = time.expect("without a deadline nothing times out");
                self.world.expect_took("a wait in vain", begin, time);
            }
            Err(error) => {
                let busy = error.kind() == std::io::ErrorKind::ResourceBusy;
                self.world.expect(busy, || error.to_string());
            }
        }
    }

    fn listen(&mut self) {
        if self.world.is_closed() {
            return;
        }
        let index = self.world.below(self.world.wires.len());
        let wire = &self.world.wires[index];
        let (world, generation) = (Rc::clone(&self.world), wire.generation());
        let drain = move |_fd| {
            let wire = &world.wires[index];
            let same = wire.generation() == generation;
            world.expect(same, || "a listener was called for another file".into());
            while wire.receive(64) > 0 {}
        };
        match hub::add(wire.number(), Interest::Read, drain) {
            Err(error) => {
                let busy = error.to_string().contains("already does");
                self.world.expect(busy, || error.to_string());
            }
            Ok(listener) => {
                self.world.keep_listener(listener.clone());
                sleep(self.world.moment());
                let reopened = wire.generation() != generation || self.world.is_closed();
                let removed = listener.remove();
                self.world.expect(removed || reopened, || "a listener was gone already".into());
                if reopened && !removed {
                    wire.hear();
                }
            }
        }
    }

    fn reopen(&mut self) {
        if self.world.below(3) == 0 && !self.world.is_closed() {
            self.world.wires[self.world.below(self.world.wires.len())].reopen();
        }
    }

    fn offload_or_abort(&mut self) {
        let aborts = self.world.plan.disturbance == Disturbance::AbortedByAThread;
        if self.world.plan.offloads {
            let id = self.world.new_id();
            self.world.expect(offload(move || id) == id, || "work was mixed up".into());
        } else if aborts && self.world.below(30) == 0 {
            self.world.note_abort();
            hub::abort();
        }
    }

    /// Leaves nobody behind whose panic nobody would hear.
    fn end(&mut self) {
        while let Some((handle, fate)) = self.take_child() {
            if matches!(fate, Fate::Panics(_)) || self.world.below(2) == 0 {
                check(&self.world, handle.join(), fate);
            }
        }
    }
}

/// A timer's function.
struct Shot {
    world: Rc<World>,
    armed: Instant,
    delay: Duration,
    cancelled: Rc<Cell<bool>>,
}

impl Shot {
    fn load(world: &Rc<World>, delay: Duration, cancelled: &Rc<Cell<bool>>) -> Shot {
        count(&world.timers.armed);
        let (world, cancelled) = (Rc::clone(world), Rc::clone(cancelled));
        Shot { world, armed: Instant::now(), delay, cancelled }
    }

    fn fire(self) {
        count(&self.world.timers.fired);
        self.world.tell("fire");
        self.world.expect_took("a timer", self.armed, self.delay);
        self.world.expect(!self.cancelled.get(), || "a cancelled timer fired".into());
    }
}

impl Drop for Shot {
    fn drop(&mut self) {
        count(&self.world.timers.dropped);
    }
}
