//! Storage that each green thread has for itself.

use std::{
    cell::{Cell, RefCell},
    panic::catch_unwind,
    rc::Rc,
    time::Duration,
};

use greenroom::{green_local, hub, sleep, spawn, testing::run, with_timeout, yield_now};

use crate::trace::{TellsDrop, Trace};

green_local! {
    static NUMBER: Cell<u32> = Cell::new(7);
    static OTHER: Cell<u32> = Cell::new(8);
    static LIST: RefCell<Vec<u32>> = RefCell::new(vec![1]);
    static TELLS: Cell<Option<TellsDrop<&'static str>>> = Cell::new(None);
    static ITSELF: u32 = ITSELF.with(|value| *value);
    static PANICS: u32 = panic!("no value");
    static NAPS: u32 = {
        sleep(Duration::from_secs(1));
        9
    };
    static UNDYING: RefCell<Option<Undying>> = RefCell::new(None);
    static ACTS: Cell<Option<Acts>> = Cell::new(None);
}

/// Does something as it is dropped.
struct Acts(Option<Box<dyn FnOnce()>>);

impl Acts {
    fn at_the_end(act: impl FnOnce() + 'static) {
        ACTS.set(Some(Acts(Some(Box::new(act)))));
    }
}

impl Drop for Acts {
    fn drop(&mut self) {
        self.0.take().unwrap()();
    }
}

/// Puts another of its kind in its place as it is dropped.
struct Undying(Rc<Cell<u32>>);

impl Drop for Undying {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        let heir = Undying(Rc::clone(&self.0));
        UNDYING.with_borrow_mut(|place| *place = Some(heir));
    }
}

#[test]
fn each_thread_has_its_own_across_waits() {
    run(|| {
        NUMBER.set(1);
        let threads = [10, 20].map(|n| {
            spawn(move || {
                assert_eq!(NUMBER.get(), 7);
                NUMBER.set(n);
                LIST.with_borrow_mut(|list| list.push(n));
                yield_now();
                sleep(Duration::from_secs(1));
                (NUMBER.get(), OTHER.get(), LIST.with_borrow(Clone::clone))
            })
        });
        let values = threads.map(|thread| thread.join().unwrap());
        assert_eq!(values, [(10, 8, vec![1, 10]), (20, 8, vec![1, 20])]);
        assert_eq!((NUMBER.replace(2), NUMBER.take(), NUMBER.get()), (1, 2, 0));
    });
}

#[test]
fn a_new_thread_on_a_stack_used_before_begins_anew() {
    run(|| {
        for _ in 0..3 {
            let value = spawn(|| NUMBER.replace(5)).join().unwrap();
            assert_eq!(value, 7);
        }
    });
}

#[test]
fn a_value_is_dropped_when_its_thread_has_ended_however_it_does() {
    run(|| {
        let trace = Trace::new();
        let ends: [fn(); 3] = [|| (), || panic!("on purpose"), || sleep(Duration::MAX)];
        for end in ends {
            let (bomb, inner) = (trace.on_drop("value"), trace.clone());
            let thread = spawn(move || {
                TELLS.set(Some(bomb));
                end();
            });
            thread.link(move |_, _| inner.tell("link"));
            yield_now();
            thread.kill();
            drop(thread.join());
            assert_eq!(trace.take(), ["link", "value"]);
        }
    });
}

