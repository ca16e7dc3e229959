//! The stacks of one OS thread: which are idle, which idle ones still hold pages.
//!
//! Hands out stacks and takes them back; never runs a fiber and never looks into a stack.
//!
//! # The danger
//!
//! The pool gives pages back to the kernel, which wipes them. It does so only with stacks on its
//! lists, and a stack is on a list exactly while nobody holds its [`Stack`].
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;

use rustix::io::Errno;

use crate::error::{StackError, Step};
use crate::guard::Guard;
use crate::slab::{self, Slab};
use crate::stack::{
    CLASS_COUNT, COLOUR_STEP, COLOURS, GUARD_SIZE_MIN, STACK_SIZE_MAX, SizeClass, Stack,
};
use crate::{overflow, prefetch, signal_stack};

/// The stacks of one OS thread. Cloning it gives another handle to the same stacks.
///
/// A stack that a fiber has left is kept for the next one, so that making a fiber usually costs no
/// system call and no allocation. The memory is unmapped when the last handle and the last fiber
/// are gone.
///
/// ```
/// use greenroom_fiber::{Fiber, Options, Pool};
///
/// let pool = Pool::new();
/// for id in 0..3 {
///     let options = Options { id, ..Options::default() };
///     Fiber::new(&pool, options, (), || ()).unwrap().resume();
/// }
/// assert_eq!(pool.stats().stacks_idle, 1); // the same stack three times
/// ```
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<greenroom_fiber::Pool>(); // stacks stay on their OS thread
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Rc<Shared>,
}

/// How a [`Pool`] makes and keeps stacks.
///
/// ```
/// use greenroom_fiber::{Guard, Pool, PoolConfig};
///
/// let pool = Pool::with_config(PoolConfig { guard: Guard::Protect, ..PoolConfig::default() });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// How the guard below each stack is made.
    pub guard: Guard,
    /// Bytes of the guard: [`GUARD_SIZE_MIN`] to [`STACK_SIZE_MAX`], rounded up to whole pages.
    pub guard_size: usize,
    /// How many idle stacks of each size class [`Pool::trim`] leaves some pages for the next fiber.
    /// The others give back all they have, which the next fiber pays for with page faults.
    pub stacks_warm_max: usize,
    /// The high-water mark: bytes that [`Pool::trim`] leaves to each of those.
    pub idle_bytes_max: usize,
    /// How many stacks the first slab of a size class holds. Each further slab holds twice as many.
    pub slab_stacks_first: usize,
    /// How many stacks a slab holds at most.
    pub slab_stacks_max: usize,
    /// Bytes of address space that a slab takes at most, unless a single stack needs more.
    pub slab_bytes_max: usize,
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        PoolConfig {
            guard: Guard::Auto,
            guard_size: GUARD_SIZE_MIN,
            stacks_warm_max: 16_384,
            idle_bytes_max: 16 << 10,
            slab_stacks_first: 16,
            slab_stacks_max: 1024,
            slab_bytes_max: 4 << 30,
        }
    }
}

/// What a [`Pool`] holds at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Mappings.
    pub slabs: usize,
    /// Bytes of address space in those mappings, guards included. Only touched pages cost memory.
    pub bytes_mapped: usize,
    /// Stacks that belong to a fiber.
    pub stacks_in_use: usize,
    /// Stacks that wait for their next fiber.
    pub stacks_idle: usize,
    /// How many of the idle stacks keep their pages.
    pub stacks_warm: usize,
    /// The kind of guard; [`Guard::Auto`] until the first stack has settled it.
    pub guard: Guard,
}

/// How many stacks ahead of the one that is taken the next one is fetched into the cache: so many
/// fibers are made in the time that a load from memory takes.
const PREFETCH_AHEAD: usize = 4;

/// How many stacks, of those released last, are taken to be in the cache still.
const CACHED_MAX: usize = 16;

struct Shared {
    config: PoolConfig,
    page_size: usize,
    shelves: RefCell<Shelves>,
}

struct Shelves {
    classes: [Shelf; CLASS_COUNT],
    slabs: Vec<Slab>,
    guard: Guard,
}

/// The stacks of one size class. Addresses are tops, as in [`Stack::top`].
#[derive(Default)]
struct Shelf {
    /// The stacks that nobody uses: used last, taken first.
    ///
    /// So the longer a stack lies here, the nearer it is to the start, and the marks below need no
    /// more than an index. A mark beyond the end means the end.
    idle: Vec<NonNull<u8>>,
    /// The stacks before this mark have no pages.
    given_back: usize,
    /// Those before this mark have no pages above the high-water mark. Never less than `given_back`.
    trimmed: usize,
    /// Those from this mark on are in the processor's cache, or were asked for.
    cached: usize,
    /// The part of the newest slab that was never cut.
    uncut: Uncut,
    /// Stacks cut so far.
    cut: usize,
}

