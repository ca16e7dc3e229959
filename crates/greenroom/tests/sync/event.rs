//! Events: one sends, all who wait have it.

use std::{
    cell::Cell,
    rc::{Rc, Weak},
    time::Duration,
};

use greenroom::{
    Elapsed, Instant, JoinHandle, hub, sleep, spawn,
    sync::Event,
    testing::{run, wait_all_parked},
    with_timeout,
};

use crate::{
    scenes::{
        SECOND, assert_nothing_left, in_a_callback, in_a_kill, in_a_panic, join_all, panic_of,
    },
    trace::Trace,
};

#[test]
fn all_who_wait_have_the_value_in_the_order_they_came() {
    run(|| {
        let (event, trace) = (Rc::new(Event::new()), Trace::new());
        let waiters = [1, 2, 3].map(|n| {
            let (event, trace) = (Rc::clone(&event), trace.clone());
            spawn(move || trace.tell((n, event.wait())))
        });
        wait_all_parked();
        event.send('x').unwrap();
        assert_eq!(trace.take(), [], "a send runs nobody");
        join_all(waiters);
        assert_eq!(trace.take(), [(1, 'x'), (2, 'x'), (3, 'x')]);
        assert_nothing_left();
    });
}

#[test]
fn a_wait_for_what_was_sent_is_none() {
    run(|| {
        let event = Event::new();
        event.send(5).unwrap();
        let turns = hub::stats().turns;
        assert_eq!((event.wait(), event.wait_timeout(Duration::ZERO)), (5, Ok(5)));
        assert_eq!(
            (event.try_get(), event.with(|n| n + 1), event.is_set()),
            (Some(5), Some(6), true)
        );
        assert_eq!(hub::stats().turns, turns);
    });
}

#[test]
fn a_second_send_is_an_error_that_has_the_value() {
    run(|| {
        let event = Event::new();
        event.send("first").unwrap();
        let error = event.send("second").unwrap_err();
        let text = "the event has been sent a value before; reset it to send another";
        assert_eq!(error.to_string(), text);
        assert_eq!((error.into_inner(), event.wait()), ("second", "first"));
    });
}

#[test]
fn an_error_is_sent_as_a_value_is() {
    run(|| {
        let event = Rc::new(Event::<Result<u8, String>>::new());
        let theirs = Rc::clone(&event);
        let waiter = spawn(move || theirs.wait());
        wait_all_parked();
        event.send_error("no".into()).unwrap();
        assert_eq!(waiter.join().unwrap(), Err("no".into()));
        assert!(event.send(Ok(1)).is_err());
    });
}

#[test]
fn after_a_reset_another_value_can_be_sent() {
    run(|| {
        let event = Rc::new(Event::new());
        for n in 0..3 {
            let theirs = Rc::clone(&event);
            let waiter = spawn(move || theirs.wait());
            wait_all_parked();
            event.send(n).unwrap();
            assert_eq!(waiter.join().unwrap(), n);
            event.reset();
            assert_eq!((event.is_set(), event.try_get()), (false, None));
        }
    });
}

#[test]
fn a_reset_before_anything_was_sent_changes_nothing() {
    run(|| {
        let event = Rc::new(Event::new());
        let theirs = Rc::clone(&event);
        let waiter = spawn(move || theirs.wait());
        wait_all_parked();
        event.reset();
        event.send(1).unwrap();
        assert_eq!(waiter.join().unwrap(), 1);
    });
}

#[test]
fn who_was_woken_gets_its_value_whatever_is_sent_before_it_runs() {
    run(|| {
        let event = Rc::new(Event::new());
        let waiter = |event: &Rc<Event<i32>>| {
            let event = Rc::clone(event);
            let waiter = spawn(move || event.wait());
            wait_all_parked();
            waiter
        };
        let first = waiter(&event);
        event.send(1).unwrap();
        event.reset();
        event.send(2).unwrap();
        assert_eq!(first.join().unwrap(), 1);
        assert_eq!(event.wait(), 2);
    });
}

#[test]
fn a_wait_with_a_timeout_ends_with_it() {
    run(|| {
        let event = Rc::new(Event::<u8>::new());
        let begin = Instant::now();
        assert_eq!(event.wait_timeout(SECOND), Err(Elapsed));
        assert_eq!(with_timeout(SECOND, || event.wait()), Err(Elapsed));
        assert_eq!(begin.elapsed(), 2 * SECOND);
        let theirs = Rc::clone(&event);
        let sender = spawn(move || {
            sleep(SECOND);
            theirs.send(3).unwrap();
        });
        assert_eq!(event.wait_timeout(2 * SECOND), Ok(3));
        assert_eq!(begin.elapsed(), 3 * SECOND);
        sender.join().unwrap();
        assert_nothing_left();
    });
}

