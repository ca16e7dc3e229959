//! Files and directories: std's functions, each done on a helper OS thread while the caller waits.
//!
//! The kernel calls a regular file always ready, and then holds whoever reads it until the disk has
//! answered. So there is nothing that a hub could wait for, and the calls are [`offload`](crate::offload)ed;
//! the hub goes on meanwhile.
//!
//! ```
//! use greenroom::fs;
//!
//! let folder = std::env::temp_dir().join(format!("greenroom-doc-fs-{}", std::process::id()));
//! fs::create_dir_all(folder.join("a/b"))?;
//! fs::write(folder.join("a/b/file"), "hello")?;
//! assert_eq!(fs::read_to_string(folder.join("a/b/file"))?, "hello");
//! fs::remove_dir_all(&folder)?;
//! assert!(!fs::exists(&folder)?);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What all calls have in common
//!
//! *Costs.* Each call takes two switches between OS threads, some tens of microseconds, where std's
//! takes one for what is in the page cache. So read and write much at a time: whole files by
//! [`read`] and [`write()`], others through [`BufReader`](std::io::BufReader) and
//! [`BufWriter`](std::io::BufWriter). Bytes cross in a buffer of their own, since a helper must never
//! touch one that its owner may be thrown out of: each is copied once more than by std, and a call of
//! [`File`] moves 256 KiB at most. What is sure to be quick may as well be done by std.
//!
//! *Order.* Calls wait for a free helper, first come, first served; there are twenty, unless
//! [`GREENROOM_OFFLOAD_THREADS`](crate::offload) says otherwise. Opening a named pipe keeps one until
//! somebody opens the other end. Calls that several green threads make at once are done in any order.
//!
//! *Kill and timeout.* Whoever is killed, or whose [time](crate::with_timeout) is over, leaves at once; what
//! it asked for is done all the same, perhaps later: a file is created, a byte written, the position of
//! a [`File`] moved, also after whatever that thread does next. What the call would have returned is
//! dropped; a file that it opened is closed. Buffers of the caller's are not written to.
//!
//! *Errors* are std's, with their errno.
//!
//! *Panics.* In a hub callback, which may not wait. In a destructor that runs because of a panic there
//! is no waiting: the call is done on this OS thread, which it holds.
//!
//! *Virtual time* stands still while somebody waits for a call: timeouts around it are not over then.
//!
//! Nothing here belongs to a hub: a [`File`] may go to another OS thread.
//!
//! `file` knows files that are open, this module paths; both know nothing of who waits.

mod directory;
mod file;
mod options;

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::offload::offload_named;

pub use directory::{DirEntry, ReadDir, read_dir};
pub use file::File;
pub use options::OpenOptions;
pub use std::fs::{FileTimes, FileType, Metadata, Permissions, TryLockError};

/// Does a call on a helper.
fn on_helper<T, F>(call: F) -> io::Result<T>
where
    F: FnOnce() -> io::Result<T> + Send + 'static,
    T: Send + 'static,
{
    offload_named(&"a call on a file", call)
}

/// Does a call with a path on a helper.
fn with_path<T: Send + 'static>(
    path: impl AsRef<Path>,
    call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.as_ref().to_owned();
    on_helper(move || call(&path))
}

/// Does a call with two paths on a helper.
fn with_paths<T: Send + 'static>(
    first: impl AsRef<Path>,
    second: impl AsRef<Path>,
    call: impl FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (first, second) = (first.as_ref().to_owned(), second.as_ref().to_owned());
    on_helper(move || call(&first, &second))
}

/// The bytes of a whole file, which are not copied once more.
///
/// ```
/// assert!(!greenroom::fs::read("/proc/self/comm")?.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::read); for all else see [the module](self).
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    with_path(path, |path| std::fs::read(path))
}

/// The text of a whole file, which is not copied once more.
///
/// ```
/// let status = greenroom::fs::read_to_string("/proc/self/status")?;
/// assert!(status.starts_with("Name:"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::read_to_string), `InvalidData` if it is not UTF-8; for all else see
/// [the module](self).
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    with_path(path, |path| std::fs::read_to_string(path))
}

/// Makes a file of these bytes, instead of one that was there. They are copied once; give it a
/// [`File`] and parts if that is too much at a time.
///
/// ```
/// greenroom::fs::write("/dev/null", "nothing")?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::write); for all else see [the module](self).
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let bytes = bytes.as_ref().to_owned();
    with_path(path, |path| std::fs::write(path, bytes))
}

