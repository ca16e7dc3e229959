//! The far tier: timers beyond the horizon, sorted only as finely as their distance asks for.
//!
//! A wheel of wheels. A deadline is read as a number of eight digits, 64 values each, with the low
//! bits cut off. It is filed by the highest digit in which it differs from the *horizon*: that
//! digit's rank is the level, its value the bucket. So a level's buckets follow the horizon in
//! order, all of a level come before all of the next higher one, and the earliest timer is in the
//! lowest level's first bucket. When the horizon reaches a bucket, the digits agree, and its timers
//! are filed anew: lower, or in the near tier.
//!
//! Knows no waiters. What moves, whoever calls is told.

use super::{Entry, slots::Place};
use crate::Instant;

/// The timers beyond the horizon.
#[derive(Debug)]
pub(super) struct Far {
    /// The instant all levels are seen from, in nanoseconds. No timer in here lies in its stretch
    /// of the finest resolution, or before.
    horizon: u64,
    /// For each level, a bit for each bucket that is not empty.
    occupied: [u64; LEVELS],
    /// Level by level.
    buckets: Box<[Bucket]>,
}

#[derive(Debug)]
struct Bucket {
    entries: Vec<Entry>,
    /// No entry's deadline is earlier, and among few it is the earliest one. Meaningless while there
    /// is none.
    least: Instant,
}

/// Deadlines that differ in these bits only are kept apart by the near tier: 65 µs. More would have
/// to be sorted at once where many wait, fewer would open more buckets where few do.
const FINEST_BITS: u32 = 16;

const DIGIT_BITS: u32 = 6;
const DIGITS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = ((u64::BITS - FINEST_BITS) / DIGIT_BITS) as usize;

const _: () = assert!(FINEST_BITS + LEVELS as u32 * DIGIT_BITS == u64::BITS);
const _: () = assert!(LEVELS * DIGITS <= u16::MAX as usize);

/// A bucket keeps room for so many entries when it is emptied. So few timers need no allocation, and
/// many one for a dozen or two.
const ROOM_KEPT: usize = 16;

/// When timers of a bucket are cancelled and at most so many are left, the earliest is looked for.
/// In a fuller bucket that would take too long; its bound is kept though the timer has gone.
pub(super) const SEARCHED_MAX: usize = 16;

impl Far {
    pub(super) fn new() -> Far {
        let bucket = || Bucket { entries: Vec::new(), least: Instant::NEVER };
        let buckets = std::iter::repeat_with(bucket).take(LEVELS * DIGITS).collect();
        Far { horizon: 0, occupied: [0; LEVELS], buckets }
    }

    /// Where a timer belongs; `None` if in the near tier.
    #[inline]
    pub(super) fn bucket_of(&self, deadline: Instant) -> Option<usize> {
        let deadline = deadline.as_nanos();
        let finest = (1 << FINEST_BITS) - 1;
        if deadline <= self.horizon | finest {
            return None;
        }
        let level = ((deadline ^ self.horizon).ilog2() - FINEST_BITS) / DIGIT_BITS;
        let digit = (deadline >> shift(level)) as usize % DIGITS;
        Some(level as usize * DIGITS + digit)
    }

    #[inline]
    pub(super) fn push(&mut self, bucket: usize, entry: Entry) -> Place {
        self.occupied[bucket / DIGITS] |= 1 << (bucket % DIGITS);
        let Bucket { entries, least } = &mut self.buckets[bucket];
        if entries.is_empty() || entry.deadline < *least {
            *least = entry.deadline;
        }
        // Never more than there are slots, which u32 counts.
        let index = entries.len() as u32;
        entries.push(entry);
        Place::Far { bucket: bucket as u16, index }
    }

