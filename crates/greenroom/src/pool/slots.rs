//! The slots of one pool of green threads: how many there are, who has one, who waits for one.
//!
//! Knows nothing of what members do or return. A slot that is given back is handed to whoever waits
//! longest, so nobody who comes later can get ahead.
//!
//! A member that spawns while its pool is full lends its own slot to the child and waits for the
//! child's end: so there is no deadlock, and still never more than one of the two runs. If the
//! member is thrown out of that wait, the child has a slot of its own from then on, until it has
//! unwound.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use greenroom_fiber::Fiber;
use greenroom_hub::{Instant, Wake};

use crate::thread::{
    Blocked, Builder, Control, JoinHandle, SpawnError, ThreadId, park::Unwinding,
    wait_queue::WaitQueue,
};

#[derive(Debug)]
pub(super) struct Slots {
    size: Cell<usize>,
    /// By members, or handed to somebody who has yet to use it.
    taken: Cell<usize>,
    waiting: WaitQueue,
    /// Those who wait until no slot is taken.
    until_empty: WaitQueue,
    members: RefCell<HashMap<ThreadId, Member>>,
    tickets: Cell<u64>,
}

#[derive(Debug)]
struct Member {
    ticket: u64,
    is_lent: bool,
}

impl Slots {
    pub(super) fn new(size: usize) -> Slots {
        Slots {
            size: Cell::new(size),
            taken: Cell::new(0),
            waiting: WaitQueue::new(),
            until_empty: WaitQueue::new(),
            members: RefCell::default(),
            tickets: Cell::new(0),
        }
    }

    pub(super) fn size(&self) -> usize {
        self.size.get()
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn resize(&self, size: usize) {
        self.size.set(size);
        while self.taken.get() < size && self.waiting.call_one() {
            self.taken.set(self.taken.get() + 1);
        }
    }

    /// Whoever waits for a slot finds none free, so a free one can be taken at once.
    pub(super) fn try_take(self: &Rc<Slots>) -> Option<Slot> {
        (self.taken.get() < self.size.get()).then(|| self.one_more())
    }

    /// Waits for a slot if none is free; `None` if `deadline` passed before.
    ///
    /// In a destructor that runs because of a panic nothing waits, and there is one slot more than
    /// there should be.
    pub(super) fn take(self: &Rc<Slots>, deadline: Option<Instant>) -> Option<Slot> {
        if let Some(slot) = self.try_take() {
            return Some(slot);
        }
        let blocked = Blocked::Call(&"a free slot of its pool");
        match self.waiting.wait(blocked, deadline, || self.release()) {
            Ok(Wake::Called) => Some(self.slot(false)),
            Ok(Wake::Expired) => None,
            Ok(wake) => unreachable!("a slot is not announced by {wake:?}"),
            Err(Unwinding) => Some(self.one_more()),
        }
    }

    fn one_more(self: &Rc<Slots>) -> Slot {
        self.taken.set(self.taken.get() + 1);
        self.slot(false)
    }

    /// The slot of the member that runs now, for a child it waits for.
    pub(super) fn lend(self: &Rc<Slots>) -> Slot {
        self.slot(true)
    }

    fn slot(self: &Rc<Slots>, is_lent: bool) -> Slot {
        let ticket = self.tickets.get();
        self.tickets.set(ticket + 1);
        Slot { slots: Rc::clone(self), ticket, is_lent }
    }

    fn release(&self) {
        assert!(self.taken.get() > 0, "a slot is given back once");
        if self.taken.get() <= self.size.get() && self.waiting.call_one() {
            return;
        }
        self.taken.set(self.taken.get() - 1);
        if self.taken.get() == 0 {
            self.until_empty.call_all();
        }
    }

    /// True if whoever runs now is a member.
    pub(super) fn are_of_current(&self) -> bool {
        current().is_some_and(|id| self.members.borrow().contains_key(&id))
    }

    /// Waits until no slot is taken. In a destructor that runs because of a panic it returns at once.
    pub(super) fn wait_empty(&self) {
        while self.taken.get() > 0 {
            let blocked = Blocked::Call(&"all members of a pool to end");
            if self.until_empty.wait(blocked, None, || ()).is_err() {
                return;
            }
        }
    }

    /// The borrower of a slot is to have one of its own, if it is alive. True if it is.
    pub(super) fn part(&self, borrower: ThreadId) -> bool {
        let mut members = self.members.borrow_mut();
        let Some(member) = members.get_mut(&borrower) else { return false };
        if std::mem::replace(&mut member.is_lent, false) {
            self.taken.set(self.taken.get() + 1);
        }
        true
    }
}

/// One slot, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Rc<Slots>,
    ticket: u64,
    is_lent: bool,
}

impl Slot {
    /// Starts a green thread that has this slot for as long as it likes, but not beyond its end.
    #[track_caller]
    pub(super) fn spawn<F, T>(self, settings: Builder, f: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce(Slot) -> T + 'static,
        T: 'static,
    {
        let slots = Rc::clone(&self.slots);
        let member = Member { ticket: self.ticket, is_lent: self.is_lent };
        let handle = settings.spawn(move || f(self))?;
        slots.members.borrow_mut().insert(ThreadId(handle.fiber().id()), member);
        Ok(handle)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let is_lent = self.leave().map_or(self.is_lent, |member| member.is_lent);
        if !is_lent {
            self.slots.release();
        }
    }
}

impl Slot {
    /// A slot is dropped on its member's own stack, or before there was a member.
    fn leave(&self) -> Option<Member> {
        let id = current()?;
        let mut members = self.slots.members.borrow_mut();
        members.get(&id).filter(|member| member.ticket == self.ticket)?;
        members.remove(&id)
    }
}

fn current() -> Option<ThreadId> {
    Fiber::<Control>::with_current(|fiber| fiber.map(|fiber| ThreadId(fiber.id())))
}
