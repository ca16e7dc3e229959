//! Results by key, in an order.
//!
//! A snapshot: knows nothing of the pool that it is from.

use std::{borrow::Borrow, collections::HashMap, fmt, hash::Hash, ops::Index, rc::Rc, vec};

/// Results of tasks, by key, in the order in which they were asked for.
///
/// The results themselves are shared, not copied. It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::pool::Results<u32, u32>>();
/// ```
///
/// # Examples
///
/// ```
/// use greenroom::pool::DagPool;
///
/// let pool = DagPool::preload([("a", 1), ("b", 2)]);
/// let results = pool.wait(["b", "a"])?;
/// assert_eq!(results["a"], 1);
/// assert_eq!(results.get("c"), None);
/// let sum: i32 = results.iter().map(|(_, value)| value).sum();
/// assert_eq!(sum, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Results<K, V> {
    entries: Vec<(K, Rc<V>)>,
    places: HashMap<K, usize>,
}

impl<K: Clone + Eq + Hash, V> Results<K, V> {
    pub(super) fn new() -> Results<K, V> {
        Results { entries: Vec::new(), places: HashMap::new() }
    }

    /// A key that is there already keeps its place.
    pub(super) fn push(&mut self, key: K, value: Rc<V>) {
        if !self.places.contains_key(&key) {
            self.places.insert(key.clone(), self.entries.len());
            self.entries.push((key, value));
        }
    }

    /// The result for `key`, if it was asked for.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::DagPool;
    ///
    /// let results = DagPool::preload([("one", 1), ("two", 2)]).waitall()?;
    /// assert_eq!(**results.get("one").unwrap(), 1);
    /// assert!(results.get("three").is_none());
    /// assert_eq!((results.len(), results.is_empty()), (2, false));
    /// assert_eq!(results.iter().map(|(_, n)| n).sum::<i32>(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&Rc<V>>
    where
        K: Borrow<Q>,
    {
        self.places.get(key).map(|&place| &self.entries[place].1)
    }
}

impl<K, V> Results<K, V> {
    /// The results with their keys, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> + DoubleEndedIterator {
        self.entries.iter().map(|(key, value)| (key, &**value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K, V, Q> Index<&Q> for Results<K, V>
where
    K: Clone + Eq + Hash + Borrow<Q>,
    Q: Eq + Hash + ?Sized,
{
    type Output = V;

    /// # Panics
    ///
    /// If the key was not asked for.
    #[track_caller]
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("results are there for the keys that were asked for, and no others")
    }
}

impl<K, V> IntoIterator for Results<K, V> {
    type Item = (K, Rc<V>);
    type IntoIter = vec::IntoIter<(K, Rc<V>)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Results<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
