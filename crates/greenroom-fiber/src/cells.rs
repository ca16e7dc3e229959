//! Cells: the memory of control blocks, packed densely and used again and again.
//!
//! Knows sizes and addresses; never knows what is in a block, and never touches a cell. Not to be
//! confused with std's cells.
//!
//! Cells of one size lie in chunks of 64, and one word for each chunk says which of them are free.
//! Taking one and putting it back touch that word and no cell. The lowest free cell of one chunk is
//! taken until the chunk is full, so a few fibers that come and go use the same few cache lines.
//!
//! # The danger
//!
//! A cell is raw memory. The pool, which every fiber with a cell owns, unmaps it at its end, and
//! [`Cells::trim`] wipes it before. So a chunk is wiped only while the word says that all of its cells
//! are free, and a bit of that word is clear exactly while somebody has the cell's [`Place`].
#![allow(unsafe_code)]

use std::alloc::{self, Layout};
use std::ptr::NonNull;

use rustix::io::Errno;

use crate::prefetch;
use crate::slab::{self, Slab};

/// What the address of a cell is a multiple of, and its size too: a cache line.
const STEP: usize = 64;

/// How many sizes there are.
const CLASSES: usize = 16;

/// Bytes of the largest cell.
const SIZE_MAX: usize = CLASSES * STEP;

/// Cells in a chunk: a bit each.
const CHUNK_CELLS: usize = u64::BITS as usize;

/// When so many cells of a chunk are in use, it is taken for a crowd that comes, and the cell that will
/// be taken so many later is fetched into the processor's cache.
const CROWD: u32 = 4;

/// A chunk in which no cell is in use.
const ALL_FREE: u64 = u64::MAX;

/// Chunks in a mapping. The first one of each size is a single chunk, each further one doubles what
/// there is, up to this.
const MAPPED_AT_ONCE_MAX: usize = 4096;

/// What memory a kind of block needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// A cell of `(class + 1) * STEP` bytes.
    Cell { class: u8 },
    /// Too large for a cell, or with too strict an alignment: memory of its own, from the heap.
    Heap(Layout),
}

impl Room {
    pub(crate) const fn of<B>() -> Room {
        const { assert!(size_of::<B>() > 0, "a block is never empty") };
        let layout = Layout::new::<B>();
        if layout.size() <= SIZE_MAX && layout.align() <= STEP {
            Room::Cell { class: ((layout.size() - 1) / STEP) as u8 }
        } else {
            Room::Heap(layout)
        }
    }
}

/// Which cell it is, in one word. Whoever holds it owes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

const CLASS_BITS: u32 = CLASSES.ilog2();
const CELL_BITS: u32 = CHUNK_CELLS.ilog2();

/// So many chunks of one size can be told apart; the last number stands for the heap.
const CHUNKS_MAX: usize = (1 << (u32::BITS - CELL_BITS - CLASS_BITS)) - 1;

const _: () = assert!(CLASSES.is_power_of_two() && CHUNK_CELLS.is_power_of_two());

impl Place {
    /// No cell: the memory is from the heap.
    const HEAP: Place = Place(u32::MAX);

    #[inline]
    fn new(class: u8, chunk: u32, cell: u32) -> Place {
        Place((chunk << CELL_BITS | cell) << CLASS_BITS | u32::from(class))
    }

    #[inline]
    fn class(self) -> usize {
        self.0 as usize % CLASSES
    }

    #[inline]
    fn cell(self) -> u32 {
        (self.0 >> CLASS_BITS) % CHUNK_CELLS as u32
    }

    #[inline]
    fn chunk(self) -> u32 {
        self.0 >> (CLASS_BITS + CELL_BITS)
    }
}

/// All cells of a pool.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    racks: [Rack; CLASSES],
    slabs: Vec<Slab>,
    /// Blocks that are on the heap.
    on_heap: usize,
}

/// The cells of one size.
#[derive(Debug, Default)]
struct Rack {
    chunks: Vec<Chunk>,
    /// The chunks with a free cell; the last one is taken from.
    open: Vec<u32>,
    /// How many chunks have no cell in use.
    empty: usize,
    /// How many of those have no pages.
    bare: usize,
    /// The least that `empty` was since this period began.
    empty_min: usize,
    /// The least that it was in the period before.
    rested: usize,
    /// Where [`Cells::trim`] goes on looking for chunks.
    trim_from: usize,
}

#[derive(Debug)]
struct Chunk {
    start: NonNull<u8>,
    /// A bit for each cell that is free.
    free: u64,
    /// It has no pages, and no cell of it is in use.
    bare: bool,
}

