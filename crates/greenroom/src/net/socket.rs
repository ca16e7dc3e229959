//! What every green socket is besides: an fd, a std type in disguise.
//!
//! Only conversions; no call in here waits.

/// Conversions from and into the std type, and access to the fd.
macro_rules! std_shaped {
    ($green:ty, $std:ty) => {
        impl $green {
            /// Takes a std socket, which becomes non-blocking for the kernel.
            ///
            /// # Errors
            ///
            /// What the kernel says if that cannot be done.
            pub fn from_std(socket: $std) -> std::io::Result<Self> {
                Ok(Self { inner: $crate::io::Descriptor::new(socket)? })
            }

            /// Gives the std socket back, blocking again unless it was set non-blocking.
            ///
            /// This is the way to another OS thread: a green socket is not `Send`.
            pub fn into_std(self) -> $std {
                self.inner.into_file()
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
    };
}

/// `Read` and `Write` for a type whose shared reference has them.
macro_rules! read_write_by_value {
    ($green:ty) => {
        impl std::io::Read for $green {
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

pub(super) use {read_write_by_value, std_shaped};
