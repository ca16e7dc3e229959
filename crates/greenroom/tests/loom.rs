//! Every interleaving of those who wait for what OS threads share, and of those who call them.
//!
//! Compiles the rules of semaphores, mutexes, events, channels and closings themselves against loom's lock
//! and a modelled wait. Knows nothing of hubs: a wait ends when its bell is rung, when its time is
//! over, which is at any moment, or when its waiter is killed, which is too.

#![cfg(loom)]
#![allow(missing_docs)]
#![allow(unreachable_pub, dead_code, reason = "the models need a part of the rules")]

use loom::{sync::Arc, thread};

mod lock {
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

mod sync {
    pub(crate) use loom::sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    };

    pub(crate) mod channel {
        pub(crate) use crate::error::{TryRecvError, TrySendError};
    }
}

#[path = "../../greenroom-hub/tests/loom/bell.rs"]
mod poller;

#[path = "loom/closings.rs"]
mod closings;
#[path = "../../greenroom-hub/src/mailbox.rs"]
mod mailbox;

#[path = "../src/sync/channel/error.rs"]
mod error;
#[path = "../src/sync/shared/gate.rs"]
mod gate;
#[path = "../src/sync/shared/guarded.rs"]
mod guarded;
#[path = "../src/sync/shared/handover.rs"]
mod handover;
#[path = "../src/sync/shared/hold.rs"]
mod hold;
#[path = "../src/sync/shared/permits.rs"]
mod permits;
#[path = "../src/sync/shared/wait_queue.rs"]
mod wait_queue;

use gate::{Gate, Passage};
use guarded::{Bell, Guarded, Shared, Waiting, Wish};
use handover::{Handover, Put, Take};
use hold::{Claim, Hold};
use lock::Mutex;
use permits::{Permits, Wanted};
use sync::channel::{TryRecvError, TrySendError};

/// A waiter that is parked or about to be; nobody, if it does not care any more.
#[derive(Clone)]
struct Door(Option<thread::Thread>);

impl Bell for Door {
    fn ring(self) {
        if let Some(thread) = self.0 {
            thread.unpark();
        }
    }

    fn ring_ahead(self) {
        self.ring();
    }
}

type Shelf<S> = Arc<Guarded<S>>;

fn share<S>(state: S) -> Shelf<S> {
    Arc::new(Guarded { lock: Mutex::new(state) })
}

/// Waits until the bell rings. If it never does, loom finds a deadlock.
fn wait<S: Shared<Bell = Door>, W: Wish<S>>(shelf: &Guarded<S>, wish: W) -> W::Outcome {
    let mut waiting = Waiting::new(shelf, wish);
    waiting.enter(Door(Some(thread::current())));
    thread::park();
    waiting.end()
}

/// Waits until the time is over, which is when loom likes it to be.
fn wait_late<S: Shared<Bell = Door>, W: Wish<S>>(shelf: &Guarded<S>, wish: W) -> W::Outcome {
    let mut waiting = Waiting::new(shelf, wish);
    waiting.enter(Door(None));
    waiting.end()
}

/// Is killed while it waits, or when it has just been called.
fn wait_killed<S: Shared<Bell = Door>, W: Wish<S>>(shelf: &Guarded<S>, wish: W) {
    let mut waiting = Waiting::new(shelf, wish);
    waiting.enter(Door(None));
    drop(waiting);
}

/// Every interleaving with at most so many preemptions, for models that have too many of them.
fn model_bounded(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// Runs `f` on another OS thread of the model.
fn aside<S, R: 'static>(
    shelf: &Shelf<S>,
    f: impl FnOnce(&Guarded<S>) -> R + 'static,
) -> thread::JoinHandle<R>
where
    S: 'static,
{
    let shelf = Arc::clone(shelf);
    thread::spawn(move || f(&shelf))
}

type Semaphore = Guarded<Permits<Door>>;

fn add(semaphore: &Semaphore, count: usize) {
    assert!(semaphore.change(|permits, calls| permits.add(count, calls)));
}

#[test]
fn a_permit_is_had_or_is_still_there_if_time_is_over_as_it_is_released() {
    loom::model(|| {
        let semaphore = share(Permits::new(0));
        let late = aside(&semaphore, |semaphore| wait_late(semaphore, Wanted(1)));
        add(&semaphore, 1);
        let had = usize::from(late.join().unwrap());
        semaphore.look(|permits| {
            assert_eq!(permits.available() + had, 1);
            assert_eq!(permits.waiting(), 0);
        });
    });
}

