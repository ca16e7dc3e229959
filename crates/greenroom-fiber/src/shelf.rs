//! A shelf: the stacks of one size class that no fiber lives on, and which of them have rested.
//!
//! Knows in which order stacks came back; never makes one, and never knows who wants one.
//!
//! A fiber that is made *reserves* a stack, so that its first resume cannot fail; which one it will
//! be is settled only then, and it is the one that was used last. So fibers that end without a wait
//! take turns on one stack that is in the cache, however many of them there are.
//!
//! # The danger
//!
//! Giving pages back wipes them. It is done only to stacks on the list here, and a stack is on the
//! list exactly while nobody has its [`Stack`].
#![allow(unsafe_code)]

use std::collections::TryReserveError;
use std::ptr::NonNull;

use crate::prefetch;
use crate::slab;
use crate::stack::{SizeClass, Stack};

/// Stacks that are fetched into the cache together. The processor looks up the addresses of some
/// pages at a time, and each takes it as long as several fibers run.
const FETCHED_AT_ONCE: usize = 8;

/// They are fetched when so many that were fetched before are left.
const FETCHED_AHEAD: usize = 2;

/// How many stacks, of those put back last, are taken to be in the cache still.
const CACHED_MAX: usize = 16;

/// The idle stacks of one size class. Addresses are tops, as in [`Stack::top`].
#[derive(Debug, Default)]
// Found by a shift, since it is looked for on every creation and every end.
#[repr(align(128))]
pub(crate) struct Shelf {
    /// The stack that was put back last, unless it was taken since.
    last: Option<NonNull<u8>>,
    /// How many stacks here are not reserved.
    unreserved: usize,
    /// Those that were put back before the last: used last, taken first.
    ///
    /// So the longer a stack lies here, the nearer it is to the start, and the marks below need no
    /// more than an index. A mark beyond the end means the end.
    idle: Vec<NonNull<u8>>,
    /// Stacks from this mark on are in the processor's cache, or were asked for.
    cached: usize,
    /// Stacks before this mark have no pages above the high-water mark. Never less than `bare`.
    trimmed: usize,
    /// Stacks before this mark have no pages at all.
    bare: usize,
    /// Stacks before this mark were not taken since this period began.
    untouched: usize,
    /// Nor were these in the whole period before.
    rested: usize,
    /// Stacks that nobody has used yet, and so without pages. Taken when there are no others.
    unused: Vec<NonNull<u8>>,
}

/// How much idle stacks keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// Stacks that keep any pages.
    pub(crate) stacks_warm_max: usize,
    /// Bytes that each of those keeps: whole pages, one at least.
    pub(crate) idle_bytes_max: usize,
}

impl Shelf {
    /// Makes room in the lists for `more` stacks beside the `all` that there are, so that putting one
    /// back never allocates.
    pub(crate) fn make_room(&mut self, all: usize, more: usize) -> Result<(), TryReserveError> {
        self.idle.try_reserve(all + more - self.idle.len())?;
        self.unused.try_reserve(more)
    }

    /// Adds a stack that is new.
    pub(crate) fn add(&mut self, stack: &Stack) {
        self.unused.push(stack.top());
        self.unreserved += 1;
    }

    /// Reserves a stack; false if there is none.
    #[inline]
    pub(crate) fn reserve(&mut self) -> bool {
        let Some(unreserved) = self.unreserved.checked_sub(1) else { return false };
        self.unreserved = unreserved;
        true
    }

    /// Gives a reservation up.
    #[inline]
    pub(crate) fn unreserve(&mut self) {
        self.unreserved += 1;
    }

    /// Takes a stack that was reserved.
    #[inline]
    pub(crate) fn take(&mut self) -> NonNull<u8> {
        match self.last.take() {
            Some(top) => top,
            None => self.take_listed(),
        }
    }

    /// Takes a stack back. Nothing lives on it any more.
    #[inline]
    pub(crate) fn put(&mut self, top: NonNull<u8>) {
        self.unreserved += 1;
        if let Some(before) = self.last.replace(top) {
            self.list(before);
        }
    }

    /// Stacks that no fiber lives on.
    pub(crate) fn len(&self) -> usize {
        self.used() + self.unused.len()
    }

    /// Those of them that are reserved.
    pub(crate) fn reserved(&self) -> usize {
        self.len() - self.unreserved
    }

    /// Those of them that have pages.
    pub(crate) fn warm(&self) -> usize {
        self.used() - self.bare.min(self.idle.len())
    }

    fn used(&self) -> usize {
        self.idle.len() + usize::from(self.last.is_some())
    }

    #[inline(never)]
    fn take_listed(&mut self) -> NonNull<u8> {
        let Some(top) = self.idle.pop() else {
            return self.unused.pop().expect("a stack is taken only by who has reserved one");
        };
        let len = self.idle.len();
        self.untouched = self.untouched.min(len);
        if len < self.cached + FETCHED_AHEAD && self.cached > 0 {
            self.fetch();
        }
        top
    }

    /// Fetches the next stacks into the cache.
    fn fetch(&mut self) {
        let end = self.cached.min(self.idle.len());
        self.cached = end.saturating_sub(FETCHED_AT_ONCE);
        self.idle[self.cached..end].iter().for_each(|top| prefetch::below(*top));
    }

    #[inline]
    fn list(&mut self, top: NonNull<u8>) {
        let index = self.idle.len();
        if index < self.trimmed {
            self.lower_marks();
        }
        if index > self.cached + CACHED_MAX {
            self.cached = index - CACHED_MAX;
        }
        self.idle.push(top);
    }

    /// Begins a period. Only stacks that nobody took for the whole of the last one are trimmed.
    pub(crate) fn begin_period(&mut self) {
        if let Some(top) = self.last.take() {
            self.list(top);
        }
        self.rested = self.untouched;
        self.untouched = self.idle.len();
    }

    /// Gives pages of rested stacks back, of `budget` stacks at most; returns how many are left to do.
    pub(crate) fn trim(&mut self, class: SizeClass, keep: Keep, budget: &mut usize) -> usize {
        self.lower_marks();
        let rested = self.rested.min(self.untouched);
        let to_bare = rested.min(self.used().saturating_sub(keep.stacks_warm_max));
        while self.bare < to_bare && *budget > 0 {
            give_back_below(self.idle[self.bare], class, 0);
            self.bare += 1;
            *budget -= 1;
        }
        self.trimmed = self.trimmed.max(self.bare);
        if class.bytes() <= keep.idle_bytes_max {
            self.trimmed = self.trimmed.max(rested);
        }
        while self.trimmed < rested && *budget > 0 {
            give_back_below(self.idle[self.trimmed], class, keep.idle_bytes_max);
            self.trimmed += 1;
            *budget -= 1;
        }
        let seen = self.trimmed.max(to_bare);
        to_bare.saturating_sub(self.bare) + rested.saturating_sub(seen)
    }

    /// Brings marks beyond the end back to it, before a stack that they would wrongly cover.
    fn lower_marks(&mut self) {
        self.trimmed = self.trimmed.min(self.idle.len());
        self.bare = self.bare.min(self.idle.len());
    }
}

/// Gives the pages of an idle stack back, except for `keep` bytes at its end.
fn give_back_below(top: NonNull<u8>, class: SizeClass, keep: usize) {
    let range = Stack::new(top, class).range();
    let below_top = top.addr().get() - range.start;
    // SAFETY: the range is a stack that nobody uses, so it holds nothing that is needed, and its
    // start lies in the same slab as its top.
    unsafe { slab::give_back(top.sub(below_top), range.len().saturating_sub(keep)) };
}
