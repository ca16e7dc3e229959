//! Work on helper OS threads: its result, its panic, and who runs meanwhile.
//!
//! How many helpers there may be is the environment's to say: see `children`.

use std::{
    panic::panic_any,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread,
    time::Duration,
};

use greenroom::{
    Instant, hub, offload, sleep, spawn,
    testing::{run, wait_all_parked},
    yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn it_returns_what_the_work_returned() {
    run(|| {
        assert_eq!(spawn(|| offload(|| vec![1, 2])).join().unwrap(), [1, 2]);
        assert_eq!(offload(|| 7), 7);
        assert_eq!(hub::stats().expected, 0);
    });
}

#[test]
fn the_work_runs_on_another_os_thread() {
    run(|| {
        let (id, name) = offload(|| {
            let thread = thread::current();
            (thread.id(), thread.name().map(str::to_owned))
        });
        assert_ne!(id, thread::current().id());
        assert_eq!(name.as_deref(), Some("greenroom-offload"));
    });
}

#[test]
fn a_panic_is_carried_over() {
    run(|| {
        let thread = spawn(|| offload(|| panic_any(7)));
        let payload = thread.join().unwrap_err().into_panic().unwrap();
        assert_eq!(payload.downcast_ref(), Some(&7));
        assert_eq!(offload(|| 1), 1);
    });
}

#[test]
fn others_run_while_one_waits_for_work() {
    run(|| {
        let (go_on, gone_on) = channel();
        let worker = spawn(move || offload(move || gone_on.recv().unwrap()));
        let other = spawn(move || go_on.send("from another green thread").unwrap());
        assert_eq!(worker.join().unwrap(), "from another green thread");
        other.join().unwrap();
    });
}

#[test]
fn time_stands_still_while_work_is_done() {
    run(|| {
        let begin = Instant::now();
        let (go_on, gone_on) = channel::<()>();
        let sleeper = spawn(move || {
            sleep(SECOND);
            begin.elapsed()
        });
        let worker = spawn(move || {
            offload(move || gone_on.recv().unwrap());
            begin.elapsed()
        });
        wait_all_parked();
        go_on.send(()).unwrap();
        assert_eq!(worker.join().unwrap(), Duration::ZERO);
        assert_eq!(sleeper.join().unwrap(), SECOND);
    });
}

#[test]
fn more_work_than_helpers_is_all_done() {
    run(|| {
        let done = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..500)
            .map(|n| {
                let done = Arc::clone(&done);
                spawn(move || {
                    offload(move || {
                        done.fetch_add(1, Ordering::Relaxed);
                        n
                    })
                })
            })
            .collect();
        for (n, worker) in workers.into_iter().enumerate() {
            assert_eq!(worker.join().unwrap(), n);
        }
        assert_eq!(done.load(Ordering::Relaxed), 500);
    });
}

#[test]
fn every_os_thread_may_offload() {
    let threads: Vec<_> = (0..4)
        .map(|n| {
            thread::spawn(move || {
                (0..50)
                    .map(|k| spawn(move || offload(move || n * k)))
                    .fold(0, |sum, worker| sum + worker.join().unwrap())
            })
        })
        .collect();
    for (n, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), n * 1225);
    }
}

#[test]
fn work_may_offload_more_work() {
    run(|| assert_eq!(offload(|| offload(|| 1) + 1), 2));
}

/// Reports when it is dropped, and where.
struct Reports(std::sync::mpsc::Sender<Option<String>>);

impl Drop for Reports {
    fn drop(&mut self) {
        self.0.send(thread::current().name().map(str::to_owned)).unwrap();
    }
}

#[test]
fn work_whose_waiter_is_killed_goes_on_and_its_result_is_dropped_there() {
    run(|| {
        let (go_on, gone_on) = channel::<()>();
        let (dropped, drops) = channel();
        let worker = spawn(move || {
            offload(move || {
                gone_on.recv().unwrap();
                Reports(dropped)
            })
        });
        wait_all_parked();
        assert_eq!(hub::stats().expected, 1);
        hub::abort();
        assert!(worker.join().err().is_some_and(|error| error.is_killed()));
        assert_eq!(hub::stats().expected, 0);
        go_on.send(()).unwrap();
        assert_eq!(drops.recv().unwrap().as_deref(), Some("greenroom-offload"));
        assert_eq!(offload(|| 1), 1);
    });
}

#[test]
fn a_late_result_ends_no_later_wait() {
    run(|| {
        let (go_on, gone_on) = channel::<()>();
        let (dropped, drops) = channel();
        let worker = spawn(move || {
            offload(move || {
                gone_on.recv().unwrap();
                Reports(dropped)
            })
        });
        wait_all_parked();
        hub::abort();
        drop(worker);
        // It has the place of the wait that is over.
        let (go_on_too, gone_on_too) = channel::<()>();
        let heir = spawn(move || {
            offload(move || {
                gone_on_too.recv().unwrap();
                2
            })
        });
        wait_all_parked();
        go_on.send(()).unwrap();
        drops.recv().unwrap();
        for _ in 0..200 {
            yield_now();
        }
        assert!(!heir.is_finished());
        go_on_too.send(()).unwrap();
        assert_eq!(heir.join().unwrap(), 2);
    });
}

#[test]
fn a_result_that_panics_as_nobody_takes_it_costs_no_helper() {
    struct PanicsOnDrop(std::sync::mpsc::Sender<()>);
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
            panic!("nobody took it");
        }
    }
    run(|| {
        let (dropped, drops) = channel();
        // More than there are helpers: if each cost one, none would be left.
        let go_ons: Vec<_> = (0..30)
            .map(|_| {
                let (go_on, gone_on) = channel::<()>();
                let dropped = dropped.clone();
                drop(spawn(move || {
                    offload(move || {
                        // Either word will do: to go on, or that nobody is left to say it.
                        let _ = gone_on.recv();
                        PanicsOnDrop(dropped)
                    });
                }));
                go_on
            })
            .collect();
        wait_all_parked();
        hub::abort();
        drop(go_ons);
        for _ in 0..30 {
            drops.recv().unwrap();
        }
        assert_eq!(offload(|| 1), 1);
    });
}

#[test]
fn work_may_be_waited_for_with_a_timeout_by_joining() {
    run(|| {
        let (go_on, gone_on) = channel::<()>();
        let worker = spawn(move || offload(move || gone_on.recv().unwrap()));
        let trace = Trace::new();
        let patience = worker.join_timeout(Duration::ZERO).unwrap_err();
        trace.tell("gave up for now");
        go_on.send(()).unwrap();
        patience.join().unwrap();
        assert_eq!(trace.take(), ["gave up for now"]);
    });
}
