//! Green threads spawned on a hub from other OS threads.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::mpsc,
    thread,
    time::Duration,
};

use greenroom::{
    Elapsed,
    hub::{self, Remote, RemoteError},
    offload, sleep, spawn, testing,
    thread::current,
    with_timeout, yield_now,
};

const FOR_EVER: Duration = Duration::MAX;
const SECOND: Duration = Duration::from_secs(1);

/// Lets a second pass on this hub while `f` waits for another.
fn as_time_passes<R>(f: impl FnOnce() -> R) -> R {
    let clock = spawn(|| testing::advance(SECOND));
    let result = f();
    clock.join().unwrap();
    result
}

/// An OS thread whose hub is in its loop until this is dropped, and a way into it.
struct Other {
    remote: Option<Remote>,
    os_thread: Option<thread::JoinHandle<()>>,
    _end: mpsc::Sender<()>,
}

impl Other {
    fn start() -> Other {
        let (sender, receiver) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let os_thread = thread::spawn(move || {
            sender.send(hub::remote()).unwrap();
            let _ = offload(move || ended.recv());
        });
        Other { remote: Some(receiver.recv().unwrap()), os_thread: Some(os_thread), _end: end }
    }

    fn remote(&self) -> &Remote {
        self.remote.as_ref().unwrap()
    }

    fn end(mut self) -> Remote {
        let os_thread = self.os_thread.take().unwrap();
        let remote = self.remote.take().unwrap();
        drop(self);
        os_thread.join().unwrap();
        remote
    }
}

#[test]
fn it_runs_as_a_green_thread_of_the_other_hub() {
    let other = Other::start();
    let ran = other.remote().spawn(|| {
        yield_now();
        (thread::current().id(), current().id().to_string())
    });
    let (os_thread, green) = ran.unwrap().join().unwrap();
    assert_eq!(os_thread, other.os_thread.as_ref().unwrap().thread().id());
    assert_ne!(green, "0");
    other.end();
}

#[test]
fn a_green_thread_that_joins_waits_greenly() {
    let other = Other::start();
    let remote = other.remote().clone();
    testing::run(move || {
        let steps = Rc::new(Cell::new(0));
        let (gate, open) = mpsc::channel::<()>();
        let joiner = spawn(move || {
            let far = remote.spawn(move || offload(move || open.recv().is_ok())).unwrap();
            far.join().unwrap()
        });
        let count = Rc::clone(&steps);
        let busy = spawn(move || {
            for _ in 0..100 {
                count.set(count.get() + 1);
                yield_now();
            }
            gate.send(()).unwrap();
        });
        assert!(joiner.join().unwrap());
        busy.join().unwrap();
        assert_eq!(steps.get(), 100);
    });
    other.end();
}

#[test]
fn they_begin_in_the_order_in_which_they_were_sent() {
    let other = Other::start();
    let (sender, receiver) = mpsc::channel();
    for n in 0..100 {
        let sender = sender.clone();
        drop(other.remote().spawn(move || sender.send(n).unwrap()).unwrap());
    }
    let order: Vec<_> = receiver.iter().take(100).collect();
    assert_eq!(order, (0..100).collect::<Vec<_>>());
    other.end();
}

#[test]
fn a_panic_there_is_the_join_result_here() {
    let other = Other::start();
    let error = other.remote().spawn(|| panic!("over there")).unwrap().join().unwrap_err();
    assert_eq!(error.into_panic().unwrap().downcast_ref(), Some(&"over there"));
    assert_eq!(other.remote().spawn(|| 1).unwrap().join().unwrap(), 1);
    other.end();
}

#[test]
fn it_can_be_killed_from_here_while_it_waits_there() {
    let other = Other::start();
    let (sender, started) = mpsc::channel();
    let sleeper = other.remote().spawn(move || {
        sender.send(()).unwrap();
        sleep(FOR_EVER);
    });
    let sleeper = sleeper.unwrap();
    started.recv().unwrap();
    assert!(!sleeper.is_finished());
    sleeper.kill().unwrap();
    assert!(sleeper.join().unwrap_err().is_killed());
    other.end();
}

