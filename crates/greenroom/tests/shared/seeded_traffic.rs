//! Green threads of several hubs send, receive, lock and acquire at random, some with limits of
//! time, some are killed: no item, permit or lock is lost or had twice.
//!
//! Time is virtual on each hub, and a thread there lets it pass as fast as it can: so limits are over
//! at any point of what the other hubs do.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc, PoisonError, TryLockError,
        atomic::{AtomicIsize, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use greenroom::{
    JoinHandle, sleep, spawn,
    sync::shared::{
        Mutex, Semaphore,
        channel::{self, Receiver, RecvTimeoutError, Sender},
    },
    testing::{advance, run},
    with_timeout, yield_now,
};

use crate::{dice::Dice, seeds::with_seeds};

const HUBS: u64 = 3;
const THREADS: u64 = 6;
const STEPS: u64 = 25;
const PERMITS: usize = 2;

/// So much time passes on a hub before all its threads are parked once more.
const TICK: Duration = Duration::from_micros(100);

/// A limit of time that is mostly over while there is something to wait for.
fn moment(dice: &Dice) -> Duration {
    Duration::from_micros(dice.below(200) as u64)
}

/// Counts the items that are alive.
struct Item(Arc<World>);

impl Item {
    fn new(world: &Arc<World>) -> Item {
        world.items_alive.fetch_add(1, Ordering::Relaxed);
        world.items_made.fetch_add(1, Ordering::Relaxed);
        Item(Arc::clone(world))
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let before = self.0.items_alive.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "an item was dropped twice");
    }
}

#[derive(Default)]
struct World {
    items_alive: AtomicIsize,
    items_made: AtomicUsize,
    items_received: AtomicUsize,
    /// Sent for all the sender knows.
    items_sent: AtomicUsize,
    /// Whose sender was thrown out of its wait, so that nobody knows.
    items_unknown: AtomicUsize,
    inside: AtomicUsize,
    locked: AtomicUsize,
}

/// What all threads share.
struct Shared {
    world: Arc<World>,
    permits: Semaphore,
    lock: Mutex<u64>,
    locks: AtomicUsize,
}

/// In while it lives. No two are in at once, nor more than so many.
struct In<'a>(&'a AtomicUsize);

impl<'a> In<'a> {
    fn enter(count: &'a AtomicUsize, most: usize) -> In<'a> {
        assert!(count.fetch_add(1, Ordering::SeqCst) < most, "too many are in");
        In(count)
    }
}

impl Drop for In<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts an item as unknown unless it is told what became of it.
struct Sending<'a>(&'a World, bool);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.items_unknown.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn send(dice: &Dice, shared: &Shared, sender: &Sender<Item>) {
    let mut sending = Sending(&shared.world, false);
    let item = Item::new(&shared.world);
    let sent = match dice.below(4) {
        0 => sender.try_send(item).is_ok(),
        1 => {
            let moment = moment(dice);
            sender.send_timeout(item, moment).is_ok()
        }
        // For not much longer than a moment: if nobody receives any more, nobody ever will.
        2 => with_timeout(moment(dice), || sender.send(item).is_ok()).unwrap_or_else(|_| {
            shared.world.items_unknown.fetch_add(1, Ordering::Relaxed);
            false
        }),
        _ => sender.send_timeout(item, Duration::from_millis(5)).is_ok(),
    };
    sending.1 = true;
    shared.world.items_sent.fetch_add(usize::from(sent), Ordering::Relaxed);
}

fn receive(dice: &Dice, shared: &Shared, receiver: &Receiver<Item>) {
    let moment = moment(dice);
    let item = match dice.below(3) {
        0 => receiver.try_recv().ok(),
        1 => receiver.recv_timeout(moment).ok(),
        _ => with_timeout(moment, || receiver.recv()).ok().and_then(Result::ok),
    };
    shared.world.items_received.fetch_add(usize::from(item.is_some()), Ordering::Relaxed);
}

fn acquire(dice: &Dice, shared: &Shared) {
    let (world, many) = (&shared.world, 1 + dice.below(2));
    let moment = moment(dice);
    let permit = match dice.below(3) {
        0 => shared.permits.try_acquire_many(many),
        1 => shared.permits.acquire_many_timeout(many, moment).ok(),
        _ => Some(shared.permits.acquire_many(many)),
    };
    if permit.is_some() {
        let _inside: Vec<_> = (0..many).map(|_| In::enter(&world.inside, PERMITS)).collect();
        rest(dice);
    }
}

