//! What OS threads share: without a hub, and in a forked child.

use std::{cell::Cell, panic::catch_unwind, sync::Arc};

use greenroom::{
    JoinHandle, spawn,
    sync::{
        Select,
        shared::{Event, Mutex, Semaphore, channel},
    },
    testing::wait_all_parked,
};

use crate::{
    case::{Case, PLAIN},
    kernel::{assert_ended_well, fork},
};

/// A thread that waits for a permit.
fn acquires(semaphore: &Arc<Semaphore>) -> JoinHandle<()> {
    let semaphore = Arc::clone(semaphore);
    spawn(move || semaphore.acquire().forget())
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "shared::what_does_not_wait_makes_no_hub",
        play: || {
            let (sender, receiver) = channel::unbounded();
            sender.clone().send(1).unwrap();
            assert_eq!((receiver.recv(), receiver.clone().try_recv().is_err()), (Ok(1), true));
            let (bounded, taken) = channel::bounded(1);
            bounded.send(1).unwrap();
            assert!(bounded.try_send(2).is_err());
            drop((bounded, taken));
            let semaphore = Semaphore::new(1);
            drop(semaphore.acquire());
            semaphore.release();
            assert!(semaphore.try_acquire_many(3).is_none());
            let event = Event::new();
            event.send(1).unwrap();
            assert_eq!(event.wait(), 1);
            let mutex = Mutex::new(1);
            assert!(mutex.lock().is_ok_and(|_| mutex.try_lock().is_err()));
            // A wait does, and here none can be made.
            let wait = catch_unwind(move || receiver.recv()).unwrap_err();
            let said = wait.downcast_ref::<String>().unwrap();
            assert!(said.starts_with("no hub could be made"), "{said}");
        },
        env: &[("GREENROOM_HUB", "kqueue")],
        ..PLAIN
    },
    Case {
        name: "shared::a_select_that_began_before_a_fork_is_lost_in_the_child_alone",
        play: || {
            let (sender, receiver) = channel::unbounded();
            let selects = spawn(move || {
                let stop = greenroom::sync::Event::<()>::new();
                let select = Select::new().recv_shared(&receiver, Result::ok);
                select.event(&stop, |()| None).wait()
            });
            let selects = Cell::new(Some(selects));
            wait_all_parked();
            let child = fork(|| {
                let error = selects.take().unwrap().join().unwrap_err();
                let said = error.into_panic().unwrap().downcast::<String>().unwrap();
                assert!(said.contains("several things is lost: the process forked"), "{said}");
            });
            assert_ended_well(child);
            sender.send(1).unwrap();
            assert_eq!(selects.take().unwrap().join().unwrap(), Some(1));
        },
        ..PLAIN
    },
    Case {
        name: "shared::a_wait_that_began_before_a_fork_is_lost_in_the_child_alone",
        play: || {
            let semaphore = Arc::new(Semaphore::new(0));
            let waiter = Cell::new(Some(acquires(&semaphore)));
            wait_all_parked();
            let child = fork(|| {
                let error = waiter.take().unwrap().join().unwrap_err();
                let said = error.into_panic().unwrap().downcast::<String>().unwrap();
                assert!(said.contains("a permit is lost: the process forked"), "{said}");
                assert_eq!(semaphore.waiting(), 0);
                // The next one waits with those there are.
                let next = acquires(&semaphore);
                wait_all_parked();
                semaphore.release();
                next.join().unwrap();
            });
            assert_ended_well(child);
            semaphore.release();
            waiter.take().unwrap().join().unwrap();
        },
        ..PLAIN
    },
    Case {
        name: "shared::what_was_given_before_a_fork_is_given_on_in_the_child",
        play: || {
            let semaphore = Arc::new(Semaphore::new(0));
            let waiter = Cell::new(Some(acquires(&semaphore)));
            wait_all_parked();
            // By another OS thread, so that the letter lies in the parent's mailbox.
            let theirs = Arc::clone(&semaphore);
            std::thread::spawn(move || theirs.release()).join().unwrap();
            let child = fork(|| {
                assert!(waiter.take().unwrap().join().is_err());
                assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
            });
            assert_ended_well(child);
            waiter.take().unwrap().join().unwrap();
            assert_eq!(semaphore.available(), 0);
        },
        ..PLAIN
    },
];
