//! Tasks that need each other's results: each runs as soon as it can.
//!
//! The face. What is known of the tasks, `graph` keeps; `run` starts them, `wait` waits for them.

mod error;
mod graph;
mod results;
mod run;
mod wait;

use std::{fmt, hash::Hash, rc::Rc};

use crate::pool::GreenPool;

use crate::thread::JoinError;
use error::Cause;
pub use error::{DagError, PropagateError, TaskError};
use graph::ToKill;
pub use results::Results;
use run::Shared;
pub use wait::WaitEach;

/// Tasks with keys, each of which runs once the tasks have ended whose results it needs: a directed
/// acyclic graph of them.
///
/// A task is spawned with its key, the keys it needs and a function. As soon as all of those have
/// results, the function runs on a green thread of its own and is given them; what it returns is its
/// key's result. Keys may be named before anybody has spawned them. A result is kept as long as the
/// pool, and shared: everybody is given the same `Rc`.
///
/// *A task that fails*, because it returns an error, panics or is killed, takes with it all those
/// that need it, however indirectly: they are not run, and asking for their results gives a
/// [`PropagateError`] that names the one that failed.
///
/// No more run at once than the [`GreenPool`] below has slots. Tasks that may run are started in the
/// order in which they became ready; those that wait for results need no stack and no slot. A task
/// may spawn others; one that *waits* for another keeps its slot meanwhile.
///
/// Nothing can tell that a key will never come, for anybody may post it. If nothing is left that
/// could, the wait on the root panics as every such wait does, and prints which tasks need which
/// keys.
///
/// A clone is the same pool. Dropping all of them lets tasks that run, or can, run on. Keys are
/// compared, hashed, copied and dropped while the pool is looked at, so none of that may use the pool. A task
/// that owns a clone of its pool and never comes to run keeps the pool in memory.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::pool::DagPool<u32, u32>>();
/// ```
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenroom::{pool::DagPool, sleep};
///
/// let pool = DagPool::new();
/// pool.spawn("breakfast", ["tea", "toast"], |made| {
///     Ok(format!("{} and {}", made["tea"], made["toast"]))
/// })?;
/// pool.spawn("tea", ["water"], |made| Ok(format!("tea of {}", made["water"])))?;
/// pool.spawn("toast", [], |_| {
///     sleep(Duration::from_millis(1));
///     Ok("toast".to_owned())
/// })?;
/// pool.post("water", "hot water".to_owned())?;
/// assert_eq!(pool.wait(["breakfast"])?["breakfast"], "tea of hot water and toast");
///
/// pool.spawn("milk", [], |_| Err("it is sour")?)?;
/// pool.spawn("cocoa", ["milk"], |_| unreachable!("there is no milk"))?;
/// let error = pool.wait(["cocoa"]).unwrap_err();
/// assert_eq!(*error.key(), "milk");
/// assert_eq!(error.to_string(), "the task \"milk\" has no result: it is sour");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DagPool<K, V> {
    shared: Rc<Shared<K, V>>,
}

