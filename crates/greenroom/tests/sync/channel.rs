//! Channels: what is in them, how they end, and what becomes of items whose sender or receiver goes.
//!
//! What they have in common with others is in `handed_on`.

use std::{cell::RefCell, error::Error, rc::Rc, time::Duration};

use greenroom::{
    Instant, JoinHandle, hub, scope, sleep, spawn,
    sync::channel::{
        self, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender,
        TryRecvError, TrySendError,
    },
    testing::{run, wait_all_parked},
    yield_now,
};

use crate::{
    scenes::{SECOND, assert_nothing_left, in_a_callback, in_a_panic, join_all, panic_of},
    trace::Trace,
};

/// Spawns `f`, and lets it come to where it waits.
fn playing<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let thread = spawn(f);
    wait_all_parked();
    thread
}

/// Sends an item from a thread of its own, which may wait.
fn sending<T: 'static>(sender: &Sender<T>, item: T) -> JoinHandle<Result<(), SendError<T>>> {
    let sender = sender.clone();
    playing(move || sender.send(item))
}

fn receiving<T: 'static>(receiver: &Receiver<T>) -> JoinHandle<Result<T, RecvError>> {
    let receiver = receiver.clone();
    playing(move || receiver.recv())
}

#[track_caller]
fn kill(thread: JoinHandle<impl Sized>) {
    thread.kill();
    assert!(thread.join().err().is_some_and(|error| error.is_killed()));
}

/// A channel of each kind.
fn channels<T>() -> [(Sender<T>, Receiver<T>); 4] {
    [channel::unbounded(), channel::bounded(0), channel::bounded(1), channel::bounded(3)]
}

#[test]
fn items_come_out_in_the_order_in_which_they_went_in() {
    for kind in 0..4 {
        run(|| {
            let (sender, receiver) = channels()[kind].clone();
            let sender = spawn(move || (0..100).try_for_each(|n| sender.send(n)));
            let items: Vec<u32> = (0..100).map(|_| receiver.recv().unwrap()).collect();
            assert!(items.iter().copied().eq(0..100), "{items:?}");
            sender.join().unwrap().unwrap();
            assert_nothing_left();
        });
    }
}

#[test]
fn so_many_are_let_in_and_the_others_wait_in_order() {
    run(|| {
        let (sender, receiver) = channel::bounded(2);
        assert_eq!((sender.capacity(), receiver.capacity()), (Some(2), Some(2)));
        let threads = [0, 1, 2, 3].map(|n| sending(&sender, n));
        let waits = |threads: &[JoinHandle<_>]| threads.iter().filter(|t| !t.is_finished()).count();
        assert_eq!((waits(&threads), sender.len(), sender.is_full()), (2, 2, true));
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        assert_eq!(receiver.try_recv(), Ok(0));
        // Before the sender has run, its item is inside: nobody can come between.
        assert_eq!((receiver.len(), sender.try_send(9)), (2, Err(TrySendError::Full(9))));
        wait_all_parked();
        assert!(threads[2].is_finished() && !threads[3].is_finished());
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(receiver.is_empty() && !sender.is_full());
        join_all(threads);
    });
}

#[test]
fn an_unbounded_channel_has_room_for_all() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let turns = hub::stats().turns;
        (0..10_000).for_each(|n| sender.send(n).unwrap());
        assert_eq!((sender.len(), sender.capacity(), sender.is_full()), (10_000, None, false));
        assert!(receiver.try_iter().eq(0..10_000));
        assert_eq!(hub::stats().turns, turns, "nobody had to wait");
    });
}

#[test]
fn in_a_rendezvous_a_send_returns_when_a_receiver_has_the_item() {
    run(|| {
        let (sender, receiver) = channel::bounded(0);
        assert!(sender.is_full() && receiver.is_empty());
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        let first = sending(&sender, 1);
        let second = sending(&sender, 2);
        assert!(!first.is_finished());
        assert_eq!(receiver.try_recv(), Ok(1));
        wait_all_parked();
        assert!(first.is_finished() && !second.is_finished());
        assert_eq!((receiver.recv(), receiver.try_recv()), (Ok(2), Err(TryRecvError::Empty)));
        join_all([first, second]);
        // A receiver who waits is given the item at once.
        let receives = receiving(&receiver);
        assert_eq!(sender.try_send(3), Ok(()));
        assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)), "only one waits");
        assert_eq!(receives.join().unwrap(), Ok(3));
        assert_nothing_left();
    });
}

