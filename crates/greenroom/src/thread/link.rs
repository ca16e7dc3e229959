//! Functions that run when a green thread ends.
//!
//! They run on the thread's own stack, as the last it does, in the order in which they were linked. Knows
//! nothing of joining: that is about the value, this about the end.

use std::{
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use greenroom_fiber::Fiber;

use crate::thread::{Control, Thread, ThreadId, join, throw::Throw};

/// How a green thread ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Its function returned.
    Returned,
    /// Its function panicked.
    Panicked,
    /// It was killed.
    Killed,
    /// It was cancelled before it started.
    Cancelled,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Returned => "returned",
            End::Panicked => "panicked",
            End::Killed => "was killed",
            End::Cancelled => "was cancelled",
        })
    }
}

/// Names one linked function, to be taken back by [`Thread::unlink`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    thread: ThreadId,
    number: u64,
}

/// The functions linked to one thread.
#[derive(Default)]
pub(crate) struct Links(Cell<Option<Box<List>>>);

#[derive(Default)]
struct List {
    functions: Vec<(u64, Function)>,
    numbered: u64,
}

type Function = Box<dyn FnOnce(&Thread, End)>;

impl Links {
    #[inline]
    fn is_empty(&self) -> bool {
        let list = self.0.take();
        let is_empty = list.is_none();
        self.0.set(list);
        is_empty
    }

    fn with<R>(&self, change: impl FnOnce(&mut List) -> R) -> R {
        let mut list = self.0.take().unwrap_or_default();
        let result = change(&mut list);
        self.0.set(Some(list));
        result
    }
}

/// Links a function, or calls it at once if those that are linked have been called.
pub(super) fn link(fiber: &Fiber<Control>, function: Function) -> Link {
    let thread = ThreadId(fiber.id());
    if fiber.links_are_over.get() {
        function(&Thread::from_fiber(fiber.clone()), fiber.end.get());
        return Link { thread, number: u64::MAX };
    }
    let number = fiber.links.with(|list| {
        list.numbered += 1;
        list.functions.push((list.numbered, function));
        list.numbered
    });
    Link { thread, number }
}

/// Takes a function back. False if it ran before or was taken back.
pub(super) fn unlink(fiber: &Fiber<Control>, link: Link) -> bool {
    if link.thread != ThreadId(fiber.id()) || fiber.links.is_empty() {
        return false;
    }
    let function = fiber.links.with(|list| {
        let place = list.functions.iter().position(|(number, _)| *number == link.number)?;
        Some(list.functions.remove(place))
    });
    // What it owns is dropped here, where nothing is taken out of its place.
    function.is_some()
}

/// Calls what is linked to the thread that runs, as the last it does.
#[inline]
pub(super) fn run(fiber: &Fiber<Control>) {
    if !fiber.links.is_empty() {
        run_all(fiber);
    }
    fiber.links_are_over.set(true);
}

#[cold]
fn run_all(fiber: &Fiber<Control>) {
    // It was thrown as far as it goes. These functions may wait.
    fiber.throw.set(Throw::No);
    fiber.throws.set(0);
    let thread = Thread::from_fiber(fiber.clone());
    // Those that are linked meanwhile run as well.
    while let Some((_, function)) =
        fiber.links.with(|list| (!list.functions.is_empty()).then(|| list.functions.remove(0)))
    {
        let outcome = catch_unwind(AssertUnwindSafe(|| function(&thread, fiber.end.get())));
        if let Err(payload) = outcome {
            join::tell_of(format_args!("a function linked to {thread}"), payload);
        }
    }
}