#[test]
fn killing_one_that_has_ended_changes_nothing() {
    let other = Other::start();
    let first = other.remote().spawn(|| 5).unwrap();
    // Sent later, so the first has ended when it has begun and yielded.
    other.remote().spawn(yield_now).unwrap().join().unwrap();
    assert!(first.is_finished());
    first.kill().unwrap();
    assert_eq!(first.join().unwrap(), 5);
    other.end();
}

#[test]
fn join_timeout_gives_the_handle_back() {
    testing::run(|| {
        let other = Other::start();
        let (gate, open) = mpsc::channel::<()>();
        let far = other.remote().spawn(move || offload(move || open.recv().is_ok())).unwrap();
        let far = as_time_passes(|| far.join_timeout(SECOND)).unwrap_err();
        gate.send(()).unwrap();
        assert!(far.join_timeout(FOR_EVER).unwrap().unwrap());
        other.end();
    });
}

#[test]
fn who_waits_for_it_may_run_out_of_time_or_be_killed() {
    testing::run(|| {
        let other = Other::start();
        let (gate, open) = mpsc::channel::<()>();
        let far = other.remote().spawn(move || offload(move || open.recv().is_ok())).unwrap();
        let outcome = as_time_passes(|| with_timeout(SECOND, || drop(far.join())));
        assert_eq!(outcome, Err(Elapsed));
        gate.send(()).unwrap();

        let remote = other.remote().clone();
        let joiner = spawn(move || remote.spawn(|| sleep(FOR_EVER)).unwrap().join());
        yield_now();
        joiner.kill();
        assert!(joiner.join().unwrap_err().is_killed());
        assert_eq!(hub::stats().expected, 0);
        other.end();
    });
}