impl Cells {
    /// Takes memory for a block.
    #[inline]
    pub(crate) fn take(&mut self, room: Room) -> Result<(NonNull<u8>, Place), Errno> {
        let class = match room {
            Room::Cell { class } => class,
            Room::Heap(layout) => return self.take_from_heap(layout),
        };
        let rack = &mut self.racks[usize::from(class)];
        if rack.open.is_empty() {
            rack.grow(class, &mut self.slabs)?;
        }
        Ok(rack.take(class))
    }

    /// Takes it back.
    ///
    /// # Safety
    ///
    /// `address` and `place` came from one [`take`](Cells::take) with this `room`, and the memory is
    /// not used any more.
    #[inline]
    pub(crate) unsafe fn put(&mut self, address: NonNull<u8>, place: Place, room: Room) {
        match room {
            Room::Cell { .. } => self.racks[place.class()].put(place),
            // SAFETY: it was allocated with this layout.
            Room::Heap(layout) => unsafe {
                alloc::dealloc(address.as_ptr(), layout);
                self.on_heap -= 1;
            },
        }
    }

    #[cold]
    fn take_from_heap(&mut self, layout: Layout) -> Result<(NonNull<u8>, Place), Errno> {
        // SAFETY: a block is not of size zero, as `Room::of` asserts.
        let address = NonNull::new(unsafe { alloc::alloc(layout) }).ok_or(Errno::NOMEM)?;
        self.on_heap += 1;
        Ok((address, Place::HEAP))
    }

    /// Begins a period. Chunks that were empty for the whole of the last one count as unneeded.
    pub(crate) fn begin_period(&mut self) {
        for rack in &mut self.racks {
            rack.rested = rack.empty_min;
            rack.empty_min = rack.empty;
        }
    }

    /// Gives the pages of unneeded chunks back to the kernel, of `budget` chunks at most; returns how
    /// many are left to do.
    pub(crate) fn trim(&mut self, page_size: usize, budget: &mut usize) -> usize {
        let racks = self.racks.iter_mut().enumerate();
        racks.map(|(class, rack)| rack.trim(chunk_bytes(class), page_size, budget)).sum()
    }

    /// How many were taken and not put back.
    pub(crate) fn in_use(&self) -> usize {
        let chunks = self.racks.iter().flat_map(|rack| &rack.chunks);
        self.on_heap + chunks.map(|chunk| chunk.free.count_zeros() as usize).sum::<usize>()
    }

    pub(crate) fn bytes_mapped(&self) -> usize {
        self.slabs.iter().map(Slab::len).sum()
    }

    /// Bytes of the chunks that were used and not given back since.
    pub(crate) fn bytes_warm(&self) -> usize {
        let racks = self.racks.iter().enumerate();
        racks.map(|(class, rack)| chunk_bytes(class) * (rack.chunks.len() - rack.bare)).sum()
    }
}

fn chunk_bytes(class: usize) -> usize {
    cell_bytes(class) * CHUNK_CELLS
}

#[inline]
fn cell_bytes(class: usize) -> usize {
    (class + 1) * STEP
}

impl Rack {
    #[inline]
    fn take(&mut self, class: u8) -> (NonNull<u8>, Place) {
        let index = *self.open.last().expect("there is an open chunk, or `grow` made one");
        let chunk = &mut self.chunks[index as usize];
        if chunk.free == ALL_FREE {
            self.empty -= 1;
            self.empty_min = self.empty_min.min(self.empty);
            if chunk.bare {
                chunk.bare = false;
                self.bare -= 1;
            }
        }
        let cell = chunk.free.trailing_zeros();
        chunk.free &= chunk.free - 1;
        if chunk.free == 0 {
            self.open.pop();
        }
        let bytes = cell_bytes(usize::from(class));
        // SAFETY: a chunk has 64 cells of this size, and an open one has a bit set below 64.
        let address = unsafe { chunk.start.add(cell as usize * bytes) };
        if cell >= CROWD {
            prefetch::block_at(address, CROWD as usize * bytes);
        }
        (address, Place::new(class, index, cell))
    }

    #[inline]
    fn put(&mut self, place: Place) {
        let chunk = &mut self.chunks[place.chunk() as usize];
        let bit = 1 << place.cell();
        debug_assert!(chunk.free & bit == 0, "a cell is put back once");
        if chunk.free == 0 {
            self.open.push(place.chunk());
        }
        chunk.free |= bit;
        if chunk.free == ALL_FREE {
            self.empty += 1;
        }
    }

