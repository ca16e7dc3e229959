//! Every interleaving of a hub that falls asleep and of threads that drop letters into its box.
//!
//! Compiles the mailbox itself against loom's primitives and a modelled bell. Knows nothing of
//! pollers: what the kernel does between two rings is the bell's one flag.

#![cfg(loom)]
#![allow(missing_docs)]
#![allow(unreachable_pub, dead_code, reason = "the model needs a part of the mailbox")]

use loom::thread;

mod sync {
    pub(crate) use loom::sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    };
}

#[path = "loom/bell.rs"]
mod poller;

#[path = "../src/mailbox.rs"]
mod mailbox;

use mailbox::{Expected, Inbox, WakeId};
use poller::Bell;

fn a_wait() -> WakeId {
    Expected::new().insert(())
}

/// The hub's loop, as it runs its turns, until `count` more letters have come.
fn collect(inbox: &mut Inbox, count: usize, letters: &mut Vec<WakeId>) {
    let all = letters.len() + count;
    while letters.len() < all {
        if inbox.has_letters() {
            inbox.take(letters);
        } else if inbox.fall_asleep() {
            inbox.bell().wait();
            inbox.wake_up();
        }
    }
    assert_eq!(letters.len(), all, "no letter comes twice");
}

/// Every interleaving with at most so many preemptions, for a model that has too many of them.
fn model_bounded(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

#[test]
fn a_letter_is_never_slept_through() {
    loom::model(|| {
        let mut inbox = Inbox::new(Bell::new());
        let mailbox = inbox.mailbox();
        let sender = thread::spawn(move || mailbox.wake(a_wait()));
        collect(&mut inbox, 1, &mut Vec::new());
        sender.join().unwrap();
    });
}

#[test]
fn two_senders_both_arrive() {
    model_bounded(|| {
        let mut inbox = Inbox::new(Bell::new());
        let senders = [inbox.mailbox(), inbox.mailbox()]
            .map(|mailbox| thread::spawn(move || mailbox.wake(a_wait())));
        collect(&mut inbox, 2, &mut Vec::new());
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

#[test]
fn a_sender_that_comes_back_arrives_twice() {
    loom::model(|| {
        let mut inbox = Inbox::new(Bell::new());
        let mailbox = inbox.mailbox();
        let sender = thread::spawn(move || {
            mailbox.wake(a_wait());
            mailbox.wake(a_wait());
        });
        collect(&mut inbox, 2, &mut Vec::new());
        sender.join().unwrap();
    });
}

#[test]
fn a_hub_woken_by_an_fd_hears_of_a_letter_that_is_just_being_dropped() {
    loom::model(|| {
        let mut inbox = Inbox::new(Bell::new());
        let mailbox = inbox.mailbox();
        let sender = thread::spawn(move || mailbox.wake(a_wait()));
        // The poller returns without a ring, wherever the sender is by then.
        if inbox.fall_asleep() {
            inbox.wake_up();
        }
        collect(&mut inbox, 1, &mut Vec::new());
        sender.join().unwrap();
    });
}

#[test]
fn a_look_into_the_box_loses_no_letter_that_is_just_being_dropped() {
    loom::model(|| {
        let mut inbox = Inbox::new(Bell::new());
        let mailbox = inbox.mailbox();
        let mut expected = Expected::new();
        let ids: [WakeId; 2] = [expected.insert(()), expected.insert(())];
        let sender = thread::spawn(move || ids.map(|id| mailbox.wake(id)));
        let mut letters = Vec::new();
        inbox.take(&mut letters);
        collect(&mut inbox, 2 - letters.len(), &mut letters);
        assert_eq!(letters, ids, "each once, and in order");
        sender.join().unwrap();
    });
}

#[test]
fn a_bell_that_is_silenced_in_passing_silences_no_letter() {
    loom::model(|| {
        let mut inbox = Inbox::new(Bell::new());
        let mailbox = inbox.mailbox();
        let sender = thread::spawn(move || {
            mailbox.wake(a_wait());
            mailbox.wake(a_wait());
        });
        // Woken by an fd, it looks at its fds once more without sleeping, and finds that the bell rings.
        if inbox.fall_asleep() {
            inbox.wake_up();
        }
        inbox.bell().mute();
        collect(&mut inbox, 2, &mut Vec::new());
        sender.join().unwrap();
    });
}
