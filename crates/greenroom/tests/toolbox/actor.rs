//! One green thread that does one thing after the other, drawn by lot, each in a bounded time.
//!
//! Knows the world; nobody else.

use std::{cell::Cell, rc::Rc, sync::PoisonError, time::Duration};

use greenroom::{scope, sleep, sync::Select, with_timeout, yield_now};

use crate::{
    dice::Dice,
    world::{Channel, Item, MEMBERS, PERMITS, THINGS, World},
};

pub(crate) struct Actor {
    world: Rc<World>,
    dice: Dice,
}

/// Everything an actor can do.
const DEEDS: &[fn(&mut Actor)] = &[
    Actor::lock,
    Actor::wait_for_a_turn,
    Actor::read,
    Actor::write,
    Actor::acquire,
    Actor::acquire_many,
    Actor::acquire_capped,
    Actor::release_capped,
    Actor::send_event,
    Actor::hear_event,
    Actor::init_once,
    Actor::send,
    Actor::receive,
    Actor::select,
    Actor::put,
    Actor::get,
    Actor::get_first,
    Actor::borrow_a_thing,
    Actor::work_in_the_pool,
    Actor::open_a_scope,
];

impl Actor {
    pub(crate) fn new(world: &Rc<World>, dice: Dice) -> Actor {
        Actor { world: Rc::clone(world), dice }
    }

    pub(crate) fn live(&mut self, deeds: u64) {
        for _ in 0..deeds {
            let deed = DEEDS[self.dice.below(DEEDS.len())];
            if self.dice.below(3) == 0 {
                let limit = self.time();
                // Whether it was in time is all the same: the world must be in order after it.
                let _ = with_timeout(limit, || deed(self));
            } else {
                deed(self);
            }
            if self.dice.below(4) == 0 {
                yield_now();
            }
        }
    }

    /// Up to ten milliseconds, often none.
    fn time(&self) -> Duration {
        self.dice.ms_below(20).saturating_sub(Duration::from_millis(9))
    }

    fn nap(&mut self) {
        match self.dice.below(3) {
            0 => {}
            1 => yield_now(),
            _ => sleep(self.time()),
        }
    }

    fn lock(&mut self) {
        let world = Rc::clone(&self.world);
        // Who is killed while it holds the lock poisons it, which is no harm here.
        let mut number = world.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        let _inside = world.in_mutex.enter(1);
        *number += 1;
        self.nap();
        world.turned.notify_one();
    }

