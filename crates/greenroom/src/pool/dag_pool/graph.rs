//! Who needs whose result, and what is known of each.
//!
//! Pure bookkeeping: starts nobody, wakes nobody, calls nothing but what keys are compared, hashed and
//! copied with. Tasks that will never run are handed out, to be dropped where nothing is borrowed.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    fmt,
    hash::Hash,
    mem,
    rc::Rc,
};

use super::{
    error::{DagError, PropagateError, TaskError},
    results::Results,
};
use crate::thread::{Thread, ThreadId};

pub(super) type Task<K, V> = Box<dyn FnOnce(Results<K, V>) -> Result<V, TaskError>>;
/// A task that may run, and what it is given.
pub(super) type Next<K, V> = (NodeId, Task<K, V>, Results<K, V>);
pub(super) type Outcome<K, V> = Result<Rc<V>, PropagateError<K>>;

/// Names one node. Nodes are never removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NodeId(usize);

pub(super) struct Graph<K, V> {
    ids: HashMap<K, NodeId>,
    nodes: Vec<Node<K, V>>,
    /// In the order in which they were settled.
    settled: Vec<NodeId>,
    /// Need nothing any more, and wait for a slot.
    queued: VecDeque<NodeId>,
    running: HashMap<ThreadId, NodeId>,
    /// Have a task that has not ended.
    unsettled: usize,
    /// Will never run.
    unrun: Vec<Task<K, V>>,
}

struct Node<K, V> {
    key: K,
    state: State<K, V>,
    /// Each once.
    needs: Vec<NodeId>,
    /// Those that were to be told, until they are.
    needed_by: Vec<NodeId>,
}

enum State<K, V> {
    /// Somebody needs it or waits for it, and nobody has spawned or posted it.
    Named,
    /// Needs the results of so many others that have none yet.
    Waiting {
        task: Task<K, V>,
        missing: usize,
    },
    Queued(Task<K, V>),
    /// The thread is there once it is spawned.
    Running(Option<Thread>),
    Settled(Outcome<K, V>),
}

impl<K: Clone + Eq + Hash + fmt::Debug, V> Graph<K, V> {
    pub(super) fn new() -> Graph<K, V> {
        Graph {
            ids: HashMap::new(),
            nodes: Vec::new(),
            settled: Vec::new(),
            queued: VecDeque::new(),
            running: HashMap::new(),
            unsettled: 0,
            unrun: Vec::new(),
        }
    }

    pub(super) fn id(&self, key: &K) -> Option<NodeId> {
        self.ids.get(key).copied()
    }

    /// The node of a key, made if there is none.
    pub(super) fn name(&mut self, key: K) -> NodeId {
        if let Some(&id) = self.ids.get(&key) {
            return id;
        }
        let id = NodeId(self.nodes.len());
        self.ids.insert(key.clone(), id);
        self.nodes.push(Node {
            key,
            state: State::Named,
            needs: Vec::new(),
            needed_by: Vec::new(),
        });
        id
    }

    pub(super) fn key(&self, id: NodeId) -> &K {
        &self.nodes[id.0].key
    }

    pub(super) fn outcome(&self, id: NodeId) -> Option<&Outcome<K, V>> {
        match &self.nodes[id.0].state {
            State::Settled(outcome) => Some(outcome),
            _ => None,
        }
    }

