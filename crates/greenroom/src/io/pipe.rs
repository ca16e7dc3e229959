//! Pipes whose ends wait greenly.
//!
//! Knows the mode that each end is in, and for whom; reads and writes are [`GreenFd`]'s.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd},
    process::Stdio,
    time::Duration,
};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::io::GreenFd;

/// A pipe: what is written to one end is read from the other.
///
/// Both ends are closed by `exec`: a child process gets an end only through
/// [`Command`](crate::process::Command), as its standard input, output or error. Costs one system call.
///
/// # Errors
///
/// If no fds are left.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
///
/// let (mut reader, mut writer) = greenroom::io::pipe()?;
/// let received = greenroom::spawn(move || {
///     let mut text = String::new();
///     reader.read_to_string(&mut text).map(|_| text)
/// });
/// writer.write_all(b"hello")?;
/// drop(writer);
/// assert_eq!(received.join().unwrap()?, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok((
        PipeReader { inner: GreenFd::already_nonblocking(reader.into()) },
        PipeWriter { inner: GreenFd::already_nonblocking(writer.into()) },
    ))
}

/// The end of a pipe that is read from.
///
/// A read waits until somebody has written; it returns 0 when the pipe is empty and every writing end
/// is closed, those in child processes included. For what calls cost, in what order waiters are
/// served and how waits end, see [`net`](crate::net): it is the same here. A read that is thrown out of
/// its wait, or that times out, has taken nothing.
///
/// # The mode of the fd
///
/// This end is non-blocking for the kernel, which the other end does not share: whoever has that may
/// read or write it as they like. A [clone](PipeReader::try_clone) does share it, and so does whatever
/// process inherits this very end. Giving the end away (into its std type, an [`OwnedFd`], or a
/// [`Stdio`]) makes it blocking again, as its new owner expects; a clone that stays green blocks its
/// whole OS thread from then on, so give the clones away as well, or drop them.
///
/// It stays on its OS thread; into its std type it may leave:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::io::PipeReader>();
/// ```
#[derive(Debug)]
pub struct PipeReader {
    inner: GreenFd<io::PipeReader>,
}

/// The end of a pipe that is written to.
///
/// A write waits while the pipe is full (at first it holds 64 KiB); at most 4096 bytes are written all
/// at once or not at all, more may be written in part, so use `write_all`. What holds for the waits
/// and the mode of a [`PipeReader`] holds here too. A write that is thrown out of its wait, or that times
/// out, has written nothing, but a `write_all` may be thrown out in the middle.
///
/// # Errors
///
/// A write to a pipe that nobody can read from any more fails with
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe). The kernel sends `SIGPIPE` besides: Rust programs
/// ignore that signal unless told otherwise, but a program whose `main` is not Rust's, or that has
/// set the signal back to its default, is ended by it.
///
/// # Examples
///
/// ```
/// use std::io::{ErrorKind, Write};
///
/// let (reader, mut writer) = greenroom::io::pipe()?;
/// drop(reader);
/// assert_eq!(writer.write(b"?").unwrap_err().kind(), ErrorKind::BrokenPipe);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::io::PipeWriter>();
/// ```
#[derive(Debug)]
pub struct PipeWriter {
    inner: GreenFd<io::PipeWriter>,
}

impl PipeReader {
    /// How long a read may wait; `None`: for ever. A read that waits longer fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut) and takes nothing. With a time of zero a read takes what
    /// is there. Holds for clones too. Costs no system call.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::{ErrorKind, Read}, time::Duration};
    /// use greenroom::io::pipe;
    ///
    /// let (mut reader, _writer) = pipe()?;
    /// reader.set_read_timeout(Some(Duration::from_millis(1)));
    /// assert_eq!(reader.read_timeout(), Some(Duration::from_millis(1)));
    /// assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.inner.set_read_timeout(timeout);
    }

    /// How long a read may wait.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.inner.read_timeout()
    }
}

