//! What is in a directory.
//!
//! Read at once, on a helper: an iterator that went there for each entry would cost more than the
//! reading. Never opens what it lists.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::fs::DirEntryExt,
    path::{Path, PathBuf},
    vec,
};

use crate::fs::{FileType, Metadata, symlink_metadata, with_path};

/// What is in a directory, in no order, without `.` and `..`.
///
/// The whole directory is read before this returns: what is made or removed afterwards is not
/// seen, and the iterator does not wait. Memory is some hundred bytes for an entry. No fd stays open.
///
/// # Errors
///
/// [std's](std::fs::read_dir); for all else see [the module](super).
///
/// # Examples
///
/// ```
/// let mut names = Vec::new();
/// for entry in greenroom::fs::read_dir("/proc/self")? {
///     names.push(entry?.file_name());
/// }
/// assert!(names.iter().any(|name| name == "status"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let entries = with_path(path, |path| {
        let entries = std::fs::read_dir(path)?;
        Ok(entries.map(|entry| entry.map(|entry| DirEntry::new(&entry))).collect::<Vec<_>>())
    })?;
    Ok(ReadDir { entries: entries.into_iter() })
}

/// The entries of a directory. Made by [`read_dir`].
///
/// An entry that could not be read is an error in its place.
#[derive(Debug)]
pub struct ReadDir {
    entries: vec::IntoIter<io::Result<DirEntry>>,
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        self.entries.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

/// An entry of a directory, as it was when that was read.
#[derive(Clone, Debug)]
pub struct DirEntry {
    path: PathBuf,
    file_type: Option<FileType>,
    number: u64,
}

impl DirEntry {
    fn new(entry: &std::fs::DirEntry) -> DirEntry {
        // What it is mostly stands in the directory; else whoever wants to know asks, and hears why
        // it cannot be known.
        DirEntry { path: entry.path(), file_type: entry.file_type().ok(), number: entry.ino() }
    }

    /// The directory's path, as it was given, and the name.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::fs;
    ///
    /// let folder = std::env::temp_dir().join(format!("greenroom-doc-entry-{}", std::process::id()));
    /// fs::create_dir(&folder)?;
    /// fs::write(folder.join("file"), "four")?;
    /// let entry = fs::read_dir(&folder)?.next().unwrap()?;
    /// assert_eq!((entry.path(), entry.file_name()), (folder.join("file"), "file".into()));
    /// assert!(entry.file_type()?.is_file() && entry.ino() > 0);
    /// assert_eq!(entry.metadata()?.len(), 4);
    /// fs::remove_dir_all(folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The name.
    pub fn file_name(&self) -> OsString {
        self.name().to_owned()
    }

    fn name(&self) -> &OsStr {
        self.path.file_name().expect("what is in a directory has a name")
    }

    /// Whether it is a file, a directory, a link. Mostly known without asking.
    ///
    /// # Errors
    ///
    /// As [`symlink_metadata`], if it has to be asked for.
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(known) => Ok(known),
            None => self.metadata().map(|metadata| metadata.file_type()),
        }
    }

    /// What is known of the file; of the link itself, if it is a symbolic one.
    ///
    /// # Errors
    ///
    /// As [`symlink_metadata`].
    pub fn metadata(&self) -> io::Result<Metadata> {
        symlink_metadata(&self.path)
    }

    /// The number of its inode.
    pub fn ino(&self) -> u64 {
        self.number
    }
}
