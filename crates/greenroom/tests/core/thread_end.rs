//! An OS thread that ends with live green threads: they are unwound, before anything they use goes.
//!
//! One that will not end ends the process: see `children`.

use std::{
    cell::{Cell, RefCell},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Sender, channel},
    thread::{JoinHandle, spawn as os_thread},
    time::Duration,
};

use greenroom::{hub, io::Interest, sleep, spawn, spawn_after, yield_now};

/// Sends a word to the test as it is dropped.
struct Sends(Sender<&'static str>, &'static str);

impl Drop for Sends {
    fn drop(&mut self) {
        // The test may have failed and listen no more.
        let _ = self.0.send(self.1);
    }
}

/// Runs `life` on an OS thread; what was sent until that had ended.
#[track_caller]
fn sent(life: impl FnOnce(Sender<&'static str>) + Send + 'static) -> Vec<&'static str> {
    let (sender, receiver) = channel();
    let thread: JoinHandle<()> = os_thread(move || life(sender));
    thread.join().unwrap();
    receiver.iter().collect()
}

#[test]
fn green_threads_are_unwound_oldest_first_and_each_from_inside_out() {
    let words = sent(|sender| {
        for [outer, inner] in [["first, outer", "first, inner"], ["second, outer", "second, inner"]]
        {
            let (outer, inner) = (Sends(sender.clone(), outer), Sends(sender.clone(), inner));
            drop(spawn(move || {
                let _outer = outer;
                let _inner = inner;
                sleep(Duration::MAX);
            }));
        }
        yield_now();
        sender.send("the root returns").unwrap();
    });
    assert_eq!(
        words,
        ["the root returns", "first, inner", "first, outer", "second, inner", "second, outer"]
    );
}

#[test]
fn those_that_never_ran_are_dropped_unrun() {
    let words = sent(|sender| {
        let owned = Sends(sender.clone(), "closure");
        drop(spawn(move || {
            owned.0.send("ran").unwrap();
        }));
        let owned = Sends(sender, "delayed closure");
        drop(spawn_after(Duration::from_secs(1000), move || {
            owned.0.send("ran").unwrap();
        }));
    });
    assert_eq!(words, ["closure", "delayed closure"]);
}

#[test]
fn timers_and_listeners_are_dropped_with_what_they_own() {
    let words = sent(|sender| {
        let (here, _there) = UnixStream::pair().unwrap();
        let owned = Sends(sender.clone(), "timer");
        hub::call_after_global(Duration::from_secs(1000), move || drop(owned));
        let owned = Sends(sender.clone(), "listener");
        hub::add(&here, Interest::Read, crate::trace::owning(owned)).unwrap();
        let owned = Sends(sender, "timer that is due");
        hub::call_after_global(Duration::ZERO, move || drop(owned));
    });
    assert_eq!(words.len(), 3, "{words:?}");
}

#[test]
fn an_os_thread_that_panics_ends_the_same_way() {
    let (sender, receiver) = channel();
    let thread = os_thread(move || {
        let owned = Sends(sender, "unwound");
        drop(spawn(move || {
            let _owned = owned;
            sleep(Duration::MAX);
        }));
        yield_now();
        panic!("the root panics");
    });
    assert!(thread.join().is_err());
    assert_eq!(receiver.iter().collect::<Vec<_>>(), ["unwound"]);
}

/// A thread-local's value that shows whether it is still there.
struct Lent(Cell<&'static str>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.set("destroyed");
    }
}

thread_local! {
    static LENT: Lent = const { Lent(Cell::new("alive")) };
}

/// A green thread that holds on to a thread-local across its wait, and looks at it as it is unwound.
fn borrow_until_the_end(sender: Sender<&'static str>) {
    struct Looks<'a>(&'a Lent, Sender<&'static str>);
    impl Drop for Looks<'_> {
        fn drop(&mut self) {
            self.1.send(self.0.0.get()).unwrap();
        }
    }
    drop(spawn(move || {
        LENT.with(|lent| {
            let _looks = Looks(lent, sender);
            sleep(Duration::MAX);
        });
    }));
    yield_now();
}

#[test]
fn a_thread_local_from_before_the_hub_outlives_who_borrows_it() {
    let words = sent(|sender| {
        LENT.with(|lent| lent.0.set("alive from the beginning"));
        borrow_until_the_end(sender);
    });
    assert_eq!(words, ["alive from the beginning"]);
}