    /// Takes an entry out; returns the one that is in its place from now on.
    #[inline]
    pub(super) fn remove(&mut self, bucket: u16, index: u32) -> Option<Entry> {
        let bucket = usize::from(bucket);
        let Bucket { entries, least } = &mut self.buckets[bucket];
        let removed = entries.swap_remove(index as usize);
        if entries.is_empty() {
            self.occupied[bucket / DIGITS] &= !(1 << (bucket % DIGITS));
        } else if entries.len() == SEARCHED_MAX
            || entries.len() < SEARCHED_MAX && removed.deadline == *least
        {
            *least = entries.iter().map(|entry| entry.deadline).min()?;
        }
        if entries.len() < entries.capacity() / 4 && entries.capacity() > ROOM_KEPT {
            entries.shrink_to(ROOM_KEPT.max(2 * entries.len()));
        }
        entries.get(index as usize).copied()
    }

    /// The earliest deadline; or a lower bound, if the earliest of many was cancelled.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.first().map(|bucket| self.buckets[bucket].least)
    }

    /// Moves the horizon towards `now`: to the first bucket if that begins by then, which is to be
    /// emptied; else to `now`.
    ///
    /// The near tier must be empty, or its timers would no longer come before all of these.
    #[inline]
    pub(super) fn open(&mut self, now: Instant) -> Option<usize> {
        match self.first() {
            Some(bucket) if self.start(bucket) <= now.as_nanos() => {
                self.horizon = self.start(bucket);
                Some(bucket)
            }
            _ => {
                self.horizon = self.horizon.max(now.as_nanos());
                None
            }
        }
    }

    #[inline]
    pub(super) fn bucket_len(&self, bucket: usize) -> usize {
        self.buckets[bucket].entries.len()
    }

    #[inline]
    pub(super) fn entry(&self, bucket: usize, index: usize) -> Entry {
        self.buckets[bucket].entries[index]
    }

    /// Forgets the entries of a bucket.
    pub(super) fn clear(&mut self, bucket: usize) {
        self.occupied[bucket / DIGITS] &= !(1 << (bucket % DIGITS));
        let entries = &mut self.buckets[bucket].entries;
        entries.clear();
        entries.shrink_to(ROOM_KEPT);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    /// Lets the entries' slots be changed.
    pub(super) fn for_each_mut(&mut self, change: impl FnMut(&mut Entry)) {
        self.buckets.iter_mut().flat_map(|bucket| &mut bucket.entries).for_each(change);
    }

    /// Panics unless buckets are where their bits say, bounds hold and room is in proportion.
    #[cfg(test)]
    pub(super) fn check(&self) {
        for (index, Bucket { entries, least }) in self.buckets.iter().enumerate() {
            let occupied = self.occupied[index / DIGITS] >> (index % DIGITS) & 1 == 1;
            assert_eq!(occupied, !entries.is_empty(), "bucket {index}");
            assert!(entries.capacity() <= ROOM_KEPT.max(4 * entries.len() + 3), "bucket {index}");
            for entry in entries {
                assert_eq!(self.bucket_of(entry.deadline), Some(index), "seen from the horizon");
                assert!(*least <= entry.deadline);
            }
            let exact = entries.iter().any(|entry| entry.deadline == *least);
            assert!(exact || entries.is_empty() || entries.len() > SEARCHED_MAX);
        }
    }

    /// The bucket that holds the earliest timer.
    #[inline]
    fn first(&self) -> Option<usize> {
        let level = self.occupied.iter().position(|&digits| digits != 0)?;
        Some(level * DIGITS + self.occupied[level].trailing_zeros() as usize)
    }

    /// The earliest deadline that could be in a bucket: the horizon's digits above its level, its
    /// own digit, and zeros.
    #[inline]
    fn start(&self, bucket: usize) -> u64 {
        let shift = shift((bucket / DIGITS) as u32);
        let above = self.horizon >> shift >> DIGIT_BITS << DIGIT_BITS;
        (above | (bucket % DIGITS) as u64) << shift
    }
}

/// How far a level's digit is from the low end.
#[inline]
fn shift(level: u32) -> u32 {
    FINEST_BITS + level * DIGIT_BITS
}
