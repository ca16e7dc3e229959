//! The alternate signal stack: where a handler runs when the stack itself is what has failed.
//!
//! Never handles a signal.
//!
//! # The danger
//!
//! The kernel writes to the registered memory whenever a signal comes. It must stay mapped until
//! the thread has told the kernel otherwise.
#![allow(unsafe_code)]

use std::cell::OnceCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// Bytes left to the handler beside what the kernel saves there.
const HANDLER_BYTES: usize = 32 << 10;

thread_local! {
    static OURS: OnceCell<Option<SignalStack>> = const { OnceCell::new() };
}

/// Sees to it that this OS thread has an alternate signal stack. Threads of the standard library
/// have one; threads that something else has started have none.
///
/// Without memory for one, or while the thread is ending, there is none: an overflow then still
/// ends the process, without a message.
pub(crate) fn ensure() {
    let _ = OURS.try_with(|ours| {
        ours.get_or_init(|| if is_missing() { SignalStack::register() } else { None });
    });
}

fn is_missing() -> bool {
    current().is_some_and(|stack| stack.ss_flags & libc::SS_DISABLE != 0)
}

fn current() -> Option<libc::stack_t> {
    let mut stack = MaybeUninit::uninit();
    // SAFETY: with a null first argument sigaltstack only writes the present stack to the second.
    unsafe {
        (libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) == 0).then(|| stack.assume_init())
    }
}

/// A mapping that is registered as this thread's signal stack: a guard page, then the stack.
struct SignalStack {
    start: *mut c_void,
    len: usize,
}

impl SignalStack {
    fn register() -> Option<SignalStack> {
        let page_size = rustix::param::page_size();
        let size = (rustix::param::linux_minsigstksz().max(libc::MINSIGSTKSZ) + HANDLER_BYTES)
            .next_multiple_of(page_size);
        let len = page_size + size;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping touches no memory that exists.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), len, access, MapFlags::PRIVATE) }.ok()?;
        // From here on dropping it unmaps it.
        let ours = SignalStack { start, len };
        // SAFETY: the first page of the mapping above, which nobody uses yet.
        unsafe { mprotect(start, page_size, MprotectFlags::empty()) }.ok()?;
        // SAFETY: the mapping is longer than a page.
        let ss_sp = unsafe { start.byte_add(page_size) };
        let stack = libc::stack_t { ss_sp, ss_flags: 0, ss_size: size };
        // SAFETY: the memory stays mapped until `drop` has unregistered it.
        (unsafe { libc::sigaltstack(&stack, ptr::null_mut()) } == 0).then_some(ours)
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let range = self.start.addr()..self.start.addr() + self.len;
        // Somebody may have registered another one in the meantime: that one is not ours to touch.
        if current().is_some_and(|stack| range.contains(&stack.ss_sp.addr())) {
            let none =
                libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            // SAFETY: no handler runs on it: this is ordinary code of the thread it belongs to.
            unsafe { libc::sigaltstack(&none, ptr::null_mut()) };
        }
        // SAFETY: the mapping is ours, and the kernel does not know it any more.
        let _ = unsafe { munmap(self.start, self.len) };
    }
}
