//! A wait of whoever runs, for something that any OS thread may grant.
//!
//! Joins what is guarded with hubs: a bell is a letter to one. Knows nothing of what is waited for.

use greenroom_hub::{Instant, Mailbox, Wake, WakeId};

use super::{
    guarded::{Bell, Guarded, Shared, Waiting, Wish},
    who::OsThread,
};
use crate::{
    hub::local::{existing, local},
    thread::{
        Blocked,
        park::{self, Unwinding},
    },
};

/// Ends a wait on a hub.
#[derive(Clone)]
pub(super) struct HubBell {
    mailbox: Mailbox,
    id: WakeId,
    os_thread: OsThread,
}

impl HubBell {
    /// For a wait on this OS thread's hub, announced there before: a child of a fork has a new
    /// mailbox from then on.
    pub(super) fn new(id: WakeId) -> HubBell {
        let mailbox = local().hub.borrow().mailbox();
        HubBell { mailbox, id, os_thread: OsThread::here() }
    }
}

impl Bell for HubBell {
    fn ring(self) {
        let here = existing().filter(|_| self.os_thread == OsThread::here());
        let Some(local) = here else { return self.mailbox.wake(self.id) };
        let mut hub = local.hub.borrow_mut();
        if let Some(waiter) = hub.unexpect(self.id) {
            hub.call(waiter);
        }
    }

    fn ring_ahead(self) {
        // A letter is not opened before the hub's next turn, and by then the wait has begun.
        self.mailbox.wake(self.id);
    }
}

/// Waits until the wish is granted or refused, or until `deadline`. Gives it back if the caller is
/// in a destructor during a panic, where nothing waits.
///
/// # Panics
///
/// In a hub callback. In a forked child, if this wait began in its parent.
pub(super) fn wait<S, W>(
    guarded: &Guarded<S>,
    wish: W,
    what: &'static &'static str,
    deadline: Option<Instant>,
) -> Result<W::Outcome, W>
where
    S: Shared<Bell = HubBell>,
    W: Wish<S>,
{
    let mut waiting = Waiting::new(guarded, wish);
    let wake = park::until_posted(Blocked::Call(what), deadline, |id| {
        waiting.enter(HubBell::new(id));
    });
    match wake {
        Ok(Wake::Orphaned) => {
            waiting.give_up_if_free();
            refuse_orphaned(what);
        }
        Ok(_) => Ok(waiting.end()),
        Err(Unwinding) => Err(waiting.into_wish()),
    }
}

/// Counts a call that may have to wait. Another OS thread may keep up with this one for ever, so
/// that it never does; then the others of its hub have their turn now and then all the same.
pub(super) fn count_call() {
    if let Some(local) = existing() {
        park::count_call(local);
    }
}

/// # Panics
///
/// Always.
#[cold]
pub(in crate::sync) fn refuse_orphaned(what: &str) -> ! {
    panic!(
        "the wait for {what} is lost: the process forked, and the other OS threads, which might have \
         ended it, are not in the child"
    );
}
