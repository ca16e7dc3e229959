//! What can go wrong with tasks: they fail, or they cannot be.
//!
//! Knows keys and causes, and nothing of the tasks.

use std::{error::Error, fmt, sync::Arc};

use crate::thread::JoinError;

/// What a task fails with: any error, or a text, by `?` or `into`.
pub type TaskError = Box<dyn Error + Send + Sync>;

/// There is no result, because a task has failed: the one that was asked for, or one that it
/// depends on, however far off. [`key`](PropagateError::key) names the one that failed, and
/// [`source`](Error::source) is what it failed with.
///
/// ```
/// use std::{error::Error, io};
/// use greenroom::pool::DagPool;
///
/// let pool: DagPool<&str, ()> = DagPool::new();
/// pool.spawn("read", [], |_| Err(io::Error::from(io::ErrorKind::NotFound))?)?;
/// pool.spawn("print", ["read"], |_| Ok(()))?;
/// let error = pool.wait(["print"]).unwrap_err();
/// assert_eq!(*error.key(), "read");
/// let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
/// assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::NotFound));
/// # Ok::<(), Box<dyn Error>>(())
/// ```
///
/// A clone is the same error. It is `Send` and `Sync` if the key is, so that it fits into any boxed
/// error.
#[derive(Clone, Debug)]
pub struct PropagateError<K> {
    key: K,
    cause: Cause,
}

#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// It returned an error. Shared: everybody who depends on it is told.
    Failed(Arc<dyn Error + Send + Sync>),
    /// It has not returned.
    Ended(Arc<JoinError>),
}

impl<K> PropagateError<K> {
    pub(super) fn new(key: K, cause: Cause) -> PropagateError<K> {
        PropagateError { key, cause }
    }

    /// The key of the task that failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::DagPool;
    ///
    /// let pool = DagPool::<_, ()>::new();
    /// pool.spawn("culprit", [], |_| std::panic::resume_unwind(Box::new("no")))?;
    /// pool.spawn("victim", ["culprit"], |_| Ok(()))?;
    /// let error = pool.wait(["victim"]).unwrap_err();
    /// assert_eq!(*error.key(), "culprit");
    /// assert!(error.is_panic() && !error.is_killed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key(&self) -> &K {
        &self.key
    }

    /// True if that task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(&self.cause, Cause::Ended(error) if error.is_panic())
    }

    /// True if that task was killed.
    pub fn is_killed(&self) -> bool {
        matches!(&self.cause, Cause::Ended(error) if error.is_killed())
    }
}

impl Cause {
    pub(super) fn failed(error: TaskError) -> Cause {
        Cause::Failed(error.into())
    }

    pub(super) fn ended(error: JoinError) -> Cause {
        Cause::Ended(Arc::new(error))
    }

    fn error(&self) -> &(dyn Error + 'static) {
        match self {
            Cause::Failed(error) => &**error,
            Cause::Ended(error) => &**error,
        }
    }
}

impl<K: fmt::Debug> fmt::Display for PropagateError<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task {:?} has no result: {}", self.key, self.cause.error())
    }
}

impl<K: fmt::Debug> Error for PropagateError<K> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.cause.error())
    }
}

/// A key cannot have this task or value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DagError<K> {
    /// The key has a task or a value already.
    Collision {
        /// The key.
        key: K,
    },
    /// The task would depend on itself.
    Cycle {
        /// From the task, each followed by one that it needs, to the task again.
        path: Vec<K>,
    },
}

impl<K: fmt::Debug> fmt::Display for DagError<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DagError::Collision { key } => {
                write!(f, "the key {key:?} has a task or a value already; choose another")
            }
            DagError::Cycle { path } => {
                f.write_str("the task would wait for its own result:")?;
                for (place, key) in path.iter().enumerate() {
                    write!(f, "{}{key:?}", if place == 0 { " " } else { " needs " })?;
                }
                Ok(())
            }
        }
    }
}

impl<K: fmt::Debug> Error for DagError<K> {}