#[test]
fn what_was_sent_to_a_hub_that_ends_is_cancelled_and_dropped() {
    struct TellsDrop(mpsc::Sender<&'static str>);
    impl Drop for TellsDrop {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }
    let (sender, receiver) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    // Never in its loop.
    let os_thread = thread::spawn(move || {
        sender.send(hub::remote()).unwrap();
        gone.recv().unwrap();
    });
    let remote = receiver.recv().unwrap();
    let (tells, told) = mpsc::channel();
    let owned = TellsDrop(tells);
    let far = remote
        .spawn(move || {
            let _owned = owned;
            unreachable!("its hub ends before");
        })
        .unwrap();
    go.send(()).unwrap();
    os_thread.join().unwrap();
    let error = far.join().unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    assert_eq!(told.recv(), Ok("dropped"));
    assert_eq!(remote.spawn(|| ()).unwrap_err(), RemoteError::Ended);
}

#[test]
fn those_alive_when_the_hub_ends_are_killed() {
    let other = Other::start();
    let (sender, started) = mpsc::channel();
    let sleeper = other.remote().spawn(move || {
        sender.send(()).unwrap();
        sleep(FOR_EVER);
    });
    started.recv().unwrap();
    let remote = other.end();
    assert!(sleeper.unwrap().join().unwrap_err().is_killed());
    assert_eq!(
        remote.spawn(|| ()).unwrap_err().to_string(),
        "the other hub has ended with its OS thread"
    );
}

#[test]
fn a_hub_may_send_to_itself() {
    testing::run(|| {
        let here = hub::remote();
        let far = here.spawn(|| current().id()).unwrap();
        assert_ne!(far.join().unwrap(), current().id());
    });
}

#[test]
fn a_remote_outlives_an_abort_of_its_hub() {
    testing::run(|| {
        let here = hub::remote();
        let killed = here.spawn(|| sleep(FOR_EVER)).unwrap();
        while hub::stats().threads == 0 {
            yield_now();
        }
        yield_now();
        hub::abort();
        assert!(killed.join().unwrap_err().is_killed());
        assert_eq!(here.spawn(|| 3).unwrap().join().unwrap(), 3);
    });
}

#[test]
fn while_one_exists_a_waiting_root_is_not_deadlocked_and_afterwards_it_is() {
    testing::run(|| {
        let here = hub::remote();
        let (gate, open) = mpsc::channel::<()>();
        let outside = thread::spawn(move || {
            open.recv().unwrap();
            drop(here);
        });
        let sleeper = spawn(|| sleep(FOR_EVER));
        yield_now();
        gate.send(()).unwrap();
        // Waits while the other may still send, and finds out when it cannot any more.
        let panic = catch_unwind(AssertUnwindSafe(|| sleeper.join()));
        let payload = panic.unwrap_err();
        assert!(payload.downcast_ref::<String>().unwrap().starts_with("deadlock"));
        outside.join().unwrap();
        assert_eq!(hub::stats().expected, 0);
        // The next one works again.
        let here = hub::remote();
        assert_eq!(here.spawn(|| 4).unwrap().join().unwrap(), 4);
    });
}

#[test]
fn a_join_that_was_given_up_leaves_no_hope_that_keeps_a_deadlock_from_being_seen() {
    testing::run(|| {
        let other = Other::start();
        let (gate, open) = mpsc::channel::<()>();
        let far = other.remote().spawn(move || offload(move || open.recv().is_err())).unwrap();
        let _far = as_time_passes(|| far.join_timeout(SECOND)).unwrap_err();
        let panic = catch_unwind(AssertUnwindSafe(|| sleep(FOR_EVER)));
        let payload = panic.unwrap_err();
        assert!(payload.downcast_ref::<String>().unwrap().starts_with("deadlock"));
        drop(gate);
        other.end();
    });
}

#[test]
fn its_linked_functions_hear_how_it_ended_and_run_on_after_a_join() {
    use greenroom::thread::End;
    let other = Other::start();
    let (sender, receiver) = mpsc::channel();
    let ends: [(End, fn()); 3] = [
        (End::Returned, || ()),
        (End::Panicked, || std::panic::resume_unwind(Box::new("over there"))),
        (End::Killed, || sleep(FOR_EVER)),
    ];
    for (end, body) in ends {
        let sender = sender.clone();
        let far = other.remote().spawn(move || {
            let theirs = sender.clone();
            current().link(move |_, end| theirs.send(Some(end)).unwrap());
            sender.send(None).unwrap();
            body();
        });
        let far = far.unwrap();
        assert_eq!(receiver.recv().unwrap(), None);
        far.kill().unwrap();
        assert_eq!(far.join().is_ok(), end == End::Returned);
        assert_eq!(receiver.recv().unwrap(), Some(end));
    }
    other.end();
}

#[test]
fn in_a_destructor_during_a_panic_joining_says_that_it_may_not_wait() {
    struct Joins(Option<hub::RemoteJoinHandle<()>>, Rc<Cell<String>>);
    impl Drop for Joins {
        fn drop(&mut self) {
            self.1.set(self.0.take().unwrap().join().unwrap_err().to_string());
        }
    }
    testing::run(|| {
        let here = hub::remote();
        let said = Rc::new(Cell::default());
        let joins = Joins(Some(here.spawn(|| ()).unwrap()), Rc::clone(&said));
        let panic = catch_unwind(AssertUnwindSafe(move || {
            let _joins = joins;
            panic!("the destructor joins");
        }));
        assert!(panic.is_err());
        assert_eq!(said.take(), "a thread that unwinds from a panic cannot wait");
    });
}

/// The hub decides whether to wait for what is sent while the last who could send it goes.
#[test]
fn a_hub_waits_for_what_is_sent_as_long_as_anybody_can_send_and_no_longer() {
    testing::run(|| {
        for round in 0..200 {
            let remote = hub::remote();
            let other = thread::spawn(move || {
                // More who come and go, and work that has the hub look.
                let more = remote.clone();
                let far = remote.spawn(|| ()).unwrap();
                drop(more);
                drop(far);
                drop(remote);
            });
            while !other.is_finished() {
                yield_now();
            }
            other.join().unwrap();
            // A turn for the letters, and one for what they bring; in each more than one may run.
            let left = || (hub::stats().expected, hub::stats().threads);
            (0..2000).take_while(|_| left() != (0, 0)).for_each(|_| yield_now());
            assert_eq!(left(), (0, 0), "expected calls and threads in round {round}");
        }
    });
}
