//! `getaddrinfo` and `getnameinfo`.
//!
//! An answer is a code that says what went wrong; `EAI_SYSTEM` means that `errno` says more.
//!
//! # Safety
//!
//! Names, hints and addresses are read, and results written, where libc's caller says; but before the wait
//! and after it, never by the helper, which has copies. A list of results has one owner, who frees it or
//! gives it to libc's caller.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_int},
    mem,
    net::IpAddr,
    ptr::{self, NonNull},
};

use greenroom::foreign::Here;
use libc::{addrinfo, sockaddr, sockaddr_in, sockaddr_in6, socklen_t};

use super::{Aside, Missed, find_and_call, look_up};
use crate::{
    hook::{Green, set_errno},
    raw::{Errno, Word},
};

hooks! {
    fn getaddrinfo(
        host: *const c_char,
        service: *const c_char,
        hints: *const addrinfo,
        found: *mut *mut addrinfo,
    ) -> c_int {
        green(here) { addresses(here, host, service, hints, found) }
        else find_and_call!(libc::EAI_SYSTEM as usize, (host, service, hints, found))
    }

    fn getnameinfo(
        address: *const sockaddr,
        length: socklen_t,
        host: *mut c_char,
        host_room: socklen_t,
        service: *mut c_char,
        service_room: socklen_t,
        flags: c_int,
    ) -> c_int {
        green(here) {
            let host = Text { start: host, room: host_room };
            let service = Text { start: service, room: service_room };
            name(here, address, length, host, service, flags)
        }
        else find_and_call!(
            libc::EAI_SYSTEM as usize,
            (address, length, host, host_room, service, service_room, flags),
        )
    }
}

/// What became of the call, and what it leaves beside that if it failed.
fn done(code: c_int, aside: Aside) -> Green {
    if code != 0 {
        aside.leave_here();
    }
    Green::Done(Ok(code.word()))
}

fn missed(missed: Missed) -> Green {
    let (code, errno) = match missed {
        Missed::Stopped(errno) => (libc::EAI_SYSTEM, errno),
        Missed::NoHelper => (libc::EAI_AGAIN, Errno::AGAIN),
        Missed::Unwinding => return Green::Pass,
    };
    set_errno(errno);
    Green::Done(Ok(code.word()))
}

/// What `getaddrinfo` is asked.
struct Question {
    host: Option<CString>,
    service: Option<CString>,
    hints: Option<Hints>,
}

/// Of the hints what is one: the rest is for results.
#[derive(Clone, Copy)]
struct Hints {
    flags: c_int,
    family: c_int,
    kind: c_int,
    protocol: c_int,
}

impl Question {
    /// # Safety
    ///
    /// Each is null, or what libc's callers pass.
    unsafe fn copy(
        host: *const c_char,
        service: *const c_char,
        hints: *const addrinfo,
    ) -> Question {
        let text = |text: *const c_char| {
            // SAFETY: not null, so a C string.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_owned())
        };
        // SAFETY: null, or hints to be read.
        let hints = unsafe { hints.as_ref() }.map(|hints| Hints {
            flags: hints.ai_flags,
            family: hints.ai_family,
            kind: hints.ai_socktype,
            protocol: hints.ai_protocol,
        });
        Question { host: text(host), service: text(service), hints }
    }

    /// Whether nothing has to be looked up: surely, and not only probably.
    fn is_in_numbers(&self) -> bool {
        let has = |flag| self.hints.is_some_and(|hints| hints.flags & flag != 0);
        let host = self.host.as_deref().is_none_or(is_address) || has(libc::AI_NUMERICHOST);
        let service = self.service.as_deref().is_none_or(is_port) || has(libc::AI_NUMERICSERV);
        host && service
    }

    fn ask(&self) -> Result<List, c_int> {
        // SAFETY: all of an addrinfo may be zero.
        let mut hints: addrinfo = unsafe { mem::zeroed() };
        let hints = self.hints.map_or(ptr::null(), |asked| {
            hints.ai_flags = asked.flags;
            hints.ai_family = asked.family;
            hints.ai_socktype = asked.kind;
            hints.ai_protocol = asked.protocol;
            ptr::from_ref(&hints)
        });
        let text = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let mut found = ptr::null_mut();
        // SAFETY: strings and hints of our own, which live until this returns. No green thread runs
        // here, so this is the next function's call.
        let code = unsafe { getaddrinfo(text(&self.host), text(&self.service), hints, &mut found) };
        match NonNull::new(found) {
            Some(list) if code == 0 => Ok(List(list)),
            _ => Err(code),
        }
    }
}

/// A numeric address that means the same to everybody: no octal parts, no missing ones, no interface.
pub(super) fn is_address(text: &CStr) -> bool {
    text.to_str().is_ok_and(|text| text.parse::<IpAddr>().is_ok())
}

fn is_port(text: &CStr) -> bool {
    !text.is_empty() && text.to_bytes().iter().all(u8::is_ascii_digit)
}

/// Results that nobody has taken yet.
struct List(NonNull<addrinfo>);

// SAFETY: the list is memory of the heap, which any OS thread may read and free; this is its only owner.
unsafe impl Send for List {}

