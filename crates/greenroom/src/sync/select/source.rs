//! The things that can be waited for together.
//!
//! Each knows how to be asked, waited for and left. None knows of the others.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    rc::Rc,
};

use greenroom_fiber::Fiber;
use greenroom_hub::ListenerKey;
use rustix::event::Timespec;

use super::Chosen;
use crate::{
    JoinError, JoinHandle,
    hub::local::local,
    io::{Interest, ListenError, closed, is_ready},
    sync::{
        channel::{Receiver, RecvError, SendError, Sender},
        event::{Event, Round},
    },
    thread::{Control, Waiter, wait_queue::Ticket},
};

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Something that can be waited for together with others.
pub(super) trait Source<R> {
    /// False if it can never be chosen.
    fn is_there(&self) -> bool {
        true
    }

    /// Whether it can be had now.
    fn is_ready(&mut self) -> bool;

    /// Begins to wait: `waiter` is to be called in the name of `index`. False if waiting has
    /// turned out to be needless.
    fn enter(&mut self, waiter: &Waiter, index: u32) -> bool;

    /// Whether it has ended the wait, for those that do not call in the name of an index.
    fn has_spoken(&mut self) -> bool {
        false
    }

    /// Ends the wait, which something else was chosen by.
    fn leave(&mut self);

    /// Ends the wait that it has called for, for nobody comes.
    fn give_back(&mut self) {
        self.leave();
    }

    /// The process forked, and the other OS threads are not in the child: leaves without waiting for what they
    /// may have been using.
    fn orphaned(&mut self) {}

    /// Takes what there is. After [`Chosen::Called`] the wait has not been left.
    fn take(self: Box<Self>, how: Chosen) -> R;
}

/// An item of a channel.
pub(super) struct Receiving<'a, T, F> {
    receiver: &'a Receiver<T>,
    place: Option<Ticket>,
    f: F,
}

impl<'a, T, F> Receiving<'a, T, F> {
    pub(super) fn new(receiver: &'a Receiver<T>, f: F) -> Receiving<'a, T, F> {
        Receiving { receiver, place: None, f }
    }
}

impl<T, R, F: FnOnce(Result<T, RecvError>) -> R> Source<R> for Receiving<'_, T, F> {
    fn is_ready(&mut self) -> bool {
        self.receiver.is_ready()
    }

    fn enter(&mut self, waiter: &Waiter, index: u32) -> bool {
        self.place = Some(self.receiver.enter(waiter.clone(), index));
        true
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.receiver.leave(place);
        }
    }

    fn give_back(&mut self) {
        self.receiver.release();
    }

    fn take(self: Box<Self>, how: Chosen) -> R {
        let item = match how {
            Chosen::Ready => self.receiver.try_recv().map_err(|_| RecvError),
            Chosen::Called => self.receiver.recv_called(),
        };
        (self.f)(item)
    }
}

/// Room in a channel, and an item for it.
pub(super) struct Sending<'a, T, F> {
    sender: &'a Sender<T>,
    /// Empty while the item waits in the channel's queue.
    item: &'a mut Option<T>,
    place: Option<Ticket>,
    f: F,
}

impl<'a, T, F> Sending<'a, T, F> {
    pub(super) fn new(sender: &'a Sender<T>, item: &'a mut Option<T>, f: F) -> Sending<'a, T, F> {
        Sending { sender, item, place: None, f }
    }
}

impl<T, R, F: FnOnce(Result<(), SendError<T>>) -> R> Source<R> for Sending<'_, T, F> {
    fn is_there(&self) -> bool {
        self.item.is_some()
    }

    fn is_ready(&mut self) -> bool {
        self.item.is_some() && self.sender.is_ready()
    }

    fn enter(&mut self, waiter: &Waiter, index: u32) -> bool {
        self.place = self.item.take().map(|item| self.sender.enter(item, waiter.clone(), index));
        true
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            *self.item = self.sender.leave(place);
        }
    }

    fn take(mut self: Box<Self>, how: Chosen) -> R {
        let sent = match how {
            Chosen::Ready => {
                let item = self.item.take().expect("only an item that is there is chosen");
                self.sender.try_send(item).map_err(|error| SendError(error.into_inner()))
            }
            Chosen::Called => {
                // Still in the queue: the receivers are gone.
                self.leave();
                self.item.take().map_or(Ok(()), |item| Err(SendError(item)))
            }
        };
        (self.f)(sent)
    }
}