/// Copies a file with its permissions, and returns how many bytes that were. They do not pass through
/// here.
///
/// ```
/// use greenroom::fs;
///
/// let copy = std::env::temp_dir().join(format!("greenroom-doc-copy-{}", std::process::id()));
/// let bytes = fs::copy("/proc/self/exe", &copy)?;
/// assert_eq!(bytes, fs::metadata(&copy)?.len());
/// fs::remove_file(&copy)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::copy); for all else see [the module](self).
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    with_paths(from, to, |from, to| std::fs::copy(from, to))
}

/// Gives a file another name, instead of one that was there.
///
/// ```
/// use greenroom::fs;
///
/// let old = std::env::temp_dir().join(format!("greenroom-doc-old-{}", std::process::id()));
/// fs::write(&old, "")?;
/// let new = old.with_extension("new");
/// fs::rename(&old, &new)?;
/// assert!(!fs::exists(&old)?);
/// fs::remove_file(&new)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::rename); for all else see [the module](self).
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    with_paths(from, to, |from, to| std::fs::rename(from, to))
}

/// Removes a file's name.
///
/// ```
/// let missing = greenroom::fs::remove_file("/no/such/file").unwrap_err();
/// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
/// ```
///
/// # Errors
///
/// [std's](std::fs::remove_file); for all else see [the module](self).
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_file(path))
}

/// Makes a directory, in one that is there.
///
/// ```
/// let taken = greenroom::fs::create_dir("/").unwrap_err();
/// assert_eq!(taken.kind(), std::io::ErrorKind::AlreadyExists);
/// ```
///
/// # Errors
///
/// [std's](std::fs::create_dir); for all else see [the module](self).
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    with_path(path, |path| std::fs::create_dir(path))
}

/// Makes a directory and those above it, as far as they are missing.
///
/// ```
/// greenroom::fs::create_dir_all("/")?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::create_dir_all); for all else see [the module](self).
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    with_path(path, |path| std::fs::create_dir_all(path))
}

/// Removes an empty directory.
///
/// ```
/// let missing = greenroom::fs::remove_dir("/no/such/folder").unwrap_err();
/// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
/// ```
///
/// # Errors
///
/// [std's](std::fs::remove_dir); for all else see [the module](self).
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_dir(path))
}

/// Removes a directory and all that is in it. Thrown out of it, the caller leaves while it goes on.
///
/// ```
/// let missing = greenroom::fs::remove_dir_all("/no/such/folder").unwrap_err();
/// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
/// ```
///
/// # Errors
///
/// [std's](std::fs::remove_dir_all); for all else see [the module](self).
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_dir_all(path))
}

/// What is known of a file; of the one that a symbolic link points to, if it is one.
///
/// ```
/// assert!(greenroom::fs::metadata("/")?.is_dir());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::metadata); for all else see [the module](self).
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    with_path(path, |path| std::fs::metadata(path))
}

/// What is known of a file; of the link itself, if it is a symbolic one.
///
/// ```
/// assert!(greenroom::fs::symlink_metadata("/proc/self")?.is_symlink());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::symlink_metadata); for all else see [the module](self).
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    with_path(path, |path| std::fs::symlink_metadata(path))
}

/// The absolute path without links in it.
///
/// ```
/// assert_eq!(greenroom::fs::canonicalize("/./dev/..")?.to_str(), Some("/"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::canonicalize); for all else see [the module](self).
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    with_path(path, |path| std::fs::canonicalize(path))
}

/// Gives a file a second name.
///
/// ```
/// let missing = greenroom::fs::hard_link("/no/such/file", "/tmp/other").unwrap_err();
/// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
/// ```
///
/// # Errors
///
/// [std's](std::fs::hard_link); for all else see [the module](self).
pub fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    with_paths(original, link, |original, link| std::fs::hard_link(original, link))
}

/// Where a symbolic link points to.
///
/// ```
/// let own = greenroom::fs::read_link("/proc/self")?;
/// assert_eq!(own.to_str(), Some(&*std::process::id().to_string()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::read_link); for all else see [the module](self).
pub fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    with_path(path, |path| std::fs::read_link(path))
}

/// Sets who may do what with a file.
///
/// ```
/// use greenroom::fs;
///
/// let path = std::env::temp_dir().join(format!("greenroom-doc-mode-{}", std::process::id()));
/// fs::write(&path, "")?;
/// let mut permissions = fs::metadata(&path)?.permissions();
/// permissions.set_readonly(true);
/// fs::set_permissions(&path, permissions)?;
/// assert!(fs::metadata(&path)?.permissions().readonly());
/// fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::set_permissions); for all else see [the module](self).
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    with_path(path, |path| std::fs::set_permissions(path, permissions))
}

/// Whether there is such a file. An answer is no promise: it may be gone by now.
///
/// ```
/// assert!(greenroom::fs::exists("/")?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [std's](std::fs::exists), if that cannot be known; for all else see [the module](self).
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    with_path(path, |path| std::fs::exists(path))
}
