//! The memory of one OS thread's fibers: makes stacks, and lends stacks and cells.
//!
//! Who is admitted has memory for its block and a stack reserved, so nothing that comes after can fail.
//! Never runs a fiber, and never looks into a stack or a block.
//!
//! # The danger
//!
//! A guard makes memory unusable. It is laid over the lowest part of a slot that was never handed
//! out. What else is dangerous here is [`Cells`]' and passed on to the caller.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;

use rustix::io::Errno;

use crate::cells::{Cells, Place, Room};
use crate::error::{StackError, Step};
use crate::guard::Guard;
use crate::shelf::{Keep, Shelf};
use crate::slab::Slab;
use crate::stack::{
    CLASS_COUNT, COLOUR_STEP, COLOURS, GUARD_SIZE_MIN, STACK_SIZE_MAX, SizeClass, Stack,
};
use crate::{overflow, signal_stack};

/// The memory of one OS thread's fibers: stacks and control blocks. Cloning it gives another handle
/// to the same memory.
///
/// A fiber reserves a stack when it is made, has one from its first resume until its closure has
/// returned, and has a control block for as long as it has handles. Both are kept for the next fiber,
/// so that making one usually costs no system call and no allocation. The memory is unmapped when
/// the last handle of the pool and the last fiber are gone.
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
    /// Stacks of fibers that were resumed and have not ended.
    pub stacks_in_use: usize,
    /// Stacks that no fiber lives on.
    pub stacks_idle: usize,
    /// How many of the idle stacks are reserved for fibers that were not resumed yet.
    pub stacks_reserved: usize,
    /// How many of the idle stacks keep pages.
    pub stacks_warm: usize,
    /// Control blocks: fibers with a handle.
    pub blocks_in_use: usize,
    /// Bytes of address space for control blocks. Blocks of more than 1 KiB are on the heap, and are
    /// not counted.
    pub block_bytes_mapped: usize,
    /// How many of those may have pages.
    pub block_bytes_warm: usize,
    /// The kind of guard; [`Guard::Auto`] until the first stack has settled it.
    pub guard: Guard,
}

struct Shared {
    config: PoolConfig,
    page_size: usize,
    shelves: RefCell<Shelves>,
}

struct Shelves {
    stacks: [Shelf; CLASS_COUNT],
    makers: [Maker; CLASS_COUNT],
    cells: Cells,
    slabs: Vec<Slab>,
    guard: Guard,
}

/// How far the making of stacks of one size class has come.
#[derive(Default)]
struct Maker {
    /// Stacks made so far.
    made: usize,
    /// The next slot of the newest slab that has no guard yet, and how many there are.
    next: Option<NonNull<u8>>,
    slots: usize,
}

