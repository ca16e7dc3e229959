//! What green sockets have in common besides what they carry: an fd, a std type in disguise,
//! timeouts, options.
//!
//! No call in here waits.

/// Conversions from and into the std type, access to the fd, and what every socket can be asked.
macro_rules! std_shaped {
    ($green:ty, $std:ty, $address:ty) => {
        impl $green {
            /// Takes a std socket, which becomes non-blocking for the kernel. Its timeouts are
            /// kept, its mode is not: calls wait, whatever it was.
            ///
            /// Costs three system calls.
            ///
            /// # Errors
            ///
            /// What the kernel says if that cannot be done.
            pub fn from_std(socket: $std) -> std::io::Result<Self> {
                let inner = $crate::io::Descriptor::new(socket)?;
                $crate::net::socket::take_over_timeouts(&inner)?;
                Ok(Self { inner })
            }

            /// Gives the std socket back with its timeouts, blocking again unless it was set
            /// non-blocking. Costs three system calls, four if it has waited.
            ///
            /// This is the way to another OS thread: a green socket is not `Send`. The mode
            /// belongs to the socket and not to the handle, so a clone that stays green must not
            /// accept, which would block the OS thread; its reads and writes wait greenly as ever.
            pub fn into_std(self) -> $std {
                $crate::net::socket::hand_over_timeouts(&self.inner);
                self.inner.into_file()
            }

            /// Another handle of the same socket. Timeouts and mode are shared, as in std.
            ///
            /// # Errors
            ///
            /// If no fds are left.
            pub fn try_clone(&self) -> std::io::Result<Self> {
                Ok(Self { inner: self.inner.duplicate(self.inner.file().try_clone()?) })
            }

            /// Our own address, with what the system chose.
            ///
            /// # Errors
            ///
            /// What the kernel says.
            pub fn local_addr(&self) -> std::io::Result<$address> {
                self.inner.file().local_addr()
            }

            /// The error the socket met since this was last asked (`SO_ERROR`).
            ///
            /// # Errors
            ///
            /// What the kernel says if it cannot be asked.
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.inner.file().take_error()
            }

            /// Calls `op`, and whenever it says "would block" waits until the socket is ready for
            /// `interest`, then calls it again; as long as this direction's timeout allows. For
            /// calls that this type does not have.
            ///
            /// Each time `op` should make one call that does not block, and return its error as it
            /// is. What it has done before it says "would block" it does again.
            ///
            /// # Errors
            ///
            /// What `op` returns, if that is not "would block" or "interrupted"; and what waiting
            /// can end with, as for [`trampoline`](crate::io::trampoline).
            pub fn when_ready<T>(
                &self,
                interest: $crate::io::Interest,
                op: impl FnMut(&$std) -> std::io::Result<T>,
            ) -> std::io::Result<T> {
                self.inner.when_file_ready(interest, op)
            }

            /// Whether calls fail with [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead of
            /// waiting. Holds for clones too. Costs no system call.
            ///
            /// # Errors
            ///
            /// None; the type is std's.
            pub fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
                self.inner.set_nonblocking(nonblocking);
                Ok(())
            }
        }

        impl TryFrom<$std> for $green {
            type Error = std::io::Error;

            fn try_from(socket: $std) -> std::io::Result<Self> {
                Self::from_std(socket)
            }
        }

        impl From<$green> for $std {
            fn from(socket: $green) -> $std {
                socket.into_std()
            }
        }

        impl From<$green> for std::os::fd::OwnedFd {
            fn from(socket: $green) -> std::os::fd::OwnedFd {
                socket.into_std().into()
            }
        }

        impl TryFrom<std::os::fd::OwnedFd> for $green {
            type Error = std::io::Error;

            fn try_from(fd: std::os::fd::OwnedFd) -> std::io::Result<Self> {
                Self::from_std(fd.into())
            }
        }

        impl std::os::fd::AsFd for $green {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.inner.file().as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $green {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.inner.file().as_raw_fd()
            }
        }

        impl std::os::fd::IntoRawFd for $green {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                self.into_std().into_raw_fd()
            }
        }
    };
}