#[test]
fn a_thread_local_from_after_the_hub_outlives_who_borrows_it() {
    let words = sent(|sender| {
        hub::get();
        borrow_until_the_end(sender);
    });
    assert_eq!(words, ["alive"]);
}

#[test]
fn a_thread_local_first_used_after_many_waits_outlives_who_borrows_it() {
    let words = sent(|sender| {
        drop(spawn(|| {
            loop {
                yield_now();
            }
        }));
        for _ in 0..1000 {
            yield_now();
        }
        borrow_until_the_end(sender);
    });
    assert_eq!(words, ["alive"]);
}

#[test]
fn a_thread_local_outlives_who_borrows_it_also_when_the_root_was_stuck() {
    let words = sent(|sender| {
        hub::get();
        let inner = sender.clone();
        drop(spawn(move || borrow_until_the_end(inner)));
        let stuck = catch_unwind(AssertUnwindSafe(|| sleep(Duration::MAX)));
        assert!(stuck.is_err(), "a deadlock was to be found");
    });
    assert_eq!(words, ["alive"]);
}

#[test]
fn destructors_may_use_thread_locals() {
    thread_local! {
        static LOG: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }
    struct Logs(Sender<&'static str>);
    impl Drop for Logs {
        fn drop(&mut self) {
            LOG.with_borrow_mut(|log| log.push("by a destructor"));
            let words = LOG.take();
            words.into_iter().for_each(|word| self.0.send(word).unwrap());
        }
    }
    let words = sent(|sender| {
        drop(spawn(move || {
            let _logs = Logs(sender);
            LOG.with_borrow_mut(|log| log.push("by the thread"));
            sleep(Duration::MAX);
        }));
        yield_now();
    });
    assert_eq!(words, ["by the thread", "by a destructor"]);
}

#[test]
fn destructors_may_spawn_arm_and_join_without_effect() {
    struct Restless(Sender<&'static str>);
    impl Drop for Restless {
        fn drop(&mut self) {
            let (spawned, armed) =
                (Sends(self.0.clone(), "spawned"), Sends(self.0.clone(), "armed"));
            drop(spawn(move || drop(spawned)).join());
            hub::call_after_global(Duration::ZERO, move || drop(armed));
            sleep(Duration::from_secs(1000));
        }
    }
    let words = sent(|sender| {
        drop(spawn(move || {
            let _restless = Restless(sender);
            sleep(Duration::MAX);
        }));
        yield_now();
    });
    assert_eq!(words, ["spawned", "armed"]);
}

#[test]
fn one_that_catches_its_unwinding_may_end_in_its_own_way() {
    let words = sent(|sender| {
        drop(spawn(move || {
            while catch_unwind(AssertUnwindSafe(|| sleep(Duration::MAX))).is_ok() {}
            let again = catch_unwind(AssertUnwindSafe(yield_now));
            sender.send(if again.is_err() { "thrown twice" } else { "thrown once" }).unwrap();
        }));
        yield_now();
    });
    assert_eq!(words, ["thrown twice"]);
}

#[test]
fn handles_in_thread_locals_may_outlive_the_hub() {
    thread_local! {
        static EARLY: RefCell<Vec<Box<dyn Drop_>>> = const { RefCell::new(Vec::new()) };
        static LATE: RefCell<Vec<Box<dyn Drop_>>> = const { RefCell::new(Vec::new()) };
    }
    trait Drop_ {}
    impl<T> Drop_ for T {}
    fn handles(sender: &Sender<&'static str>) -> Vec<Box<dyn Drop_>> {
        let owned = Sends(sender.clone(), "unwound");
        let thread = spawn(move || {
            let _owned = owned;
            sleep(Duration::MAX);
        });
        let (here, there) = UnixStream::pair().unwrap();
        let listener = hub::add(&here, Interest::Read, |_| {}).unwrap();
        let timer = hub::call_after_global(Duration::from_secs(1000), || {});
        let stream = greenroom::io::GreenFd::new(there).unwrap();
        vec![
            Box::new(thread.thread()),
            Box::new(thread),
            Box::new(listener),
            Box::new(timer),
            Box::new(stream),
        ]
    }
    let words = sent(|sender| {
        EARLY.set(Vec::new());
        EARLY.set(handles(&sender));
        LATE.set(handles(&sender));
        yield_now();
        sender.send("the root returns").unwrap();
    });
    assert_eq!(words, ["the root returns", "unwound", "unwound"]);
}