/// Slots of a slab that have no guard yet.
#[derive(Default)]
struct Uncut {
    next: Option<NonNull<u8>>,
    slots: usize,
}

impl Pool {
    /// A pool with the default configuration. Maps nothing yet.
    pub fn new() -> Pool {
        Pool::with_config(PoolConfig::default())
    }

    /// A pool with limits of your own. Values out of range are moved into it.
    pub fn with_config(mut config: PoolConfig) -> Pool {
        overflow::install_once();
        signal_stack::ensure();
        let page_size = rustix::param::page_size();
        config.guard_size =
            config.guard_size.clamp(GUARD_SIZE_MIN, STACK_SIZE_MAX).next_multiple_of(page_size);
        config.idle_bytes_max =
            config.idle_bytes_max.clamp(1, STACK_SIZE_MAX).next_multiple_of(page_size);
        config.slab_stacks_first = config.slab_stacks_first.max(1);
        config.slab_stacks_max = config.slab_stacks_max.max(config.slab_stacks_first);
        let shelves = Shelves {
            classes: std::array::from_fn(|_| Shelf::default()),
            slabs: Vec::new(),
            guard: config.guard,
        };
        Pool { shared: Rc::new(Shared { config, page_size, shelves: RefCell::new(shelves) }) }
    }

    /// Gives pages of idle stacks back to the kernel, of `stacks_max` stacks at most. Returns how
    /// many are still to do.
    ///
    /// Of the stacks released since they were last trimmed, those pages go that lie above the
    /// high-water mark ([`PoolConfig::idle_bytes_max`]). Where more than
    /// [`PoolConfig::stacks_warm_max`] of a size class are idle, those idle for longest lose all.
    ///
    /// Releasing a stack gives nothing back by itself, so this is the only way down from a peak.
    /// It is meant for moments when the thread has nothing else to do, and not for each of them: a
    /// stack costs a system call here, whether it has such pages or not.
    pub fn trim(&self, stacks_max: usize) -> usize {
        let mut shelves = self.shared.shelves.borrow_mut();
        let mut budget = stacks_max;
        let mut left = 0;
        for (index, shelf) in shelves.classes.iter_mut().enumerate() {
            left += shelf.trim(SizeClass::at(index), &self.shared.config, &mut budget);
        }
        left
    }

    /// What the pool holds at the moment. Walks its slabs.
    pub fn stats(&self) -> PoolStats {
        let shelves = self.shared.shelves.borrow();
        let sum = |count: fn(&Shelf) -> usize| shelves.classes.iter().map(count).sum::<usize>();
        let stacks_idle = sum(|shelf| shelf.idle.len());
        PoolStats {
            slabs: shelves.slabs.len(),
            bytes_mapped: shelves.slabs.iter().map(Slab::len).sum(),
            stacks_in_use: sum(|shelf| shelf.cut) - stacks_idle,
            stacks_idle,
            stacks_warm: sum(|shelf| shelf.idle.len().saturating_sub(shelf.given_back)),
            guard: shelves.guard,
        }
    }

    /// Bytes of the guard below each stack.
    pub(crate) fn guard_size(&self) -> usize {
        self.shared.config.guard_size
    }

    /// Takes a stack of at least `bytes`.
    #[inline]
    pub(crate) fn take(&self, bytes: usize) -> Result<Stack, StackError> {
        let Some(class) = SizeClass::holding(bytes.max(self.shared.page_size)) else {
            return Err(StackError::new(Step::Size, Errno::INVAL, bytes));
        };
        let mut shelves = self.shared.shelves.borrow_mut();
        match shelves.classes[class.index()].pop() {
            Some(top) => Ok(Stack::new(top, class)),
            None => self.shared.make(&mut shelves, class),
        }
    }

    /// Takes a stack back. Nothing lives on it any more.
    #[inline]
    pub(crate) fn put(&self, stack: Stack) {
        let mut shelves = self.shared.shelves.borrow_mut();
        shelves.classes[stack.class().index()].push(stack.top());
    }
}

