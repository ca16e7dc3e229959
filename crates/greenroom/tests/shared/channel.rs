//! Channels: what is theirs beside handing on: items, their order, and the end of a side.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use greenroom::{
    Instant, hub, hubs, sleep, spawn,
    sync::shared::channel::{
        self, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender,
        TryRecvError, TrySendError,
    },
    testing::{run, wait_all_parked},
};

use crate::site::{SECOND, Site, on_os_thread, while_time_passes};

#[test]
fn both_sides_may_be_sent_and_shared() {
    fn is_shared<T: Send + Sync>() {}
    // `Cell` is `Send`, and not `Sync`.
    is_shared::<Sender<Cell<u8>>>();
    is_shared::<Receiver<Cell<u8>>>();
}

#[test]
fn items_come_out_in_order_whatever_there_is_room_for() {
    for capacity in [Some(0), Some(1), Some(7), None] {
        let (sender, receiver) = match capacity {
            Some(capacity) => channel::bounded(capacity),
            None => channel::unbounded(),
        };
        assert_eq!((sender.capacity(), receiver.capacity()), (capacity, capacity));
        let os_thread = thread::spawn(move || (0..1000).try_for_each(|n| sender.send(n)));
        assert!(receiver.iter().eq(0..1000));
        assert_eq!(os_thread.join().unwrap(), Ok(()));
    }
}

#[test]
fn a_send_into_a_rendezvous_ends_when_the_item_is_taken() {
    let site = Site::start();
    let (sender, receiver) = channel::bounded(0);
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    let theirs = sender.clone();
    let sends = site.waiter(move || theirs.send(2));
    assert!(!sends.is_finished());
    assert_eq!((receiver.len(), receiver.is_full()), (0, true));
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(sends.join().unwrap(), Ok(()));
    let receives = site.waiter(move || receiver.recv());
    assert_eq!(sender.try_send(3), Ok(()));
    assert_eq!(receives.join().unwrap(), Ok(3));
}

#[test]
fn in_a_rendezvous_too_items_come_out_in_the_order_in_which_they_went_in() {
    let (sender, receiver) = channel::bounded(0);
    let theirs = receiver.clone();
    let called = spawn(move || theirs.recv());
    wait_all_parked();
    sender.try_send(1).unwrap();
    // Who was called does not run before this waits, and meanwhile another item is offered.
    let sends = thread::spawn(move || sender.send(2));
    let first = loop {
        match receiver.try_recv() {
            Ok(item) => break item,
            Err(_) => thread::yield_now(),
        }
    };
    assert_eq!((first, called.join().unwrap()), (1, Ok(2)));
    assert_eq!(sends.join().unwrap(), Ok(()));
}

#[test]
fn room_is_what_it_was_made_with_also_after_items_were_for_others() {
    let (sender, receiver) = channel::bounded(2);
    let site = Site::start();
    let theirs = receiver.clone();
    let receives = site.waiter(move || theirs.recv());
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(sender.try_send(2), Ok(()));
    assert_eq!(sender.try_send(3), Ok(()));
    assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)));
    assert_eq!(receives.join().unwrap(), Ok(1));
    assert!(sender.is_full() && receiver.len() == 2);
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2, 3]);
    assert!(sender.is_empty());
}

