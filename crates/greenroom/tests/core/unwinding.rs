//! Panics: nobody runs in the middle of another's, and destructors on the way do not wait.

use std::{
    cell::{Cell, RefCell},
    fmt::Debug,
    io::{ErrorKind, Write},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Mutex,
    thread::panicking,
    time::Duration,
};

use greenroom::{
    Instant, hub,
    io::{Interest, trampoline},
    offload, sleep, sleep_until, spawn,
    testing::{run, wait_all_parked},
    yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

/// Calls a function as it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Plays a scene in a destructor that runs because of a panic, and returns what the scene did. To
/// fail in there would end the process, so whoever wants to know asks afterwards.
#[track_caller]
fn in_a_destructor<R>(scene: fn() -> R) -> R {
    let steps = Rc::new(Cell::new(0));
    let theirs = Rc::clone(&steps);
    let busy = spawn(move || {
        loop {
            theirs.set(theirs.get() + 1);
            yield_now();
        }
    });
    yield_now();
    let result = RefCell::new(None);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _scene = OnDrop(|| {
            let before = (panicking(), steps.get());
            let outcome = scene();
            result.replace(Some((before, outcome, (panicking(), steps.get()))));
        });
        panic!("the scene begins");
    }));
    let payload = outcome.expect_err("the panic goes on after the scene");
    assert_eq!(payload.downcast_ref(), Some(&"the scene begins"));
    let (before, outcome, after) = result.take().expect("the scene was played");
    assert!(before.0 && !panicking());
    assert_eq!(before, after, "somebody ran in the middle of a panic");
    drop(busy);
    outcome
}

/// Checks what a scene does in a destructor, on the root and on a green thread.
#[track_caller]
fn assert_scene<R: PartialEq + Debug + Send + 'static>(scene: fn() -> R, expected: R) {
    let (root, green) =
        run(|| (in_a_destructor(scene), spawn(move || in_a_destructor(scene)).join().unwrap()));
    assert_eq!((&root, &green), (&expected, &expected));
}

#[test]
fn sleeping_returns_at_once() {
    let nap = || {
        let begin = Instant::now();
        sleep(SECOND);
        sleep_until(begin + SECOND);
        begin.elapsed()
    };
    assert_scene(nap, Duration::ZERO);
}

#[test]
fn yielding_lets_nobody_run() {
    let yields = || {
        for _ in 0..1000 {
            yield_now();
        }
        sleep(Duration::ZERO);
    };
    assert_scene(yields, ());
}

#[test]
fn joining_is_an_error() {
    let join = || {
        let error = spawn(|| 1).join().unwrap_err();
        (error.is_panic(), error.is_killed(), error.is_cancelled(), error.to_string())
    };
    let says = "a thread that unwinds from a panic cannot wait".to_owned();
    assert_scene(join, (false, false, false, says.clone()));
    let with_timeout = || spawn(|| 1).join_timeout(SECOND).unwrap().unwrap_err().to_string();
    assert_scene(with_timeout, says);
}

#[test]
fn joining_a_thread_that_has_ended_needs_no_wait() {
    run(|| {
        let ended = RefCell::new(Some(spawn(|| 7)));
        yield_now();
        let result = Cell::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _join = OnDrop(|| {
                let handle = ended.take().expect("it was put there");
                result.set(handle.join().unwrap_or(-1));
            });
            panic!("the scene begins");
        }));
        assert!(outcome.is_err());
        assert_eq!(result.get(), 7);
    });
}

#[test]
fn an_fd_that_is_ready_is_ready() {
    let wait = || {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"!").unwrap();
        trampoline(&here, Interest::Read, None).map_err(|error| error.kind())
    };
    assert_scene(wait, Ok(()));
}

#[test]
fn an_fd_that_another_os_thread_makes_ready_is_waited_for_briefly() {
    let wait = || {
        let (here, mut there) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || there.write_all(b"!"));
        let outcome = trampoline(&here, Interest::Read, None).map_err(|error| error.kind());
        drop(writer.join());
        outcome
    };
    assert_scene(wait, Ok(()));
}

