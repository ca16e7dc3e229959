//! The calls that read: from sockets, pipes, and whatever else makes one wait.
//!
//! Each is tried as a call that does not wait, by a flag of the call and not of the file; what that
//! answers is what the blocking call would have answered.
//!
//! # Safety
//!
//! Pointers and lengths are passed on to the kernel as libc's caller gave them.

#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_void},
    mem, process, ptr,
    time::Duration,
};

use greenroom::{foreign::Here, io::Interest};
use libc::{cmsghdr, iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use crate::{
    file,
    hook::Green,
    parts::Parts,
    raw::{Errno, Result},
    wait::Wait,
};

hooks! {
    fn recv(fd: c_int, buffer: *mut c_void, length: size_t, flags: c_int) -> ssize_t {
        green(here) { receive(here, fd, buffer, length, flags, NOBODY, NO_LENGTH) }
        else syscall!(SYS_recvfrom, fd, buffer, length, flags, NOBODY, NO_LENGTH)
    }

    fn recvfrom(
        fd: c_int,
        buffer: *mut c_void,
        length: size_t,
        flags: c_int,
        from: *mut sockaddr,
        from_length: *mut socklen_t,
    ) -> ssize_t {
        green(here) { receive(here, fd, buffer, length, flags, from, from_length) }
        else syscall!(SYS_recvfrom, fd, buffer, length, flags, from, from_length)
    }

    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
        green(here) { receive_message(here, fd, message, flags) }
        else syscall!(SYS_recvmsg, fd, message, flags)
    }

    fn read(fd: c_int, buffer: *mut c_void, length: size_t) -> ssize_t {
        also __read,
        green(here) {
            let part = iovec { iov_base: buffer, iov_len: length };
            read_parts(here, fd, &part, 1)
        }
        else syscall!(SYS_read, fd, buffer, length)
    }

    fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        green(here) { read_parts(here, fd, parts, count) }
        else syscall!(SYS_readv, fd, parts, count)
    }

    // What a compiler makes of the same calls where it knows how long the buffer is.

    fn __recv_chk(
        fd: c_int,
        buffer: *mut c_void,
        length: size_t,
        room: size_t,
        flags: c_int,
    ) -> ssize_t {
        green(here) {
            if length > room { Green::Pass } else { receive(here, fd, buffer, length, flags, NOBODY, NO_LENGTH) }
        }
        else { fits(length, room); syscall!(SYS_recvfrom, fd, buffer, length, flags, NOBODY, NO_LENGTH) }
    }

    fn __recvfrom_chk(
        fd: c_int,
        buffer: *mut c_void,
        length: size_t,
        room: size_t,
        flags: c_int,
        from: *mut sockaddr,
        from_length: *mut socklen_t,
    ) -> ssize_t {
        green(here) {
            if length > room { Green::Pass } else { receive(here, fd, buffer, length, flags, from, from_length) }
        }
        else { fits(length, room); syscall!(SYS_recvfrom, fd, buffer, length, flags, from, from_length) }
    }

    fn __read_chk(fd: c_int, buffer: *mut c_void, length: size_t, room: size_t) -> ssize_t {
        green(here) {
            let part = iovec { iov_base: buffer, iov_len: length };
            if length > room { Green::Pass } else { read_parts(here, fd, &part, 1) }
        }
        else { fits(length, room); syscall!(SYS_read, fd, buffer, length) }
    }
}

const NOBODY: *mut sockaddr = ptr::null_mut();
const NO_LENGTH: *mut socklen_t = ptr::null_mut();

/// Never waits by itself, so there is nothing to do for us: asked not to, or for pending errors.
const NEVER_WAITS: c_int = libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE;

/// glibc's own would end the process here, with a word of its own.
fn fits(length: usize, room: usize) {
    if length > room {
        process::abort();
    }
}

/// Whether the call does not wait, whatever the file is. That for the urgent byte of a stream never does.
fn never_waits(fd: c_int, flags: c_int) -> bool {
    flags & NEVER_WAITS != 0 || flags & libc::MSG_OOB != 0 && file::is_stream(fd)
}