impl PipeWriter {
    /// How long a write may wait; `None`: for ever. A write that waits longer fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut) and has written nothing. Holds for clones too. Costs no
    /// system call.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::{ErrorKind, Write}, time::Duration};
    /// use greenroom::io::pipe;
    ///
    /// let (_reader, mut writer) = pipe()?;
    /// writer.set_write_timeout(Some(Duration::from_millis(1)));
    /// assert_eq!(writer.write_timeout(), Some(Duration::from_millis(1)));
    /// // More than there is room for.
    /// assert_eq!(writer.write_all(&[0; 1 << 20]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    /// How long a write may wait.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.inner.write_timeout()
    }
}

/// What both ends have in common: where they come from and where they go to.
macro_rules! end_of_pipe {
    ($green:ident, $std:ty) => {
        impl $green {
            /// Takes an end of a pipe, which becomes non-blocking for the kernel. If others share
            /// this very end, it does so for them. Costs one system call.
            ///
            /// # Errors
            ///
            /// What the kernel says if that cannot be done.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::io::{Read, Write};
            /// use greenroom::io::{PipeReader, PipeWriter};
            ///
            /// let (reader, writer) = std::io::pipe()?;
            /// let mut reader = PipeReader::from_std(reader)?;
            /// let writer = PipeWriter::from_std(writer)?;
            /// // Blocking again.
            /// let mut std = writer.into_std();
            /// std.write_all(b"!")?;
            /// let mut byte = [0];
            /// reader.try_clone()?.read_exact(&mut byte)?;
            /// drop(std);
            /// assert_eq!((byte, reader.read(&mut byte)?), (*b"!", 0));
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn from_std(end: $std) -> io::Result<$green> {
                Ok($green { inner: GreenFd::new(end)? })
            }

            /// Gives the end back, made blocking again. Costs one system call, two if it has waited.
            ///
            /// This is the way to another OS thread.
            pub fn into_std(self) -> $std {
                self.inner.into_inner()
            }

            /// Another handle of the same end. Its timeout is shared.
            ///
            /// # Errors
            ///
            /// If no fds are left.
            pub fn try_clone(&self) -> io::Result<$green> {
                Ok($green { inner: self.inner.duplicate(self.inner.get_ref().try_clone()?) })
            }
        }

        impl TryFrom<$std> for $green {
            type Error = io::Error;

            fn try_from(end: $std) -> io::Result<$green> {
                $green::from_std(end)
            }
        }

        impl TryFrom<OwnedFd> for $green {
            type Error = io::Error;

            fn try_from(fd: OwnedFd) -> io::Result<$green> {
                $green::from_std(fd.into())
            }
        }

        impl From<$green> for $std {
            fn from(end: $green) -> $std {
                end.into_std()
            }
        }

        impl From<$green> for OwnedFd {
            fn from(end: $green) -> OwnedFd {
                end.into_std().into()
            }
        }

        impl From<$green> for Stdio {
            fn from(end: $green) -> Stdio {
                end.into_std().into()
            }
        }

        impl AsFd for $green {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.inner.as_fd()
            }
        }

        impl AsRawFd for $green {
            fn as_raw_fd(&self) -> RawFd {
                self.inner.as_raw_fd()
            }
        }

        impl IntoRawFd for $green {
            fn into_raw_fd(self) -> RawFd {
                self.into_std().into_raw_fd()
            }
        }
    };
}

end_of_pipe!(PipeReader, io::PipeReader);
end_of_pipe!(PipeWriter, io::PipeWriter);

impl Read for &PipeReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        (&self.inner).read(bytes)
    }

    fn read_vectored(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&self.inner).read_vectored(parts)
    }
}

impl Read for PipeReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.read(bytes)
    }

    fn read_vectored(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.inner.read_vectored(parts)
    }
}

impl Write for &PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.inner).write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.inner).write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
