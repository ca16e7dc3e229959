//! Locks for many readers or one writer: what is theirs beside handing on.

use std::{cell::Cell, rc::Rc, sync::TryLockError, time::Duration};

use greenroom::{
    Elapsed, JoinHandle, scope, sleep, spawn,
    sync::{RwLock, RwLockWriteGuard},
    testing::{run, wait_all_parked},
    with_timeout, yield_now,
};

use crate::{
    scenes::{
        SECOND, assert_nothing_left, in_a_callback, in_a_kill, in_a_panic, join_all, panic_of,
    },
    trace::Trace,
};

#[derive(Clone)]
struct Scene {
    lock: Rc<RwLock<i32>>,
    trace: Trace,
}

impl Scene {
    fn new() -> Scene {
        Scene { lock: Rc::new(RwLock::new(0)), trace: Trace::new() }
    }

    /// Has somebody read for a second, and tell when that begins.
    fn reader(&self, name: &'static str) -> JoinHandle<()> {
        self.playing(move |scene| {
            let _guard = scene.lock.read().unwrap();
            scene.trace.tell(name);
            sleep(SECOND);
        })
    }

    /// Has somebody write for a second, and tell when that begins.
    fn writer(&self, name: &'static str) -> JoinHandle<()> {
        self.playing(move |scene| {
            let mut guard = scene.lock.write().unwrap();
            scene.trace.tell(name);
            *guard += 1;
            sleep(SECOND);
        })
    }

    fn playing<R: 'static>(&self, f: impl FnOnce(&Scene) -> R + 'static) -> JoinHandle<R> {
        let scene = self.clone();
        let thread = spawn(move || f(&scene));
        wait_all_parked();
        thread
    }

    /// Checks that the lock is free.
    #[track_caller]
    fn assert_free(&self) {
        assert!(self.lock.try_write().is_ok());
        assert_nothing_left();
    }
}

#[test]
fn many_read_and_one_writes() {
    run(|| {
        let (lock, readers, most) = (RwLock::new(0), Cell::new(0), Cell::new(0));
        scope(|scope| {
            for n in 0..30 {
                let (lock, readers, most) = (&lock, &readers, &most);
                scope.spawn(move || {
                    if n % 5 == 0 {
                        let mut guard = lock.write().unwrap();
                        assert_eq!(readers.get(), 0);
                        *guard += 1;
                        yield_now();
                        assert_eq!(readers.get(), 0);
                    } else {
                        let guard = lock.read().unwrap();
                        let before = *guard;
                        readers.set(readers.get() + 1);
                        most.set(most.get().max(readers.get()));
                        yield_now();
                        readers.set(readers.get() - 1);
                        assert_eq!(*guard, before);
                    }
                });
            }
        });
        assert_eq!((lock.into_inner().unwrap(), most.get()), (6, 4));
    });
}

#[test]
fn they_are_served_in_the_order_they_came_and_neighbours_read_together() {
    run(|| {
        let scene = Scene::new();
        let threads = [
            scene.reader("r1"),
            scene.reader("r2"),
            scene.writer("w1"),
            scene.reader("r3"),
            scene.reader("r4"),
            scene.writer("w2"),
            scene.writer("w3"),
            scene.reader("r5"),
        ];
        let rounds: [&[&str]; 6] =
            [&["r1", "r2"], &["w1"], &["r3", "r4"], &["w2"], &["w3"], &["r5"]];
        for round in rounds {
            wait_all_parked();
            assert_eq!(scene.trace.take(), round);
            sleep(SECOND);
        }
        join_all(threads);
        scene.assert_free();
    });
}

#[test]
fn readers_who_come_after_a_waiting_writer_do_not_pass_it() {
    run(|| {
        let scene = Scene::new();
        let (reader, writer) = (scene.reader("reader"), scene.writer("writer"));
        assert!(matches!(scene.lock.try_read(), Err(TryLockError::WouldBlock)));
        assert!(scene.lock.read_timeout(SECOND / 2).is_err());
        join_all([reader, writer]);
        scene.assert_free();
    });
}

#[test]
fn readers_go_on_when_the_writer_before_them_leaves() {
    for is_killed in [true, false] {
        run(|| {
            let scene = Scene::new();
            let _reading = scene.lock.read().unwrap();
            let writer = scene.playing(|scene| with_timeout(SECOND, || drop(scene.lock.write())));
            let reader = scene.reader("reader");
            assert_eq!(scene.trace.take(), [""; 0]);
            if is_killed {
                writer.kill();
                assert!(writer.join().unwrap_err().is_killed());
            } else {
                assert_eq!(writer.join().unwrap(), Err(Elapsed));
            }
            wait_all_parked();
            assert_eq!(scene.trace.take(), ["reader"]);
            reader.join().unwrap();
            assert!(!scene.lock.is_poisoned());
            assert_nothing_left();
        });
    }
}

#[test]
fn readers_go_on_when_a_timed_writer_before_them_is_late() {
    run(|| {
        let scene = Scene::new();
        let reading = scene.lock.read().unwrap();
        let writer = scene.playing(|scene| scene.lock.write_timeout(SECOND).map(|_| ()));
        let reader = scene.reader("reader");
        assert_eq!(writer.join().unwrap(), Err(Elapsed));
        reader.join().unwrap();
        drop(reading);
        scene.assert_free();
    });
}