unsafe fn receive(
    here: Here,
    fd: c_int,
    buffer: *mut c_void,
    length: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_length: *mut socklen_t,
) -> Green {
    if file::is_standard(fd) || never_waits(fd, flags) {
        return Green::Pass;
    }
    if flags & libc::MSG_WAITALL != 0 && file::is_stream(fd) {
        let mut part = iovec { iov_base: buffer, iov_len: length };
        let mut message = no_message();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        let has_name = !from.is_null() && !from_length.is_null();
        if has_name {
            message.msg_name = from.cast();
            // SAFETY: not null, and libc's caller says there how long the address may be.
            message.msg_namelen = unsafe { *from_length };
        }
        let received = fill(here, fd, &mut message, flags);
        if has_name && received.is_ok() {
            // SAFETY: as above, and its length is to be written there.
            unsafe { *from_length = message.msg_namelen };
        }
        return received.into();
    }
    let mut wait = Wait::new(here, fd, Interest::Read);
    let receive = |flags| {
        // SAFETY: libc's caller answers for the buffer, and for where the sender is to be written.
        unsafe { syscall!(SYS_recvfrom, fd, buffer, length, flags, from, from_length) }
    };
    once(&mut wait, fd, flags, || length == 0, receive).into()
}

fn no_message() -> msghdr {
    // SAFETY: all zeroes is a message header without name, control and parts.
    unsafe { mem::zeroed() }
}

/// Receives what there is. Whether that is nothing by the caller's own wish is asked when it would wait.
fn once(
    wait: &mut Wait,
    fd: c_int,
    flags: c_int,
    wants_nothing: impl Fn() -> bool,
    receive: impl FnMut(c_int) -> Result,
) -> Result {
    let mut receive = end_of_messages(fd, flags, receive);
    let mut heeds_nothing = None;
    wait.until_done(|| {
        if heeds_nothing == Some(true) {
            return Ok(0);
        }
        let received = receive();
        if received == Err(Errno::AGAIN) && heeds_nothing.is_none() {
            heeds_nothing = Some(wants_nothing() && is_heedless(fd));
        }
        received
    })
}

/// Asked for no bytes, TCP waits until something happens, takes no notice of what that was, and answers
/// with zero.
fn is_heedless(fd: c_int) -> bool {
    file::is_stream(fd) && file::Errors::of(fd) == file::Errors::Kept
}

/// Receives from a stream until the buffer is full (`MSG_WAITALL`).
///
/// The message and what it points to are libc's caller's, who answers for them.
pub(crate) fn fill(here: Here, fd: c_int, message: &mut msghdr, flags: c_int) -> Result {
    let flags = flags | libc::MSG_DONTWAIT;
    let mut writer = file::tells_writers(fd).then_some(Writer(None));
    let mut wanted = *message;
    let mut room = RoomForWriter::default();
    let has_no_room = wanted.msg_control.is_null() || wanted.msg_controllen == 0;
    let is_room_ours = writer.is_some() && has_no_room;
    if is_room_ours {
        // Without any, nothing would tell whether descriptors came or only the writer was left out.
        room.lend(&mut wanted);
    }
    // SAFETY: the header's parts are valid while the call lasts.
    let parts = c_int::try_from(wanted.msg_iovlen)
        .ok()
        .and_then(|count| unsafe { Parts::new(wanted.msg_iov, count) });
    let mut wait = Wait::new(here, fd, Interest::Read);
    let mut has_descriptors = false;
    let mut part = |done: usize| {
        // Descriptors end the call, whether the caller has room for them or not. So does an urgent byte.
        if has_descriptors || done > 0 && file::is_at_mark(fd) {
            return Ok(0);
        }
        if let Some(writer) = &mut writer
            && !writer.wrote_next(fd, done)?
        {
            return Ok(0);
        }
        let mut receive = |rest, count| {
            let mut next = wanted;
            next.msg_iov = rest;
            next.msg_iovlen = count;
            if done > 0 {
                // The sender was written with the first bytes.
                (next.msg_name, next.msg_namelen) = (ptr::null_mut(), 0);
            }
            // SAFETY: as libc's caller passed it, or the rest of that.
            let received = unsafe { syscall!(SYS_recvmsg, fd, &raw mut next, flags) }?;
            if done == 0 {
                message.msg_namelen = next.msg_namelen;
            }
            if received == 0 && done > 0 {
                return Ok(0);
            }
            has_descriptors = brings_descriptors(fd, &next);
            if is_room_ours {
                (next.msg_controllen, next.msg_flags) = (0, next.msg_flags | libc::MSG_CTRUNC);
            }
            message.msg_controllen = next.msg_controllen;
            message.msg_flags = next.msg_flags;
            Ok(received)
        };
        match parts {
            Some(parts) => parts.after(done, |rest, count| receive(rest.cast_mut(), count)),
            // Refused by the kernel.
            None => receive(wanted.msg_iov, wanted.msg_iovlen),
        }
    };
    let length = parts.map_or(0, Parts::length);
    if flags & libc::MSG_PEEK == 0 {
        if length == 0 {
            once(&mut wait, fd, flags, || true, |_| part(0))
        } else {
            wait.until_all(length, part)
        }
    } else {
        see(&mut wait, fd, length, part)
    }
}

