//! libc's lookups as C makes them, with all that they return, write and leave behind.
//!
//! Knows no green thread.
//!
//! # Safety
//!
//! Strings, addresses and room are the caller's or ours, and outlive each call. What a call has
//! returned is read before anything else is called.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    mem, ptr, slice,
};

use libc::{addrinfo, hostent, sockaddr_storage, socklen_t};

/// What is in `errno` before a call, to see whether the call touches it.
pub(crate) const BEFORE: c_int = 4242;

unsafe extern "C" {
    fn __h_errno_location() -> *mut c_int;
    fn gethostbyname(name: *const c_char) -> *mut hostent;
    fn gethostbyname2(name: *const c_char, family: c_int) -> *mut hostent;
    fn gethostbyaddr(address: *const c_void, length: socklen_t, family: c_int) -> *mut hostent;
    fn gethostbyname_r(
        name: *const c_char,
        entry: *mut hostent,
        start: *mut c_char,
        room: usize,
        found: *mut *mut hostent,
        h_errno: *mut c_int,
    ) -> c_int;
    fn gethostbyname2_r(
        name: *const c_char,
        family: c_int,
        entry: *mut hostent,
        start: *mut c_char,
        room: usize,
        found: *mut *mut hostent,
        h_errno: *mut c_int,
    ) -> c_int;
    fn gethostbyaddr_r(
        address: *const c_void,
        length: socklen_t,
        family: c_int,
        entry: *mut hostent,
        start: *mut c_char,
        room: usize,
        found: *mut *mut hostent,
        h_errno: *mut c_int,
    ) -> c_int;
}

pub(crate) fn errno() -> c_int {
    // SAFETY: this OS thread's own.
    unsafe { *libc::__errno_location() }
}

fn begin() {
    // SAFETY: this OS thread's own.
    unsafe {
        *libc::__errno_location() = BEFORE;
        *__h_errno_location() = BEFORE;
    }
}

/// One result of `getaddrinfo`, as far as it can be compared.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    flags: c_int,
    family: c_int,
    kind: c_int,
    protocol: c_int,
    pub(crate) address: Vec<u8>,
    name: Option<CString>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hints {
    pub(crate) flags: c_int,
    pub(crate) family: c_int,
    pub(crate) kind: c_int,
    pub(crate) protocol: c_int,
}