/// The timeouts of a socket that carries data.
macro_rules! data_timeouts {
    ($green:ty) => {
        impl $green {
            /// How long a read may wait; `None`: for ever. One that waits longer fails with
            /// [`TimedOut`](std::io::ErrorKind::TimedOut) and takes nothing: what comes later can
            /// still be read. Holds for clones too. Costs no system call.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if the time is zero.
            pub fn set_read_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                let timeout = $crate::net::socket::some_time(timeout)?;
                self.inner.set_timeout(greenroom_hub::Interest::Read, timeout);
                Ok(())
            }

            /// How long a write may wait; `None`: for ever. One that waits longer fails with
            /// [`TimedOut`](std::io::ErrorKind::TimedOut) and has written nothing. Holds for
            /// clones too. Costs no system call.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if the time is zero.
            pub fn set_write_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                let timeout = $crate::net::socket::some_time(timeout)?;
                self.inner.set_timeout(greenroom_hub::Interest::Write, timeout);
                Ok(())
            }

            /// How long a read may wait.
            ///
            /// # Errors
            ///
            /// None; the type is std's.
            pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                Ok(self.inner.timeout(greenroom_hub::Interest::Read))
            }

            /// How long a write may wait.
            ///
            /// # Errors
            ///
            /// None; the type is std's.
            pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                Ok(self.inner.timeout(greenroom_hub::Interest::Write))
            }
        }
    };
}

/// The timeout of a socket that accepts connections, and the iterator over them.
macro_rules! accepting {
    ($green:ty) => {
        impl $green {
            /// How long [`accept`](Self::accept) may wait; `None`: for ever. One that waits longer
            /// fails with [`TimedOut`](std::io::ErrorKind::TimedOut). Std has no such call. Holds
            /// for clones too.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if the time is zero.
            pub fn set_accept_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                let timeout = $crate::net::socket::some_time(timeout)?;
                self.inner.set_timeout(greenroom_hub::Interest::Read, timeout);
                Ok(())
            }

            /// How long [`accept`](Self::accept) may wait.
            pub fn accept_timeout(&self) -> Option<std::time::Duration> {
                self.inner.timeout(greenroom_hub::Interest::Read)
            }

            /// Connections, one after the other, for ever. Each is an [`accept`](Self::accept),
            /// with its errors; after one the next may be fine.
            pub fn incoming(&self) -> $crate::net::Incoming<'_, Self> {
                $crate::net::Incoming::new(self)
            }
        }

        impl<'a> IntoIterator for &'a $green {
            type Item = <$crate::net::Incoming<'a, $green> as Iterator>::Item;
            type IntoIter = $crate::net::Incoming<'a, $green>;

            fn into_iter(self) -> $crate::net::Incoming<'a, $green> {
                self.incoming()
            }
        }
    };
}

/// The other side, and ending the talk with it.
macro_rules! connected {
    ($green:ty, $address:ty) => {
        impl $green {
            /// The other side's address.
            ///
            /// # Errors
            ///
            /// [`NotConnected`](std::io::ErrorKind::NotConnected) if there is no other side.
            pub fn peer_addr(&self) -> std::io::Result<$address> {
                self.inner.file().peer_addr()
            }

            /// Ends one direction, or both. Whoever waits in it wakes: a read returns 0, a write
            /// fails with [`BrokenPipe`](std::io::ErrorKind::BrokenPipe).
            ///
            /// # Errors
            ///
            /// [`NotConnected`](std::io::ErrorKind::NotConnected) if there is no other side.
            pub fn shutdown(&self, how: std::net::Shutdown) -> std::io::Result<()> {
                self.inner.file().shutdown(how)
            }
        }
    };
}