/// What a fiber was given: memory for its block, and a reserved stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Berth {
    pub(crate) block: NonNull<u8>,
    pub(crate) place: Place,
    pub(crate) class: SizeClass,
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
            stacks: Default::default(),
            makers: Default::default(),
            cells: Cells::default(),
            slabs: Vec::new(),
            guard: config.guard,
        };
        Pool { shared: Rc::new(Shared { config, page_size, shelves: RefCell::new(shelves) }) }
    }

    /// Begins a period, for [`Pool::trim`]. How long periods are is up to the caller; a second or so
    /// is good. Costs some tens of nanoseconds.
    pub fn begin_period(&self) {
        let mut shelves = self.shared.shelves.borrow_mut();
        shelves.stacks.iter_mut().for_each(Shelf::begin_period);
        shelves.cells.begin_period();
    }

    /// Gives pages of rested memory back to the kernel, with `calls_max` system calls at most. Returns
    /// how many are still to do.
    ///
    /// Rested is what was idle for the whole of the last period, from one
    /// [`begin_period`](Pool::begin_period) to the next, and is idle still: what comes and goes all
    /// the time keeps its pages. Each stack, and each 64 control blocks, are a call.
    ///
    /// Of a rested stack those pages go that lie above the high-water mark
    /// ([`PoolConfig::idle_bytes_max`]). Where more than [`PoolConfig::stacks_warm_max`] of a size
    /// class are idle, those idle for longest lose all. Control blocks lose all.
    ///
    /// Nothing else gives memory back, so this is the only way down from a peak. It is meant for
    /// moments when the OS thread has nothing else to do.
    ///
    /// ```
    /// use greenroom_fiber::{Fiber, Options, Pool};
    ///
    /// let pool = Pool::new();
    /// Fiber::new(&pool, Options::default(), (), || ()).unwrap().resume();
    /// pool.begin_period();
    /// assert_eq!(pool.trim(100), 0); // nothing is known of a whole period
    /// pool.begin_period();
    /// assert!(pool.trim(0) > 0);
    /// assert_eq!(pool.trim(100), 0);
    /// ```
    pub fn trim(&self, calls_max: usize) -> usize {
        let mut shelves = self.shared.shelves.borrow_mut();
        let Shelves { stacks, cells, .. } = &mut *shelves;
        let config = &self.shared.config;
        let keep =
            Keep { stacks_warm_max: config.stacks_warm_max, idle_bytes_max: config.idle_bytes_max };
        let mut budget = calls_max;
        let mut left = 0;
        for (index, shelf) in stacks.iter_mut().enumerate() {
            left += shelf.trim(SizeClass::at(index), keep, &mut budget);
        }
        left + cells.trim(self.shared.page_size, &mut budget)
    }

    /// What the pool holds at the moment. Walks its mappings, and a word for each 64 control blocks.
    pub fn stats(&self) -> PoolStats {
        let shelves = self.shared.shelves.borrow();
        let sum = |count: fn(&Shelf) -> usize| shelves.stacks.iter().map(count).sum::<usize>();
        let stacks_made: usize = shelves.makers.iter().map(|maker| maker.made).sum();
        let stacks_idle = sum(Shelf::len);
        PoolStats {
            slabs: shelves.slabs.len(),
            bytes_mapped: shelves.slabs.iter().map(Slab::len).sum(),
            stacks_in_use: stacks_made - stacks_idle,
            stacks_idle,
            stacks_reserved: sum(Shelf::reserved),
            stacks_warm: sum(Shelf::warm),
            blocks_in_use: shelves.cells.in_use(),
            block_bytes_mapped: shelves.cells.bytes_mapped(),
            block_bytes_warm: shelves.cells.bytes_warm(),
            guard: shelves.guard,
        }
    }

    /// Bytes of the guard below each stack.
    pub(crate) fn guard_size(&self) -> usize {
        self.shared.config.guard_size
    }

    /// Takes memory for a block, and reserves a stack of at least `stack_bytes`.
    #[inline]
    pub(crate) fn admit(&self, stack_bytes: usize, room: Room) -> Result<Berth, StackError> {
        let Some(class) = SizeClass::holding(stack_bytes.max(self.shared.page_size)) else {
            return Err(StackError::new(Step::Size, Errno::INVAL, stack_bytes));
        };
        let mut shelves = self.shared.shelves.borrow_mut();
        if !shelves.stacks[class.index()].reserve() {
            self.shared.make(&mut shelves, class)?;
        }
        match shelves.cells.take(room) {
            Ok((block, place)) => Ok(Berth { block, place, class }),
            Err(errno) => {
                shelves.stacks[class.index()].unreserve();
                Err(StackError::new(Step::Block, errno, class.bytes()))
            }
        }
    }

    /// Takes the memory of a block back, and the reservation if it was not used.
    ///
    /// # Safety
    ///
    /// The berth came from this pool, for this `room`. The block is not used any more.
    #[inline]
    pub(crate) unsafe fn dismiss(&self, berth: Berth, room: Room, is_reserved: bool) {
        let mut shelves = self.shared.shelves.borrow_mut();
        if is_reserved {
            shelves.stacks[berth.class.index()].unreserve();
        }
        // SAFETY: the caller's promise.
        unsafe { shelves.cells.put(berth.block, berth.place, room) };
    }

    /// Takes a stack that was reserved; the reservation is used up.
    #[inline]
    pub(crate) fn take(&self, class: SizeClass) -> Stack {
        let mut shelves = self.shared.shelves.borrow_mut();
        Stack::new(shelves.stacks[class.index()].take(), class)
    }

    /// Takes a stack back. Nothing lives on it any more.
    #[inline]
    pub(crate) fn put(&self, stack: Stack) {
        let mut shelves = self.shared.shelves.borrow_mut();
        shelves.stacks[stack.class().index()].put(stack.top());
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
    /// Makes a stack that never was, and reserves it: the next slot of the newest slab, or of a new one.
    #[cold]
    fn make(&self, shelves: &mut Shelves, class: SizeClass) -> Result<(), StackError> {
        if shelves.makers[class.index()].slots == 0 {
            self.map_slab(shelves, class)?;
        }
        let stack = self.cut(shelves, class)?;
        let shelf = &mut shelves.stacks[class.index()];
        shelf.add(&stack);
        assert!(shelf.reserve(), "there is a stack, for one was made");
        Ok(())
    }

    /// Maps the next slab of a class: twice the last one, or less where the kernel refuses.
    fn map_slab(&self, shelves: &mut Shelves, class: SizeClass) -> Result<(), StackError> {
        let Shelves { stacks, makers, slabs, .. } = shelves;
        let maker = &mut makers[class.index()];
        let config = &self.config;
        let slot_size = config.guard_size + class.bytes();
        let mut slots = maker
            .made
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
        let room = stacks[class.index()].make_room(maker.made, slots);
        if room.is_err() || slabs.try_reserve(1).is_err() {
            return Err(StackError::new(Step::Lists, Errno::NOMEM, class.bytes()));
        }
        maker.next = Some(slab.start());
        maker.slots = slots;
        slabs.push(slab);
        Ok(())
    }

    /// Cuts the next slot off the newest slab and makes its guard.
    fn cut(&self, shelves: &mut Shelves, class: SizeClass) -> Result<Stack, StackError> {
        let Shelves { makers, guard, .. } = shelves;
        let maker = &mut makers[class.index()];
        let start = maker.next.expect("a slab was mapped, and has slots left");
        // SAFETY: the guard is the lowest part of a slot that was never handed out.
        *guard = unsafe { guard.install(start, self.config.guard_size) }
            .map_err(|errno| StackError::new(Step::Guard, errno, class.bytes()))?;
        // SAFETY: the slab has `slots` slots left from `start` on, each a guard and a stack long.
        let end = unsafe { start.add(self.config.guard_size + class.bytes()) };
        let colour = (maker.made % COLOURS) * COLOUR_STEP;
        // SAFETY: a colour is smaller than a page, and the stack is a page at least.
        let top = unsafe { end.sub(colour) };
        maker.next = Some(end);
        maker.slots -= 1;
        maker.made += 1;
        Ok(Stack::new(top, class))
    }
}
