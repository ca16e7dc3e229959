//! `gethostbyname`, `gethostbyaddr` and their kin, whose answer is an entry: a struct that points into a buffer.
//!
//! Those with `_r` fill the caller's buffer. The others have a place of their own, which in libc is one for the
//! whole process; on a green thread it is the green thread's, so that an entry stays what it is while
//! others run. It is good until the same function is called again, and until the thread has ended.
//!
//! # Safety
//!
//! An entry that a helper has filled goes with its buffer, and all its pointers but those to
//! static memory lie in that; they are shifted when the bytes are copied to the caller's. Arguments are read and
//! results written where libc's caller says, before the wait and after it.

#![allow(unsafe_code)]

use std::{
    cell::RefCell,
    ffi::{CStr, CString, c_char, c_int, c_void},
    mem::{self, MaybeUninit},
    ptr,
};

use greenroom::{foreign::Here, green_local};
use libc::{hostent, size_t, socklen_t};

use super::{
    Aside, Missed, NETDB_INTERNAL, TRY_AGAIN, addresses::is_address, find_and_call, look_up,
    set_h_errno,
};
use crate::{
    hook::{Answer, Green, set_errno},
    raw::{Errno, Word},
};

impl Answer for *mut hostent {
    const FAILED: *mut hostent = ptr::null_mut();
    fn from_word(word: usize) -> *mut hostent {
        ptr::with_exposed_provenance_mut(word)
    }
}

hooks! {
    fn gethostbyname(name: *const c_char) -> *mut hostent {
        green(here) { kept(here, 0, Question::name(name)) }
        else find_and_call!(0, (name))
    }

    fn gethostbyname2(name: *const c_char, family: c_int) -> *mut hostent {
        green(here) { kept(here, 1, Question::name_in(name, family)) }
        else find_and_call!(0, (name, family))
    }

    fn gethostbyaddr(address: *const c_void, length: socklen_t, family: c_int) -> *mut hostent {
        green(here) { kept(here, 2, Question::address(address, length, family)) }
        else find_and_call!(0, (address, length, family))
    }

    // These answer with an error's number.

    fn gethostbyname_r(
        name: *const c_char,
        entry: *mut hostent,
        start: *mut c_char,
        room: size_t,
        found: *mut *mut hostent,
        h_errno: *mut c_int,
    ) -> c_int {
        green(here) { filled(here, Question::name(name), Place { entry, start, room, found, h_errno }) }
        else find_and_call!(libc::ENOSYS as usize, (name, entry, start, room, found, h_errno))
    }

    fn gethostbyname2_r(
        name: *const c_char,
        family: c_int,
        entry: *mut hostent,
        start: *mut c_char,
        room: size_t,
        found: *mut *mut hostent,
        h_errno: *mut c_int,
    ) -> c_int {
        green(here) {
            filled(here, Question::name_in(name, family), Place { entry, start, room, found, h_errno })
        }
        else find_and_call!(libc::ENOSYS as usize, (name, family, entry, start, room, found, h_errno))
    }

    fn gethostbyaddr_r(
        address: *const c_void,
        length: socklen_t,
        family: c_int,
        entry: *mut hostent,
        start: *mut c_char,
        room: size_t,
        found: *mut *mut hostent,
        h_errno: *mut c_int,
    ) -> c_int {
        green(here) {
            let question = Question::address(address, length, family);
            filled(here, question, Place { entry, start, room, found, h_errno })
        }
        else find_and_call!(
            libc::ENOSYS as usize,
            (address, length, family, entry, start, room, found, h_errno),
        )
    }
}

/// What is asked.
enum Question {
    Name(CString),
    NameIn(CString, c_int),
    Address([u8; ADDRESS_MAX], socklen_t, c_int),
}

/// The longest of those addresses that have names.
const ADDRESS_MAX: usize = 16;

// All of them as libc's callers promise.
impl Question {
    unsafe fn name(name: *const c_char) -> Question {
        // SAFETY: a C string.
        Question::Name(unsafe { CStr::from_ptr(name) }.to_owned())
    }

    unsafe fn name_in(name: *const c_char, family: c_int) -> Question {
        // SAFETY: a C string.
        Question::NameIn(unsafe { CStr::from_ptr(name) }.to_owned(), family)
    }

    /// Of a length that no address has, libc makes a failure; no more than the longest is read.
    unsafe fn address(address: *const c_void, length: socklen_t, family: c_int) -> Question {
        let mut bytes = [0; ADDRESS_MAX];
        let count = ADDRESS_MAX.min(length as usize);
        // SAFETY: so many bytes, to room for as many.
        unsafe { ptr::copy_nonoverlapping(address.cast(), bytes.as_mut_ptr(), count) };
        Question::Address(bytes, length, family)
    }