/// The end of a green thread.
pub(super) struct Ending<'a, T, F> {
    handle: &'a mut Option<JoinHandle<T>>,
    f: F,
}

impl<'a, T, F> Ending<'a, T, F> {
    pub(super) fn new(handle: &'a mut Option<JoinHandle<T>>, f: F) -> Ending<'a, T, F> {
        Ending { handle, f }
    }

    fn has_ended(&self) -> bool {
        self.handle.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl<T, R, F: FnOnce(Result<T, JoinError>) -> R> Source<R> for Ending<'_, T, F> {
    fn is_there(&self) -> bool {
        self.handle.is_some()
    }

    fn is_ready(&mut self) -> bool {
        self.has_ended()
    }

    fn enter(&mut self, waiter: &Waiter, _index: u32) -> bool {
        if let Some(handle) = self.handle {
            let fiber = handle.fiber();
            let me = Fiber::<Control>::with_current(|me| me.is_some_and(|me| me.ptr_eq(fiber)));
            assert!(!me, "a green thread cannot wait for its own end");
            fiber.set_joiner(Some(waiter.clone()));
        }
        true
    }

    fn has_spoken(&mut self) -> bool {
        self.has_ended()
    }

    fn leave(&mut self) {
        if let Some(handle) = self.handle {
            handle.fiber().set_joiner(None);
        }
    }

    fn take(self: Box<Self>, _how: Chosen) -> R {
        let handle = self.handle.take().expect("only a handle that is there is chosen");
        (self.f)(handle.join())
    }
}

/// Something that happens once.
pub(super) struct Happening<T, F> {
    round: Rc<Round<T>>,
    place: Option<Ticket>,
    f: F,
}

impl<T, F> Happening<T, F> {
    pub(super) fn new(event: &Event<T>, f: F) -> Happening<T, F> {
        Happening { round: event.round(), place: None, f }
    }
}

impl<T, R, F: FnOnce(&T) -> R> Source<R> for Happening<T, F> {
    fn is_ready(&mut self) -> bool {
        self.round.value().is_some()
    }

    fn enter(&mut self, waiter: &Waiter, index: u32) -> bool {
        self.place = Some(self.round.queue().enter(waiter.clone(), index));
        true
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.round.queue().leave(place);
        }
    }

    fn take(self: Box<Self>, _how: Chosen) -> R {
        (self.f)(self.round.value().expect("only an event that has happened is chosen"))
    }
}

/// An fd that is ready in one direction.
pub(super) struct Fd<'a, F> {
    fd: BorrowedFd<'a>,
    interest: Interest,
    place: Option<ListenerKey>,
    /// What the hub or the kernel said of it, if that was the last word.
    outcome: Option<io::Result<()>>,
    f: F,
}

impl<'a, F> Fd<'a, F> {
    pub(super) fn new(fd: BorrowedFd<'a>, interest: Interest, f: F) -> Fd<'a, F> {
        Fd { fd, interest, place: None, outcome: None, f }
    }
}

impl<R, F: FnOnce(io::Result<()>) -> R> Source<R> for Fd<'_, F> {
    fn is_ready(&mut self) -> bool {
        self.outcome = match is_ready(self.fd, self.interest, Some(&AT_ONCE)) {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        self.outcome.is_some()
    }

    fn enter(&mut self, waiter: &Waiter, _index: u32) -> bool {
        let fd = self.fd.as_raw_fd();
        let mut hub = local().hub.borrow_mut();
        let listener = hub.listen_fd(fd, self.interest, waiter.clone(), false);
        drop(hub);
        match listener {
            Ok(key) => self.place = Some(key),
            Err(error) => self.outcome = Some(Err(ListenError::of_current(error).into())),
        }
        self.outcome.is_none()
    }

    fn has_spoken(&mut self) -> bool {
        let Some(place) = self.place.take() else { return self.outcome.is_some() };
        let mut hub = local().hub.borrow_mut();
        let waits = hub.unlisten(place);
        let is_same_file = hub.is_attached(place.source());
        drop(hub);
        if waits.is_some() {
            return false;
        }
        self.outcome = Some(if is_same_file {
            Ok(())
        } else {
            Err(closed(self.fd.as_raw_fd(), self.interest))
        });
        true
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            let waiter = local().hub.borrow_mut().unlisten(place);
            drop(waiter);
        }
    }

    fn take(self: Box<Self>, _how: Chosen) -> R {
        (self.f)(self.outcome.expect("only an fd of which something is known is chosen"))
    }
}
