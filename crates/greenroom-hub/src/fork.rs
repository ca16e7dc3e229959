//! Whether this process is a forked child that has not noticed yet.
//!
//! A child inherits the parent's epoll set by reference: what it adds or deletes there, the parent
//! loses or hears of. So before the hub touches a poller it asks here, and in a child it makes a
//! new one. Knows nothing of pollers.
//!
//! # Safety
//!
//! The unsafe code maps one page that the kernel wipes in every child (`MADV_WIPEONFORK`, Linux
//! 4.14), never unmaps it and touches only its first word, as an atomic. That costs one load a
//! question, needs no `pthread_atfork`, and also sees children made by a raw `clone`.

#![allow(unsafe_code)]

use std::{
    io, ptr,
    sync::atomic::{AtomicPtr, AtomicU32, Ordering},
};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// The page's first word: which process in a line of forks this is. Zero in a child that nobody
/// has noticed yet. Null until the first hub is made.
///
/// Not a `OnceLock`: who comes second would wait for the first by a function of libc, and in a
/// child for ever if the first was not the thread that forked.
static ERA: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// The number for the next child that is noticed. Inherited, so it differs from the parent's.
static NEXT_ERA: AtomicU32 = AtomicU32::new(1);

/// Remembers in which process it was made.
#[derive(Debug)]
pub(crate) struct ForkWatch {
    word: &'static AtomicU32,
    era: u32,
}

impl ForkWatch {
    pub(crate) fn new() -> io::Result<ForkWatch> {
        let word = word()?;
        Ok(ForkWatch { word, era: era_of(word) })
    }

    /// True after a fork, in the child, until that was [noticed](ForkWatch::noticed).
    #[inline]
    pub(crate) fn forked(&self) -> bool {
        self.word.load(Ordering::Relaxed) != self.era
    }

    /// The number of the process that was noticed last.
    pub(crate) fn era(&self) -> u32 {
        self.era
    }

    /// From here on this process is the one it was made in.
    #[cold]
    pub(crate) fn noticed(&mut self) {
        self.era = era_of(self.word);
    }
}

/// A number that is another one in each process of a family of forks, and zero before the first hub was made.
///
/// Costs two loads. Asked in a child, it does not make the child's hubs its own.
#[inline]
pub fn era() -> u32 {
    let word = ERA.load(Ordering::Acquire);
    if word.is_null() {
        return 0;
    }
    // SAFETY: as in `word`.
    let word = unsafe { &*word };
    match word.load(Ordering::Relaxed) {
        0 => era_of(word),
        known => known,
    }
}

#[cold]
fn era_of(word: &AtomicU32) -> u32 {
    let fresh = NEXT_ERA.fetch_add(1, Ordering::Relaxed);
    match word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => fresh,
        Err(known) => known,
    }
}

fn word() -> io::Result<&'static AtomicU32> {
    let mut word = ERA.load(Ordering::Acquire);
    if word.is_null() {
        let mapped = map_page()?;
        let none = ptr::null_mut();
        word = match ERA.compare_exchange(none, mapped, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => mapped,
            // Another thread was first. Its page serves as well, and ours is lost.
            Err(first) => first,
        };
    }
    // SAFETY: `map_page` returned it: page-aligned, never unmapped, and zeroes at first, which is
    // a valid AtomicU32. It is touched as an atomic only.
    Ok(unsafe { &*word })
}

fn map_page() -> io::Result<*mut AtomicU32> {
    let len = rustix::param::page_size();
    // SAFETY: a new private anonymous mapping at an address of the kernel's choice overlaps
    // nothing.
    unsafe {
        let page = mmap_anonymous(
            ptr::null_mut(),
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )?;
        madvise(page, len, Advice::LinuxWipeOnFork)?;
        Ok(page.cast())
    }
}
