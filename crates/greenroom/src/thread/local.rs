//! Storage that each green thread has for itself.
//!
//! Values lie in the thread's control block, found by the address of their key. Knows nothing of
//! OS threads: what a whole OS thread shares is std's `thread_local!`.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use crate::{
    hub::local::local,
    thread::{Control, control, join, throw::Throw},
};

/// Declares [`LocalKey`]s: storage that each green thread has for itself.
///
/// ```
/// use std::cell::Cell;
/// use greenroom::{spawn, yield_now};
///
/// greenroom::green_local! {
///     /// How many requests this green thread has served.
///     static SERVED: Cell<u32> = Cell::new(0);
/// }
///
/// let threads = [1, 2].map(|n| {
///     spawn(move || {
///         SERVED.set(n);
///         yield_now();
///         SERVED.get()
///     })
/// });
/// assert_eq!(threads.map(|thread| thread.join().unwrap()), [1, 2]);
/// assert_eq!(SERVED.get(), 0); // the root has its own
/// ```
#[macro_export]
macro_rules! green_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr);* $(;)?) => {
        $(
            $(#[$attribute])*
            $visibility static $name: $crate::thread::LocalKey<$type> =
                $crate::thread::LocalKey::new(|| $init);
        )*
    };
}

/// A key to a value that each green thread has for itself. Declared by
/// [`green_local!`](crate::green_local).
///
/// A thread's value is made when the thread first asks for it, and dropped on the thread's own stack
/// when the thread has ended, after its linked functions, in the order in which they were made. Its
/// destructor may wait; a kill meanwhile throws it out. An OS thread's own stack has one too, which
/// callbacks share; it is dropped with the hub, and on the main thread, whose hub ends with the
/// process, never.
///
/// Asking costs some nanoseconds for each key that the thread has used before this one; making a value
/// costs an allocation or two.
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
    /// Two keys must differ in their address even where nothing else tells them apart.
    _place: u8,
}

impl<T: 'static> LocalKey<T> {
    /// A key whose values are made by `init`. It must lie in a `static`, for its address is what
    /// tells it from others.
    pub const fn new(init: fn() -> T) -> LocalKey<T> {
        LocalKey { init, _place: 0 }
    }

    /// Calls `f` with this thread's value.
    ///
    /// `f` may wait: nobody else sees the value meanwhile. If it uses the key again, that is the same
    /// value.
    ///
    /// # Panics
    ///
    /// If making the value asks for the same value. If this OS thread has no hub and none can be made, as with
    /// [`hub::get`](crate::hub::get): so in a destructor of a `thread_local!` that runs after the hub has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use greenroom::{green_local, spawn};
    ///
    /// green_local! {
    ///     static WORDS: RefCell<Vec<&'static str>> = RefCell::new(vec!["first"]);
    /// }
    /// WORDS.with(|words| words.borrow_mut().push("second"));
    /// WORDS.with_borrow_mut(|words| words.push("third"));
    /// assert_eq!(WORDS.with_borrow(Vec::len), 3);
    /// assert_eq!(spawn(|| WORDS.with_borrow(Vec::len)).join()?, 1);
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.value())
    }

    fn value(&'static self) -> Rc<T> {
        let key = std::ptr::from_ref(self).addr();
        let found = control::with_current(local(), |control| control.locals.find(key));
        let value = match found {
            Found::Value(value) => value,
            Found::Nothing => {
                // Not while anything of ours is borrowed: it may use other keys, or wait.
                let making = Making::begin(key);
                let value: Rc<dyn Any> = Rc::new((self.init)());
                mem::forget(making);
                control::with_current(local(), |control| control.locals.fill(key, &value));
                value
            }
            Found::Making => panic!("the first value of a green-local key asks for itself"),
        };
        value.downcast().expect("a key's values have its type")
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets this thread's value.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use greenroom::{green_local, spawn};
    ///
    /// green_local!(static COUNT: Cell<u32> = Cell::new(1));
    /// COUNT.set(7);
    /// assert_eq!((COUNT.replace(8), COUNT.get()), (7, 8));
    /// assert_eq!((COUNT.take(), COUNT.get()), (8, 0));
    /// assert_eq!(spawn(|| COUNT.get()).join()?, 1);
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    pub fn set(&'static self, value: T) {
        drop(self.replace(value));
    }

    /// A copy of this thread's value.
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes this thread's value, and leaves the default.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets this thread's value, and returns what it was.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with this thread's value.
    ///
    /// # Panics
    ///
    /// If it is borrowed mutably, by this thread: others have their own.
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with this thread's value, to be changed.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// The values of one thread.
#[derive(Default)]
pub(crate) struct Locals(Cell<Option<Box<List>>>);

/// By the address of the key; `None` while the value is being made.
type List = Vec<(usize, Option<Rc<dyn Any>>)>;

enum Found {
    Value(Rc<dyn Any>),
    Making,
    Nothing,
}

impl Locals {
    fn with<R>(&self, f: impl FnOnce(&mut List) -> R) -> R {
        let mut list = self.0.take().unwrap_or_default();
        let result = f(&mut list);
        self.0.set(Some(list));
        result
    }

    fn find(&self, key: usize) -> Found {
        self.with(|list| match list.iter().find(|(known, _)| *known == key) {
            Some((_, Some(value))) => Found::Value(Rc::clone(value)),
            Some((_, None)) => Found::Making,
            None => Found::Nothing,
        })
    }

    fn fill(&self, key: usize, value: &Rc<dyn Any>) {
        self.with(|list| {
            let place = list.iter_mut().find(|(known, _)| *known == key);
            place.expect("a value is being made").1 = Some(Rc::clone(value));
        });
    }

    #[inline]
    fn take(&self) -> List {
        self.0.take().map(|list| *list).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.with(|list| list.is_empty())
    }
}

/// A value is being made, until this is dropped because that panicked.
struct Making(usize);

impl Making {
    fn begin(key: usize) -> Making {
        control::with_current(local(), |control| {
            control.locals.with(|list| list.push((key, None)));
        });
        Making(key)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        control::with_current(local(), |control| {
            control.locals.with(|list| list.retain(|(known, _)| *known != self.0));
        });
    }
}

/// Destructors may use keys and so make new values, so many times over; what is made after that is
/// never dropped. As POSIX has it for its threads.
const ROUNDS_MAX: u32 = 4;

/// Drops the values of a thread that has ended, on its own stack.
#[inline]
pub(crate) fn end(control: &Control) {
    let first = control.locals.take();
    if !first.is_empty() {
        end_all(control, first);
    }
}

#[cold]
fn end_all(control: &Control, first: List) {
    // It was thrown as far as it goes. Destructors may wait.
    control.throw.set(Throw::No);
    control.throws.set(0);
    let mut list = first;
    for _ in 0..ROUNDS_MAX {
        for (_, value) in list {
            // A destructor that panics keeps the others from nothing.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                join::tell_of(format_args!("dropping a green-local value"), payload);
            }
        }
        list = control.locals.take();
        if list.is_empty() {
            return;
        }
    }
    mem::forget(list);
}