#[test]
fn what_a_rendezvous_gave_to_one_who_is_killed_then_is_for_the_next_who_comes() {
    run(|| {
        let (sender, receiver) = channel::bounded(0);
        let victim = receiving(&receiver);
        sender.send(1).unwrap();
        kill(victim);
        assert_eq!((receiver.recv(), receiver.try_recv()), (Ok(1), Err(TryRecvError::Empty)));
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        assert_nothing_left();
    });
}

#[test]
fn in_a_rendezvous_too_whoever_comes_meanwhile_takes_what_was_sent_first() {
    run(|| {
        let (sender, receiver) = channel::bounded(0);
        let called = receiving(&receiver);
        // Is to run before the one who is called now.
        let comes = spawn(move || receiver.recv());
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert_eq!((comes.join().unwrap(), called.join().unwrap()), (Ok(1), Ok(2)));
        assert_nothing_left();
    });
}

#[test]
fn whoever_comes_meanwhile_leaves_what_others_were_called_for() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let threads = [receiving(&receiver), receiving(&receiver)];
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert_eq!((receiver.len(), receiver.try_recv()), (0, Err(TryRecvError::Empty)));
        sender.send(3).unwrap();
        assert_eq!((receiver.len(), receiver.is_empty()), (1, false));
        // Items keep their order: the first to come out is the first that went in.
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(threads.map(|thread| thread.join().unwrap()), [Ok(2), Ok(3)]);
    });
}

#[test]
fn an_item_whose_receiver_is_killed_stays_first() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let victim = receiving(&receiver);
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        kill(victim);
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2]);
    });
}

#[test]
fn a_channel_that_a_killed_receiver_left_too_full_lets_nobody_in_until_there_is_room() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let victims = [receiving(&receiver), receiving(&receiver)];
        (1..=3).for_each(|n| sender.try_send(n).unwrap());
        assert!(victims.iter().all(JoinHandle::kill));
        victims.into_iter().for_each(kill);
        assert_eq!((receiver.len(), sender.is_full()), (3, true));
        let late = sending(&sender, 4);
        for n in 1..=2 {
            assert_eq!(receiver.try_recv(), Ok(n));
            wait_all_parked();
            assert!(!late.is_finished());
        }
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [3, 4]);
        late.join().unwrap().unwrap();
    });
}

#[test]
fn the_item_of_a_sender_that_goes_is_not_sent() {
    run(|| {
        for (capacity, full) in [(0, 0), (1, 1)] {
            let (sender, receiver) = channel::bounded(capacity);
            (0..full).for_each(|_| sender.send(Rc::new(0)).unwrap());
            let item = Rc::new(1);
            let victim = sending(&sender, Rc::clone(&item));
            assert_eq!(Rc::strong_count(&item), 2);
            kill(victim);
            assert_eq!(Rc::strong_count(&item), 1, "it is dropped with its sender");
            let theirs = (sender.clone(), Rc::clone(&item));
            let late = playing(move || theirs.0.send_timeout(theirs.1, SECOND));
            let next = sending(&sender, Rc::new(2));
            match late.join().unwrap() {
                Err(SendTimeoutError::Timeout(back)) => assert!(Rc::ptr_eq(&back, &item)),
                other => panic!("{other:?}"),
            }
            let items: Vec<_> = receiver.try_iter().map(|item| *item).collect();
            assert_eq!(items, [&[0][..full], &[2]].concat());
            next.join().unwrap().unwrap();
        }
        assert_nothing_left();
    });
}

#[test]
fn a_sender_that_was_let_in_and_is_killed_then_has_sent() {
    run(|| {
        for capacity in [0, 1] {
            let (sender, receiver) = channel::bounded(capacity);
            let _full = sender.try_send(0);
            let victim = sending(&sender, 1);
            let first = receiver.try_recv().unwrap();
            kill(victim);
            let rest: Vec<_> = receiver.try_iter().collect();
            assert_eq!([&[first], &rest[..]].concat().last(), Some(&1), "capacity {capacity}");
        }
        assert_nothing_left();
    });
}