/// The results, or the code and `errno` where that says more.
pub(crate) fn addresses(
    host: Option<&CStr>,
    service: Option<&CStr>,
    hints: Option<Hints>,
) -> Result<Vec<Found>, (c_int, c_int)> {
    // SAFETY: all of an addrinfo may be zero.
    let mut asked: addrinfo = unsafe { mem::zeroed() };
    let hints = hints.map_or(ptr::null(), |hints| {
        asked.ai_flags = hints.flags;
        asked.ai_family = hints.family;
        asked.ai_socktype = hints.kind;
        asked.ai_protocol = hints.protocol;
        &raw const asked
    });
    let text = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    let mut list = ptr::null_mut();
    begin();
    // SAFETY: see the head of this file.
    let code = unsafe { libc::getaddrinfo(text(host), text(service), hints, &mut list) };
    if code != 0 {
        return Err((code, if code == libc::EAI_SYSTEM { errno() } else { 0 }));
    }
    let mut found = Vec::new();
    let mut next: *const addrinfo = list;
    // SAFETY: a list of libc's, to its end.
    while let Some(one) = unsafe { next.as_ref() } {
        // SAFETY: an address of this length, and null or a string of C.
        let (address, name) = unsafe {
            let bytes = slice::from_raw_parts(one.ai_addr.cast::<u8>(), one.ai_addrlen as usize);
            let name = one.ai_canonname;
            (bytes.to_vec(), (!name.is_null()).then(|| CStr::from_ptr(name).to_owned()))
        };
        found.push(Found {
            flags: one.ai_flags,
            family: one.ai_family,
            kind: one.ai_socktype,
            protocol: one.ai_protocol,
            address,
            name,
        });
        next = one.ai_next;
    }
    // SAFETY: made by `getaddrinfo`, and used no more.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}

/// An address of whatever kind: its first bytes; the rest is zero.
pub(crate) fn storage(family: c_int, bytes: &[u8]) -> sockaddr_storage {
    // SAFETY: all of it may be zero.
    let mut storage: sockaddr_storage = unsafe { mem::zeroed() };
    storage.ss_family = family as libc::sa_family_t;
    let start = (&raw mut storage).cast::<u8>();
    for (index, byte) in bytes.iter().enumerate() {
        assert!(index + 2 < size_of::<sockaddr_storage>());
        // SAFETY: within the storage, behind the family.
        unsafe { start.add(2 + index).write(*byte) };
    }
    storage
}

/// The code, `errno` where that says more, and all bytes of both buffers.
pub(crate) type Named = (c_int, c_int, Vec<u8>, Vec<u8>);

/// With null for a buffer that is `None`.
pub(crate) fn names(
    address: &sockaddr_storage,
    length: usize,
    host: Option<usize>,
    service: Option<usize>,
    flags: c_int,
) -> Named {
    let buffer = |room: Option<usize>| vec![0xaa_u8; room.unwrap_or(0)];
    let (mut in_host, mut in_service) = (buffer(host), buffer(service));
    let start = |bytes: &mut Vec<u8>, room: Option<usize>| {
        room.map_or(ptr::null_mut(), |_| bytes.as_mut_ptr().cast())
    };
    begin();
    // SAFETY: see the head of this file.
    let code = unsafe {
        libc::getnameinfo(
            ptr::from_ref(address).cast(),
            length as socklen_t,
            start(&mut in_host, host),
            in_host.len() as socklen_t,
            start(&mut in_service, service),
            in_service.len() as socklen_t,
            flags,
        )
    };
    let errno = if code == libc::EAI_SYSTEM { errno() } else { 0 };
    (code, errno, in_host, in_service)
}

/// What is asked for an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    Name(&'static CStr),
    NameIn(&'static CStr, c_int),
    Address([u8; 16], socklen_t, c_int),
}

/// An entry's contents.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    name: CString,
    aliases: Vec<CString>,
    family: c_int,
    pub(crate) addresses: Vec<Vec<u8>>,
}

/// # Safety
///
/// An entry of libc's.
unsafe fn read(entry: &hostent) -> Entry {
    let list = |mut next: *mut *mut c_char| {
        let mut all = Vec::new();
        // SAFETY: a list that ends with null.
        unsafe {
            // Of an address in numbers libc aligns nothing.
            while !next.read_unaligned().is_null() {
                all.push(next.read_unaligned());
                next = next.add(1);
            }
        }
        all
    };
    // SAFETY: strings of C, and addresses of this length.
    unsafe {
        let text = |text: *mut c_char| CStr::from_ptr(text).to_owned();
        let bytes = |start: *mut c_char| {
            slice::from_raw_parts(start.cast::<u8>(), entry.h_length as usize).to_vec()
        };
        Entry {
            name: text(entry.h_name),
            aliases: list(entry.h_aliases).into_iter().map(text).collect(),
            family: entry.h_addrtype,
            addresses: list(entry.h_addr_list).into_iter().map(bytes).collect(),
        }
    }
}

/// Asks a function without `_r`. The entry where it lies, or `h_errno`, and `errno` where that says more.
pub(crate) fn ask(question: Question) -> Result<*mut hostent, (c_int, c_int)> {
    begin();
    // SAFETY: see the head of this file.
    let entry = unsafe {
        match question {
            Question::Name(name) => gethostbyname(name.as_ptr()),
            Question::NameIn(name, family) => gethostbyname2(name.as_ptr(), family),
            Question::Address(bytes, length, family) => {
                gethostbyaddr(bytes.as_ptr().cast(), length, family)
            }
        }
    };
    if entry.is_null() {
        // SAFETY: this OS thread's own.
        let h_errno = unsafe { *__h_errno_location() };
        return Err((h_errno, if h_errno == -1 { errno() } else { 0 }));
    }
    Ok(entry)
}

