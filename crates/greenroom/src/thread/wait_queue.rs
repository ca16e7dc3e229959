//! Green threads of one hub that wait for each other: first come, first served.
//!
//! Knows neither what is waited for nor who may go on; it only keeps the order. Runs no one.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use greenroom_hub::{Instant, Wake};

use crate::{
    hub::local::local,
    thread::{
        Blocked, Waiter,
        park::{self, Unwinding},
    },
};

#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    waiters: RefCell<VecDeque<(u64, Waiter)>>,
    next_ticket: Cell<u64>,
}

impl WaitQueue {
    pub(crate) fn new() -> WaitQueue {
        WaitQueue::default()
    }

    /// Waits at the end of the queue until called, or until `deadline`.
    pub(crate) fn wait(
        &self,
        blocked: Blocked,
        deadline: Option<Instant>,
    ) -> Result<Wake, Unwinding> {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        // Leaves the queue however the wait ends, also by unwinding.
        let _place = Place { queue: self, ticket };
        park::until_called(blocked, deadline, |waiter| {
            self.waiters.borrow_mut().push_back((ticket, waiter));
        })
    }

    /// Ends the wait of whoever waits longest. False if nobody waits.
    ///
    /// Somebody whose time ran out in this very moment is passed over: the call is for the next.
    pub(crate) fn call_one(&self) -> bool {
        loop {
            let first = self.waiters.borrow_mut().pop_front();
            let Some((_, waiter)) = first else { return false };
            if local().hub.borrow_mut().call(waiter) {
                return true;
            }
        }
    }

    /// Ends everybody's wait, in order.
    pub(crate) fn call_all(&self) {
        while self.call_one() {}
    }
}

struct Place<'a> {
    queue: &'a WaitQueue,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiters = self.queue.waiters.borrow_mut();
        if let Some(place) = waiters.iter().position(|(ticket, _)| *ticket == self.ticket) {
            waiters.remove(place);
        }
    }
}