/// Whether descriptors came along, or would have if there were room for them. Only a Unix socket has any; others leave
/// out times.
fn brings_descriptors(fd: c_int, message: &msghdr) -> bool {
    control(message, libc::SCM_RIGHTS).is_some()
        || message.msg_flags & libc::MSG_CTRUNC != 0
            && file::Errors::of(fd) == file::Errors::TakenByUnix
}

/// Control data of the socket's own level and of this kind, in a message that the kernel has read or filled.
pub(crate) fn control(message: &msghdr, kind: c_int) -> Option<*const cmsghdr> {
    // SAFETY: the kernel has been at the message's control bytes.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !next.is_null() {
        // SAFETY: not null, so inside the control bytes.
        let control = unsafe { next.read_unaligned() };
        if (control.cmsg_level, control.cmsg_type) == (libc::SOL_SOCKET, kind) {
            return Some(next);
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    None
}

/// Who wrote the first bytes of a call that is told of writers: the bytes of others are for the next call.
struct Writer(Option<[u32; 3]>);

impl Writer {
    /// Looks at the next byte. False if another wrote it, or if nobody will and there are bytes.
    fn wrote_next(&mut self, fd: c_int, done: usize) -> Result<bool> {
        let (mut byte, mut room) = (0u8, RoomForWriter::default());
        let mut part = iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        let mut message = no_message();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        room.lend(&mut message);
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        // SAFETY: all that is written to is ours.
        if unsafe { syscall!(SYS_recvmsg, fd, &raw mut message, flags) }? == 0 {
            return Ok(done == 0);
        }
        let next = control(&message, libc::SCM_CREDENTIALS).map(|control| {
            // SAFETY: three numbers, which the kernel has written there.
            unsafe { libc::CMSG_DATA(control).cast::<[u32; 3]>().read_unaligned() }
        });
        if done == 0 {
            self.0 = next;
        }
        Ok(self.0 == next)
    }
}

/// Room for word of a writer, and for no descriptor.
#[derive(Default)]
struct RoomForWriter([u64; 4]);

const _: () = {
    // SAFETY: says how much room there must be.
    let room = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) };
    assert!(room as usize == size_of::<RoomForWriter>(), "as much as one writer needs");
};

impl RoomForWriter {
    /// To a message that is used up before this is.
    fn lend(&mut self, message: &mut msghdr) {
        message.msg_control = self.0.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&self.0) as _;
    }
}

/// Looks at the bytes of a stream until there are enough (`MSG_PEEK | MSG_WAITALL`).
///
/// What was only looked at is still there, so the fd stays ready; what is missing is waited for by
/// looking again. Unix sockets only wait for the first bytes.
fn see(wait: &mut Wait, fd: c_int, length: usize, mut part: impl FnMut(usize) -> Result) -> Result {
    let mut seen = once(wait, fd, 0, || length == 0, |_| part(0))?;
    if file::Errors::of(fd) != file::Errors::Kept {
        return Ok(seen);
    }
    while 0 < seen && seen < length && !file::ends_look(fd) && wait.pause().is_ok() {
        match part(0) {
            Ok(now) => seen = now,
            Err(_) => break,
        }
    }
    Ok(seen)
}