#[test]
fn a_send_that_has_room_in_the_moment_in_which_its_time_is_over_is_one_of_both() {
    for receiver_comes_first in [true, false] {
        run(|| {
            let (sender, receiver) = channel::bounded(0);
            let receives = || {
                let receiver = receiver.clone();
                playing(move || {
                    sleep(SECOND);
                    receiver.try_recv()
                })
            };
            let early = receiver_comes_first.then(receives);
            let theirs = sender.clone();
            let late = playing(move || theirs.send_timeout(1, SECOND));
            let receives = early.unwrap_or_else(receives);
            // Both timers fire before either thread runs, so the sender's time was over first.
            let outcome = (receives.join().unwrap(), late.join().unwrap());
            let sent = (Ok(1), Ok(()));
            let not_sent = (Err(TryRecvError::Empty), Err(SendTimeoutError::Timeout(1)));
            assert!(outcome == sent || outcome == not_sent, "{outcome:?}");
            assert_nothing_left();
        });
    }
}

#[test]
fn what_can_be_had_when_a_late_one_comes_to_run_is_had() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        // Wakes at the same moment, and before the one whose time is over.
        let theirs = sender.clone();
        let gives = playing(move || {
            sleep(SECOND);
            theirs.send(1)
        });
        assert_eq!(receiver.recv_timeout(SECOND), Ok(1));
        sender.send(2).unwrap();
        let takes = playing(move || {
            sleep(SECOND);
            (receiver.recv(), receiver)
        });
        assert_eq!(sender.send_timeout(3, SECOND), Ok(()));
        assert_eq!(takes.join().unwrap().1.recv(), Ok(3));
        gives.join().unwrap().unwrap();
        assert_nothing_left();
    });
}

#[test]
fn after_the_last_sender_receivers_take_what_is_left_and_learn_it() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let other = sender.clone();
        sender.send(1).unwrap();
        drop(sender);
        assert!(!receiver.is_disconnected());
        other.send(2).unwrap();
        drop(other);
        assert!(receiver.is_disconnected());
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(receiver.recv(), Err(RecvError));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(receiver.recv_timeout(SECOND), Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn receivers_who_wait_learn_that_the_last_sender_is_gone() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let threads = [receiving(&receiver), receiving(&receiver), receiving(&receiver)];
        let timed = playing(move || receiver.recv_timeout(SECOND));
        sender.send(1).unwrap();
        drop(sender);
        let outcomes = threads.map(|thread| thread.join().unwrap());
        assert_eq!(outcomes, [Ok(1), Err(RecvError), Err(RecvError)]);
        assert_eq!(timed.join().unwrap(), Err(RecvTimeoutError::Disconnected));
        assert_nothing_left();
    });
}

#[test]
fn an_item_is_not_lost_with_a_receiver_who_is_killed_as_the_last_sender_goes() {
    for killed in 0..2 {
        run(|| {
            let (sender, receiver) = channel::bounded(1);
            let mut threads = vec![receiving(&receiver), receiving(&receiver)];
            sender.send(1).unwrap();
            drop(sender);
            kill(threads.remove(killed));
            let other = threads.remove(0).join().unwrap();
            let rest = receiver.try_recv();
            assert!(
                matches!(
                    (other, rest),
                    (Ok(1), Err(TryRecvError::Disconnected)) | (Err(RecvError), Ok(1))
                ),
                "{other:?}, {rest:?}"
            );
            assert_nothing_left();
        });
    }
}