#[test]
fn an_fd_that_does_not_become_ready_is_given_up() {
    let wait = || {
        let (here, _there) = UnixStream::pair().unwrap();
        trampoline(&here, Interest::Read, None).map_err(|error| error.kind())
    };
    assert_scene(wait, Err(ErrorKind::TimedOut));
}

#[test]
fn offloaded_work_is_done_on_the_spot() {
    let work = || offload(|| std::thread::current().name() != Some("greenroom-offload"));
    assert_scene(work, true);
}

#[test]
fn waiting_for_quiet_returns_at_once() {
    assert_scene(wait_all_parked, ());
}

#[test]
fn arming_and_spawning_work_as_ever() {
    let arm = || {
        let timer = hub::call_after_global(SECOND, || {});
        let spawned = spawn(|| {});
        (timer.cancel(), spawned.is_finished())
    };
    assert_scene(arm, (true, false));
}

#[test]
fn nobody_sees_another_thread_panicking() {
    run(|| {
        let seen = Rc::new(Cell::new(0));
        let watchers: Vec<_> = (0..10)
            .map(|_| {
                let seen = Rc::clone(&seen);
                spawn(move || {
                    for _ in 0..100 {
                        seen.set(seen.get() + u32::from(panicking()));
                        yield_now();
                    }
                })
            })
            .collect();
        let panics: Vec<_> = (0..20)
            .map(|n| {
                spawn(move || {
                    let _waits = OnDrop(|| {
                        yield_now();
                        sleep(SECOND);
                    });
                    for _ in 0..n {
                        yield_now();
                    }
                    panic!("the scene begins");
                })
            })
            .collect();
        assert!(panics.into_iter().all(|thread| thread.join().unwrap_err().is_panic()));
        for watcher in watchers {
            watcher.join().unwrap();
        }
        assert_eq!(seen.get(), 0);
    });
}

#[test]
fn a_lock_is_not_poisoned_by_the_panic_of_another() {
    run(|| {
        let lock = Rc::new(Mutex::new(0));
        let theirs = Rc::clone(&lock);
        let holder = spawn(move || {
            for _ in 0..100 {
                *theirs.lock().unwrap() += 1;
                yield_now();
            }
        });
        for _ in 0..10 {
            let panics = spawn(|| {
                let _yields = OnDrop(yield_now);
                yield_now();
                panic!("the scene begins");
            });
            assert!(panics.join().unwrap_err().is_panic());
        }
        holder.join().unwrap();
        assert_eq!(*lock.lock().unwrap(), 100);
    });
}

#[test]
fn destructors_of_a_killed_thread_do_not_wait_either() {
    run(|| {
        let trace = Trace::new();
        let (inner, begin) = (trace.clone(), Instant::now());
        let killed = spawn(move || {
            let _last = inner.on_drop("last destructor");
            let _waits = OnDrop(|| {
                yield_now();
                sleep(SECOND);
                let refused = spawn(|| {}).join().is_err();
                inner.tell(if refused { "did not wait" } else { "waited" });
            });
            sleep(Duration::MAX);
        });
        yield_now();
        hub::abort();
        assert!(killed.join().unwrap_err().is_killed());
        assert_eq!(trace.take(), ["did not wait", "last destructor"]);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    });
}

#[test]
fn a_panic_that_is_caught_leaves_the_thread_able_to_wait() {
    run(|| {
        let thread = spawn(|| {
            let caught = catch_unwind(|| {
                let _waits = OnDrop(yield_now);
                panic!("the scene begins");
            });
            let begin = Instant::now();
            sleep(SECOND);
            (caught.is_err(), begin.elapsed())
        });
        assert_eq!(thread.join().unwrap(), (true, SECOND));
    });
}
