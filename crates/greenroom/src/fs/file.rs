//! An open file, whose calls are done on helper OS threads.
//!
//! Each call shares the file with its helper and gives it a buffer of its own, for the helper may
//! still be at work when the caller has been thrown out. Knows no paths.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::fs::FileExt,
    },
    path::Path,
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    fs::{FileTimes, Metadata, OpenOptions, Permissions, TryLockError, on_helper, with_path},
    io::Descriptor,
};

/// How many bytes cross to a helper at a time, at most.
const CHUNK_MAX: usize = 256 * 1024;

/// An open file.
///
/// For what calls cost, and what becomes of them when the caller is thrown out, see
/// [the module](super). Reads and writes move the position, which all handles of the same open file
/// share: two green threads that read one file at once each get some of it. [`read_at`](File::read_at) and
/// [`write_at`](File::write_at) leave it alone.
///
/// After a read or write that was thrown out, nobody knows where the position is: [`seek`](Seek::seek)
/// before the next one.
///
/// Dropping the last handle closes the file, on whatever OS thread that happens: mostly at once, on a
/// network file system when it has written what it kept. As in std an error of that is lost; call
/// [`sync_all`](File::sync_all) to hear of it.
///
/// # Examples
///
/// ```
/// use greenroom::fs::{self, File};
/// use std::io::{BufRead, BufReader, Write};
///
/// let path = std::env::temp_dir().join(format!("greenroom-doc-file-{}", std::process::id()));
/// let mut file = File::create(&path)?;
/// file.write_all(b"one\ntwo\n")?;
/// file.sync_all()?;
/// let lines: Result<Vec<_>, _> = BufReader::new(File::open(&path)?).lines().collect();
/// assert_eq!(lines?, ["one", "two"]);
/// fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct File {
    /// Shared with helpers for the time of a call.
    inner: Arc<std::fs::File>,
}