    pub(super) fn settled(&self) -> &[NodeId] {
        &self.settled
    }

    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }

    pub(super) fn first_unsettled(&self) -> Option<NodeId> {
        let has_task = |state: &State<K, V>| !matches!(state, State::Named | State::Settled(_));
        self.nodes.iter().position(|node| has_task(&node.state)).map(NodeId)
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.queued.is_empty()
    }

    /// The task that a green thread runs.
    pub(super) fn task_of(&self, thread: ThreadId) -> Option<NodeId> {
        self.running.get(&thread).copied()
    }

    fn refuse_collision(&self, key: &K) -> Result<(), DagError<K>> {
        let is_new = |id: NodeId| matches!(self.nodes[id.0].state, State::Named);
        if self.id(key).is_none_or(is_new) {
            return Ok(());
        }
        Err(DagError::Collision { key: key.clone() })
    }

    pub(super) fn post(&mut self, key: K, value: Rc<V>) -> Result<(), DagError<K>> {
        self.refuse_collision(&key)?;
        let id = self.name(key);
        self.settle(id, Ok(value));
        Ok(())
    }

    /// A value that is there from the beginning. If the key has one, this one is in its place.
    pub(super) fn preload(&mut self, key: K, value: Rc<V>) {
        let id = self.name(key);
        match &mut self.nodes[id.0].state {
            State::Settled(outcome) => *outcome = Ok(value),
            _ => self.settle(id, Ok(value)),
        }
    }

    /// A task, which is queued if it needs nothing that is not there, and settled if something that it
    /// needs has failed.
    pub(super) fn add(
        &mut self,
        key: K,
        needs: Vec<K>,
        task: Task<K, V>,
    ) -> Result<(), (DagError<K>, Task<K, V>)> {
        let checked = self.refuse_collision(&key).and_then(|()| self.refuse_cycle(&key, &needs));
        if let Err(error) = checked {
            return Err((error, task));
        }
        let id = self.name(key);
        let mut seen = HashSet::new();
        let needs = needs.into_iter().map(|key| self.name(key));
        let needs: Vec<_> = needs.filter(|need| seen.insert(*need)).collect();
        let mut missing = 0;
        let mut failure = None;
        for &need in &needs {
            match self.outcome(need) {
                Some(Ok(_)) => {}
                Some(Err(error)) => failure = failure.or(Some(error.clone())),
                None => {
                    self.nodes[need.0].needed_by.push(id);
                    missing += 1;
                }
            }
        }
        self.unsettled += 1;
        let node = &mut self.nodes[id.0];
        node.needs = needs;
        node.state = State::Waiting { task, missing };
        match failure {
            Some(error) => self.settle(id, Err(error)),
            None if missing == 0 => self.queue(id),
            None => {}
        }
        Ok(())
    }

    /// Looks through all that the needed ones need, if somebody needs the key.
    fn refuse_cycle(&self, key: &K, needs: &[K]) -> Result<(), DagError<K>> {
        if needs.contains(key) {
            return Err(DagError::Cycle { path: vec![key.clone(), key.clone()] });
        }
        let is_needed = |id: &NodeId| !self.nodes[id.0].needed_by.is_empty();
        let Some(id) = self.id(key).filter(is_needed) else { return Ok(()) };
        let mut reached_from: HashMap<NodeId, Option<NodeId>> = HashMap::new();
        let mut open = Vec::new();
        for need in needs.iter().filter_map(|need| self.id(need)) {
            reached_from.insert(need, None);
            open.push(need);
        }
        while let Some(at) = open.pop() {
            // What has ended waits for nobody.
            if self.outcome(at).is_some() {
                continue;
            }
            for &next in &self.nodes[at.0].needs {
                if next == id {
                    return Err(DagError::Cycle { path: self.path_back(id, at, &reached_from) });
                }
                if let Entry::Vacant(entry) = reached_from.entry(next) {
                    entry.insert(Some(at));
                    open.push(next);
                }
            }
        }
        Ok(())
    }

    fn path_back(
        &self,
        id: NodeId,
        last: NodeId,
        reached_from: &HashMap<NodeId, Option<NodeId>>,
    ) -> Vec<K> {
        let mut path = vec![self.key(id).clone()];
        let mut at = Some(last);
        while let Some(here) = at {
            path.push(self.key(here).clone());
            at = reached_from[&here];
        }
        path.push(self.key(id).clone());
        path.reverse();
        path
    }

    fn queue(&mut self, id: NodeId) {
        let state = &mut self.nodes[id.0].state;
        let State::Waiting { task, .. } = mem::replace(state, State::Named) else {
            unreachable!("who waits for results is queued when they are there")
        };
        *state = State::Queued(task);
        self.queued.push_back(id);
    }

    /// Takes the task that has been queued longest, with what it needs, to be run.
    pub(super) fn next(&mut self) -> Option<Next<K, V>> {
        let id = self.queued.pop_front()?;
        let state = &mut self.nodes[id.0].state;
        let State::Queued(task) = mem::replace(state, State::Running(None)) else {
            unreachable!("who is settled has left the queue")
        };
        let mut results = Results::new();
        for &need in &self.nodes[id.0].needs {
            if let Some(Ok(value)) = self.outcome(need) {
                results.push(self.key(need).clone(), Rc::clone(value));
            }
        }
        Some((id, task, results))
    }

    pub(super) fn runs_on(&mut self, id: NodeId, thread: Thread) {
        if let State::Running(place) = &mut self.nodes[id.0].state {
            self.running.insert(thread.id(), id);
            *place = Some(thread);
        }
    }

    /// Notes how a task ended, and how all those end that cannot run without it. Those that needed
    /// nothing else are queued.
    pub(super) fn settle(&mut self, id: NodeId, outcome: Outcome<K, V>) {
        let mut open = VecDeque::from([(id, outcome)]);
        while let Some((id, outcome)) = open.pop_front() {
            if !self.note(id, outcome.clone()) {
                continue;
            }
            for dependent in mem::take(&mut self.nodes[id.0].needed_by) {
                let State::Waiting { missing, .. } = &mut self.nodes[dependent.0].state else {
                    continue;
                };
                match &outcome {
                    Err(error) => open.push_back((dependent, Err(error.clone()))),
                    Ok(_) => {
                        *missing -= 1;
                        if *missing == 0 {
                            self.queue(dependent);
                        }
                    }
                }
            }
        }
    }

    /// False if it was settled already.
    fn note(&mut self, id: NodeId, outcome: Outcome<K, V>) -> bool {
        let state = &mut self.nodes[id.0].state;
        if matches!(state, State::Settled(_)) {
            return false;
        }
        match mem::replace(state, State::Settled(outcome)) {
            State::Named => {}
            State::Waiting { task, .. } => {
                self.unsettled -= 1;
                self.unrun.push(task);
            }
            State::Queued(task) => {
                self.unsettled -= 1;
                self.unrun.push(task);
                self.queued.retain(|queued| *queued != id);
            }
            State::Running(thread) => {
                self.unsettled -= 1;
                // It is alive, or another handle of it is: no stack goes here.
                thread.map(|thread| self.running.remove(&thread.id()));
            }
            State::Settled(_) => unreachable!("that was looked at before"),
        }
        self.settled.push(id);
        true
    }

    /// A task that was to run and cannot.
    pub(super) fn put_aside(&mut self, task: Task<K, V>) {
        self.unrun.push(task);
    }

    pub(super) fn take_unrun(&mut self) -> Vec<Task<K, V>> {
        mem::take(&mut self.unrun)
    }

    /// What there is to be killed of a task.
    pub(super) fn to_kill(&self, id: NodeId) -> ToKill {
        match &self.nodes[id.0].state {
            State::Running(Some(thread)) => ToKill::Thread(thread.clone()),
            State::Waiting { .. } | State::Queued(_) => ToKill::Task,
            State::Named | State::Running(None) | State::Settled(_) => ToKill::Nothing,
        }
    }

    pub(super) fn keys_settled(&self) -> Vec<K> {
        self.settled.iter().map(|&id| self.key(id).clone()).collect()
    }

    pub(super) fn keys_running(&self) -> Vec<K> {
        self.keys(|state| matches!(state, State::Running(_)))
    }

    pub(super) fn keys_waiting(&self) -> Vec<K> {
        self.keys(|state| matches!(state, State::Waiting { .. } | State::Queued(_)))
    }

    fn keys(&self, which: impl Fn(&State<K, V>) -> bool) -> Vec<K> {
        let nodes = self.nodes.iter().filter(|node| which(&node.state));
        nodes.map(|node| node.key.clone()).collect()
    }

    /// What a task waits for: nothing once it has ended, though it may never have had all it needed.
    pub(super) fn missing(&self, id: NodeId) -> Vec<K> {
        if self.outcome(id).is_some() {
            return Vec::new();
        }
        let needs = self.nodes[id.0].needs.iter();
        let missing = needs.filter(|need| self.outcome(**need).is_none());
        missing.map(|&need| self.key(need).clone()).collect()
    }

    /// Keys that somebody needs or waits for, and nobody has spawned or posted.
    pub(super) fn keys_only_named(&self) -> Vec<K> {
        self.keys(|state| matches!(state, State::Named))
    }

    /// The results of all, in the order in which they were named, or why the first to fail has none.
    pub(super) fn all(&self) -> Outcomes<K, V> {
        let mut outcomes = self.settled.iter().filter_map(|&id| self.outcome(id));
        if let Some(error) = outcomes.find_map(|outcome| outcome.as_ref().err()) {
            return Err(error.clone());
        }
        let mut results = Results::new();
        for (place, node) in self.nodes.iter().enumerate() {
            if let Some(Ok(value)) = self.outcome(NodeId(place)) {
                results.push(node.key.clone(), Rc::clone(value));
            }
        }
        Ok(results)
    }
}

pub(super) type Outcomes<K, V> = Result<Results<K, V>, PropagateError<K>>;

pub(super) enum ToKill {
    /// It is settled, or nobody has spawned it.
    Nothing,
    /// It does not run.
    Task,
    Thread(Thread),
}