    /// Maps more chunks: as many as there are, or less where the kernel refuses.
    #[cold]
    fn grow(&mut self, class: u8, slabs: &mut Vec<Slab>) -> Result<(), Errno> {
        let chunk_bytes = chunk_bytes(usize::from(class));
        let mut count = self.chunks.len().clamp(1, MAPPED_AT_ONCE_MAX);
        count = count.min(CHUNKS_MAX - self.chunks.len());
        if count == 0 {
            return Err(Errno::NOMEM);
        }
        let slab = loop {
            match Slab::map(count * chunk_bytes) {
                Ok(slab) => break slab,
                Err(_) if count > 1 => count /= 2,
                Err(errno) => return Err(errno),
            }
        };
        // Room for every chunk there is, so that `put` never allocates.
        let lists = [
            self.open.try_reserve(self.chunks.len() + count),
            self.chunks.try_reserve(count),
            slabs.try_reserve(1),
        ];
        if lists.iter().any(Result::is_err) {
            return Err(Errno::NOMEM);
        }
        let first = self.chunks.len() as u32;
        // The lowest address is used first.
        self.open.extend((first..first + count as u32).rev());
        self.chunks.extend((0..count).map(|index| {
            // SAFETY: the slab is so many chunks long.
            let start = unsafe { slab.start().add(index * chunk_bytes) };
            Chunk { start, free: ALL_FREE, bare: true }
        }));
        self.empty += count;
        self.bare += count;
        slabs.push(slab);
        Ok(())
    }

