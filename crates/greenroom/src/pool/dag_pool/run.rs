//! Starting tasks whose needs are met, and what their end brings about.
//!
//! Nothing here waits but the feeder, a green thread that is there while tasks want slots and none
//! is free. No borrow is held while a task, or anything that a task owns, runs or is dropped.

use std::{
    cell::{Cell, RefCell},
    fmt,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
};

use super::{
    error::{Cause, PropagateError, TaskError},
    graph::{Graph, NodeId, Outcome},
};
use crate::{
    pool::{GreenPool, slots::Slot},
    thread::{Builder, JoinError, SpawnError, throw::Thrown, wait_queue::WaitQueue},
};

pub(super) struct Shared<K, V> {
    pub(super) graph: RefCell<Graph<K, V>>,
    pub(super) pool: GreenPool,
    /// Everybody who waits for a result.
    pub(super) until_settled: WaitQueue,
    has_feeder: Cell<bool>,
    /// Ready tasks are being started, further down on this stack.
    is_starting: Cell<bool>,
}

impl<K, V> Shared<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    pub(super) fn new(pool: GreenPool) -> Shared<K, V> {
        Shared {
            graph: RefCell::new(Graph::new()),
            pool,
            until_settled: WaitQueue::new(),
            has_feeder: Cell::new(false),
            is_starting: Cell::new(false),
        }
    }

    pub(super) fn settle(self: &Rc<Self>, id: NodeId, outcome: Outcome<K, V>) {
        self.graph.borrow_mut().settle(id, outcome);
        self.changed();
    }

    pub(super) fn fail(self: &Rc<Self>, id: NodeId, cause: Cause) {
        let key = self.graph.borrow().key(id).clone();
        self.settle(id, Err(PropagateError::new(key, cause)));
    }

    /// The graph has changed: wakes those who wait for results, starts who can be started.
    pub(super) fn changed(self: &Rc<Self>) {
        self.until_settled.call_all();
        // A task that cannot be started is settled within, and that is a change again.
        if self.is_starting.get() {
            return;
        }
        self.is_starting.set(true);
        let starting = Starting(&self.is_starting);
        self.start_queued();
        drop(starting);
        let unrun = self.graph.borrow_mut().take_unrun();
        drop(unrun);
    }

    fn start_queued(self: &Rc<Self>) {
        while self.graph.borrow().has_queued() {
            if let Some(slot) = self.pool.slots().try_take() {
                self.start_next(slot);
                continue;
            }
            let Err(error) = self.feed() else { return };
            // Nobody is left who could wait for a slot: the first has to go without.
            let next = self.graph.borrow_mut().next();
            if let Some((id, task, _)) = next {
                self.graph.borrow_mut().put_aside(task);
                self.fail(id, Cause::ended(JoinError::not_spawned(error)));
            }
        }
    }

    /// Runs the first of those queued. The slot is handed on if there is none any more.
    fn start_next(self: &Rc<Self>, slot: Slot) {
        let next = self.graph.borrow_mut().next();
        let Some((id, task, results)) = next else { return };
        let unsettled = Rc::new(Cell::new(Some(Unsettled { shared: Rc::clone(self), id })));
        let theirs = Rc::clone(&unsettled);
        let spawned = slot.spawn(Builder::new(), move |slot| {
            let outcome = catch_unwind(AssertUnwindSafe(|| task(results)));
            // So that the first of those who needed this can have it.
            drop(slot);
            if let Some(unsettled) = theirs.take() {
                unsettled.settle(outcome);
            }
        });
        match spawned {
            Ok(handle) => self.graph.borrow_mut().runs_on(id, handle.thread()),
            Err(error) => {
                if let Some(unsettled) = unsettled.take() {
                    unsettled.end(JoinError::not_spawned(error));
                }
            }
        }
    }

    /// Sees to it that somebody waits for slots on behalf of those queued.
    fn feed(self: &Rc<Self>) -> Result<(), SpawnError> {
        if self.has_feeder.replace(true) {
            return Ok(());
        }
        let feeder = Feeder(Rc::clone(self));
        let feed = move || {
            let shared = &feeder.0;
            while shared.graph.borrow().has_queued() {
                let slot = shared.pool.slots().take(None).expect("there is no deadline");
                shared.start_next(slot);
            }
        };
        Builder::new().name("dag pool feeder").spawn(feed).map(drop)
    }
}

struct Starting<'a>(&'a Cell<bool>);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

struct Feeder<K, V>(Rc<Shared<K, V>>);

impl<K, V> Drop for Feeder<K, V> {
    fn drop(&mut self) {
        self.0.has_feeder.set(false);
    }
}

/// A task that is to end some way or other. If it is dropped, the task was killed before it began.
struct Unsettled<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    shared: Rc<Shared<K, V>>,
    id: NodeId,
}

impl<K, V> Unsettled<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    fn settle(self, outcome: std::thread::Result<Result<V, TaskError>>) {
        match outcome {
            Ok(Ok(value)) => self.shared.settle(self.id, Ok(Rc::new(value))),
            Ok(Err(error)) => self.shared.fail(self.id, Cause::failed(error)),
            Err(payload) => {
                let error = JoinError::of_payload(payload);
                let is_killed = error.is_killed();
                self.end(error);
                if is_killed {
                    resume_unwind(Box::new(Thrown::Killed));
                }
            }
        }
    }

    fn end(self, error: JoinError) {
        self.shared.fail(self.id, Cause::ended(error));
    }
}

impl<K, V> Drop for Unsettled<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    fn drop(&mut self) {
        if self.shared.graph.borrow().outcome(self.id).is_none() {
            self.shared.fail(self.id, Cause::ended(JoinError::killed_unstarted()));
        }
    }
}
