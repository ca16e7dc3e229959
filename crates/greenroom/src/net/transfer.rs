//! Bytes in and out of sockets.
//!
//! One system call each, through the loop in [`io`](crate::io). Knows no protocol.
//!
//! Every call says for itself that it must not block (`MSG_DONTWAIT`), although the socket is set
//! so: the setting belongs to the open file, and whoever holds a duplicate of it, even in another
//! process, may change it. And no call raises `SIGPIPE`, which a program that is not started by
//! std's runtime would die of.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, BorrowedFd},
};

use greenroom_hub::Interest;
use rustix::{
    io::Errno,
    net::{
        self as sys, RecvAncillaryBuffer, RecvFlags, RecvMsg, SendAncillaryBuffer, SendFlags,
        SocketAddrAny, addr::SocketAddrArg,
    },
};

use crate::io::{Descriptor, PARTS_MAX};

const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
const RECEIVE: RecvFlags = RecvFlags::DONTWAIT;

impl<S: AsFd> Descriptor<S> {
    /// Receives from a stream whose short reads mean nothing: it has borders inside.
    #[inline]
    pub(super) fn receive(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.when_ready(Interest::Read, |fd| receive(fd, bytes, RECEIVE))
    }

    pub(super) fn receive_parts(&self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let count = parts.len().min(PARTS_MAX);
        let parts = &mut parts[..count];
        // As `readv` does, which std calls: no room, no wait.
        if parts.iter().all(|part| part.is_empty()) {
            return Ok(0);
        }
        let received = self.when_ready(Interest::Read, |fd| {
            sys::recvmsg(fd, parts, &mut RecvAncillaryBuffer::default(), RECEIVE)
        });
        received.map(|RecvMsg { bytes, .. }| bytes)
    }

    /// Receives from a stream of bytes without borders: a short read has emptied it.
    #[inline]
    pub(super) fn receive_all_there_is(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let room = bytes.len();
        let count = self.receive(bytes)?;
        if 0 < count && count < room {
            self.note_short_read();
        }
        Ok(count)
    }

    pub(super) fn receive_all_there_is_in_parts(
        &self,
        parts: &mut [IoSliceMut<'_>],
    ) -> io::Result<usize> {
        let room = parts.iter().take(PARTS_MAX).map(|part| part.len()).sum();
        let count = self.receive_parts(parts)?;
        if 0 < count && count < room {
            self.note_short_read();
        }
        Ok(count)
    }

    /// Receives from a stream without taking.
    pub(super) fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.when_ready(Interest::Read, |fd| receive(fd, bytes, RECEIVE | RecvFlags::PEEK))
    }

    /// Receives a message. With [`PEEK`](RecvFlags::PEEK) it stays there.
    pub(super) fn receive_message(&self, bytes: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        self.when_ready(Interest::Read, |fd| match receive(fd, bytes, RECEIVE | flags) {
            Err(Errno::AGAIN) if self.is_shut_for_messages() => Ok(0),
            outcome => outcome,
        })
    }

    /// Receives a message and who sent it; `None` if the sender has no address.
    pub(super) fn receive_message_from(
        &self,
        bytes: &mut [u8],
        flags: RecvFlags,
    ) -> io::Result<(usize, Option<SocketAddrAny>)> {
        self.when_ready(Interest::Read, |fd| {
            match sys::recvfrom(fd, &mut *bytes, RECEIVE | flags) {
                Err(Errno::AGAIN) if self.is_shut_for_messages() => Ok((0, None)),
                outcome => outcome.map(|(_, count, sender)| (count, sender)),
            }
        })
    }

    /// Sends into a stream. Nothing fits even into a full one.
    #[inline]
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return self.when_ready_if_needed(Interest::Write, |fd| sys::send(fd, bytes, SEND));
        }
        self.send_message(bytes)
    }

    pub(super) fn send_parts(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let parts = &parts[..parts.len().min(PARTS_MAX)];
        if parts.iter().all(|part| part.is_empty()) {
            return self.send(&[]);
        }
        self.when_ready(Interest::Write, |fd| {
            sys::sendmsg(fd, parts, &mut SendAncillaryBuffer::default(), SEND)
        })
    }

    /// Sends a message, which may be an empty one.
    #[inline]
    pub(super) fn send_message(&self, bytes: &[u8]) -> io::Result<usize> {
        self.when_ready(Interest::Write, |fd| sys::send(fd, bytes, SEND))
    }

    pub(super) fn send_to(&self, bytes: &[u8], to: &impl SocketAddrArg) -> io::Result<usize> {
        self.when_ready(Interest::Write, |fd| sys::sendto(fd, bytes, SEND, to))
    }

    /// Sends to a socket of this machine, which may be full while ours is not.
    pub(super) fn send_to_neighbour(
        &self,
        bytes: &[u8],
        to: &impl SocketAddrArg,
    ) -> io::Result<usize> {
        self.when_other_has_room(|fd| sys::sendto(fd, bytes, SEND, to))
    }
}

#[inline]
fn receive(fd: BorrowedFd<'_>, bytes: &mut [u8], flags: RecvFlags) -> rustix::io::Result<usize> {
    sys::recv(fd, bytes, flags).map(|(_, count)| count)
}