#[test]
fn a_value_that_is_sent_in_the_moment_in_which_time_is_over_is_had() {
    for sender_comes_first in [true, false] {
        run(|| {
            let event = Rc::new(Event::new());
            let (theirs, waits) = (Rc::clone(&event), Rc::clone(&event));
            let send = move || {
                sleep(SECOND);
                theirs.send(1).unwrap();
            };
            let wait = move || waits.wait_timeout(SECOND);
            let (sender, waiter) = if sender_comes_first {
                let sender = spawn(send);
                (sender, spawn(wait))
            } else {
                let waiter = spawn(wait);
                (spawn(send), waiter)
            };
            sender.join().unwrap();
            let outcome = waiter.join().unwrap();
            // Its time is over, but when it comes to look, the value may be there.
            assert_eq!(outcome, if sender_comes_first { Ok(1) } else { Err(Elapsed) });
            assert_nothing_left();
        });
    }
}

#[test]
fn a_killed_waiter_takes_nothing_from_the_others() {
    run(|| {
        let event = Rc::new(Event::new());
        let waiters = [1, 2, 3].map(|_| {
            let event = Rc::clone(&event);
            spawn(move || event.wait())
        });
        wait_all_parked();
        waiters[0].kill();
        event.send(7).unwrap();
        waiters[1].kill();
        let [first, second, third] = waiters.map(JoinHandle::join);
        assert!(first.unwrap_err().is_killed() && second.unwrap_err().is_killed());
        assert_eq!(third.unwrap(), 7);
        assert_nothing_left();
    });
}

#[test]
fn a_callback_may_send_and_look_but_not_wait() {
    run(|| {
        let event = Rc::new(Event::new());
        let theirs = Rc::clone(&event);
        let message = in_a_callback(move || panic_of(|| theirs.wait()));
        assert!(message.contains("a hub callback may not block"), "{message}");
        let theirs = Rc::clone(&event);
        hub::call_after_global(SECOND, move || theirs.send(4).unwrap());
        assert_eq!(event.wait(), 4);
        assert_eq!(in_a_callback(move || (event.wait(), event.try_get())), (4, Some(4)));
    });
}

#[test]
fn in_a_destructor_during_a_panic_it_sends_and_does_not_wait() {
    let play = |event: &Event<u8>| {
        let message = panic_of(|| event.wait());
        assert!(message.starts_with("an event would have to be waited for"), "{message}");
        let late = event.wait_timeout(SECOND);
        event.send(9).unwrap();
        (late, event.wait())
    };
    run(|| {
        let expected = (Err(Elapsed), 9);
        assert_eq!(in_a_panic(|| play(&Event::new())), expected);
        assert_eq!(in_a_kill(move || play(&Event::new())), expected);
    });
}

#[test]
fn a_root_that_waits_for_ever_is_told_and_can_wait_again() {
    run(|| {
        let event = Event::new();
        assert!(panic_of(|| event.wait()).contains("the root waits for an event"));
        event.send(1).unwrap();
        assert_eq!(event.wait(), 1);
    });
}

/// Does something with its event as it is cloned and as it is dropped.
struct Meddles {
    event: Weak<Event<Meddles>>,
    met: Rc<Cell<u32>>,
}

impl Clone for Meddles {
    fn clone(&self) -> Meddles {
        if let Some(event) = self.event.upgrade() {
            event.reset();
            assert!(!event.is_set());
        }
        self.met.set(self.met.get() + 1);
        Meddles { event: Weak::new(), met: Rc::clone(&self.met) }
    }
}

impl Drop for Meddles {
    fn drop(&mut self) {
        if let Some(event) = self.event.upgrade() {
            event.reset();
            let again = Meddles { event: Weak::new(), met: Rc::clone(&self.met) };
            assert!(event.send(again).is_ok());
        }
        self.met.set(self.met.get() + 1);
    }
}

#[test]
fn a_value_may_do_anything_to_its_event() {
    run(|| {
        let (event, met) = (Rc::new(Event::new()), Rc::new(Cell::new(0)));
        let value = || Meddles { event: Rc::downgrade(&event), met: Rc::clone(&met) };
        assert!(event.send(value()).is_ok());
        drop(event.wait());
        // Cloned, and both dropped: the first of them after the reset, where it sent another.
        assert_eq!(met.get(), 3);
        assert!(event.is_set());
        event.with(|_| event.reset());
        assert_eq!((met.get(), event.is_set()), (4, false));
    });
}

#[test]
fn what_is_lent_need_not_be_clone() {
    struct Whole(u8);
    run(|| {
        let event = Rc::new(Event::new());
        let theirs = Rc::clone(&event);
        let waiter = spawn(move || theirs.wait_with(|whole: &Whole| whole.0));
        wait_all_parked();
        assert!(event.send(Whole(2)).is_ok());
        assert_eq!(waiter.join().unwrap(), 2);
        assert_eq!(format!("{event:?}"), "Event { is_set: true, waiting: 0 }");
    });
}