#[test]
fn after_the_last_receiver_senders_get_their_items_back() {
    for (capacity, full) in [(0, 0), (2, 2)] {
        run(|| {
            let (sender, receiver) = channel::bounded(capacity);
            (0..full).for_each(|_| sender.send(9).unwrap());
            let (other, waits) = (receiver.clone(), sending(&sender, 1));
            let theirs = sender.clone();
            let timed = playing(move || theirs.send_timeout(2, SECOND));
            let victim = sending(&sender, 3);
            drop(receiver);
            wait_all_parked();
            assert!(!waits.is_finished() && !sender.is_disconnected());
            drop(other);
            kill(victim);
            assert_eq!(waits.join().unwrap(), Err(SendError(1)));
            assert_eq!(timed.join().unwrap(), Err(SendTimeoutError::Disconnected(2)));
            assert!(sender.is_disconnected() && sender.is_empty());
            assert_eq!(sender.send(4), Err(SendError(4)));
            assert_eq!(sender.try_send(5), Err(TrySendError::Disconnected(5)));
            let late = sender.send_timeout(6, SECOND);
            assert_eq!(late, Err(SendTimeoutError::Disconnected(6)));
            assert_nothing_left();
        });
    }
}

/// Uses a channel as it is dropped.
struct Nosy {
    name: &'static str,
    channel: (Sender<Nosy>, Trace),
}

impl Drop for Nosy {
    fn drop(&mut self) {
        let (sender, trace) = &self.channel;
        trace.tell(self.name);
        assert!(sender.is_disconnected() && sender.is_empty());
        if self.name != "again" {
            let again = Nosy { name: "again", channel: (sender.clone(), trace.clone()) };
            drop(sender.try_send(again).unwrap_err());
        }
    }
}

#[test]
fn items_left_behind_are_dropped_and_may_use_the_channel() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let trace = Trace::new();
        for name in ["a", "b"] {
            let channel = (sender.clone(), trace.clone());
            assert!(sender.send(Nosy { name, channel }).is_ok());
        }
        in_a_callback(move || drop(receiver));
        assert_eq!(trace.take(), ["a", "again", "b", "again"]);
        drop(sender);
        assert_nothing_left();
    });
}

#[test]
fn an_item_that_panics_as_it_is_dropped_keeps_no_sender_waiting() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("no");
        }
    }
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(Some(Bomb)).ok().unwrap();
        let waits = sending(&sender, None);
        assert_eq!(panic_of(|| drop(receiver)), "no");
        assert!(waits.join().unwrap().is_err());
        assert_nothing_left();
    });
}

#[test]
fn where_nothing_waits_a_call_that_would_have_to_fails_at_once() {
    run(|| {
        let (sender, receiver) = channel::bounded(0);
        let outcomes = in_a_panic(|| {
            let received = (receiver.recv(), receiver.recv_timeout(SECOND));
            (received, sender.send(1), sender.send_timeout(2, SECOND))
        });
        let received = (Err(RecvError), Err(RecvTimeoutError::Timeout));
        let sent = Err(SendTimeoutError::Timeout(2));
        assert_eq!(outcomes, (received, Err(SendError(1)), sent));
        assert_nothing_left();
    });
}

#[test]
fn iterators_end_with_the_channel() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let sends = spawn(move || (0..9).try_for_each(|n| sender.send(n)));
        assert!(receiver.try_iter().eq([]), "nothing was sent yet, and it does not wait");
        let mut items = Vec::new();
        for item in &receiver {
            items.push(item);
            if items.len() == 3 {
                break;
            }
        }
        items.extend(receiver.iter().take(3));
        let mut rest = receiver.into_iter();
        items.extend(rest.by_ref());
        assert!(items.iter().copied().eq(0..9), "{items:?}");
        assert_eq!(rest.next(), None);
        sends.join().unwrap().unwrap();
    });
}

#[test]
fn a_deadline_is_a_point_in_time() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let begin = Instant::now();
        assert_eq!(receiver.recv_deadline(begin + SECOND), Err(RecvTimeoutError::Timeout));
        assert_eq!(begin.elapsed(), SECOND);
        sender.send(1).unwrap();
        let late = sender.send_deadline(2, begin + 2 * SECOND);
        assert_eq!((late, begin.elapsed()), (Err(SendTimeoutError::Timeout(2)), 2 * SECOND));
        assert_eq!(receiver.recv_deadline(begin), Ok(1));
    });
}

#[test]
fn handles_know_their_channel() {
    let (sender, receiver) = channel::unbounded::<u8>();
    let (other_sender, other_receiver) = channel::unbounded::<u8>();
    assert!(sender.same_channel(&sender.clone()) && receiver.same_channel(&receiver.clone()));
    assert!(!sender.same_channel(&other_sender) && !receiver.same_channel(&other_receiver));
}

