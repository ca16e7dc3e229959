//! The report of a deadlock, and waits that other OS threads may end.

use std::{sync::Arc, thread, time::Duration};

use greenroom::{
    hub, sleep, spawn,
    sync::shared::{Semaphore, channel},
    testing::{run, wait_all_parked},
};

use crate::scenes::panic_of;

#[test]
fn a_root_is_not_told_of_one_while_another_os_thread_may_wake_somebody() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let (go, gone) = std::sync::mpsc::channel();
        let other = thread::spawn(move || {
            gone.recv().unwrap();
            sender.send(7).unwrap();
        });
        let waiter = spawn(move || receiver.recv());
        wait_all_parked();
        let sends = spawn(move || go.send(()).unwrap());
        assert_eq!(waiter.join().unwrap(), Ok(7));
        sends.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn it_is_told_when_such_waits_are_over_although_what_was_waited_for_is_still_there() {
    run(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let theirs = Arc::clone(&semaphore);
        let killed = spawn(move || drop(theirs.acquire()));
        wait_all_parked();
        killed.thread().kill();
        assert!(killed.join().unwrap_err().is_killed());
        let theirs = Arc::clone(&semaphore);
        let called = spawn(move || theirs.acquire().forget());
        wait_all_parked();
        thread::scope(|scope| {
            scope.spawn(|| semaphore.release());
        });
        called.join().unwrap();
        assert_eq!(hub::stats().expected, 0);
        let report = panic_of(|| sleep(Duration::MAX));
        assert!(report.starts_with("deadlock: the root sleeps"), "{report}");
        // And the hub works on.
        semaphore.release();
        semaphore.acquire().forget();
    });
}