/// The hop limit of an internet socket.
macro_rules! hop_limit {
    ($green:ty) => {
        impl $green {
            /// How many routers a packet may pass (`IP_TTL`).
            ///
            /// # Errors
            ///
            /// What the kernel says; it allows 1 to 255.
            pub fn set_ttl(&self, ttl: u32) -> std::io::Result<()> {
                self.inner.file().set_ttl(ttl)
            }

            /// How many routers a packet may pass.
            ///
            /// # Errors
            ///
            /// What the kernel says.
            pub fn ttl(&self) -> std::io::Result<u32> {
                self.inner.file().ttl()
            }
        }
    };
}

/// `Read` and `Write` of a stream, each for the shared reference and the value. What may be
/// concluded from a short read differs: `$receive` and `$receive_parts` name the methods of
/// [`Descriptor`](crate::io::Descriptor) that know.
macro_rules! read_write {
    ($green:ty, $receive:ident, $receive_parts:ident) => {
        impl std::io::Read for &$green {
            #[inline]
            fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
                self.inner.$receive(bytes)
            }

            fn read_vectored(
                &mut self,
                parts: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                self.inner.$receive_parts(parts)
            }
        }

        impl std::io::Write for &$green {
            #[inline]
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.inner.send(bytes)
            }

            fn write_vectored(&mut self, parts: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.inner.send_parts(parts)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl std::io::Read for $green {
            #[inline]
            fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(bytes)
            }

            fn read_vectored(
                &mut self,
                parts: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                (&*self).read_vectored(parts)
            }
        }

        impl std::io::Write for $green {
            #[inline]
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                (&*self).write(bytes)
            }

            fn write_vectored(&mut self, parts: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(parts)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

pub(super) use {accepting, connected, data_timeouts, hop_limit, read_write, std_shaped};

use std::{fmt, io, os::fd::AsFd, time::Duration};

use greenroom_hub::Interest;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::io::Descriptor;

/// How a socket of ours is opened: closed by `exec`, and never blocking.
pub(super) const OPEN_FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// How many connections the kernel keeps for a listener that has not accepted them yet: as many as
/// `/proc/sys/net/core/somaxconn` allows, and a server under load wants.
pub(super) const BACKLOG: i32 = 4096;

/// A socket that is neither bound nor connected.
pub(super) fn open<S: From<rustix::fd::OwnedFd> + AsFd>(
    family: AddressFamily,
    kind: SocketType,
) -> io::Result<Descriptor<S>> {
    let socket = rustix::net::socket_with(family, kind, OPEN_FLAGS, None)?;
    Ok(Descriptor::already_nonblocking(socket.into()))
}

/// A time for a timeout: zero would mean "for ever" to the kernel, so std refuses it, and so does
/// this.
pub(super) fn some_time(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a timeout of zero is refused; give None to wait for ever",
        ));
    }
    Ok(timeout)
}

/// Tells what it was that timed out, where a wait of ours did. The kernel's own `ETIMEDOUT` is left
/// as it is.
pub(super) fn name_timeout(error: io::Error, what: fmt::Arguments<'_>) -> io::Error {
    if error.kind() != io::ErrorKind::TimedOut || error.raw_os_error().is_some() {
        return error;
    }
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} timed out"))
}

const DIRECTIONS: [(Interest, sockopt::Timeout); 2] =
    [(Interest::Read, sockopt::Timeout::Recv), (Interest::Write, sockopt::Timeout::Send)];

/// The timeouts that the kernel keeps for blocking calls become ours.
pub(super) fn take_over_timeouts<S: AsFd>(inner: &Descriptor<S>) -> io::Result<()> {
    for (interest, id) in DIRECTIONS {
        if let Some(timeout) = sockopt::socket_timeout(inner.file(), id)? {
            inner.set_timeout(interest, Some(timeout));
        }
    }
    Ok(())
}

/// Our timeouts become the kernel's again.
pub(super) fn hand_over_timeouts<S: AsFd>(inner: &Descriptor<S>) {
    for (interest, id) in DIRECTIONS {
        // Refused only of what is no socket, and such a thing has no timeouts to lose.
        let _ = sockopt::set_socket_timeout(inner.file(), id, inner.timeout(interest));
    }
}
