//! The settings of a pool of things.
//!
//! Knows numbers and order; the things themselves are made by a function of the user's.

use std::convert::Infallible;

use crate::pool::Pool;

/// Which of the things that lie idle is lent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// The one that was given back first: all are used in turn.
    #[default]
    Queue,
    /// The one that was given back last: few are used often, and the rest grow old.
    Stack,
}

/// Settings of a [`Pool`] before it is made.
///
/// ```
/// use greenroom::pool::{Builder, Order};
///
/// let pool = Builder::new().min(2).max(8).order(Order::Stack).create(Vec::<u8>::new);
/// assert_eq!((pool.idle(), pool.max()), (2, 8));
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until it creates"]
pub struct Builder {
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) order: Order,
}

impl Builder {
    /// None to begin with, four at most, used in turn.
    pub fn new() -> Builder {
        Builder { min: 0, max: 4, order: Order::Queue }
    }

    /// How many are made at once, with the pool; the others are made when they are needed.
    pub fn min(mut self, min: usize) -> Builder {
        self.min = min;
        self
    }

    /// How many there are at most.
    pub fn max(mut self, max: usize) -> Builder {
        self.max = max;
        self
    }

    /// Which of those that lie idle is lent first.
    pub fn order(mut self, order: Order) -> Builder {
        self.order = order;
        self
    }

    /// The pool, of things that `create` makes and that cannot fail to be made.
    ///
    /// # Panics
    ///
    /// If `min` is greater than `max`.
    #[track_caller]
    pub fn create<T>(self, create: impl Fn() -> T + 'static) -> Pool<T> {
        let Ok(pool) = self.create_fallible(move || Ok::<T, Infallible>(create()));
        pool
    }

    /// The pool, of things that `create` makes or fails to make. It may wait, and it may be called
    /// again before an earlier call has returned.
    ///
    /// # Errors
    ///
    /// What `create` fails with, if one of the first `min` cannot be made.
    ///
    /// # Panics
    ///
    /// If `min` is greater than `max`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use greenroom::{net::{TcpListener, TcpStream}, pool::Builder};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let pool = Builder::new().max(2).create_fallible(move || TcpStream::connect(address))?;
    /// let stream = pool.get().map_err(io::Error::other)?;
    /// assert_eq!(stream.peer_addr()?, address);
    /// # Ok::<(), io::Error>(())
    /// ```
    #[track_caller]
    pub fn create_fallible<T, E>(
        self,
        create: impl Fn() -> Result<T, E> + 'static,
    ) -> Result<Pool<T, E>, E> {
        assert!(
            self.min <= self.max,
            "a pool of {} things at most cannot begin with {}",
            self.max,
            self.min
        );
        Pool::build(self, Box::new(create))
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}