pub(crate) fn entry(question: Question) -> Result<Entry, (c_int, c_int)> {
    ask(question).map(look_at)
}

/// What [`ask`] has returned, and is still good.
pub(crate) fn look_at(entry: *mut hostent) -> Entry {
    // SAFETY: libc's, and as long as the callers say.
    unsafe { read(&*entry) }
}

/// How a function with `_r` ended: its answer, `h_errno`, and the entry with where its parts lie
/// in the buffer.
#[derive(Debug, PartialEq)]
pub(crate) struct Filled {
    pub(crate) answer: c_int,
    pub(crate) h_errno: c_int,
    pub(crate) entry: Option<(Entry, [usize; 3], Vec<usize>)>,
}

/// Asks a function with `_r` to use `room` bytes at an address that leaves this remainder.
pub(crate) fn filled(question: Question, remainder: usize, room: usize) -> Filled {
    let mut words = vec![0u128; (remainder + room).div_ceil(16) + 1];
    let start = words.as_mut_ptr().cast::<c_char>().wrapping_byte_add(remainder);
    // SAFETY: all of a hostent may be zero.
    let mut head: hostent = unsafe { mem::zeroed() };
    let (mut found, mut h_errno) = (ptr::null_mut(), 0);
    begin();
    // SAFETY: see the head of this file.
    let answer = unsafe {
        match question {
            Question::Name(name) => {
                gethostbyname_r(name.as_ptr(), &mut head, start, room, &mut found, &mut h_errno)
            }
            Question::NameIn(name, family) => {
                let name = name.as_ptr();
                gethostbyname2_r(name, family, &mut head, start, room, &mut found, &mut h_errno)
            }
            Question::Address(bytes, length, family) => {
                let bytes = bytes.as_ptr().cast();
                gethostbyaddr_r(
                    bytes,
                    length,
                    family,
                    &mut head,
                    start,
                    room,
                    &mut found,
                    &mut h_errno,
                )
            }
        }
    };
    let entry = (!found.is_null()).then(|| {
        assert!(ptr::eq(found, &raw const head));
        let place = |at: usize| {
            let place = at.wrapping_sub(start.addr());
            assert!(place < room, "all of an entry lies in its buffer");
            place
        };
        // SAFETY: an entry of libc's, and its lists.
        let (entry, addresses) = unsafe {
            let mut addresses = Vec::new();
            let mut next = head.h_addr_list;
            while !next.read_unaligned().is_null() {
                addresses.push(place(next.read_unaligned().addr()));
                next = next.add(1);
            }
            (read(&head), addresses)
        };
        let lists = [head.h_aliases.addr(), head.h_addr_list.addr()].map(place);
        (entry, [place(head.h_name.addr()), lists[0], lists[1]], addresses)
    });
    Filled { answer, h_errno, entry }
}

/// How many lists of the slow library's nobody has freed.
pub(crate) fn alive_lists() -> c_int {
    ask_slow_library(c"alive_lists")
}

/// Whether the last lookup of addresses was made by an OS thread with a locale of its own.
pub(crate) fn asked_with_own_locale() -> bool {
    ask_slow_library(c"asked_with_own_locale") != 0
}

fn ask_slow_library(function: &CStr) -> c_int {
    // SAFETY: a string of C; and what is found is a function of this type.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, function.as_ptr());
        assert!(!found.is_null(), "the slow library is there");
        mem::transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(found)()
    }
}

/// Gives this OS thread a locale of its own, for good.
pub(crate) fn take_own_locale() {
    // SAFETY: a string of C; the locale is never freed.
    unsafe {
        let own = libc::newlocale(libc::LC_ALL_MASK, c"C".as_ptr(), ptr::null_mut());
        assert!(!own.is_null(), "everybody has the locale of C");
        libc::uselocale(own);
    }
}
