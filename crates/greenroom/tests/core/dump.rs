//! The list of all that is alive on a hub: complete, in order, and in words.

use std::{
    io::Write,
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::mpsc::channel,
    time::Duration,
};

use greenroom::{
    JoinHandle,
    debug::{Dump, ListenerInfo, dump},
    hub,
    io::{Interest, trampoline},
    offload, sleep, spawn,
    testing::{run, wait_all_parked},
    thread::Builder,
    yield_now,
};

use crate::{number::Number, trace::owning};

const SECOND: Duration = Duration::from_secs(1);

/// The one thread that is called so.
#[track_caller]
fn state(dump: &Dump, name: &str) -> String {
    let mut found = dump.threads.iter().filter(|thread| thread.name.as_deref() == Some(name));
    let thread = found.next().unwrap_or_else(|| panic!("nobody is called {name}: {dump}"));
    assert!(found.next().is_none(), "two are called {name}");
    thread.state.clone()
}

fn named<T: 'static>(name: &str, body: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    Builder::new().name(name).spawn(body).unwrap()
}

#[test]
fn it_says_what_each_thread_waits_for() {
    run(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        let fd = here.as_raw_fd();
        let (go_on, gone_on) = channel::<()>();
        let sleeper = named("sleeper", || sleep(SECOND));
        let id = sleeper.thread().id();
        drop(named("joiner", move || drop(sleeper.join())));
        drop(named("reader", move || drop(trampoline(Number(fd), Interest::Read, None))));
        drop(named("offloader", move || offload(move || gone_on.recv().is_ok())));
        drop(named("looker", || {
            let dump = dump();
            assert_eq!(state(&dump, "looker"), "runs now");
            sleep(SECOND);
        }));
        wait_all_parked();
        drop(named("unborn", || {}));
        let dump = dump();
        let states = [
            ("sleeper", "sleeps".to_owned()),
            ("joiner", format!("waits for green thread {id} to end")),
            ("reader", format!("waits to read fd {fd}")),
            ("offloader", "waits for another OS thread: offloaded work".into()),
            ("looker", "sleeps".into()),
            ("unborn", "has not started".into()),
        ];
        for (name, expected) in &states {
            assert_eq!(state(&dump, name), *expected, "{name}");
        }
        assert_eq!(dump.threads.len(), states.len());
        assert!(dump.threads.windows(2).all(|pair| pair[0].id < pair[1].id), "oldest first");
        drop(go_on);
        hub::abort();
    });
}

#[test]
fn it_says_since_when_and_where_from() {
    run(|| {
        drop(named("sleeper", || {
            sleep(2 * SECOND);
            sleep(5 * SECOND);
        }));
        let line = line!() - 4;
        sleep(3 * SECOND);
        let dump = dump();
        let thread = &dump.threads[0];
        assert_eq!((thread.since, thread.age), (Some(SECOND), 3 * SECOND));
        // `named` is where it is spawned.
        assert_eq!(thread.spawned_at.file(), file!());
        assert!(thread.spawned_at.line() < line);
    });
}

#[test]
fn who_may_run_waits_for_nothing_any_more() {
    run(|| {
        let looker = named("looker", || {
            sleep(SECOND);
            dump()
        });
        drop(named("woken", || sleep(SECOND)));
        drop(named("sleeper", || sleep(5 * SECOND)));
        let dump = looker.join().unwrap();
        let expected = [
            ("looker", "runs now", None),
            ("woken", "may run", None),
            ("sleeper", "sleeps", Some(SECOND)),
        ];
        for (name, does, since) in expected {
            assert_eq!(state(&dump, name), does);
            let thread = dump.threads.iter().find(|thread| thread.name.as_deref() == Some(name));
            assert_eq!(thread.unwrap().since, since, "{name}");
        }
        assert_eq!(dump.to_string().matches(", for 1.0s;").count(), 1, "{dump}");
        hub::abort();
    });
}