impl<K, V> DagPool<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    /// A pool without tasks, which runs as many at once as a [`GreenPool`] does that nobody gave a
    /// size.
    pub fn new() -> DagPool<K, V> {
        DagPool::over(&GreenPool::default())
    }

    /// A pool whose tasks take slots of `pool`, which others may use as well.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::{DagPool, GreenPool};
    ///
    /// let pool = GreenPool::new(1);
    /// let tasks = DagPool::over(&pool);
    /// tasks.spawn("a", [], |_| Ok(1))?;
    /// tasks.spawn("b", [], |_| Ok(2))?;
    /// assert_eq!((pool.running(), tasks.running_keys(), tasks.waiting_keys()), (1, vec!["a"], vec!["b"]));
    /// assert_eq!(tasks.waitall()?.len(), 2);
    /// assert_eq!(tasks.keys(), ["a", "b"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn over(pool: &GreenPool) -> DagPool<K, V> {
        DagPool { shared: Rc::new(Shared::new(pool.clone())) }
    }

    /// A pool as [`new`](DagPool::new) makes it, with results that are there from the beginning. Of a
    /// key that occurs twice, the last counts.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::DagPool;
    ///
    /// let pool = DagPool::preload([("two", 2), ("three", 3)]);
    /// pool.spawn("product", ["two", "three"], |made| Ok(made["two"] * made["three"]))?;
    /// assert_eq!(pool.wait(["product"])?["product"], 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn preload(results: impl IntoIterator<Item = (K, V)>) -> DagPool<K, V> {
        let pool = DagPool::new();
        for (key, value) in results {
            pool.shared.graph.borrow_mut().preload(key, Rc::new(value));
        }
        pool
    }

    /// Has `f` run with the results of `needs` as soon as they are there, and its own result kept
    /// for `key`. Never waits, so it works in hub callbacks, in destructors and in other tasks.
    ///
    /// If one of those it needs has failed, or does, `f` is dropped unrun.
    ///
    /// Costs some allocations and, when it runs, a [`spawn`](crate::spawn). If `key` was needed by
    /// others before, also a look through all that it needs, for a cycle.
    ///
    /// # Errors
    ///
    /// [`DagError::Collision`] if `key` has a task or a value. [`DagError::Cycle`] if `f` would need
    /// its own result, directly or through others. `f` is dropped then.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::{DagError, DagPool};
    ///
    /// let pool = DagPool::new();
    /// pool.spawn("sum", ["one", "two"], |made| Ok(made["one"] + made["two"]))?;
    /// pool.spawn("one", [], |_| Ok("1".parse::<u32>()?))?;
    /// let refused = pool.spawn("two", ["sum"], |_| Ok(2)).unwrap_err();
    /// assert_eq!(refused, DagError::Cycle { path: vec!["two", "sum", "two"] });
    /// pool.spawn("two", [], |_| Ok(2))?;
    /// assert_eq!(pool.wait(["sum"])?["sum"], 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn<F>(
        &self,
        key: K,
        needs: impl IntoIterator<Item = K>,
        f: F,
    ) -> Result<(), DagError<K>>
    where
        F: FnOnce(Results<K, V>) -> Result<V, TaskError> + 'static,
    {
        let needs = needs.into_iter().collect();
        let added = self.shared.graph.borrow_mut().add(key, needs, Box::new(f));
        match added {
            Ok(()) => {
                self.shared.changed();
                Ok(())
            }
            Err((error, _task)) => Err(error),
        }
    }

    /// Gives `key` a result without a task. Never waits.
    ///
    /// # Errors
    ///
    /// [`DagError::Collision`] if the key has a task or a value already.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::{DagError, DagPool};
    ///
    /// let pool = DagPool::new();
    /// pool.post("a", 1)?;
    /// assert_eq!(pool.post("a", 2), Err(DagError::Collision { key: "a" }));
    /// # Ok::<(), DagError<&str>>(())
    /// ```
    pub fn post(&self, key: K, value: V) -> Result<(), DagError<K>> {
        let value = Rc::new(value);
        self.shared.graph.borrow_mut().post(key, Rc::clone(&value))?;
        self.shared.changed();
        Ok(())
    }

    /// Waits until all these keys have results, and returns them in this order. Waits for keys that
    /// nobody has spawned or posted as well.
    ///
    /// # Errors
    ///
    /// As soon as one of them has failed, whatever the others do. In a destructor that runs because
    /// of a panic, where nothing waits: that there is no result yet.
    ///
    /// # Panics
    ///
    /// In a task whose own result it would wait for. In a hub callback, if it would have to wait.
    /// On the root, if nothing is left that could end the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{pool::DagPool, with_timeout};
    ///
    /// let pool = DagPool::preload([("a", 1)]);
    /// assert_eq!(pool.wait(["a"]).unwrap()["a"], 1);
    /// let never = with_timeout(Duration::from_millis(1), || pool.wait(["b"]).is_ok());
    /// assert!(never.is_err());
    /// ```
    pub fn wait(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Results<K, V>, PropagateError<K>> {
        let ids: Vec<_> = keys.into_iter().map(|key| self.name(key)).collect();
        self.shared.wait(&ids)
    }

    /// The results of these keys as they come, those first that are there already. Failed ones are
    /// items as all others.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{pool::DagPool, yield_now};
    ///
    /// let pool = DagPool::new();
    /// pool.spawn("slow", [], |_| {
    ///     yield_now();
    ///     Ok(1)
    /// })?;
    /// pool.spawn("broken", [], |_| Err("no")?)?;
    /// let mut results = pool.wait_each(["slow", "broken"]);
    /// let (key, result) = results.next().unwrap();
    /// assert!(key == "broken" && result.is_err());
    /// let (key, result) = results.next().unwrap();
    /// assert!(key == "slow" && *result? == 1);
    /// assert!(results.next().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_each(&self, keys: impl IntoIterator<Item = K>) -> WaitEach<K, V> {
        WaitEach::new(&self.shared, keys.into_iter().map(|key| self.name(key)))
    }

    /// Waits until one of these keys has a result or has failed, and returns the one that was first.
    /// `None` if there are no keys.
    ///
    /// # Panics
    ///
    /// As [`WaitEach`].
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{pool::DagPool, sleep};
    /// use std::time::Duration;
    ///
    /// let pool = DagPool::new();
    /// pool.spawn("slow", [], |_| {
    ///     sleep(Duration::from_secs(60));
    ///     Ok(1)
    /// })?;
    /// pool.spawn("fast", [], |_| Ok(2))?;
    /// let (key, result) = pool.wait_any(["slow", "fast"]).unwrap();
    /// assert_eq!((key, *result?), ("fast", 2));
    /// assert!(pool.wait_any([]).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_any(&self, keys: impl IntoIterator<Item = K>) -> Option<KeyOutcome<K, V>> {
        self.wait_each(keys).next()
    }

    /// Waits until no task is left, those included that are spawned meanwhile, and returns all
    /// results in the order in which their keys were named first.
    ///
    /// # Errors
    ///
    /// Why the first task that failed has no result; but only when all others have ended as well. In
    /// a destructor that runs because of a panic, where nothing waits: that a task has no result yet.
    ///
    /// # Panics
    ///
    /// In a task of this pool, which would wait for its own end. In a hub callback, if it would have
    /// to wait. On the root, if nothing is left that could end the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::DagPool;
    ///
    /// let pool = DagPool::new();
    /// for n in 1..4 {
    ///     pool.spawn(n, [n - 1], move |made| Ok(made[&(n - 1)] * 2))?;
    /// }
    /// pool.post(0, 1)?;
    /// let values: Vec<_> = pool.waitall()?.iter().map(|(n, value)| (*n, *value)).collect();
    /// assert_eq!(values, [(1, 2), (0, 1), (2, 4), (3, 8)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn waitall(&self) -> Result<Results<K, V>, PropagateError<K>> {
        self.shared.wait_all()
    }

    /// The result of a key, if it has one or has failed. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::DagPool;
    ///
    /// let pool = DagPool::new();
    /// pool.spawn("one", [], |_| Ok(1))?;
    /// assert!(pool.get(&"one").is_none());
    /// pool.waitall()?;
    /// assert_eq!(*pool.get(&"one").unwrap()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, key: &K) -> Option<Result<Rc<V>, PropagateError<K>>> {
        let graph = self.shared.graph.borrow();
        graph.outcome(graph.id(key)?).cloned()
    }

    /// The keys that have results or have failed, in the order in which that came about.
    pub fn keys(&self) -> Vec<K> {
        self.shared.graph.borrow().keys_settled()
    }

    /// The keys of tasks that have been given a green thread and have not ended.
    pub fn running_keys(&self) -> Vec<K> {
        self.shared.graph.borrow().keys_running()
    }

    /// The keys of tasks that wait for results or for a slot.
    pub fn waiting_keys(&self) -> Vec<K> {
        self.shared.graph.borrow().keys_waiting()
    }

    /// Those keys that a task needs and that have no results yet. Empty if it waits for none, has ended
    /// itself, or if there is no such task.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::DagPool;
    ///
    /// let pool = DagPool::preload([("a", 1)]);
    /// pool.spawn("sum", ["a", "b"], |made| Ok(made["a"] + made["b"]))?;
    /// assert_eq!(pool.waiting_for(&"sum"), ["b"]);
    /// # Ok::<(), greenroom::pool::DagError<&str>>(())
    /// ```
    pub fn waiting_for(&self, key: &K) -> Vec<K> {
        let graph = self.shared.graph.borrow();
        graph.id(key).map_or(Vec::new(), |id| graph.missing(id))
    }

    /// Kills a task. One that waits is dropped unrun and has failed when this returns; one that runs
    /// is [killed](crate::thread::Thread::kill), and has failed once it has unwound. Those that need
    /// it fail with it. Never waits.
    ///
    /// True if the task was alive.
    ///
    /// # Panics
    ///
    /// Under `panic = "abort"`, if the task has started.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::DagPool;
    ///
    /// let pool = DagPool::new();
    /// pool.spawn("a", ["b"], |_| Ok(1))?;
    /// assert!(pool.kill(&"a"));
    /// assert!(!pool.kill(&"a"));
    /// assert!(pool.wait(["a"]).unwrap_err().is_killed());
    /// # Ok::<(), greenroom::pool::DagError<&str>>(())
    /// ```
    #[track_caller]
    pub fn kill(&self, key: &K) -> bool {
        let graph = self.shared.graph.borrow();
        let Some(id) = graph.id(key) else { return false };
        let to_kill = graph.to_kill(id);
        drop(graph);
        match to_kill {
            ToKill::Nothing => false,
            ToKill::Thread(thread) => thread.kill(),
            ToKill::Task => {
                self.shared.fail(id, Cause::ended(JoinError::killed_unstarted()));
                true
            }
        }
    }

    fn name(&self, key: K) -> graph::NodeId {
        self.shared.graph.borrow_mut().name(key)
    }
}

/// A key with its result, or with why it has none.
type KeyOutcome<K, V> = (K, Result<Rc<V>, PropagateError<K>>);

impl<K, V> Default for DagPool<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    fn default() -> DagPool<K, V> {
        DagPool::new()
    }
}

impl<K, V> Clone for DagPool<K, V> {
    fn clone(&self) -> DagPool<K, V> {
        DagPool { shared: Rc::clone(&self.shared) }
    }
}

impl<K, V> fmt::Debug for DagPool<K, V>
where
    K: Clone + Eq + Hash + fmt::Debug + 'static,
    V: 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DagPool")
            .field("running", &self.running_keys())
            .field("waiting", &self.waiting_keys())
            .finish_non_exhaustive()
    }
}