#[test]
fn a_reader_that_is_killed_before_and_after_it_was_chosen_leaves_no_trace() {
    run(|| {
        let scene = Scene::new();
        let writing = scene.lock.write().unwrap();
        let readers = ["a", "b", "c"].map(|name| scene.reader(name));
        let writer = scene.writer("writer");
        readers[0].kill();
        drop(writing);
        readers[1].kill();
        let [first, second, third] = readers.map(JoinHandle::join);
        assert!(first.unwrap_err().is_killed() && second.unwrap_err().is_killed());
        third.unwrap();
        writer.join().unwrap();
        assert_eq!(scene.trace.take(), ["c", "writer"]);
        scene.assert_free();
    });
}

#[test]
fn only_writers_that_are_unwound_poison_it() {
    run(|| {
        let scene = Scene::new();
        for (is_writer, is_killed) in [(false, false), (false, true), (true, false), (true, true)] {
            let victim = scene.playing(move |scene| {
                let reading = (!is_writer).then(|| scene.lock.read().unwrap());
                let writing = is_writer.then(|| scene.lock.write().unwrap());
                if !is_killed {
                    panic!("in the middle");
                }
                sleep(Duration::MAX);
                drop((reading, writing));
            });
            victim.kill();
            assert!(victim.join().is_err());
            assert_eq!(scene.lock.is_poisoned(), is_writer);
            assert_eq!(scene.lock.read().is_err(), is_writer);
            assert_eq!(scene.lock.write().is_err(), is_writer);
            assert_eq!(matches!(scene.lock.try_read(), Err(TryLockError::Poisoned(_))), is_writer);
            scene.lock.clear_poison();
        }
        scene.assert_free();
    });
}

#[test]
fn a_writer_that_wants_the_lock_again_is_found_out() {
    run(|| {
        let lock = RwLock::new(());
        let writing = lock.write().unwrap();
        let text = "deadlock: the root wants a lock that it has locked to write, \
                    so it would wait for itself";
        assert_eq!(panic_of(|| drop(lock.read())), text);
        assert_eq!(panic_of(|| drop(lock.write())), text);
        drop(writing);
        let _reading = lock.read().unwrap();
        assert!(panic_of(|| drop(lock.write())).contains("the root waits for a lock, to write"));
        assert!(lock.try_read().is_ok());
    });
}

#[test]
fn a_writer_that_goes_on_as_a_reader_lets_the_next_readers_in() {
    run(|| {
        let scene = Scene::new();
        let writing = scene.lock.write().unwrap();
        let threads =
            [scene.reader("r1"), scene.reader("r2"), scene.writer("w"), scene.reader("r3")];
        let reading = RwLockWriteGuard::downgrade(writing);
        wait_all_parked();
        assert_eq!(scene.trace.take(), ["r1", "r2"]);
        sleep(2 * SECOND);
        assert_eq!(scene.trace.take(), [""; 0]);
        drop(reading);
        join_all(threads);
        assert_eq!(scene.trace.take(), ["w", "r3"]);
        scene.assert_free();
    });
}

#[test]
fn readers_neither_wait_in_a_callback_nor_in_a_destructor_during_a_panic() {
    run(|| {
        let scene = Scene::new();
        let writer = scene.writer("writer");
        let lock = Rc::clone(&scene.lock);
        let message = in_a_callback(move || panic_of(|| drop(lock.read())));
        assert!(message.contains("a hub callback may not block"), "{message}");
        let play = |lock: &RwLock<i32>| {
            (panic_of(|| drop(lock.read())), lock.read_timeout(SECOND).is_err())
        };
        let lock = Rc::clone(&scene.lock);
        for (message, is_late) in [in_a_panic(|| play(&scene.lock)), in_a_kill(move || play(&lock))]
        {
            assert!(message.starts_with("a lock would have to be waited for"), "{message}");
            assert!(is_late);
        }
        writer.join().unwrap();
        assert_eq!(in_a_panic(|| *scene.lock.read().unwrap()), 1);
        let lock = Rc::clone(&scene.lock);
        assert_eq!(in_a_callback(move || *lock.read().unwrap()), 1);
        drop(scene.lock.read_timeout(Duration::ZERO).unwrap().unwrap());
        scene.assert_free();
    });
}

#[test]
fn the_data_is_had_without_the_lock_by_whoever_has_it_alone() {
    let mut lock = RwLock::from(1);
    *lock.get_mut().unwrap() += 1;
    assert_eq!(format!("{lock:?}"), "RwLock { data: 2, poisoned: false, .. }");
    let writing = lock.write().unwrap();
    assert_eq!(
        format!("{lock:?} {writing:?} {writing}"),
        "RwLock { data: <locked>, poisoned: false, .. } 2 2"
    );
    drop(writing);
    assert_eq!(lock.into_inner().unwrap(), 2);
    assert_eq!(RwLock::<u8>::default().into_inner().unwrap(), 0);
}