#[test]
fn the_end_of_all_senders_is_heard_on_every_hub_and_after_the_last_item() {
    let sites = [Site::start(), Site::start()];
    let (sender, receiver) = channel::unbounded();
    let receivers = sites.each_ref().map(|site| {
        let receiver = receiver.clone();
        site.waiter(move || (receiver.recv(), receiver.recv()))
    });
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    drop(sender.clone());
    assert!(!receiver.is_disconnected());
    drop(sender);
    assert!(receiver.is_disconnected());
    let heard = receivers.map(|receiver| receiver.join().unwrap());
    assert!(heard.iter().all(|(_, second)| *second == Err(RecvError)), "{heard:?}");
    let mut items = heard.map(|(first, _)| first.unwrap());
    items.sort_unstable();
    assert_eq!(items, [1, 2]);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(receiver.recv_timeout(Duration::MAX), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn the_end_of_all_receivers_gives_senders_their_items_back() {
    let sites = [Site::start(), Site::start()];
    let (sender, receiver) = channel::bounded(1);
    sender.send(0).unwrap();
    let senders = [1, 2].map(|n| {
        let sender = sender.clone();
        sites[n - 1].waiter(move || sender.send(n))
    });
    drop(receiver.clone());
    assert!(!sender.is_disconnected());
    drop(receiver);
    assert!(sender.is_disconnected());
    for (n, sends) in [1, 2].into_iter().zip(senders) {
        assert_eq!(sends.join().unwrap(), Err(SendError(n)));
    }
    assert_eq!(sender.send(3), Err(SendError(3)));
    assert_eq!(sender.try_send(4), Err(TrySendError::Disconnected(4)));
    let late = sender.send_timeout(5, Duration::MAX);
    assert_eq!(late, Err(SendTimeoutError::Disconnected(5)));
}

#[test]
fn an_item_that_was_not_let_in_in_time_comes_back() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(1).unwrap();
        let theirs = sender.clone();
        let late = while_time_passes(SECOND, move || theirs.send_timeout(2, SECOND));
        assert_eq!(late, Err(SendTimeoutError::Timeout(2)));
        let deadline = Instant::now() + SECOND;
        let late = while_time_passes(SECOND, move || sender.send_deadline(3, deadline));
        assert_eq!(late, Err(SendTimeoutError::Timeout(3)));
        assert_eq!(receiver.recv_deadline(deadline), Ok(1), "an item that is there is had");
        assert_eq!(receiver.recv_deadline(deadline), Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn who_receives_nothing_in_time_is_told_so() {
    run(|| {
        let (sender, receiver) = channel::bounded::<u8>(0);
        let theirs = receiver.clone();
        let late = while_time_passes(SECOND, move || theirs.recv_timeout(SECOND));
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        let deadline = Instant::now() + SECOND;
        let theirs = receiver.clone();
        let late = while_time_passes(SECOND, move || theirs.recv_deadline(deadline));
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        assert_eq!(receiver.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
        drop(sender);
    });
}

/// Tells as it is dropped whether the channel can be used then.
struct UsesTheChannel(Option<Sender<UsesTheChannel>>, mpsc::Sender<bool>);

impl Drop for UsesTheChannel {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let item = UsesTheChannel(None, self.1.clone());
            self.1.send(sender.try_send(item).is_err()).unwrap();
        }
    }
}

#[test]
fn items_are_dropped_when_nothing_is_locked() {
    let (tells, told) = mpsc::channel();
    // Left in a channel without receivers.
    let (sender, receiver) = channel::unbounded();
    sender.send(UsesTheChannel(Some(sender.clone()), tells.clone())).unwrap();
    drop(receiver);
    assert_eq!(told.recv(), Ok(true));
    // Held by a sender who is killed while it waits for room.
    let (sender, receiver) = channel::bounded(0);
    let theirs = sender.clone();
    let victim = spawn(move || theirs.send(UsesTheChannel(Some(theirs.clone()), tells)).is_ok());
    wait_all_parked();
    victim.thread().kill();
    assert!(victim.join().unwrap_err().is_killed());
    assert_eq!(told.recv(), Ok(true));
    assert!(receiver.try_recv().is_err());
}

#[test]
fn a_receiver_whose_sender_keeps_up_lets_others_run() {
    let (sender, receiver) = channel::unbounded();
    (0..10_000).for_each(|n| sender.send(n).unwrap());
    let steps = Rc::new(Cell::new(0));
    let count = Rc::clone(&steps);
    drop(spawn(move || {
        loop {
            count.set(count.get() + 1);
            sleep(Duration::ZERO);
        }
    }));
    let receives = spawn(move || (0..10_000).for_each(|n| assert_eq!(receiver.recv(), Ok(n))));
    receives.join().unwrap();
    assert!(steps.get() > 10, "{}", steps.get());
    hub::abort();
}

#[test]
fn a_panic_drops_a_side_as_any_end_does() {
    let site = Site::start();
    let (sender, receiver) = channel::bounded::<u8>(0);
    let receives = site.waiter(move || receiver.recv());
    let panics = catch_unwind(AssertUnwindSafe(move || {
        let _sender = sender;
        panic!("with the only sender");
    }));
    assert!(panics.is_err());
    assert_eq!(receives.join().unwrap(), Err(RecvError));
}

#[test]
fn work_is_spread_over_hubs_and_each_piece_is_done_once() {
    const PIECES: usize = 3000;
    let (work, todo) = channel::bounded(16);
    let (done, results) = channel::unbounded();
    let feeder = thread::spawn(move || (0..PIECES).try_for_each(|n| work.send(n)));
    let ends = Arc::new((todo, done));
    let doers = thread::spawn(move || {
        hubs::run(2, |_| {
            let doers: Vec<_> = (0..5)
                .map(|_| {
                    let ends = Arc::clone(&ends);
                    spawn(move || ends.0.iter().for_each(|n| ends.1.send(n).unwrap()))
                })
                .collect();
            doers.into_iter().for_each(|doer| doer.join().unwrap());
        });
    });
    let mut results: Vec<_> = results.iter().collect();
    results.sort_unstable();
    assert!(results.into_iter().eq(0..PIECES));
    feeder.join().unwrap().unwrap();
    doers.join().unwrap();
}

#[test]
fn a_side_can_be_dropped_where_there_is_no_hub() {
    let (sender, receiver) = channel::bounded::<u8>(0);
    let waits = spawn(move || receiver.recv());
    wait_all_parked();
    on_os_thread(move || drop(sender));
    assert_eq!(waits.join().unwrap(), Err(RecvError));
}