#[test]
fn the_roots_is_shared_with_callbacks_and_dropped_with_the_hub() {
    let (sender, receiver) = std::sync::mpsc::channel();
    struct Sends(std::sync::mpsc::Sender<&'static str>);
    impl Drop for Sends {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }
    // A semicolon at the end is as optional as it is for std's.
    green_local! { static SENDS: RefCell<Option<Sends>> = RefCell::new(None) }
    run(move || {
        SENDS.with_borrow_mut(|place| *place = Some(Sends(sender)));
        hub::call_after_global(Duration::from_secs(1), || {
            assert!(SENDS.with_borrow(Option::is_some));
        });
        sleep(Duration::from_secs(2));
        spawn(|| assert!(SENDS.with_borrow(Option::is_none))).join().unwrap();
    });
    assert_eq!(receiver.recv(), Ok("dropped"));
}

#[test]
fn making_a_value_may_wait_but_not_ask_for_itself() {
    run(|| {
        assert_eq!(NAPS.with(|value| *value), 9);
        let panic = catch_unwind(|| ITSELF.with(|value| *value)).unwrap_err();
        assert!(panic.downcast_ref::<&str>().unwrap().contains("asks for itself"));
    });
}

#[test]
fn a_value_that_could_not_be_made_is_tried_again() {
    run(|| {
        for _ in 0..2 {
            let panic = catch_unwind(|| PANICS.with(|value| *value)).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"no value"));
        }
    });
}

#[test]
fn destructors_that_make_new_values_do_so_four_times_at_most() {
    run(|| {
        let deaths = Rc::new(Cell::new(0));
        let first = Undying(Rc::clone(&deaths));
        spawn(move || UNDYING.with_borrow_mut(|place| *place = Some(first))).join().unwrap();
        assert_eq!(deaths.get(), 4);
    });
}

#[test]
fn what_the_roots_values_start_as_they_go_ends_with_the_hub() {
    struct Sends(std::sync::mpsc::Sender<&'static str>, &'static str);
    impl Drop for Sends {
        fn drop(&mut self) {
            self.0.send(self.1).unwrap();
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        Acts::at_the_end(move || {
            let owned = ["slept", "unborn", "timer"].map(|word| Sends(sender.clone(), word));
            let [sleeper, unborn, timer] = owned;
            // It is on no stack but its own when nobody runs it, and under a limit that uses the hub.
            drop(spawn(|| {
                with_timeout(Duration::from_secs(1000), || {
                    loop {
                        yield_now();
                    }
                })
            }));
            drop(spawn(move || {
                let _sleeper = sleeper;
                sleep(Duration::from_secs(1000));
            }));
            yield_now();
            drop(spawn(move || drop(unborn)));
            hub::call_after_global(Duration::from_secs(1000), move || drop(timer));
            // And the same once more, from a value made meanwhile.
            NUMBER.set(1);
            Acts::at_the_end(move || {
                let last = Sends(sender.clone(), "last");
                drop(spawn(move || {
                    let _last = last;
                    sleep(Duration::from_secs(1000));
                }));
                yield_now();
                drop(hub::remote().spawn(|| ()).unwrap());
            });
        });
    })
    .join()
    .unwrap();
    let mut words: Vec<_> = receiver.iter().collect();
    words.sort_unstable();
    assert_eq!(words, ["last", "slept", "timer", "unborn"]);
}

#[test]
fn destructors_may_wait_however_the_thread_has_ended_and_be_killed_meanwhile() {
    run(|| {
        let trace = Trace::new();
        let ends: [(fn(), bool); 3] =
            [(|| (), false), (|| panic!("on purpose"), false), (|| sleep(Duration::MAX), true)];
        for (end, is_killed) in ends {
            for naps in [1, 1000] {
                let inner = trace.clone();
                let thread = spawn(move || {
                    Acts::at_the_end(move || {
                        sleep(Duration::from_secs(naps));
                        inner.tell("waited");
                    });
                    end();
                });
                yield_now();
                if is_killed {
                    thread.kill();
                }
                if naps == 1000 {
                    sleep(Duration::from_secs(10));
                    thread.kill();
                }
                drop(thread.join());
                assert_eq!(trace.take().len(), usize::from(naps == 1));
            }
        }
    });
}

#[test]
fn a_destructor_may_link_to_its_thread_and_that_is_called_at_once() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        let thread = spawn(move || {
            Acts::at_the_end(move || {
                let linked = inner.clone();
                greenroom::thread::current().link(move |_, _| linked.tell("linked"));
                inner.tell("dropped");
            });
        });
        thread.join().unwrap();
        assert_eq!(trace.take(), ["linked", "dropped"]);
    });
}
