//! Any pollable fd as a green one: pipes, terminals, eventfds, sockets of other crates.
//!
//! Knows `read` and `write` and nothing of what the fd is.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

use crate::io::{Descriptor, Interest, PARTS_MAX};

/// A file whose reads and writes wait greenly.
///
/// The file is made non-blocking, which every other handle of the same open file shares: for
/// standard input and output that includes the shell that started the program. It stays so when
/// this is dropped; [`into_inner`](GreenFd::into_inner) makes it blocking again. Regular files are
/// always ready to the kernel, so reads from them block the OS thread as ever.
///
/// For what calls cost, in what order waiters are served and how waits end, see
/// [`net`](crate::net): it is the same here.
///
/// # Examples
///
/// A pipe:
///
/// ```
/// use std::io::{Read, Write, pipe};
/// use greenroom::io::GreenFd;
///
/// let (reader, writer) = pipe()?;
/// let mut reader = GreenFd::new(reader)?;
/// let mut writer = GreenFd::new(writer)?;
/// let received = greenroom::spawn(move || {
///     let mut text = String::new();
///     reader.read_to_string(&mut text).map(|_| text)
/// });
/// writer.write_all(b"hello")?;
/// drop(writer);
/// assert_eq!(received.join().unwrap()?, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::io::GreenFd<std::fs::File>>();
/// ```
#[derive(Debug)]
pub struct GreenFd<F: AsFd> {
    inner: Descriptor<F>,
}

impl<F: AsFd> GreenFd<F> {
    /// Takes a file and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// What the kernel says if that cannot be done.
    pub fn new(file: F) -> io::Result<GreenFd<F>> {
        Ok(GreenFd { inner: Descriptor::new(file)? })
    }

    /// Takes a file that was opened non-blocking.
    pub(crate) fn already_nonblocking(file: F) -> GreenFd<F> {
        GreenFd { inner: Descriptor::already_nonblocking(file) }
    }

    /// The same for a duplicate of this file. The two share their timeouts.
    pub(crate) fn duplicate(&self, duplicate: F) -> GreenFd<F> {
        GreenFd { inner: self.inner.duplicate(duplicate) }
    }

    /// The file. Calls on it may say "would block"; [`when_ready`](GreenFd::when_ready) makes them
    /// wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::Write, os::unix::net::UnixStream, time::Duration};
    /// use greenroom::io::GreenFd;
    ///
    /// let (here, mut there) = UnixStream::pair()?;
    /// let green = GreenFd::new(here)?;
    /// green.set_write_timeout(Some(Duration::from_secs(1)));
    /// assert_eq!((green.read_timeout(), green.write_timeout()), (None, Some(Duration::from_secs(1))));
    /// assert!(green.get_ref().peer_addr()?.is_unnamed());
    /// let here: UnixStream = green.into_inner();
    /// here.set_nonblocking(false)?;
    /// there.write_all(b"!")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_ref(&self) -> &F {
        self.inner.file()
    }

    /// Gives the file back, made blocking again.
    pub fn into_inner(self) -> F {
        self.inner.into_file()
    }

    /// How long a read may wait; `None`: for ever. A read that waits longer fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut) and takes nothing. With a time of zero a read takes
    /// what is there. Costs no system call.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::{ErrorKind, Read}, os::unix::net::UnixStream, time::Duration};
    /// use greenroom::io::GreenFd;
    ///
    /// let (here, _there) = UnixStream::pair()?;
    /// let mut here = GreenFd::new(here)?;
    /// here.set_read_timeout(Some(Duration::from_millis(1)));
    /// assert_eq!(here.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// assert_eq!(here.read_timeout(), Some(Duration::from_millis(1)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.inner.set_timeout(Interest::Read, timeout);
    }

    /// How long a write may wait, as [`set_read_timeout`](GreenFd::set_read_timeout) does for
    /// reads. One that times out has written nothing.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        self.inner.set_timeout(Interest::Write, timeout);
    }

    /// How long a read may wait.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.inner.timeout(Interest::Read)
    }

    /// How long a write may wait.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.inner.timeout(Interest::Write)
    }

    /// Calls `op`, and whenever it says "would block" waits until the file is ready for
    /// `interest`, then calls it again. For calls this type does not have.
    ///
    /// # Errors
    ///
    /// What `op` returns, if that is not "would block" or "interrupted"; and what waiting can end
    /// with, as for [`trampoline`](crate::io::trampoline).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io, os::unix::net::UnixDatagram, time::Duration};
    /// use greenroom::io::{GreenFd, Interest};
    ///
    /// let (here, there) = UnixDatagram::pair()?;
    /// let green = GreenFd::new(here)?;
    /// greenroom::spawn(move || there.send(b"hello").unwrap());
    /// let mut bytes = [0; 16];
    /// let count = green.when_ready(Interest::Read, |file| file.recv(&mut bytes))?;
    /// assert_eq!(&bytes[..count], b"hello");
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn when_ready<T>(
        &self,
        interest: Interest,
        op: impl FnMut(&F) -> io::Result<T>,
    ) -> io::Result<T> {
        self.inner.when_file_ready(interest, op)
    }
}

impl<F: AsFd> Read for &GreenFd<F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return self
                .inner
                .when_ready_if_needed(Interest::Read, |fd| rustix::io::read(fd, &mut *bytes));
        }
        self.inner.when_ready(Interest::Read, |fd| rustix::io::read(fd, &mut *bytes))
    }

    fn read_vectored(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if parts.iter().take(PARTS_MAX).all(|part| part.is_empty()) {
            return self.read(&mut []);
        }
        self.inner.when_ready(Interest::Read, |fd| rustix::io::readv(fd, parts))
    }
}

impl<F: AsFd> Write for &GreenFd<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return self
                .inner
                .when_ready_if_needed(Interest::Write, |fd| rustix::io::write(fd, bytes));
        }
        self.inner.when_ready(Interest::Write, |fd| rustix::io::write(fd, bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if parts.iter().take(PARTS_MAX).all(|part| part.is_empty()) {
            return self.write(&[]);
        }
        self.inner.when_ready(Interest::Write, |fd| rustix::io::writev(fd, parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: AsFd> Read for GreenFd<F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self).read(bytes)
    }

    fn read_vectored(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(parts)
    }
}

impl<F: AsFd> Write for GreenFd<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: AsFd> AsFd for GreenFd<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<F: AsFd> AsRawFd for GreenFd<F> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