#[test]
fn a_permit_of_one_who_is_killed_as_it_is_handed_over_goes_to_the_next() {
    loom::model(|| {
        let semaphore = share(Permits::new(0));
        let killed = aside(&semaphore, |semaphore| wait_killed(semaphore, Wanted(1)));
        let next = aside(&semaphore, |semaphore| wait(semaphore, Wanted(1)));
        add(&semaphore, 1);
        killed.join().unwrap();
        assert!(next.join().unwrap());
        assert_eq!(semaphore.look(Permits::available), 0);
    });
}

#[test]
fn two_who_release_wake_two_who_wait() {
    model_bounded(|| {
        let semaphore = share(Permits::new(0));
        let waiters = [(); 2].map(|()| aside(&semaphore, |semaphore| wait(semaphore, Wanted(1))));
        let releases = aside(&semaphore, |semaphore| add(semaphore, 1));
        add(&semaphore, 1);
        releases.join().unwrap();
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
        assert_eq!(semaphore.look(Permits::available), 0);
    });
}

#[test]
fn who_wants_many_and_is_late_does_not_hold_up_who_wants_few() {
    loom::model(|| {
        let semaphore = share(Permits::new(0));
        let many = aside(&semaphore, |semaphore| wait_late(semaphore, Wanted(2)));
        let few = aside(&semaphore, |semaphore| wait(semaphore, Wanted(1)));
        add(&semaphore, 1);
        assert!(!many.join().unwrap());
        assert!(few.join().unwrap());
    });
}

#[test]
fn nobody_is_overtaken_by_one_who_comes_later_and_does_not_wait() {
    loom::model(|| {
        let semaphore = share(Permits::new(0));
        let first = aside(&semaphore, |semaphore| wait(semaphore, Wanted(2)));
        add(&semaphore, 1);
        let is_waited_for = semaphore.look(|permits| permits.waiting() == 1);
        let snatched = semaphore.change(|permits, _| permits.try_take(1));
        assert!(!(is_waited_for && snatched), "somebody who waits was overtaken");
        add(&semaphore, if snatched { 2 } else { 1 });
        assert!(first.join().unwrap());
    });
}

#[test]
fn one_at_a_time_has_the_lock_and_all_who_wait_have_it_in_the_end() {
    loom::model(|| {
        let mutex = share(Hold::<Door, u8>::new());
        let inside = Arc::new(loom::sync::atomic::AtomicBool::new(false));
        let holders = [1, 2].map(|me| {
            let inside = Arc::clone(&inside);
            aside(&mutex, move |mutex| {
                assert!(wait(mutex, Claim(me)));
                has_it_alone(&inside);
                assert_eq!(mutex.look(Hold::holder), Some(me));
                mutex.change(Hold::hand_on);
            })
        });
        if wait_late(&mutex, Claim(3)) {
            has_it_alone(&inside);
            mutex.change(Hold::hand_on);
        }
        holders.into_iter().for_each(|holder| holder.join().unwrap());
        assert_eq!(mutex.look(Hold::holder), None);
    });
}

fn has_it_alone(inside: &loom::sync::atomic::AtomicBool) {
    use loom::sync::atomic::Ordering::Relaxed;
    assert!(!inside.swap(true, Relaxed), "two have it");
    inside.store(false, Relaxed);
}

#[test]
fn a_lock_handed_to_one_who_is_killed_goes_to_the_next() {
    loom::model(|| {
        let mutex = share(Hold::<Door, u8>::new());
        assert!(mutex.change(|hold, _| hold.try_take(0)));
        let killed = aside(&mutex, |mutex| wait_killed(mutex, Claim(1)));
        let next = aside(&mutex, |mutex| wait(mutex, Claim(2)));
        mutex.change(Hold::hand_on);
        killed.join().unwrap();
        assert!(next.join().unwrap());
        assert_eq!(mutex.look(Hold::holder), Some(2));
    });
}

#[test]
fn an_event_is_heard_by_all_who_come_while_it_is_sent() {
    loom::model(|| {
        let event = share(Gate::new());
        let waiters = [(); 2].map(|()| aside(&event, |event| wait(event, Passage)));
        event.change(Gate::open);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(event.look(Gate::waiting), 0);
    });
}

type Channel = Guarded<Handover<u8, Door>>;

/// So much room each channel is tried with.
const CAPACITIES: [Option<usize>; 3] = [Some(0), Some(1), None];

fn channel(capacity: Option<usize>) -> Shelf<Handover<u8, Door>> {
    share(Handover::new(capacity))
}

fn try_recv(channel: &Channel) -> Result<u8, TryRecvError> {
    channel.change(Handover::try_take)
}