impl List {
    fn into_raw(self) -> *mut addrinfo {
        mem::ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: `getaddrinfo` made it, and it was given to nobody.
        unsafe { libc::freeaddrinfo(self.0.as_ptr()) };
    }
}

unsafe fn addresses(
    here: Here,
    host: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    found: *mut *mut addrinfo,
) -> Green {
    // SAFETY: as libc's caller promised.
    let question = unsafe { Question::copy(host, service, hints) };
    if question.is_in_numbers() {
        return Green::Pass;
    }
    match look_up(here, move || question.ask()) {
        Ok((Ok(list), aside)) => {
            // SAFETY: the place for the result, as libc's caller promised.
            unsafe { found.write(list.into_raw()) };
            done(0, aside)
        }
        Ok((Err(code), aside)) => done(code, aside),
        Err(why) => missed(why),
    }
}

/// Where a name is to be written to, if anywhere.
#[derive(Clone, Copy)]
struct Text {
    start: *mut c_char,
    room: socklen_t,
}

/// No name is longer, nor any message of libc's.
const TEXT_MAX: socklen_t = 4096;

impl Text {
    fn is_wanted(self) -> bool {
        !self.start.is_null() && self.room > 0
    }

    /// The caller's bytes, so that those which are not written come back as they were.
    ///
    /// # Safety
    ///
    /// Null, or so much room.
    unsafe fn copy(self) -> Option<Box<[mem::MaybeUninit<c_char>]>> {
        if self.start.is_null() {
            return None;
        }
        let mut bytes = Box::new_uninit_slice(self.room.min(TEXT_MAX) as usize);
        // SAFETY: so much room is there, and nobody needs to have written to it.
        unsafe { ptr::copy_nonoverlapping(self.start.cast(), bytes.as_mut_ptr(), bytes.len()) };
        Some(bytes)
    }

    /// # Safety
    ///
    /// As for [`copy`](Text::copy), which made the bytes.
    unsafe fn write(self, bytes: Option<&[mem::MaybeUninit<c_char>]>) {
        if let Some(bytes) = bytes {
            // SAFETY: no more than there is room for, and of an allocation of our own.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.cast(), bytes.len()) };
        }
    }
}

/// An internet address with all its bytes.
enum Address {
    V4(sockaddr_in),
    V6(sockaddr_in6),
}

impl Address {
    /// `None` for what is none, or too short: refused without a lookup, or the name of this machine.
    ///
    /// # Safety
    ///
    /// Null, or an address of so many bytes.
    unsafe fn copy(address: *const sockaddr, length: socklen_t) -> Option<Address> {
        let length = length as usize;
        if address.is_null() || length < size_of::<libc::sa_family_t>() {
            return None;
        }
        // SAFETY: so much is there at least; and all bytes of it where the length says so. Nothing
        // is known of how it lies in memory.
        unsafe {
            match c_int::from((&raw const (*address).sa_family).read_unaligned()) {
                libc::AF_INET if length >= size_of::<sockaddr_in>() => {
                    Some(Address::V4(address.cast::<sockaddr_in>().read_unaligned()))
                }
                libc::AF_INET6 if length >= size_of::<sockaddr_in6>() => {
                    Some(Address::V6(address.cast::<sockaddr_in6>().read_unaligned()))
                }
                _ => None,
            }
        }
    }

    fn start(&self) -> *const sockaddr {
        match self {
            Address::V4(address) => ptr::from_ref(address).cast(),
            Address::V6(address) => ptr::from_ref(address).cast(),
        }
    }
}

unsafe fn name(
    here: Here,
    address: *const sockaddr,
    length: socklen_t,
    host: Text,
    service: Text,
    flags: c_int,
) -> Green {
    let in_numbers = (!host.is_wanted() || flags & libc::NI_NUMERICHOST != 0)
        && (!service.is_wanted() || flags & libc::NI_NUMERICSERV != 0);
    // SAFETY: as libc's caller promised.
    let Some(address) = (unsafe { Address::copy(address, length) }) else { return Green::Pass };
    if in_numbers {
        return Green::Pass;
    }
    // SAFETY: as libc's caller promised.
    let (mut to_host, mut to_service) = unsafe { (host.copy(), service.copy()) };
    let job = move || {
        let place = |bytes: &mut Option<Box<[mem::MaybeUninit<c_char>]>>| {
            bytes.as_mut().map_or((ptr::null_mut(), 0), |bytes| {
                (bytes.as_mut_ptr().cast(), bytes.len() as socklen_t)
            })
        };
        let (host, host_room) = place(&mut to_host);
        let (service, service_room) = place(&mut to_service);
        // SAFETY: an address and room of our own, which live until this returns. No green thread
        // runs here, so this is the next function's call.
        let code = unsafe {
            getnameinfo(address.start(), length, host, host_room, service, service_room, flags)
        };
        (code, to_host, to_service)
    };
    match look_up(here, job) {
        Ok(((code, in_host, in_service), aside)) => {
            // SAFETY: as libc's caller promised.
            unsafe {
                host.write(in_host.as_deref());
                service.write(in_service.as_deref());
            }
            done(code, aside)
        }
        Err(why) => missed(why),
    }
}
