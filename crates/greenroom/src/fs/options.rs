//! How a file is to be opened: std's options, and an `open` that waits greenly.
//!
//! Knows nothing of what is done with the file.

use std::{io, os::unix::fs::OpenOptionsExt, path::Path};

use crate::fs::{File, with_path};

/// How a file is to be opened, as [`std::fs::OpenOptions`] has it.
///
/// Setting options does nothing but that; only [`open`](OpenOptions::open) waits. What has no method
/// here is set on std's options, from which these are made.
///
/// # Examples
///
/// ```
/// use greenroom::fs::{self, OpenOptions};
/// use std::io::Write;
///
/// let path = std::env::temp_dir().join(format!("greenroom-doc-open-{}", std::process::id()));
/// let mut log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
/// log.write_all(b"one\n")?;
/// log.write_all(b"two\n")?;
/// assert_eq!(fs::read_to_string(&path)?, "one\ntwo\n");
/// fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    inner: std::fs::OpenOptions,
}

macro_rules! switches {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        $(
            $(#[doc = $doc])*
            pub fn $name(&mut self, $name: bool) -> &mut OpenOptions {
                self.inner.$name($name);
                self
            }
        )*
    };
}

impl OpenOptions {
    /// Nothing is allowed yet.
    // As in std, "no options" is no default that anybody would open a file with.
    #[expect(clippy::new_without_default)]
    pub fn new() -> OpenOptions {
        OpenOptions { inner: std::fs::OpenOptions::new() }
    }

    switches! {
        /// To read.
        read,
        /// To write.
        write,
        /// To write at the end, wherever that is by then.
        append,
        /// To empty the file first.
        truncate,
        /// To make the file if it is not there.
        create,
        /// To make the file, or fail if it is there.
        create_new,
    }

    /// Who may do what with a file that is made; less what the process's `umask` takes away.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::fs::PermissionsExt;
    /// use greenroom::fs::{self, OpenOptions};
    ///
    /// let path = std::env::temp_dir().join(format!("greenroom-doc-mode-{}", std::process::id()));
    /// let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    /// assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600);
    /// fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.inner.mode(mode);
        self
    }

    /// Further flags for `open(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::fs::OpenOptions;
    ///
    /// // It is a link, which shall not be followed.
    /// let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open("/proc/self/exe");
    /// assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::ELOOP));
    /// ```
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.inner.custom_flags(flags);
        self
    }

    /// Opens the file. If the caller is thrown out of it, the file is closed, but may have been made or
    /// emptied.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::OpenOptions::open); for all else see [the module](super).
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let options = self.inner.clone();
        with_path(path, move |path| options.open(path).map(File::from_std))
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(inner: std::fs::OpenOptions) -> OpenOptions {
        OpenOptions { inner }
    }
}