impl File {
    /// Opens a file to read.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::open).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::fs::File;
    ///
    /// let missing = File::open("/no/such/file").unwrap_err();
    /// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    /// ```
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        with_path(path, |path| std::fs::File::open(path).map(File::from_std))
    }

    /// Opens a file to write, which is made, or emptied if it is there.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::create).
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        with_path(path, |path| std::fs::File::create(path).map(File::from_std))
    }

    /// Makes a file to read and write; one that is there is an error.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::create_new).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{ErrorKind, Read, Seek, Write};
    /// use greenroom::fs::{self, File};
    ///
    /// let path = std::env::temp_dir().join(format!("greenroom-doc-new-{}", std::process::id()));
    /// let mut file = File::create_new(&path)?;
    /// file.write_all(b"new")?;
    /// assert_eq!(File::create_new(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// file.rewind()?;
    /// let mut text = String::new();
    /// file.read_to_string(&mut text)?;
    /// assert_eq!(text, "new");
    /// fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        with_path(path, |path| std::fs::File::create_new(path).map(File::from_std))
    }

    /// Opens a file in another way.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use greenroom::fs::{self, File};
    ///
    /// let path = std::env::temp_dir().join(format!("greenroom-doc-append-{}", std::process::id()));
    /// for word in ["one ", "two"] {
    ///     File::options().append(true).create(true).open(&path)?.write_all(word.as_bytes())?;
    /// }
    /// assert_eq!(fs::read_to_string(&path)?, "one two");
    /// fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes a std file. Costs an allocation.
    pub fn from_std(file: std::fs::File) -> File {
        File { inner: Arc::new(file) }
    }

    /// Gives the std file back; a duplicate of it, if a call that was thrown out is still at work.
    ///
    /// # Errors
    ///
    /// If a duplicate is needed and no fds are left.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::fs::File;
    ///
    /// let file = File::from_std(std::fs::File::open("/dev/null")?);
    /// let std: std::fs::File = file.into_std()?;
    /// assert!(!std.metadata()?.is_file());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_std(self) -> io::Result<std::fs::File> {
        Arc::try_unwrap(self.inner).or_else(|shared| shared.try_clone())
    }

    /// Does a call on a helper.
    fn call<T, F>(&self, call: F) -> io::Result<T>
    where
        F: FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let file = Arc::clone(&self.inner);
        on_helper(move || call(&file))
    }

    /// Has a helper fill a buffer, and copies what came.
    fn fill<F>(&self, bytes: &mut [u8], read: F) -> io::Result<usize>
    where
        F: FnOnce(&std::fs::File, &mut [u8]) -> io::Result<usize> + Send + 'static,
    {
        if bytes.is_empty() {
            return Ok(0);
        }
        let room = bytes.len().min(CHUNK_MAX);
        let read = self.call(move |file| {
            let mut buffer = vec![0; room];
            let count = read(file, &mut buffer)?;
            buffer.truncate(count);
            Ok(buffer)
        })?;
        bytes[..read.len()].copy_from_slice(&read);
        Ok(read.len())
    }

    /// Gives a helper a copy of what is to be written.
    fn hand_over<F>(&self, bytes: &[u8], write: F) -> io::Result<usize>
    where
        F: FnOnce(&std::fs::File, &[u8]) -> io::Result<usize> + Send + 'static,
    {
        if bytes.is_empty() {
            return Ok(0);
        }
        let bytes = bytes[..bytes.len().min(CHUNK_MAX)].to_vec();
        self.call(move |file| write(file, &bytes))
    }

    /// Reads from `offset` bytes after the beginning, and leaves the position where it is. 0 at the end
    /// of the file.
    ///
    /// # Errors
    ///
    /// [std's](FileExt::read_at).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::fs::{self, File};
    ///
    /// let path = std::env::temp_dir().join(format!("greenroom-doc-at-{}", std::process::id()));
    /// fs::write(&path, "0123456789")?;
    /// let mut bytes = [0; 4];
    /// assert_eq!(File::open(&path)?.read_at(&mut bytes, 5)?, 4);
    /// assert_eq!(&bytes, b"5678");
    /// fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fill(bytes, move |file, bytes| file.read_at(bytes, offset))
    }

    /// Writes from `offset` bytes after the beginning, and leaves the position where it is. May write a
    /// part.
    ///
    /// # Errors
    ///
    /// [std's](FileExt::write_at).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::fs::{self, File};
    ///
    /// let path = std::env::temp_dir().join(format!("greenroom-doc-at-{}", std::process::id()));
    /// let file = File::create_new(&path)?;
    /// assert_eq!(file.write_at(b"hello", 3)?, 5);
    /// let mut bytes = [1; 16];
    /// assert_eq!(file.read_at(&mut bytes, 2)?, 6);
    /// assert_eq!(&bytes[..6], b"\0hello");
    /// fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.hand_over(bytes, move |file, bytes| file.write_at(bytes, offset))
    }

    /// Waits until all that was written, and what is known of the file, is on the disk.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::sync_all).
    pub fn sync_all(&self) -> io::Result<()> {
        self.call(std::fs::File::sync_all)
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::sync_data).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use greenroom::fs::{self, File};
    ///
    /// let path = std::env::temp_dir().join(format!("greenroom-doc-sync-{}", std::process::id()));
    /// let mut file = File::create(&path)?;
    /// file.write_all(b"safe")?;
    /// file.sync_data()?;
    /// # fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn sync_data(&self) -> io::Result<()> {
        self.call(std::fs::File::sync_data)
    }

    /// Cuts the file off, or lengthens it by zeros.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::set_len).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{fs::FileTimes, os::unix::fs::PermissionsExt, time::{Duration, SystemTime}};
    /// use greenroom::fs::{self, File};
    ///
    /// let path = std::env::temp_dir().join(format!("greenroom-doc-set-{}", std::process::id()));
    /// let file = File::create(&path)?;
    /// file.set_len(4096)?;
    /// let mut permissions = file.metadata()?.permissions();
    /// permissions.set_mode(0o600);
    /// file.set_permissions(permissions)?;
    /// let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    /// file.set_times(FileTimes::new().set_modified(then))?;
    ///
    /// let now = file.metadata()?;
    /// assert_eq!((now.len(), now.modified()?), (4096, then));
    /// assert_eq!(now.permissions().mode() & 0o777, 0o600);
    /// fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.call(move |file| file.set_len(bytes))
    }

    /// What is known of the file.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::metadata).
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.call(std::fs::File::metadata)
    }

    /// Sets who may do what with the file.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::set_permissions).
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.call(move |file| file.set_permissions(permissions))
    }

    /// Sets when the file was read and changed last.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::set_times).
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.call(move |file| file.set_times(times))
    }

    /// Another handle of the same open file: position and lock are shared. Costs one system call.
    ///
    /// # Errors
    ///
    /// If no fds are left.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use greenroom::fs::{self, File};
    ///
    /// let path = std::env::temp_dir().join(format!("greenroom-doc-clone-{}", std::process::id()));
    /// fs::write(&path, "abcd")?;
    /// let (mut first, mut bytes) = (File::open(&path)?, [0; 2]);
    /// let mut second = first.try_clone()?;
    /// first.read_exact(&mut bytes)?;
    /// second.read_exact(&mut bytes)?;
    /// assert_eq!(&bytes, b"cd");
    /// fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone(&self) -> io::Result<File> {
        self.inner.try_clone().map(File::from_std)
    }

    /// Waits until nobody else has a lock on the file, and locks it, as
    /// [`std::fs::File::lock`] does: for all who ask, in this process or others.
    ///
    /// The kernel reports nothing when a lock is free, so this tries again and again, with pauses from
    /// 0.1 up to 10 ms: no helper is kept, which twenty waiters would otherwise use up. It is not first
    /// come, first served. Whoever is killed or out of time has no lock.
    ///
    /// Each try is a system call on the loop, which a network file system may hold up. Under virtual
    /// time a lock that another process has is tried for in pauses that take no time.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::lock). In a destructor that runs because of a panic, `WouldBlock` if it
    /// is not free.
    ///
    /// # Panics
    ///
    /// In a hub callback, if it is not free.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{fs::{self, File}, spawn};
    ///
    /// let path = std::env::temp_dir().join(format!("greenroom-doc-lock-{}", std::process::id()));
    /// let file = File::create(&path)?;
    /// file.lock()?;
    /// let other = File::open(&path)?;
    /// assert!(other.try_lock().is_err());
    /// let waiter = spawn(move || other.lock());
    /// greenroom::yield_now();
    /// file.unlock()?;
    /// waiter.join().unwrap()?;
    /// fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lock(&self) -> io::Result<()> {
        self.lock_when_free(FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits until nobody has the file for itself, and locks it together with others who share, as
    /// [`lock`](File::lock) does for one.
    ///
    /// # Errors
    ///
    /// As [`lock`](File::lock).
    ///
    /// # Panics
    ///
    /// As [`lock`](File::lock).
    pub fn lock_shared(&self) -> io::Result<()> {
        self.lock_when_free(FlockOperation::NonBlockingLockShared)
    }

    fn lock_when_free(&self, how: FlockOperation) -> io::Result<()> {
        Descriptor::already_nonblocking(&*self.inner).when_other_has_room(|file| flock(file, how))
    }

    /// Locks the file if nobody else has. One system call; never waits.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::try_lock).
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.inner.try_lock()
    }

    /// Locks the file together with others who share, if nobody has it for itself. One system call;
    /// never waits.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::try_lock_shared).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::fs::{self, File, TryLockError};
    ///
    /// let path = std::env::temp_dir().join(format!("greenroom-doc-share-{}", std::process::id()));
    /// let (first, second) = (File::create(&path)?, File::open(&path)?);
    /// first.lock_shared()?;
    /// second.try_lock_shared()?;
    /// second.unlock()?;
    /// first.unlock()?;
    /// second.try_lock()?;
    /// assert!(matches!(first.try_lock_shared(), Err(TryLockError::WouldBlock)));
    /// fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.inner.try_lock_shared()
    }

    /// Gives the lock up. One system call; never waits.
    ///
    /// # Errors
    ///
    /// [std's](std::fs::File::unlock).
    pub fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }
}

impl Read for &File {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.fill(bytes, |mut file, bytes| file.read(bytes))
    }

    /// In one call, whose buffer grows to the rest of the file.
    fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let (mut rest, outcome) = self.call(|mut file| {
            let mut rest = Vec::new();
            let outcome = file.read_to_end(&mut rest);
            Ok((rest, outcome))
        })?;
        bytes.append(&mut rest);
        outcome
    }

    fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        let rest = str::from_utf8(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        text.push_str(rest);
        Ok(rest.len())
    }
}

impl Write for &File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hand_over(bytes, |mut file, bytes| file.write(bytes))
    }

    /// Does nothing: what was written is with the kernel. See [`File::sync_all`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        // On a helper too: it waits for whoever is reading or writing at the position.
        self.call(move |mut file| file.seek(position))
    }
}

impl Read for File {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self).read(bytes)
    }

    fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(bytes)
    }

    fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(text)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        (&*self).seek(position)
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File::from_std(file)
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::from_std(fd.into())
    }
}

impl TryFrom<File> for std::fs::File {
    type Error = io::Error;

    fn try_from(file: File) -> io::Result<std::fs::File> {
        file.into_std()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}