    fn wait_for_a_turn(&mut self) {
        let world = Rc::clone(&self.world);
        let guard = world.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.time();
        let waited = world.turned.wait_timeout(guard, limit);
        let (_guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let _inside = world.in_mutex.enter(1);
        self.nap();
    }

    fn read(&mut self) {
        let world = Rc::clone(&self.world);
        let _guard = world.rwlock.read().unwrap_or_else(PoisonError::into_inner);
        let _inside = world.reading.enter(usize::MAX);
        assert_eq!(world.writing.count(), 0, "somebody writes");
        self.nap();
        assert_eq!(world.writing.count(), 0, "somebody writes");
    }

    fn write(&mut self) {
        let world = Rc::clone(&self.world);
        let mut number = world.rwlock.write().unwrap_or_else(PoisonError::into_inner);
        let _inside = world.writing.enter(1);
        assert_eq!(world.reading.count(), 0, "somebody reads");
        *number += 1;
        self.nap();
        assert_eq!(world.reading.count(), 0, "somebody reads");
    }

    fn acquire(&mut self) {
        let world = Rc::clone(&self.world);
        let limit = self.time();
        let permit = if self.dice.below(2) == 0 {
            world.semaphore.acquire_timeout(limit).ok()
        } else {
            Some(world.semaphore.acquire())
        };
        if let Some(_permit) = permit {
            let _inside = world.in_semaphore.enter(PERMITS);
            self.nap();
        }
    }

    fn acquire_many(&mut self) {
        let world = Rc::clone(&self.world);
        let _permits = world.semaphore.acquire_many(PERMITS);
        let _inside = world.in_semaphore.enter(1);
        self.nap();
    }

    fn acquire_capped(&mut self) {
        let taken = &self.world.capped_taken;
        if self.world.capped.acquire_timeout(self.time()).is_ok() {
            taken.set(taken.get() + 1);
        }
    }

    fn release_capped(&mut self) {
        let taken = &self.world.capped_taken;
        if self.world.capped.release_timeout(self.time()).is_ok() {
            taken.set(taken.get() - 1);
        }
    }

    fn send_event(&mut self) {
        if self.world.event.send(7).is_err() {
            self.world.event.reset();
        }
    }

    fn hear_event(&mut self) {
        if let Ok(value) = self.world.event.wait_timeout(self.time()) {
            assert_eq!(value, 7);
        }
    }

    fn init_once(&mut self) {
        let world = Rc::clone(&self.world);
        let value = world.once.get_or_init(|| {
            self.nap();
            world.inits.set(world.inits.get() + 1);
            3
        });
        assert_eq!(*value, 3);
    }

    fn channel(&mut self) -> usize {
        self.dice.below(self.world.channels.len())
    }

    fn send(&mut self) {
        let world = Rc::clone(&self.world);
        let Channel { sender, .. } = &world.channels[self.channel()];
        let (item, limit) = (world.ledger.item(), self.time());
        match self.dice.below(2) {
            0 => drop(sender.try_send(item)),
            _ => drop(sender.send_timeout(item, limit)),
        }
    }

    fn receive(&mut self) {
        let world = Rc::clone(&self.world);
        let Channel { receiver, .. } = &world.channels[self.channel()];
        let limit = self.time();
        match self.dice.below(3) {
            0 => drop(receiver.try_recv()),
            _ => drop(receiver.recv_timeout(limit)),
        }
    }

    fn select(&mut self) {
        let world = Rc::clone(&self.world);
        let (from, to) = (self.channel(), self.channel());
        let (mut item, limit) = (Some(world.ledger.item()), self.time());
        let received: Result<Option<Item>, _> = Select::new()
            .recv(&world.channels[from].receiver, Result::ok)
            .send(&world.channels[to].sender, &mut item, |_| None)
            .event(&world.event, |&value| {
                assert_eq!(value, 7);
                None
            })
            .wait_timeout(limit);
        drop(received);
    }

    fn put(&mut self) {
        let (item, limit) = (self.world.ledger.item(), self.time());
        let queue = &self.world.queue;
        match self.dice.below(3) {
            0 => drop(queue.try_put(item)),
            1 => self.world.sorted.put(item),
            _ => drop(queue.put_timeout(item, limit)),
        }
    }

    fn get(&mut self) {
        let world = Rc::clone(&self.world);
        let limit = self.time();
        if let Ok(item) = world.queue.get_timeout(limit) {
            let done = Done(|| world.queue.task_done().unwrap());
            self.nap();
            drop((done, item));
        }
    }

    fn get_first(&mut self) {
        let world = Rc::clone(&self.world);
        let limit = self.time();
        if let Ok(item) = world.sorted.get_timeout(limit) {
            let done = Done(|| world.sorted.task_done().unwrap());
            if let Ok(next) = world.sorted.try_get() {
                assert!(item.number < next.number, "the first of all came second");
                let _done = Done(|| world.sorted.task_done().unwrap());
            }
            self.nap();
            drop((done, item));
        }
    }

    fn borrow_a_thing(&mut self) {
        let world = Rc::clone(&self.world);
        let limit = self.time();
        let thing = match self.dice.below(2) {
            0 => world.things.get().ok(),
            _ => world.things.get_timeout(limit).ok(),
        };
        let Some(thing) = thing else { return };
        let _inside = world.lent.enter(THINGS);
        self.nap();
        if self.dice.below(5) == 0 {
            greenroom::pool::Item::discard(thing);
        }
    }

    fn work_in_the_pool(&mut self) {
        let world = Rc::clone(&self.world);
        let (inner, time) = (Rc::clone(&world), self.time());
        let member = world.workers.spawn(move || {
            let _inside = inner.working.enter(MEMBERS);
            sleep(time);
        });
        match self.dice.below(3) {
            0 => drop(member.join()),
            1 => drop(member.kill()),
            _ => drop(member),
        }
    }

    fn open_a_scope(&mut self) {
        let world = Rc::clone(&self.world);
        let borrowed = Cell::new(0);
        scope(|s| {
            for _ in 0..self.dice.below(3) {
                let mut actor = Actor::new(&world, self.dice.split());
                let borrowed = &borrowed;
                s.spawn(move || {
                    actor.live(2);
                    borrowed.set(borrowed.get() + 1);
                });
            }
            self.nap();
        });
    }
}

/// Something that is done in any case, also if its thread is thrown out of a wait.
struct Done<F: Fn()>(F);

impl<F: Fn()> Drop for Done<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