    /// Whether nothing has to be looked up: surely, and not only probably.
    fn is_in_numbers(&self) -> bool {
        match self {
            Question::Name(name) | Question::NameIn(name, _) => is_address(name),
            Question::Address(..) => false,
        }
    }

    /// # Safety
    ///
    /// As for the functions with `_r`. No green thread runs here, or the question is in numbers: so it is
    /// the next function's call.
    unsafe fn ask(&self, place: Place) -> c_int {
        let Place { entry, start, room, found, h_errno } = place;
        // SAFETY: as the caller promised; names and addresses are ours.
        unsafe {
            match self {
                Question::Name(name) => {
                    gethostbyname_r(name.as_ptr(), entry, start, room, found, h_errno)
                }
                Question::NameIn(name, family) => {
                    gethostbyname2_r(name.as_ptr(), *family, entry, start, room, found, h_errno)
                }
                Question::Address(bytes, length, family) => {
                    let bytes = bytes.as_ptr().cast();
                    gethostbyaddr_r(bytes, *length, *family, entry, start, room, found, h_errno)
                }
            }
        }
    }

    /// Asks with a buffer of our own, which lies in memory as one of `room` bytes at an address with
    /// this remainder would. It is as large as is needed, and no larger than `room`.
    fn ask_in_own_room(&self, remainder: usize, room: usize, h_errno: HErrno) -> Outcome {
        let mut own = room.min(ROOM_AT_FIRST);
        loop {
            let outcome = self.ask_in(remainder, own, h_errno);
            if outcome.code != libc::ERANGE || own == room {
                return outcome;
            }
            own = room.min(own.saturating_mul(2));
        }
    }

    fn ask_in(&self, remainder: usize, room: usize, mut h_errno: HErrno) -> Outcome {
        let mut words = vec![0u128; (remainder + room).div_ceil(ALIGNMENT)].into_boxed_slice();
        // SAFETY: all of a hostent may be zero.
        let mut entry = Box::new(unsafe { mem::zeroed::<hostent>() });
        let mut found = ptr::null_mut();
        let start = words.as_mut_ptr().cast::<c_char>().wrapping_byte_add(remainder);
        let place = Place {
            entry: &mut *entry,
            start,
            room,
            found: &mut found,
            h_errno: h_errno.as_mut_ptr(),
        };
        // SAFETY: room of our own, which lives until this returns.
        let code = unsafe { self.ask(place) };
        let is_found = !found.is_null();
        let entry = is_found.then_some(Entry { head: *entry, words, remainder, room });
        Outcome { code, h_errno, entry }
    }
}

/// Buffers are aligned so, and so much at least that pointers in them can be.
const ALIGNMENT: usize = size_of::<u128>();

/// Mostly enough.
const ROOM_AT_FIRST: usize = 1024;

/// No name has an entry so large.
const ROOM_MAX: usize = 1 << 20;

/// Where an entry is to be written to.
#[derive(Clone, Copy)]
struct Place {
    entry: *mut hostent,
    start: *mut c_char,
    room: usize,
    found: *mut *mut hostent,
    h_errno: *mut c_int,
}

/// What the caller has for `h_errno`, which libc need not write to, and which may be nothing before.
type HErrno = MaybeUninit<c_int>;

struct Outcome {
    code: c_int,
    h_errno: HErrno,
    entry: Option<Entry>,
}

/// An entry with its buffer.
struct Entry {
    head: hostent,
    words: Box<[u128]>,
    /// The buffer begins so many bytes after its memory does.
    remainder: usize,
    room: usize,
}

// SAFETY: its pointers are to its own buffer, which goes with it, or to static memory.
unsafe impl Send for Entry {}

impl Entry {
    /// Copies the buffer, and the entry with its pointers shifted.
    ///
    /// # Safety
    ///
    /// There is room for an entry, and as much at `start` as this was asked for with; `start` leaves the remainder
    /// that this was asked for with.
    unsafe fn write(&self, entry: *mut hostent, start: *mut c_char) {
        let from = self.words.as_ptr().cast::<c_char>().wrapping_byte_add(self.remainder);
        let shifted = |pointer: *mut c_char| {
            let offset = pointer.addr().wrapping_sub(from.addr());
            if offset < self.room { start.wrapping_byte_add(offset) } else { pointer }
        };
        let shift_list = |list: *mut *mut c_char| {
            let shifted_list = shifted(list.cast()).cast::<*mut c_char>();
            if shifted_list != list {
                let mut next = shifted_list;
                // Of an address in numbers libc aligns nothing.
                // SAFETY: a list in the copy, which ends with null. A pointer that is
                // shifted already lies outside of the range that is looked for.
                unsafe {
                    while !next.read_unaligned().is_null() {
                        next.write_unaligned(shifted(next.read_unaligned()));
                        next = next.add(1);
                    }
                }
            }
            shifted_list
        };
        let mut head = self.head;
        // SAFETY: so much room there, as the caller promised, and so much of ours.
        unsafe { ptr::copy_nonoverlapping(from, start, self.room) };
        head.h_name = shifted(head.h_name);
        head.h_aliases = shift_list(head.h_aliases);
        head.h_addr_list = shift_list(head.h_addr_list);
        // SAFETY: there is room for it, as the caller promised.
        unsafe { entry.write(head) };
    }
}

