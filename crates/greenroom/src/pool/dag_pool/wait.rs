//! Waiting for results.
//!
//! Every end of a task wakes everybody who waits for one; each looks whether it was theirs, and no
//! further back than where it looked last. Nothing is borrowed across a wait.

use std::{
    collections::HashSet,
    fmt::{self, Write as _},
    hash::Hash,
    rc::Rc,
    thread::panicking,
};

use super::{
    error::{Cause, PropagateError},
    graph::{NodeId, Outcome, Outcomes},
    results::Results,
    run::Shared,
};
use crate::{
    debug::say,
    hub::local::local,
    thread::{self, Blocked, JoinError, control, park::Unwinding, throw::Throw},
};

/// Results of tasks as they come, each with its key. Made by
/// [`DagPool::wait_each`](crate::pool::DagPool::wait_each).
///
/// Whoever is killed or out of time in a wait loses nothing: the next call goes on from there. In a
/// destructor that runs because of a panic it gives what is there already, and then `None`.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::pool::WaitEach<u32, u32>>();
/// ```
///
/// # Panics
///
/// [`next`](Iterator::next) panics in a task whose own result it would wait for. In a hub callback, if
/// it would have to wait.
#[must_use = "an iterator does nothing until it is asked for an item"]
pub struct WaitEach<K, V> {
    shared: Rc<Shared<K, V>>,
    wanted: HashSet<NodeId>,
    /// So many of those settled were looked at.
    seen: usize,
}

impl<K, V> WaitEach<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    pub(super) fn new(
        shared: &Rc<Shared<K, V>>,
        wanted: impl IntoIterator<Item = NodeId>,
    ) -> WaitEach<K, V> {
        let shared = Rc::clone(shared);
        WaitEach { shared, wanted: wanted.into_iter().collect(), seen: 0 }
    }

    fn next_settled(&mut self) -> Result<Option<NodeId>, Unwinding> {
        while !self.wanted.is_empty() {
            if let Some(id) = self.look() {
                return Ok(Some(id));
            }
            assert!(
                !self.shared.own_task().is_some_and(|own| self.wanted.contains(&own)),
                "a task cannot wait for its own result"
            );
            self.shared.wait_change()?;
        }
        Ok(None)
    }

    fn look(&mut self) -> Option<NodeId> {
        let graph = self.shared.graph.borrow();
        while let Some(&id) = graph.settled().get(self.seen) {
            self.seen += 1;
            if self.wanted.remove(&id) {
                return Some(id);
            }
        }
        None
    }
}

impl<K, V> Iterator for WaitEach<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    type Item = (K, Result<Rc<V>, PropagateError<K>>);

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next_settled().ok()??;
        let graph = self.shared.graph.borrow();
        Some((graph.key(id).clone(), graph.outcome(id)?.clone()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.wanted.len()))
    }
}

impl<K, V> fmt::Debug for WaitEach<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitEach").field("wanted", &self.wanted.len()).finish_non_exhaustive()
    }
}

impl<K, V> Shared<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    /// The results of these tasks, or why the first of them to fail has none.
    pub(super) fn wait(self: &Rc<Self>, ids: &[NodeId]) -> Outcomes<K, V> {
        let mut each = WaitEach::new(self, ids.iter().copied());
        loop {
            match each.next_settled() {
                Ok(None) => break,
                Ok(Some(id)) => {
                    self.outcome(id)?;
                }
                Err(Unwinding) => {
                    let first = ids.iter().find(|id| each.wanted.contains(id));
                    return Err(self.cannot_wait(*first.expect("it waits for some")));
                }
            }
        }
        let mut results = Results::new();
        for &id in ids {
            let value = self.outcome(id)?;
            results.push(self.graph.borrow().key(id).clone(), value);
        }
        Ok(results)
    }

    fn outcome(&self, id: NodeId) -> Outcome<K, V> {
        self.graph.borrow().outcome(id).expect("it was settled").clone()
    }

    fn cannot_wait(&self, id: NodeId) -> PropagateError<K> {
        let key = self.graph.borrow().key(id).clone();
        PropagateError::new(key, Cause::ended(JoinError::unwinding()))
    }

    /// Waits until every task has ended.
    pub(super) fn wait_all(self: &Rc<Self>) -> Outcomes<K, V> {
        loop {
            if self.graph.borrow().unsettled() == 0 {
                return self.graph.borrow().all();
            }
            assert!(
                self.own_task().is_none(),
                "a task cannot wait for all tasks of its pool: it would wait for its own end"
            );
            if self.wait_change().is_err() {
                let alive = self.graph.borrow().first_unsettled();
                return Err(self.cannot_wait(alive.expect("some are unsettled")));
            }
        }
    }

    /// The task that runs now, if it is one of this pool.
    fn own_task(&self) -> Option<NodeId> {
        thread::is_green().then(|| self.graph.borrow().task_of(thread::current().id()))?
    }

    fn wait_change(&self) -> Result<(), Unwinding> {
        let _stalled = Stalled(self);
        let blocked = Blocked::Call(&"the result of a task");
        self.until_settled.wait(blocked, None, || ()).map(drop)
    }
}

/// Tasks listed at most; more are only counted.
const LISTED_MAX: usize = 50;

/// The root's wait for a result. If it ends by unwinding, and nobody has thrown it out, then nothing is left
/// that could wake it: the hub has said so, and here is why.
struct Stalled<'a, K, V>(&'a Shared<K, V>)
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static;

impl<K, V> Drop for Stalled<'_, K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    fn drop(&mut self) {
        if panicking() && !thread::is_green() {
            self.say();
        }
    }
}

impl<K, V> Stalled<'_, K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    #[cold]
    fn say(&self) {
        let local = local();
        let was_refused = local.in_callback.get();
        let was_thrown = control::with_current(local, |root| root.throw.get() != Throw::No);
        let graph = self.0.graph.borrow();
        let (unknown, waiting) = (graph.keys_only_named(), graph.keys_waiting());
        let missing = |key| graph.id(key).map_or(Vec::new(), |id| graph.missing(id));
        let needs: Vec<_> = waiting.iter().take(LISTED_MAX).map(missing).collect();
        // How keys are written is code we do not know.
        drop(graph);
        if was_refused || was_thrown || (unknown.is_empty() && waiting.is_empty()) {
            return;
        }
        let mut text = format!("keys that nobody has spawned or posted: {unknown:?}");
        for (key, missing) in waiting.iter().zip(needs) {
            // Writing to a string does not fail.
            let _ = write!(text, "\n  the task {key:?} needs {missing:?}");
        }
        if waiting.len() > LISTED_MAX {
            let _ = write!(text, "\n  and {} more", waiting.len() - LISTED_MAX);
        }
        say(format_args!("{text}"));
    }
}
