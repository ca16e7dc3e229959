//! The root waits and nothing is left that could wake it: a report, and the hub works on.

use std::{
    cell::RefCell,
    mem::forget,
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    JoinHandle,
    debug::dump,
    hub,
    io::{Interest, trampoline},
    sleep, spawn,
    sync::{Mutex, RwLock},
    testing::run,
    thread::Builder,
    yield_now,
};

use crate::trace::owning;

const SECOND: Duration = Duration::from_secs(1);

/// What the root is told when it can never go on.
#[track_caller]
fn report(wait: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(wait)).expect_err("the root went on");
    *payload.downcast::<String>().expect("a report is text")
}

#[test]
fn it_lists_who_waits_for_what() {
    run(|| {
        let sleeper = Builder::new().name("sleeper").spawn(|| sleep(Duration::MAX)).unwrap();
        let (id, line) = (sleeper.thread().id(), line!() - 1);
        let joiner = spawn(move || drop(sleeper.join()));
        let waited_for = joiner.thread().id();
        let report = report(|| drop(joiner.join()));
        let mut lines = report.lines();
        assert_eq!(
            lines.next().unwrap(),
            format!(
                "deadlock: the root waits for green thread {waited_for} to end, and nothing is \
                 left that could wake anyone: no timer, no fd, no other OS thread"
            )
        );
        let first = lines.next().unwrap();
        let file = file!();
        let expected = format!("  green thread {id} sleeper: sleeps, spawned at {file}:{line}:");
        assert!(first.starts_with(&expected), "{first}");
        let second = lines.next().unwrap();
        assert!(second.contains(&format!("waits for green thread {id} to end")), "{second}");
        assert_eq!(lines.next(), None);
    });
}

/// Whoever holds a lock, and how that is told.
struct Holding {
    /// Runs a thread that takes what others will wait for, and does not give it back.
    take: fn(&Rc<Locks>) -> JoinHandle<()>,
    wait: fn(&Locks),
    /// `{}` stands for the thread's id.
    told: &'static str,
}

#[derive(Default)]
struct Locks {
    mutex: Mutex<()>,
    lock: RwLock<()>,
}

fn named(name: &str, locks: &Rc<Locks>, f: impl FnOnce(&Locks) + 'static) -> JoinHandle<()> {
    let locks = Rc::clone(locks);
    let thread = Builder::new().name(name).spawn(move || f(&locks)).unwrap();
    yield_now();
    thread
}

#[test]
fn it_names_who_holds_what_is_waited_for() {
    let cases = [
        Holding {
            take: |locks| {
                named("holder", locks, |locks| {
                    let _guard = locks.mutex.lock().unwrap();
                    sleep(Duration::MAX);
                })
            },
            wait: |locks| drop(locks.mutex.lock()),
            told: "waits for a mutex, held by green thread \"holder\" ({})",
        },
        Holding {
            take: |locks| named("leaves", locks, |locks| forget(locks.mutex.lock())),
            wait: |locks| drop(locks.mutex.lock()),
            told: "waits for a mutex, held by green thread {}, which has ended",
        },
        Holding {
            take: |locks| {
                named("holder", locks, |locks| {
                    let _guard = locks.lock.write().unwrap();
                    sleep(Duration::MAX);
                })
            },
            wait: |locks| drop(locks.lock.read()),
            told: "waits for a lock, to read, held by green thread \"holder\" ({})",
        },
        Holding {
            take: |locks| {
                named("holder", locks, |locks| {
                    let _guards = (locks.lock.read().unwrap(), locks.lock.read().unwrap());
                    sleep(Duration::MAX);
                })
            },
            wait: |locks| drop(locks.lock.write()),
            told: "waits for a lock, to write, held by 2 readers",
        },
    ];
    for Holding { take, wait, told } in cases {
        run(move || {
            let locks = Rc::new(Locks::default());
            let holder = take(&locks);
            let told = told.replace("{}", &holder.thread().id().to_string());
            let waiter = named("waiter", &locks, wait);
            let dump = dump();
            let state = &dump.threads.last().unwrap().state;
            assert_eq!(*state, told, "in a dump");
            let report = report(|| wait(&locks));
            let mut lines = report.lines();
            let first = lines.next().unwrap();
            assert!(first.starts_with(&format!("deadlock: the root {told}, and ")), "{first}");
            let last = lines.next_back().unwrap();
            assert!(last.contains(&format!(" waiter: {told}, spawned at")), "{last}");
            drop((holder, waiter));
        });
    }
}