    /// [`Cells::trim`] for one size. Where a page is larger than a chunk, pages stay.
    fn trim(&mut self, chunk_bytes: usize, page_size: usize, budget: &mut usize) -> usize {
        let unneeded = self.rested.min(self.empty_min);
        if unneeded <= self.bare || !chunk_bytes.is_multiple_of(page_size) {
            return 0;
        }
        let to_do = unneeded - self.bare;
        let now = to_do.min(*budget);
        let mut left = now;
        // At least `to_do` chunks are empty and not bare, so this ends.
        while left > 0 {
            self.trim_from = (self.trim_from + 1) % self.chunks.len();
            let chunk = &mut self.chunks[self.trim_from];
            if chunk.free == ALL_FREE && !chunk.bare {
                // SAFETY: the chunk is whole pages of a slab, and none of its cells is in use.
                unsafe { slab::give_back(chunk.start, chunk_bytes) };
                chunk.bare = true;
                self.bare += 1;
                left -= 1;
            }
        }
        *budget -= now;
        to_do - now
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PAGE: usize = 4096;

    fn put(cells: &mut Cells, taken: Vec<(NonNull<u8>, Place)>, room: Room) {
        for (address, place) in taken {
            // SAFETY: taken with this room, and never used.
            unsafe { cells.put(address, place, room) };
        }
    }

    fn take(cells: &mut Cells, count: usize, room: Room) -> Vec<(NonNull<u8>, Place)> {
        (0..count).map(|_| cells.take(room).unwrap()).collect()
    }

    /// Two periods in which nothing happens, and all the giving back that follows.
    fn rest(cells: &mut Cells) -> usize {
        cells.begin_period();
        cells.begin_period();
        let mut budget = usize::MAX;
        assert_eq!(cells.trim(PAGE, &mut budget), 0);
        usize::MAX - budget
    }

    #[test]
    fn a_room_is_the_smallest_cell_that_holds_the_block() {
        #[repr(align(128))]
        struct Strict(#[expect(dead_code, reason = "only its layout matters")] u8);

        assert_eq!(Room::of::<u8>(), Room::Cell { class: 0 });
        assert_eq!(Room::of::<[u8; 64]>(), Room::Cell { class: 0 });
        assert_eq!(Room::of::<[u8; 65]>(), Room::Cell { class: 1 });
        assert_eq!(Room::of::<[u8; 1024]>(), Room::Cell { class: 15 });
        assert!(matches!(Room::of::<[u8; 1025]>(), Room::Heap(_)));
        assert!(matches!(Room::of::<Strict>(), Room::Heap(_)));
    }

    #[test]
    fn a_place_keeps_its_three_numbers() {
        for class in 0..CLASSES as u8 {
            for cell in [0, 1, 63] {
                for chunk in [0, 1, 1000, CHUNKS_MAX as u32 - 1] {
                    let place = Place::new(class, chunk, cell);
                    assert_ne!(place, Place::HEAP);
                    let found = (place.class() as u8, place.cell(), place.chunk());
                    assert_eq!(found, (class, cell, chunk));
                }
            }
        }
    }

    #[test]
    fn cells_do_not_overlap_and_are_aligned() {
        let mut cells = Cells::default();
        let room = Room::of::<[u8; 300]>();
        let mut starts: Vec<_> =
            take(&mut cells, 1000, room).iter().map(|(address, _)| address.addr().get()).collect();
        starts.sort_unstable();
        assert!(starts.iter().all(|start| start.is_multiple_of(STEP)));
        assert!(starts.windows(2).all(|pair| pair[0] + 300 <= pair[1]));
    }

    #[test]
    fn who_comes_after_somebody_left_gets_the_same_cell() {
        let mut cells = Cells::default();
        let room = Room::of::<[u8; 200]>();
        let _others = take(&mut cells, 10, room);
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let taken = take(&mut cells, 3, room);
            seen.extend(taken.iter().map(|(address, _)| *address));
            put(&mut cells, taken, room);
        }
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_peak_maps_memory_once() {
        let mut cells = Cells::default();
        let room = Room::of::<[u8; 256]>();
        let taken = take(&mut cells, 10_000, room);
        let mapped = cells.bytes_mapped();
        assert!((10_000 * 256..20_000 * 256 + PAGE).contains(&mapped), "{mapped}");
        put(&mut cells, taken, room);
        let again = take(&mut cells, 10_000, room);
        assert_eq!(cells.bytes_mapped(), mapped);
        put(&mut cells, again, room);
    }

    #[test]
    fn pages_go_back_after_a_whole_period_without_need() {
        let mut cells = Cells::default();
        let room = Room::of::<[u8; 256]>();
        let chunk = 64 * 256;
        let taken = take(&mut cells, 64 * 100, room);
        assert_eq!((cells.bytes_warm(), rest(&mut cells)), (100 * chunk, 0));
        put(&mut cells, taken, room);
        let mut budget = usize::MAX;
        cells.begin_period();
        assert_eq!(cells.trim(PAGE, &mut budget), 0, "they were needed in that period");
        // Ten of them are needed in this one.
        let few = take(&mut cells, 64 * 10, room);
        put(&mut cells, few, room);
        cells.begin_period();
        budget = 30;
        assert_eq!((cells.trim(PAGE, &mut budget), budget), (60, 0));
        budget = 100;
        assert_eq!((cells.trim(PAGE, &mut budget), budget), (0, 40));
        assert_eq!(cells.bytes_warm(), 10 * chunk);
        assert_eq!((rest(&mut cells), cells.bytes_warm()), (10, 0));
    }

    #[test]
    fn a_chunk_with_a_cell_in_use_is_never_wiped() {
        let mut cells = Cells::default();
        let room = Room::of::<[u8; 256]>();
        let mut taken = take(&mut cells, 64 * 20, room);
        for (index, (address, _)) in taken.iter().enumerate() {
            // SAFETY: the cell is 256 bytes long and belongs to this test.
            unsafe { address.cast::<usize>().write(index) };
        }
        // One of each second chunk stays.
        let kept: Vec<_> = (0..10).map(|index| taken[index * 128 + 5]).collect();
        taken.retain(|one| !kept.contains(one));
        put(&mut cells, taken, room);
        assert_eq!(rest(&mut cells), 10);
        for (index, (address, _)) in kept.iter().enumerate() {
            // SAFETY: as above, and the cell is still taken.
            assert_eq!(unsafe { address.cast::<usize>().read() }, index * 128 + 5);
        }
        // What was wiped serves again.
        let again = take(&mut cells, 64 * 20 - 10, room);
        assert_eq!(cells.bytes_warm(), 20 * 64 * 256);
        put(&mut cells, again, room);
        put(&mut cells, kept, room);
    }

    #[test]
    fn where_pages_are_larger_than_chunks_they_stay() {
        let mut cells = Cells::default();
        let room = Room::of::<[u8; 128]>();
        let taken = take(&mut cells, 640, room);
        put(&mut cells, taken, room);
        cells.begin_period();
        cells.begin_period();
        let mut budget = 5;
        assert_eq!((cells.trim(64 << 10, &mut budget), budget), (0, 5));
    }

    #[test]
    fn large_blocks_come_from_the_heap_and_go_back_there() {
        let mut cells = Cells::default();
        let room = Room::of::<[u8; 5000]>();
        let taken = take(&mut cells, 3, room);
        assert!(taken.iter().all(|(_, place)| *place == Place::HEAP));
        assert_eq!((cells.in_use(), cells.bytes_mapped()), (3, 0));
        put(&mut cells, taken, room);
        assert_eq!(cells.in_use(), 0);
    }
}