/// A function with `_r`: fills the caller's place.
unsafe fn filled(here: Here, question: Question, place: Place) -> Green {
    if question.is_in_numbers() {
        return Green::Pass;
    }
    let (remainder, room) = (place.start.addr() % ALIGNMENT, place.room);
    // SAFETY: as libc's caller promised; whether it was ever written to is left open.
    let before = unsafe { place.h_errno.cast::<HErrno>().read() };
    let (outcome, aside) =
        match look_up(here, move || question.ask_in_own_room(remainder, room, before)) {
            Ok(answer) => answer,
            Err(why) => {
                let Some((h_errno, errno)) = failure(&why) else { return Green::Pass };
                set_errno(errno);
                // SAFETY: as libc's caller promised.
                unsafe {
                    place.found.write(ptr::null_mut());
                    place.h_errno.write(h_errno);
                }
                return Green::Done(Ok(errno.0.word()));
            }
        };
    // SAFETY: as libc's caller promised; the buffer has the room and the remainder that were asked for.
    unsafe {
        match &outcome.entry {
            Some(entry) => {
                entry.write(place.entry, place.start);
                place.found.write(place.entry);
            }
            None => {
                aside.leave_here();
                place.found.write(ptr::null_mut());
            }
        }
        place.h_errno.cast::<HErrno>().write(outcome.h_errno);
    }
    Green::Done(Ok(outcome.code.word()))
}

/// A place that entries are kept in.
struct Kept {
    head: Box<hostent>,
    words: Box<[u128]>,
}

green_local! {
    /// Where each of the three functions without `_r` keeps its entry.
    static KEPT: RefCell<[Option<Kept>; 3]> = RefCell::default();
}

/// A function without `_r`: keeps the entry for its caller.
fn kept(here: Here, index: usize, question: Question) -> Green {
    let is_in_numbers = question.is_in_numbers();
    let ask = move || question.ask_in_own_room(0, ROOM_MAX, HErrno::new(0));
    // Not libc's own function even for what is in numbers: its lock may be held for as long as another
    // OS thread looks something up.
    let (outcome, aside) = if is_in_numbers {
        let outcome = ask();
        (outcome, Aside::here())
    } else {
        match look_up(here, ask) {
            Ok(answer) => answer,
            Err(why) => {
                let Some((h_errno, errno)) = failure(&why) else { return Green::Pass };
                set_h_errno(h_errno);
                return Green::Done(Err(errno));
            }
        }
    };
    // SAFETY: it was zero at first.
    let h_errno = unsafe { outcome.h_errno.assume_init() };
    if h_errno != 0 {
        set_h_errno(h_errno);
    }
    let Some(entry) = outcome.entry else {
        set_errno(aside.errno);
        return Green::Done(Ok(0));
    };
    Green::Done(Ok(keep(index, &entry).expose_provenance()))
}

fn keep(index: usize, entry: &Entry) -> *mut hostent {
    KEPT.with(|kept| {
        let mut kept = kept.borrow_mut();
        let kept = kept[index]
            .get_or_insert_with(|| Kept { head: Box::new(entry.head), words: Box::default() });
        if kept.words.len() < entry.words.len() {
            kept.words = vec![0; entry.words.len()].into_boxed_slice();
        }
        // SAFETY: room for an entry and for as many words, and aligned as those are.
        unsafe { entry.write(&mut *kept.head, kept.words.as_mut_ptr().cast()) };
        &raw mut *kept.head
    })
}

/// What `h_errno` and `errno` say of a lookup that did not come to its end; `None` if it is to block.
fn failure(why: &Missed) -> Option<(c_int, Errno)> {
    match why {
        Missed::Stopped(errno) => Some((NETDB_INTERNAL, *errno)),
        Missed::NoHelper => Some((TRY_AGAIN, Errno::AGAIN)),
        Missed::Unwinding => None,
    }
}
