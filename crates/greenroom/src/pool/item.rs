//! One thing of a pool, while somebody has it.
//!
//! Gives thing and place back when it is dropped, however that comes about. Knows nothing of who
//! waits for it.

use std::{
    convert::Infallible,
    error, fmt,
    ops::{Deref, DerefMut},
    rc::Rc,
};

use crate::pool::resource::Shared;

/// A thing that a [`Pool`](crate::pool::Pool) has lent. It is used like the thing itself.
///
/// Dropping it gives the thing back, also while its borrower unwinds: from a panic, a kill or a
/// limit of time. One that is broken then must not be lent again, so whoever may be interrupted in
/// the middle of something [discards](Item::discard) it, or wraps it in a type that knows. Giving
/// back never waits, so an item may be dropped anywhere.
///
/// An item keeps its pool alive. It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::pool::Item<()>>();
/// ```
#[must_use = "dropping an item gives it back"]
pub struct Item<T, E = Infallible> {
    place: Place<T, E>,
    /// There until it is detached.
    thing: Option<T>,
}

impl<T, E> Item<T, E> {
    pub(super) fn new(place: Place<T, E>, thing: T) -> Item<T, E> {
        Item { place, thing: Some(thing) }
    }

    /// Drops the thing instead of giving it back: the pool makes another in its place when one is
    /// needed.
    ///
    /// The place is free by the time the thing is dropped. Called as `Item::discard(item)`, so as
    /// not to hide a method of the thing.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::{Item, Pool};
    ///
    /// let pool = Pool::new(1, || String::from("whole"));
    /// let Ok(mut item) = pool.get() else { unreachable!("it is not lent") };
    /// item.replace_range(.., "broken");
    /// Item::discard(item);
    /// let Ok(item) = pool.get() else { unreachable!("it is not lent") };
    /// assert_eq!(*item, "whole");
    /// ```
    pub fn discard(item: Item<T, E>) {
        drop(Item::detach(item));
    }

    /// Takes the thing out of the pool: the pool makes another in its place when one is needed.
    ///
    /// [`Pool::put`](crate::pool::Pool::put) gives it back, if there is room for it then.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::pool::{Item, Pool};
    ///
    /// let pool = Pool::new(1, || String::from("thing"));
    /// let Ok(item) = pool.get() else { unreachable!("it is not lent") };
    /// let thing = Item::detach(item);
    /// assert_eq!((pool.idle(), pool.free()), (0, 1));
    /// pool.put(thing)?;
    /// assert_eq!(pool.idle(), 1);
    /// # Ok::<(), String>(())
    /// ```
    pub fn detach(mut item: Item<T, E>) -> T {
        let thing = item.thing.take().expect(ALWAYS_THERE);
        item.place.0.one_less();
        thing
    }
}

const ALWAYS_THERE: &str = "only detaching takes the thing, and it takes the item";

impl<T, E> Deref for Item<T, E> {
    type Target = T;

    fn deref(&self) -> &T {
        self.thing.as_ref().expect(ALWAYS_THERE)
    }
}

impl<T, E> DerefMut for Item<T, E> {
    fn deref_mut(&mut self) -> &mut T {
        self.thing.as_mut().expect(ALWAYS_THERE)
    }
}

impl<T, E> Drop for Item<T, E> {
    fn drop(&mut self) {
        // One too many is dropped here, and the place given back after it.
        let surplus = self.thing.take().and_then(|thing| self.place.0.keep(thing));
        drop(surplus);
    }
}

impl<T: fmt::Debug, E> fmt::Debug for Item<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display, E> fmt::Display for Item<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The right to have one thing of a pool, given back when it is dropped.
pub(super) struct Place<T, E>(Rc<Shared<T, E>>);

impl<T, E> Place<T, E> {
    pub(super) fn new(shared: &Rc<Shared<T, E>>) -> Place<T, E> {
        Place(Rc::clone(shared))
    }
}

impl<T, E> Drop for Place<T, E> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Why a pool has lent nothing.
///
/// ```
/// use greenroom::pool::{Builder, GetError};
///
/// let pool = Builder::new().create_fallible(|| Err::<(), _>("no")).unwrap();
/// let error = pool.get().unwrap_err();
/// assert_eq!(error.to_string(), "what the pool was to lend cannot be made: no");
/// assert!(matches!(error, GetError::Create("no")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GetError<E> {
    /// There was none idle, and making one failed.
    Create(E),
    /// All were lent until the time was over.
    Elapsed,
    /// All are lent, and who asks unwinds from a panic and so cannot wait.
    Unwinding,
}

impl<E: fmt::Display> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetError::Create(error) => {
                write!(f, "what the pool was to lend cannot be made: {error}")
            }
            GetError::Elapsed => {
                f.write_str("all that the pool has was lent until the time was over")
            }
            GetError::Unwinding => f.write_str(
                "all that the pool has is lent, and a thread that unwinds from a panic cannot wait",
            ),
        }
    }
}

impl<E: error::Error + 'static> error::Error for GetError<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            GetError::Create(error) => Some(error),
            GetError::Elapsed | GetError::Unwinding => None,
        }
    }
}
