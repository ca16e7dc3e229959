//! Waits that other OS threads end.
//!
//! Where the hub's sleep in the kernel is what is tested, it is a real one, on the monotonic clock.

use std::{
    os::fd::AsRawFd,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use greenroom_hub::{Backend, Clock, Hub, Interest, Mailbox, Outcome, Wake};
use rustix::thread::gettid;

use crate::{
    fds::pair,
    stage::{Probe, on_every_backend, until_asleep},
};

fn on_the_monotonic_clock(play: impl Fn(&mut Hub<Probe>)) {
    for backend in Backend::ALL {
        eprintln!("on {backend}");
        play(&mut Hub::new(backend, Clock::monotonic()).expect("the kernel has this backend"));
    }
}

/// A hub that misses a call hears it all the same when its longest sleep, a minute, is over.
const SLEPT_THROUGH: Duration = Duration::from_secs(30);

/// One turn, which may sleep but not through a call.
fn turn(hub: &mut Hub<Probe>) {
    let start = hub.clock().now();
    hub.prepare();
    assert_eq!(hub.wait().expect("a sleep never fails"), Outcome::Continue);
    assert!(hub.clock().now() - start < SLEPT_THROUGH, "nothing ended the sleep");
}

/// Takes turns until somebody is handed out.
fn run(hub: &mut Hub<Probe>) -> Probe {
    loop {
        turn(hub);
        if let Some(probe) = hub.pop() {
            return probe;
        }
    }
}

/// Where `/proc` has this OS thread.
fn this_thread() -> String {
    format!("/proc/self/task/{}", gettid().as_raw_nonzero())
}

#[test]
fn mailboxes_cross_threads() {
    fn assert_crosses<T: Clone + Send + Sync + 'static>() {}
    assert_crosses::<Mailbox>();
}

#[test]
fn a_call_wakes_a_hub_that_sleeps() {
    on_the_monotonic_clock(|hub| {
        for _ in 0..20 {
            let id = hub.expect(Probe::new("remote"));
            let (mailbox, sleeper) = (hub.mailbox(), this_thread());
            let caller = thread::spawn(move || {
                until_asleep(&sleeper);
                mailbox.wake(id);
            });
            assert_eq!(run(hub).wakes(), [Wake::Called]);
            caller.join().expect("a call never fails");
        }
        assert!(hub.stats().sleeps >= 20);
    });
}

#[test]
fn a_call_is_heard_by_a_hub_that_is_awake() {
    on_every_backend(|stage| {
        let probe = Probe::new("remote");
        let id = stage.hub.expect(probe.clone());
        let mailbox = stage.hub.mailbox();
        assert!(stage.names().is_empty());
        thread::spawn(move || mailbox.wake(id)).join().expect("a call never fails");
        assert_eq!(stage.names(), ["remote"]);
        assert_eq!(probe.wakes(), [Wake::Called]);
        assert_eq!((stage.hub.stats().expected, probe.holders()), (0, 1));
    });
}

#[test]
fn a_letter_keeps_the_hub_from_falling_asleep() {
    on_the_monotonic_clock(|hub| {
        let id = hub.expect(Probe::new("remote"));
        let (mailbox, start) = (hub.mailbox(), hub.clock().now());
        hub.prepare();
        mailbox.wake(id);
        hub.wait().expect("a sleep never fails");
        assert!(hub.clock().now() - start < SLEPT_THROUGH, "nothing ended the sleep");
        assert_eq!(run(hub).wakes(), [Wake::Called]);
    });
}

#[test]
fn a_virtual_clock_stands_still_while_another_thread_is_expected() {
    on_every_backend(|stage| {
        let id = stage.hub.expect(Probe::new("remote"));
        stage.hub.arm(stage.at(10), Probe::new("sleeper"));
        let (mailbox, sleeper) = (stage.hub.mailbox(), this_thread());
        let start = Clock::monotonic().now();
        let caller = thread::spawn(move || {
            until_asleep(&sleeper);
            mailbox.wake(id);
        });
        while stage.hub.stats().expected > 0 {
            assert_eq!(stage.sleep(), Outcome::Continue);
            stage.hub.prepare();
        }
        assert!(Clock::monotonic().now() - start < SLEPT_THROUGH, "nothing ended the sleep");
        caller.join().expect("a call never fails");
        assert_eq!(stage.clock.now(), stage.at(0));
        assert_eq!(stage.names(), ["remote"]);
        assert_eq!(stage.sleep(), Outcome::Continue);
        assert_eq!(stage.names(), ["sleeper"]);
    });
}

#[test]
fn a_late_letter_ends_no_other_wait() {
    on_every_backend(|stage| {
        let mailbox = stage.hub.mailbox();
        let first = stage.hub.expect(Probe::new("first"));
        assert_eq!(stage.hub.unexpect(first).expect("it is expected").name(), "first");
        assert!(stage.hub.unexpect(first).is_none());
        let second = stage.hub.expect(Probe::new("second"));
        assert_ne!(first, second);
        mailbox.wake(first);
        assert!(stage.names().is_empty(), "the letter was for who waited before");
        mailbox.wake(second);
        mailbox.wake(second);
        assert_eq!(stage.names(), ["second"]);
        mailbox.wake(second);
        assert!(stage.names().is_empty());
        assert!(stage.hub.unexpect(second).is_none());
    });
}

#[test]
fn a_letter_for_a_wait_that_ended_otherwise_is_ignored() {
    on_every_backend(|stage| {
        let probe = Probe::new("a");
        let id = stage.hub.expect(probe.clone());
        stage.hub.arm(stage.at(0), probe.clone());
        assert_eq!(stage.names(), ["a"]);
        stage.hub.mailbox().wake(id);
        assert!(stage.names().is_empty());
        assert_eq!(probe.wakes(), [Wake::Expired]);
        assert_eq!(stage.hub.stats().called, 0);
    });
}

#[test]
fn a_mailbox_may_outlive_its_hub() {
    let mut hub = Hub::new(Backend::default(), Clock::monotonic()).expect("epoll is there");
    let (mailbox, id) = (hub.mailbox(), hub.expect(Probe::new("a")));
    drop(hub);
    mailbox.clone().wake(id);
    mailbox.wake(id);
}

#[test]
fn fds_are_heard_of_while_a_letter_is_expected() {
    on_the_monotonic_clock(|hub| {
        let (here, there) = pair();
        hub.expect(Probe::new("remote"));
        hub.listen_fd(here.as_raw_fd(), Interest::Read, Probe::new("reader"), false).unwrap();
        let sleeper = this_thread();
        let writer = thread::spawn(move || {
            until_asleep(&sleeper);
            drop(there);
        });
        assert_eq!(run(hub).name(), "reader");
        writer.join().expect("closing never fails");
    });
}

#[test]
fn of_letters_from_many_threads_none_is_lost() {
    const THREADS: usize = 4;
    const LETTERS: usize = 500;
    on_the_monotonic_clock(|hub| {
        let start = Arc::new(Barrier::new(THREADS + 1));
        let callers: Vec<_> = (0..THREADS)
            .map(|_| {
                let ids: Vec<_> = (0..LETTERS).map(|_| hub.expect(Probe::new("remote"))).collect();
                let (mailbox, start) = (hub.mailbox(), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    for id in ids {
                        mailbox.wake(id);
                    }
                })
            })
            .collect();
        start.wait();
        let mut heard = 0;
        while heard < THREADS * LETTERS {
            turn(hub);
            while hub.pop().is_some() {
                heard += 1;
            }
        }
        for caller in callers {
            caller.join().expect("a call never fails");
        }
        assert_eq!(hub.stats().expected, 0);
        assert_eq!(hub.stats().called, (THREADS * LETTERS) as u64);
    });
}