#[test]
fn it_names_whom_a_lock_was_handed_to_meanwhile() {
    run(|| {
        let locks = Rc::new(Locks::default());
        let guard = locks.mutex.lock().unwrap();
        let threads = ["second", "third"].map(|name| {
            named(name, &locks, |locks| {
                let _guard = locks.mutex.lock().unwrap();
                sleep(Duration::MAX);
            })
        });
        let of_third = || dump().threads[1].state.clone();
        assert_eq!(of_third(), "waits for a mutex, held by the root");
        drop(guard);
        let meanwhile = "waits for a mutex, held by one who was called and has not run since";
        assert_eq!(of_third(), meanwhile);
        assert_eq!(dump().threads[0].state, "may run");
        yield_now();
        let second = threads[0].thread().id();
        let expected = format!("waits for a mutex, held by green thread \"second\" ({second})");
        assert_eq!(of_third(), expected);
        assert!(threads.iter().all(|thread| thread.thread().kill()));
    });
}

#[test]
fn it_says_if_nobody_is_alive() {
    run(|| {
        let report = report(|| sleep(Duration::MAX));
        assert!(report.starts_with("deadlock: the root sleeps"), "{report}");
        assert!(report.ends_with("; no green thread is alive"), "{report}");
    });
}

#[test]
fn two_that_join_each_other_are_found() {
    run(|| {
        let partner = Rc::new(RefCell::new(None::<JoinHandle<()>>));
        let theirs = Rc::clone(&partner);
        let first = spawn(move || {
            let partner = theirs.take().expect("the handle was put there");
            drop(partner.join());
        });
        let (first_id, watch) = (first.thread().id(), first.thread());
        let second = spawn(move || drop(first.join()));
        let second_id = second.thread().id();
        *partner.borrow_mut() = Some(second);
        let report = report(|| sleep(Duration::MAX));
        for id in [first_id, second_id] {
            assert!(report.contains(&format!("waits for green thread {id} to end")), "{report}");
        }
        drop(watch);
    });
}

#[test]
fn long_lists_are_cut_short() {
    run(|| {
        for _ in 0..60 {
            drop(spawn(|| sleep(Duration::MAX)));
        }
        let report = report(|| sleep(Duration::MAX));
        assert_eq!(report.lines().count(), 52, "{report}");
        assert!(report.ends_with("\n  and 10 more"), "{report}");
    });
}

#[test]
fn the_hub_works_again_afterwards() {
    run(|| {
        for _ in 0..3 {
            let stuck = spawn(|| sleep(Duration::MAX));
            report(|| drop(stuck.join()));
            assert_eq!(spawn(|| 1).join().unwrap(), 1);
            sleep(SECOND);
        }
        assert_eq!(hub::stats().threads, 3);
        hub::abort();
        assert_eq!(hub::stats().threads, 0);
    });
}

#[test]
fn a_thread_whose_joiner_was_told_can_still_be_joined_by_others() {
    run(|| {
        let (here, there) = UnixStream::pair().unwrap();
        let stuck = spawn(|| {
            let _here = here;
            sleep(Duration::MAX);
        });
        report(|| drop(stuck.join_timeout(Duration::MAX)));
        yield_now();
        hub::abort();
        trampoline(&there, Interest::Read, None).unwrap();
    });
}

#[test]
fn who_waits_for_a_timer_or_an_fd_is_not_stuck() {
    run(|| {
        let late = spawn(|| sleep(1_000_000 * SECOND));
        late.join().unwrap();
        let (here, _there) = UnixStream::pair().unwrap();
        let listener = hub::add(&here, Interest::Read, owning(())).unwrap();
        let timer = hub::call_after_global(SECOND, move || {
            listener.remove();
        });
        let report = report(|| sleep(Duration::MAX));
        assert!(!timer.is_pending(), "it was waited for: {report}");
    });
}