impl Default for Pool {
    fn default() -> Pool {
        Pool::new()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Makes a stack that never was: the next slot of the newest slab, or of a new one.
    #[cold]
    fn make(&self, shelves: &mut Shelves, class: SizeClass) -> Result<Stack, StackError> {
        if shelves.classes[class.index()].uncut.slots == 0 {
            self.map_slab(shelves, class)?;
        }
        self.cut(shelves, class)
    }

    /// Maps the next slab of a class: twice the last one, or less where the kernel refuses.
    fn map_slab(&self, shelves: &mut Shelves, class: SizeClass) -> Result<(), StackError> {
        let Shelves { classes, slabs, .. } = shelves;
        let shelf = &mut classes[class.index()];
        let config = &self.config;
        let slot_size = config.guard_size + class.bytes();
        let mut slots = shelf
            .cut
            .max(config.slab_stacks_first)
            .min(config.slab_stacks_max)
            .min((config.slab_bytes_max / slot_size).max(1));
        let slab = loop {
            match Slab::map(slots * slot_size) {
                Ok(slab) => break slab,
                Err(_) if slots > 1 => slots /= 2,
                Err(errno) => return Err(StackError::new(Step::Map, errno, class.bytes())),
            }
        };
        // Room for every stack there is, so that `put` never allocates.
        let room = shelf.idle.try_reserve(shelf.cut + slots - shelf.idle.len());
        if room.is_err() || slabs.try_reserve(1).is_err() {
            return Err(StackError::new(Step::Lists, Errno::NOMEM, class.bytes()));
        }
        shelf.uncut = Uncut { next: Some(slab.start()), slots };
        slabs.push(slab);
        Ok(())
    }

    /// Cuts the next slot off the newest slab and makes its guard.
    fn cut(&self, shelves: &mut Shelves, class: SizeClass) -> Result<Stack, StackError> {
        let Shelves { classes, guard, .. } = shelves;
        let shelf = &mut classes[class.index()];
        let start = shelf.uncut.next.expect("a slab was mapped, and has slots left");
        // SAFETY: the guard is the lowest part of a slot that was never handed out.
        *guard = unsafe { guard.install(start, self.config.guard_size) }
            .map_err(|errno| StackError::new(Step::Guard, errno, class.bytes()))?;
        // SAFETY: the slab has `slots` slots left from `start` on, each a guard and a stack long.
        let end = unsafe { start.add(self.config.guard_size + class.bytes()) };
        let colour = (shelf.cut % COLOURS) * COLOUR_STEP;
        // SAFETY: a colour is smaller than a page, and the stack is a page at least.
        let top = unsafe { end.sub(colour) };
        shelf.uncut = Uncut { next: Some(end), slots: shelf.uncut.slots - 1 };
        shelf.cut += 1;
        Ok(Stack::new(top, class))
    }
}

impl Shelf {
    #[inline]
    fn pop(&mut self) -> Option<NonNull<u8>> {
        let top = self.idle.pop()?;
        let next = self.idle.len().wrapping_sub(PREFETCH_AHEAD);
        if next < self.cached
            && let Some(next_top) = self.idle.get(next)
        {
            self.cached = next;
            prefetch::below(*next_top);
        }
        Some(top)
    }

    #[inline]
    fn push(&mut self, top: NonNull<u8>) {
        let index = self.idle.len();
        if index < self.trimmed {
            self.lower_marks();
        }
        if index > self.cached + CACHED_MAX {
            self.cached = index - CACHED_MAX;
        }
        self.idle.push(top);
    }

    /// [`Pool::trim`] for one class, at most `budget` stacks; returns how many are left to do.
    fn trim(&mut self, class: SizeClass, config: &PoolConfig, budget: &mut usize) -> usize {
        self.lower_marks();
        let to_give_back = self.idle.len().saturating_sub(config.stacks_warm_max);
        while self.given_back < to_give_back && *budget > 0 {
            give_back_below(self.idle[self.given_back], class, 0);
            self.given_back += 1;
            *budget -= 1;
        }
        self.trimmed = self.trimmed.max(self.given_back);
        if class.bytes() <= config.idle_bytes_max {
            self.trimmed = self.idle.len();
        }
        while self.trimmed < self.idle.len() && *budget > 0 {
            give_back_below(self.idle[self.trimmed], class, config.idle_bytes_max);
            self.trimmed += 1;
            *budget -= 1;
        }
        let unseen = self.trimmed.max(to_give_back);
        to_give_back.saturating_sub(self.given_back) + (self.idle.len() - unseen)
    }

    /// Brings marks beyond the end back to it, before a stack that they would wrongly cover.
    fn lower_marks(&mut self) {
        self.trimmed = self.trimmed.min(self.idle.len());
        self.given_back = self.given_back.min(self.idle.len());
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
