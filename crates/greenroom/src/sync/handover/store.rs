//! Items in the order in which they come out: first in first out, last in first out, smallest
//! first.
//!
//! Knows nobody who waits.

use std::{
    cell::{Cell, RefCell},
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
    mem,
};

/// What a queue keeps its items in, and so the order in which they come out. There are [`Fifo`], [`Lifo`]
/// and [`Priority`], and no others can be made.
pub trait Store: Default + sealed::Sealed {
    /// What is kept.
    type Item;

    /// Takes an item in. It is inside also if comparing it with others panics.
    fn insert(&self, item: Self::Item);

    /// Gives the next item out.
    fn remove(&self) -> Option<Self::Item>;

    /// How many items are inside.
    fn count(&self) -> usize;

    /// Everything that is inside, which is empty after that.
    fn take_all(&self) -> Self;
}

mod sealed {
    /// Others might run code in the midst of an insertion that changes the queue.
    pub trait Sealed {}
}

impl<T> sealed::Sealed for Fifo<T> {}
impl<T> sealed::Sealed for Lifo<T> {}
impl<T: Ord> sealed::Sealed for Priority<T> {}

/// First in, first out.
pub struct Fifo<T> {
    /// The oldest, unless it went in while there were others. Who comes to an empty store saves itself the way
    /// through the ring, which is a tenth of the time of a message to and fro.
    first: Cell<Option<T>>,
    rest: RefCell<VecDeque<T>>,
    count: Cell<usize>,
}

impl<T> Default for Fifo<T> {
    fn default() -> Fifo<T> {
        Fifo { first: Cell::new(None), rest: RefCell::default(), count: Cell::new(0) }
    }
}

impl<T> Store for Fifo<T> {
    type Item = T;

    #[inline]
    fn insert(&self, item: T) {
        let count = self.count.get();
        if count == 0 {
            self.first.set(Some(item));
        } else {
            self.rest.borrow_mut().push_back(item);
        }
        self.count.set(count + 1);
    }

    #[inline]
    fn remove(&self) -> Option<T> {
        self.count.set(self.count.get().checked_sub(1)?);
        self.first.take().or_else(|| self.rest.borrow_mut().pop_front())
    }

    #[inline]
    fn count(&self) -> usize {
        self.count.get()
    }

    fn take_all(&self) -> Fifo<T> {
        Fifo {
            first: Cell::new(self.first.take()),
            rest: RefCell::new(self.rest.take()),
            count: Cell::new(self.count.take()),
        }
    }
}

/// Last in, first out.
pub struct Lifo<T>(RefCell<Vec<T>>);

impl<T> Default for Lifo<T> {
    fn default() -> Lifo<T> {
        Lifo(RefCell::default())
    }
}

impl<T> Store for Lifo<T> {
    type Item = T;

    fn insert(&self, item: T) {
        self.0.borrow_mut().push(item);
    }

    fn remove(&self) -> Option<T> {
        self.0.borrow_mut().pop()
    }

    fn count(&self) -> usize {
        self.0.borrow().len()
    }

    fn take_all(&self) -> Lifo<T> {
        Lifo(RefCell::new(self.0.take()))
    }
}

/// The smallest first; of equal ones, the one that came first.
pub struct Priority<T: Ord> {
    heap: Cell<BinaryHeap<Ranked<T>>>,
    len: Cell<usize>,
    /// The heap is out of its cell, for items are being compared, which is code we do not know.
    lent: Cell<bool>,
    inserted: Cell<u64>,
}

impl<T: Ord> Default for Priority<T> {
    fn default() -> Priority<T> {
        Priority {
            heap: Cell::default(),
            len: Cell::new(0),
            lent: Cell::new(false),
            inserted: Cell::new(0),
        }
    }
}

impl<T: Ord> Priority<T> {
    fn lend(&self) -> Lent<'_, T> {
        assert!(
            !self.lent.replace(true),
            "comparing items of a priority queue may neither use that queue nor wait"
        );
        Lent { store: self, heap: self.heap.take() }
    }
}

impl<T: Ord> Store for Priority<T> {
    type Item = T;

    fn insert(&self, item: T) {
        let number = self.inserted.get();
        self.inserted.set(number + 1);
        self.lend().heap.push(Ranked { item, number });
    }

    fn remove(&self) -> Option<T> {
        self.lend().heap.pop().map(|ranked| ranked.item)
    }

    fn count(&self) -> usize {
        self.len.get()
    }

    fn take_all(&self) -> Priority<T> {
        let all = Priority::default();
        mem::swap(&mut all.lend().heap, &mut self.lend().heap);
        all
    }
}

/// The heap while its items are compared; put back also by unwinding.
struct Lent<'a, T: Ord> {
    store: &'a Priority<T>,
    heap: BinaryHeap<Ranked<T>>,
}

impl<T: Ord> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.store.len.set(self.heap.len());
        self.store.heap.set(mem::take(&mut self.heap));
        self.store.lent.set(false);
    }
}

/// An item with its number in the order of arrival. The greatest is the one that comes out first.
struct Ranked<T> {
    item: T,
    number: u64,
}

impl<T: Ord> Ord for Ranked<T> {
    fn cmp(&self, other: &Ranked<T>) -> Ordering {
        other.item.cmp(&self.item).then_with(|| other.number.cmp(&self.number))
    }
}

impl<T: Ord> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Ranked<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Ranked<T> {
    fn eq(&self, other: &Ranked<T>) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord> Eq for Ranked<T> {}