/// A blocking receive of messages ends, with nothing, when the reading side was shut down; one that does not wait
/// hears "would block" for ever. So who hears it again, after the fd was said to be ready, asks, and
/// makes the blocking call, which ends at once.
pub(crate) fn end_of_messages(
    fd: c_int,
    flags: c_int,
    mut receive: impl FnMut(c_int) -> Result,
) -> impl FnMut() -> Result {
    let mut waited = false;
    move || match receive(flags | libc::MSG_DONTWAIT) {
        Err(Errno::AGAIN) if waited && file::is_shut(fd) => receive(flags),
        Err(Errno::AGAIN) => {
            waited = true;
            Err(Errno::AGAIN)
        }
        received => received,
    }
}

unsafe fn receive_message(here: Here, fd: c_int, message: *mut msghdr, flags: c_int) -> Green {
    if file::is_standard(fd) || never_waits(fd, flags) || message.is_null() {
        return Green::Pass;
    }
    if flags & libc::MSG_WAITALL != 0 && file::is_stream(fd) {
        // SAFETY: libc's caller passes a message header, and nobody else has it meanwhile.
        return fill(here, fd, unsafe { &mut *message }, flags).into();
    }
    let mut wait = Wait::new(here, fd, Interest::Read);
    // The kernel writes back lengths and flags only when there is a message.
    // SAFETY: as libc's caller passed it.
    let receive = |flags| unsafe { syscall!(SYS_recvmsg, fd, message, flags) };
    // SAFETY: the kernel has read the header and its parts, and found them to be some.
    let wants_nothing = || unsafe {
        Parts::new((*message).msg_iov, (*message).msg_iovlen as c_int)
            .is_some_and(|parts| parts.length() == 0)
    };
    let received = once(&mut wait, fd, flags, wants_nothing, receive);
    if received == Ok(0) && wants_nothing() && is_heedless(fd) {
        // Nothing was received, and so nothing written back.
        // SAFETY: as above.
        let message = unsafe { &mut *message };
        (message.msg_namelen, message.msg_controllen, message.msg_flags) = (0, 0, 0);
    }
    received.into()
}

/// Reads from any fd.
unsafe fn read_parts(here: Here, fd: c_int, parts: *const iovec, count: c_int) -> Green {
    // SAFETY: libc's caller answers for the parts.
    let Some(all) = (unsafe { Parts::new(parts, count) }) else { return Green::Pass };
    // A length that is a negative number is refused by each call in its own way.
    if file::is_standard(fd) || all.length() == 0 || all.length() > isize::MAX as usize {
        return Green::Pass;
    }
    let mut wait = Wait::new(here, fd, Interest::Read);
    let mut message = no_message();
    message.msg_iov = parts.cast_mut();
    message.msg_iovlen = count as usize;
    // SAFETY: the caller's parts.
    let receive = |flags| unsafe { syscall!(SYS_recvmsg, fd, &raw mut message, flags) };
    let received = wait.until_done(end_of_messages(fd, 0, receive));
    if received != Err(Errno::NOTSOCK) {
        return received.into();
    }
    if !file::can_wait(fd) {
        return Green::Pass;
    }
    // SAFETY: the caller's parts; -1 is the file's own place.
    let now =
        || unsafe { syscall!(SYS_preadv2, fd, parts, count, -1isize, 0usize, libc::RWF_NOWAIT) };
    match wait.until_done(now) {
        Err(Errno::OPNOTSUPP) => {}
        done => return done.into(),
    }
    // The file knows no such flag. Then `poll` is believed; if another reader is faster after it, the OS thread
    // waits in the kernel.
    let after_look = || match file::is_ready(fd, Interest::Read, Duration::ZERO)? {
        // SAFETY: the caller's parts.
        true => unsafe { syscall!(SYS_readv, fd, parts, count) },
        false if file::has_no_writer(fd) => Ok(0),
        false => Err(Errno::AGAIN),
    };
    wait.until_done(after_look).into()
}