#[test]
fn it_lists_timers_by_their_deadline_and_listeners_by_their_fd() {
    run(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        let fd = here.as_raw_fd();
        hub::call_after_global(2 * SECOND, || {});
        hub::call_after_global(SECOND, || {});
        hub::add(&here, Interest::Read, owning(())).unwrap();
        let reader = named("writer", move || drop(trampoline(Number(fd), Interest::Read, None)));
        reader.join().unwrap();
        let sleeper = named("sleeper", || sleep(3 * SECOND));
        wait_all_parked();
        let dump = dump();
        let left: Vec<_> = dump.timers.iter().map(|timer| timer.left).collect();
        assert_eq!(left, [SECOND, 2 * SECOND, 3 * SECOND]);
        assert!(dump.timers[0].waiter.starts_with("a timer's function, armed at "));
        let id = sleeper.thread().id();
        assert_eq!(dump.timers[2].waiter, format!("green thread \"sleeper\" ({id})"));
        let listener = &dump.listeners[0];
        assert_eq!((dump.listeners.len(), listener.fd, listener.interest), (1, fd, Interest::Read));
        assert!(listener.waiter.starts_with("a listener's function, armed at "), "{dump}");
        hub::abort();
    });
}

#[test]
fn it_is_in_order_whatever_the_order_of_arming() {
    run(|| {
        let first = spawn(|| {});
        let kept = [0; 5].map(|_| spawn(|| sleep(SECOND)));
        first.join().unwrap();
        // It has the place of the first in the hub's list.
        let last = spawn(|| sleep(SECOND));
        for n in [7, 3, 9, 1, 8, 2, 6, 4, 5] {
            hub::call_after_global(1000 * SECOND + n * Duration::from_micros(1), || {});
        }
        let pairs = [(); 5].map(|()| UnixStream::pair().unwrap());
        for pair in pairs.iter().rev() {
            for interest in [Interest::Write, Interest::Read] {
                hub::add(&pair.0, interest, owning(())).unwrap();
            }
        }
        let dump = dump();
        assert_eq!(dump.threads.len(), 6);
        assert!(dump.threads.is_sorted_by(|one, next| one.id < next.id), "{dump}");
        assert!(dump.timers.is_sorted_by_key(|timer| timer.left), "{dump}");
        assert_eq!(dump.timers.len(), 9 + kept.len());
        let writes = |listener: &ListenerInfo| listener.interest == Interest::Write;
        assert!(dump.listeners.is_sorted_by_key(|at| (at.fd, writes(at))), "{dump}");
        assert_eq!(dump.listeners.len(), 10);
        drop((kept, last));
        hub::abort();
    });
}

#[test]
fn it_can_be_printed() {
    run(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        hub::add(&here, Interest::Write, owning(())).unwrap();
        drop(named("sleeper", || sleep(SECOND)));
        drop(spawn(|| {}));
        let text = dump().to_string();
        for part in ["green threads: 2", "sleeper", "listeners: 1", "to write", "timers: 0"] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        hub::abort();
    });
}

#[test]
fn it_shows_the_root_where_that_waits() {
    run(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let looker = spawn(move || {
            let dump = dump();
            there.write_all(b"!").unwrap();
            dump
        });
        trampoline(&here, Interest::Read, None).unwrap();
        let dump = looker.join().unwrap();
        assert_eq!(dump.listeners[0].waiter, "the root");
    });
}

#[test]
fn it_moves_nobody() {
    run(|| {
        let threads: Vec<_> = (0..10).map(|n| spawn(move || sleep(SECOND * n))).collect();
        yield_now();
        let before = hub::stats();
        for _ in 0..3 {
            dump();
        }
        assert_eq!(hub::stats(), before);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn without_a_hub_it_is_empty_and_makes_none() {
    std::thread::spawn(|| {
        let dump = dump();
        assert!(dump.threads.is_empty() && dump.listeners.is_empty() && dump.timers.is_empty());
        assert_eq!(hub::stats(), hub::Stats::default());
    })
    .join()
    .unwrap();
}