#[test]
fn items_may_borrow_and_senders_are_counted_in_scopes() {
    run(|| {
        let text = String::from("a b c");
        let (sender, receiver) = channel::bounded(0);
        let words = scope(|scope| {
            let text = &text;
            scope.spawn(move || text_to(&sender, text));
            receiver.iter().collect::<Vec<&str>>()
        });
        assert_eq!(words, ["a", "b", "c"]);
    });

    fn text_to<'a>(sender: &Sender<&'a str>, text: &'a str) {
        text.split(' ').for_each(|word| sender.send(word).unwrap());
    }
}

#[test]
fn errors_say_what_happened_and_need_nothing_of_the_item() {
    struct Mute;
    fn text(error: &(impl Error + 'static)) -> String {
        format!("{error:?}: {error}")
    }
    let gone = "sending into a channel whose receivers are all gone";
    let over = "receiving from a channel that is empty and whose senders are all gone";
    for (said, expected) in [
        (text(&SendError(Mute)), format!("SendError(..): {gone}")),
        (text(&TrySendError::Full(Mute)), "Full(..): sending into a full channel".into()),
        (text(&TrySendError::from(SendError(Mute))), format!("Disconnected(..): {gone}")),
        (
            text(&SendTimeoutError::Timeout(Mute)),
            "Timeout(..): there was no room in a channel in time".into(),
        ),
        (text(&SendTimeoutError::from(SendError(Mute))), format!("Disconnected(..): {gone}")),
        (text(&RecvError), format!("RecvError: {over}")),
        (text(&TryRecvError::Empty), "Empty: receiving from an empty channel".into()),
        (text(&TryRecvError::from(RecvError)), format!("Disconnected: {over}")),
        (
            text(&RecvTimeoutError::Timeout),
            "Timeout: nothing came through a channel in time".into(),
        ),
        (text(&RecvTimeoutError::from(RecvError)), format!("Disconnected: {over}")),
    ] {
        assert_eq!(said, expected);
    }
    assert!(TrySendError::Full(Mute).is_full() && !TrySendError::Full(Mute).is_disconnected());
    assert!(SendTimeoutError::Timeout(Mute).is_timeout());
    assert_eq!(TrySendError::Disconnected(7).into_inner(), 7);
    assert_eq!(SendTimeoutError::Disconnected(7).into_inner(), 7);
}

#[test]
fn handles_are_printed_with_what_is_in_the_channel() {
    run(|| {
        let (sender, receiver) = channel::bounded(2);
        sender.send(1).unwrap();
        let expected = "{ len: 1, capacity: Some(2), disconnected: false }";
        assert_eq!(format!("{sender:?}"), format!("Sender {expected}"));
        assert_eq!(format!("{receiver:?}"), format!("Receiver {expected}"));
    });
}

#[test]
fn senders_and_receivers_take_turns_fairly() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let shares = Rc::new(RefCell::new([0; 3]));
        let receivers = [0, 1, 2].map(|n| {
            let (receiver, shares) = (receiver.clone(), Rc::clone(&shares));
            spawn(move || {
                for _ in &receiver {
                    shares.borrow_mut()[n] += 1;
                }
            })
        });
        let senders = [0, 1].map(|_| {
            let sender = sender.clone();
            spawn(move || {
                for _ in 0..150 {
                    sender.send(()).unwrap();
                    yield_now();
                }
            })
        });
        drop((sender, receiver));
        join_all(senders);
        join_all(receivers);
        let shares = shares.take();
        assert!(shares.iter().all(|share| (90..=110).contains(share)), "{shares:?}");
        assert_eq!(shares.iter().sum::<u32>(), 300);
    });
}

#[test]
fn a_wait_takes_one_switch_there_and_one_back() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let thread = playing(move || receiver.recv());
        let before = hub::stats();
        sender.send(1).unwrap();
        assert_eq!(thread.join().unwrap(), Ok(1));
        let after = hub::stats();
        assert_eq!(after.switches - before.switches, 1);
        assert_eq!(after.called - before.called, 2, "it was called, and called the root");
        assert_eq!(Duration::ZERO, Instant::now().elapsed());
    });
}