#[test]
fn an_item_is_received_or_still_there_if_time_is_over_as_it_is_sent() {
    for capacity in CAPACITIES {
        loom::model(move || {
            let channel = channel(capacity);
            let late = aside(&channel, |channel| wait_late(channel, Take));
            let sent = channel.change(|handover, calls| handover.try_put(7, calls));
            match (late.join().unwrap(), sent) {
                (Ok(7), Ok(())) => assert_eq!(try_recv(&channel), Err(TryRecvError::Empty)),
                (Err(TryRecvError::Empty), Ok(())) => assert_eq!(try_recv(&channel), Ok(7)),
                (Err(TryRecvError::Empty), Err(TrySendError::Full(7))) => {
                    assert_eq!(capacity, Some(0), "there was room");
                }
                other => panic!("{other:?}"),
            }
        });
    }
}

#[test]
fn an_item_for_a_receiver_that_is_killed_goes_to_the_next() {
    for capacity in CAPACITIES {
        loom::model(move || {
            let channel = channel(capacity);
            let killed = aside(&channel, |channel| wait_killed(channel, Take));
            let next = aside(&channel, |channel| wait(channel, Take));
            assert_eq!(wait(&channel, Put::new(7)), Ok(()));
            killed.join().unwrap();
            assert_eq!(next.join().unwrap(), Ok(7));
        });
    }
}

#[test]
fn two_senders_and_two_receivers_all_meet() {
    for capacity in CAPACITIES {
        model_bounded(move || {
            let channel = channel(capacity);
            let receivers = [(); 2].map(|()| aside(&channel, |channel| wait(channel, Take)));
            let sender = aside(&channel, |channel| wait(channel, Put::new(1)));
            assert_eq!(wait(&channel, Put::new(2)), Ok(()));
            assert_eq!(sender.join().unwrap(), Ok(()));
            let mut items = receivers.map(|receiver| receiver.join().unwrap().unwrap());
            items.sort_unstable();
            assert_eq!(items, [1, 2]);
        });
    }
}

#[test]
fn room_that_is_made_lets_in_whoever_waits_for_it() {
    loom::model(|| {
        let channel = channel(Some(1));
        let senders =
            [1, 2].map(|item| aside(&channel, move |channel| wait(channel, Put::new(item))));
        assert!(wait(&channel, Take).is_ok());
        assert!(senders.into_iter().all(|sender| sender.join().unwrap().is_ok()));
        assert_eq!(channel.look(Handover::len), 1);
    });
}

#[test]
fn an_item_whose_sender_is_late_is_received_or_given_back() {
    loom::model(|| {
        let channel = channel(Some(0));
        let late = aside(&channel, |channel| wait_late(channel, Put::new(1)));
        let received = wait_late(&channel, Take);
        match (late.join().unwrap(), received) {
            (Ok(()), Ok(1)) => {}
            // The receiver was there first and left as the item was given to it.
            (Ok(()), Err(TryRecvError::Empty)) => assert_eq!(try_recv(&channel), Ok(1)),
            (Err(TrySendError::Full(1)), Err(TryRecvError::Empty)) => {
                assert_eq!(try_recv(&channel), Err(TryRecvError::Empty));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn receivers_hear_that_the_last_sender_goes_and_get_what_it_sent_before() {
    for sends in [false, true] {
        loom::model(move || {
            let channel = channel(Some(1));
            let receivers = [(); 2].map(|()| aside(&channel, |channel| wait(channel, Take)));
            if sends {
                assert_eq!(channel.change(|handover, calls| handover.try_put(7, calls)), Ok(()));
            }
            channel.change(Handover::sender_gone);
            let received = receivers.map(|receiver| receiver.join().unwrap());
            let items = received.iter().filter(|outcome| **outcome == Ok(7)).count();
            assert_eq!(items, usize::from(sends));
            for outcome in received {
                assert!(matches!(outcome, Ok(7) | Err(TryRecvError::Disconnected)));
            }
        });
    }
}

#[test]
fn senders_hear_that_the_last_receiver_goes_and_get_their_items_back() {
    loom::model(|| {
        let channel = channel(Some(1));
        let senders =
            [1, 2].map(|item| aside(&channel, move |channel| wait(channel, Put::new(item))));
        let received = try_recv(&channel).ok();
        let dropped = channel.change(Handover::receiver_gone);
        let mut accounted: Vec<u8> = received.into_iter().chain(dropped).collect();
        for (item, sender) in [1, 2].into_iter().zip(senders) {
            match sender.join().unwrap() {
                Ok(()) => assert!(accounted.contains(&item)),
                Err(TrySendError::Disconnected(back)) => accounted.push(back),
                Err(TrySendError::Full(_)) => panic!("its time was not over"),
            }
        }
        accounted.sort_unstable();
        assert_eq!(accounted, [1, 2]);
    });
}