fn lock(dice: &Dice, shared: &Shared) {
    let moment = moment(dice);
    let guard = match dice.below(3) {
        0 => match shared.lock.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Ok(guard) => Some(guard),
        },
        1 => shared
            .lock
            .lock_timeout(moment)
            .ok()
            .map(|had| had.unwrap_or_else(PoisonError::into_inner)),
        _ => Some(shared.lock.lock().unwrap_or_else(PoisonError::into_inner)),
    };
    if let Some(mut guard) = guard {
        let _locked = In::enter(&shared.world.locked, 1);
        let before = *guard;
        *guard += 1;
        shared.locks.fetch_add(1, Ordering::Relaxed);
        rest(dice);
        assert_eq!(*guard, before + 1, "somebody else had the lock");
    }
}

fn rest(dice: &Dice) {
    match dice.below(4) {
        0 => sleep(moment(dice)),
        1 => yield_now(),
        _ => {}
    }
}

fn live(dice: &Dice, shared: &Shared, sender: &Sender<Item>, receiver: &Receiver<Item>) {
    for _ in 0..STEPS {
        match dice.below(8) {
            0..3 => send(dice, shared, sender),
            3..6 => receive(dice, shared, receiver),
            6 => acquire(dice, shared),
            _ => lock(dice, shared),
        }
    }
}

/// Calls `f` on a fresh hub where time passes until it returns.
fn as_time_passes(f: impl FnOnce() + Send) {
    run(|| {
        let is_over = Rc::new(Cell::new(false));
        let theirs = Rc::clone(&is_over);
        let clock = spawn(move || {
            while !theirs.get() {
                advance(TICK);
                thread::yield_now();
            }
        });
        f();
        is_over.set(true);
        clock.join().unwrap();
    });
}

/// Has threads live on this hub, and kills some of them.
fn hub(seed: u64, shared: &Arc<Shared>, sender: &Sender<Item>, receiver: &Receiver<Item>) {
    let dice = Dice::from_seed(seed);
    let threads: Vec<JoinHandle<()>> = (0..THREADS)
        .map(|n| {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            let shared = Arc::clone(shared);
            let dice = Dice::from_seed(seed * 1000 + n);
            spawn(move || live(&dice, &shared, &sender, &receiver))
        })
        .collect();
    let doomed: Vec<bool> = threads.iter().map(|_| dice.below(3) == 0).collect();
    sleep(moment(&dice));
    for (thread, doomed) in threads.into_iter().zip(doomed) {
        if doomed {
            thread.thread().kill();
            sleep(moment(&dice));
        }
        match thread.join() {
            Ok(()) => {}
            Err(error) => assert!(doomed && error.is_killed(), "{error}"),
        }
    }
    assert_eq!(greenroom::hub::stats().expected, 0);
}

#[test]
fn seeded_traffic_between_hubs_is_accounted_for() {
    with_seeds(25, |seed| {
        let dice = Dice::from_seed(seed);
        let world = Arc::new(World::default());
        let shared = Arc::new(Shared {
            world: Arc::clone(&world),
            permits: Semaphore::new(PERMITS),
            lock: Mutex::new(0),
            locks: AtomicUsize::new(0),
        });
        let (sender, receiver) = match dice.below(4) {
            3 => channel::unbounded(),
            capacity => channel::bounded(capacity),
        };
        thread::scope(|scope| {
            for n in 0..HUBS {
                let (shared, sender, receiver) = (&shared, sender.clone(), receiver.clone());
                let seed = seed * HUBS + n + 1;
                scope.spawn(move || as_time_passes(|| hub(seed, shared, &sender, &receiver)));
            }
            // And the root of a hub without other green threads.
            let (shared, sender, receiver) = (&shared, sender.clone(), receiver.clone());
            let alone = move || live(&Dice::from_seed(seed + 77), shared, &sender, &receiver);
            scope.spawn(move || as_time_passes(alone));
        });
        drop(sender);
        let rest = receiver.try_iter().count();
        assert_eq!(
            receiver.recv_timeout(Duration::ZERO).err(),
            Some(RecvTimeoutError::Disconnected)
        );
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let arrived = count(&world.items_received) + rest;
        let (sent, unknown) = (count(&world.items_sent), count(&world.items_unknown));
        assert!(
            (sent..=sent + unknown).contains(&arrived),
            "{arrived} arrived, {sent} were sent, and of {unknown} nobody knows"
        );
        assert!(arrived <= count(&world.items_made));
        assert_eq!(world.items_alive.load(Ordering::Relaxed), 0);
        assert_eq!((shared.permits.available(), shared.permits.waiting()), (PERMITS, 0));
        let locks = shared.lock.try_lock().map_or_else(
            |error| match error {
                TryLockError::Poisoned(error) => *error.into_inner(),
                TryLockError::WouldBlock => panic!("somebody has it still"),
            },
            |guard| *guard,
        );
        assert_eq!(locks, count(&shared.locks) as u64);
    });
}
