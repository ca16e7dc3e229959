//! Events between hubs: heard by all, once sent, and forgotten when reset.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use greenroom::{
    Elapsed, hub, spawn,
    sync::shared::Event,
    testing::{run, wait_all_parked},
    with_timeout, yield_now,
};

use crate::{
    scenes::{in_a_callback, in_a_kill, in_a_panic, panic_of},
    site::{SECOND, Site, on_os_thread, while_time_passes},
};

#[test]
fn it_may_be_shared_if_its_value_may() {
    fn is_sent<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Event<String>>();
    is_sent::<Event<String>>();
}

#[test]
fn everybody_hears_it_on_every_hub_and_on_plain_os_threads() {
    let event = Arc::new(Event::new());
    let sites = [Site::start(), Site::start()];
    let green: Vec<_> = (0..6)
        .map(|n| {
            let event = Arc::clone(&event);
            sites[n % 2].waiter(move || event.wait())
        })
        .collect();
    let plain: Vec<_> = (0..2)
        .map(|_| {
            let event = Arc::clone(&event);
            thread::spawn(move || event.wait_with(String::len))
        })
        .collect();
    assert!(!event.is_set());
    on_os_thread(|| event.send("five!".to_owned()).unwrap());
    assert!(green.into_iter().all(|waiter| waiter.join().unwrap() == "five!"));
    assert!(plain.into_iter().all(|waiter| waiter.join().unwrap() == 5));
    assert_eq!(event.try_get().as_deref(), Some("five!"));
}

#[test]
fn those_of_one_hub_go_on_in_the_order_in_which_they_came() {
    let (event, site) = (Arc::new(Event::new()), Site::start());
    let (trace, order) = mpsc::channel();
    let waiters: Vec<_> = (0..10)
        .map(|n| {
            let (event, trace) = (Arc::clone(&event), trace.clone());
            site.waiter(move || {
                event.wait();
                trace.send(n).unwrap();
            })
        })
        .collect();
    event.send(()).unwrap();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert!(order.try_iter().eq(0..10));
}

#[test]
fn who_was_woken_gets_the_value_although_it_is_reset() {
    let event = Arc::new(Event::new());
    let theirs = Arc::clone(&event);
    let waiter = spawn(move || theirs.wait());
    yield_now();
    event.send(1).unwrap();
    event.reset();
    event.send(2).unwrap();
    assert_eq!(waiter.join().unwrap(), 1);
    assert_eq!(event.wait(), 2);
    assert_eq!(event.send(3).unwrap_err().into_inner(), 3);
}

#[test]
fn who_is_late_or_killed_is_not_waited_for() {
    run(|| {
        let event = Arc::new(Event::<u8>::new());
        let (late, thrown, theirs) = (Arc::clone(&event), Arc::clone(&event), Arc::clone(&event));
        let late = while_time_passes(SECOND, move || late.wait_timeout(SECOND));
        assert_eq!(late, Err(Elapsed));
        let thrown = while_time_passes(SECOND, || with_timeout(SECOND, move || thrown.wait()));
        assert_eq!(thrown, Err(Elapsed));
        let killed = spawn(move || theirs.wait());
        wait_all_parked();
        killed.thread().kill();
        assert!(killed.join().unwrap_err().is_killed());
        assert_eq!((hub::stats().expected, hub::stats().timers), (0, 0));
        assert_eq!(format!("{event:?}"), "Event { is_set: false, waiting: 0 }");
        event.send(1).unwrap();
        assert_eq!(event.wait_timeout(Duration::ZERO), Ok(1));
    });
}

#[test]
fn it_can_be_sent_anywhere_and_waited_for_where_one_may_wait() {
    let event = Arc::new(Event::<u8>::new());
    let theirs = Arc::clone(&event);
    let said = in_a_callback(move || panic_of(|| theirs.wait()));
    assert!(said.starts_with("a hub callback may not block"), "{said}");
    let said = in_a_panic(|| panic_of(|| event.wait()));
    assert!(said.starts_with("an event would have to be waited for"), "{said}");
    assert_eq!(in_a_panic(|| event.wait_timeout(Duration::MAX)), Err(Elapsed));
    let theirs = Arc::clone(&event);
    in_a_kill(move || theirs.send(1).unwrap());
    let theirs = Arc::clone(&event);
    assert_eq!(in_a_callback(move || theirs.wait()), 1);
    assert_eq!(in_a_panic(|| event.wait()), 1);
}

/// Resets the event that it was sent with, as it is dropped.
struct Resets(Cell<Option<Rc<Event<Resets>>>>);

impl Drop for Resets {
    fn drop(&mut self) {
        if let Some(event) = self.0.take() {
            event.reset();
            assert!(!event.is_set());
        }
    }
}

#[test]
fn a_value_is_dropped_when_nothing_is_locked() {
    let event = Rc::new(Event::new());
    event.send(Resets(Cell::new(Some(Rc::clone(&event))))).unwrap();
    event.reset();
    assert!(!event.is_set());
    assert_eq!(Rc::strong_count(&event), 1, "it was dropped");
}

#[test]
fn an_error_can_be_sent_in_place_of_a_value() {
    let event = Event::<Result<u8, &str>>::default();
    event.send_error("no").unwrap();
    assert_eq!(on_os_thread(|| event.wait()), Err("no"));
}
