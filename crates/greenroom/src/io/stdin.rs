//! Standard input, read greenly.
//!
//! The open file behind it belongs to others as well: to the shell, to whoever is at the other end
//! of a terminal, to processes started before and after. So its mode is left as it is, and each
//! read makes sure by itself that it does not block. Never writes.

use std::{
    io::{self, IoSliceMut, Read},
    mem,
    os::fd::BorrowedFd,
    sync::{Mutex, PoisonError},
};

use rustix::{
    event::Timespec,
    fs::{FileType, fstat},
    io::{Errno, ReadWriteFlags, preadv2},
};

use crate::io::{Interest, is_ready, when_foreign_ready};

/// How much one read asks for.
const CHUNK: usize = 8192;

/// A buffer that a long line has made larger is not kept.
const KEPT_MAX: usize = 64 * 1024;

/// Standard input of this process, whose reads wait greenly.
///
/// All handles are the same input. What was read ahead (for a line, up to 8 KiB beyond its end) is
/// kept for whoever reads next, on any OS thread. It is not seen by [`std::io::stdin`], which has a
/// buffer of its own: use one of the two.
///
/// Only one may read at a time: another call meanwhile, from any green thread or OS thread, fails
/// with [`ResourceBusy`](io::ErrorKind::ResourceBusy).
///
/// A reader that is killed, or whose [limit of time](crate::with_timeout) is over, has taken nothing:
/// the beginning of a line that has come already is there for the next, and what comes later is not
/// swallowed. A call panics in a hub callback, if it has to wait. In a destructor that runs because
/// of a panic a call that has to wait polls with its whole OS thread for a tenth of a second and then
/// fails with [`TimedOut`](io::ErrorKind::TimedOut).
///
/// The file is not made non-blocking, for that would change it for the shell and for every other
/// process that has it. A pipe or a socket is read by a call that says for itself that it must not
/// block (`RWF_NOWAIT`). Of a terminal, and before Linux 6.4 of a pipe, a read is preceded by a look
/// whether there is anything; if another process that shares the file takes it in between, the whole
/// OS thread waits for more. A regular file is read as ever: what is not in the page cache holds the
/// OS thread while the disk is read.
///
/// A read that finds bytes costs one to three system calls, a wait costs some more.
///
/// # Examples
///
/// ```
/// use std::io::Read;
///
/// let mut text = String::new();
/// greenroom::io::stdin().read_to_string(&mut text)?;
/// println!("{} bytes", text.len());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stdin(());

/// Standard input. Costs nothing; fails only when it is read.
///
/// # Examples
///
/// Greets whoever says who they are, for as long as they do:
///
/// ```
/// for name in greenroom::io::stdin().lines() {
///     println!("Hello, {}.", name?);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stdin() -> Stdin {
    Stdin(())
}

impl Stdin {
    /// Appends the next line to `line`, with its `\n`, and returns how many bytes that were; 0 at the
    /// end of input. The last line may lack the `\n`. Lines may be of any length: whoever does not
    /// trust the other side reads through [`take`](Read::take).
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) if the line is not UTF-8: it is taken all the
    /// same, and `line` is as before. [`ResourceBusy`](io::ErrorKind::ResourceBusy) if somebody else
    /// is reading. What the kernel says.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut line = String::new();
    /// if greenroom::io::stdin().read_line(&mut line)? == 0 {
    ///     println!("nobody there");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_line(&self, line: &mut String) -> io::Result<usize> {
        let mut reading = Reading::begin()?;
        let mut searched = 0;
        let length = loop {
            let ahead = reading.ahead();
            if let Some(at) = ahead[searched..].iter().position(|&byte| byte == b'\n') {
                break searched + at + 1;
            }
            searched = ahead.len();
            if reading.fill()? == 0 {
                break searched;
            }
        };
        let text = std::str::from_utf8(&reading.ahead()[..length]).map(|text| line.push_str(text));
        reading.take(length);
        match text {
            Ok(()) => Ok(length),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// Lines, without their `\n` or `\r\n`, until the end of input. Each is a
    /// [`read_line`](Stdin::read_line), with its errors.
    pub fn lines(&self) -> Lines {
        Lines { input: self.clone() }
    }
}

impl Read for &Stdin {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut reading = Reading::begin()?;
        if reading.ahead().is_empty() && !bytes.is_empty() {
            if bytes.len() >= CHUNK {
                return read(bytes);
            }
            reading.fill()?;
        }
        let count = reading.ahead().len().min(bytes.len());
        bytes[..count].copy_from_slice(&reading.ahead()[..count]);
        reading.take(count);
        Ok(count)
    }
}

impl Read for Stdin {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self).read(bytes)
    }
}

/// The lines of standard input, as [`Stdin::lines`] returns them.
#[derive(Debug)]
pub struct Lines {
    input: Stdin,
}

impl Iterator for Lines {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => {
                let text = line.strip_suffix('\n').unwrap_or(&line);
                let length = text.strip_suffix('\r').unwrap_or(text).len();
                // A `\r` before the end of input is no end of line.
                line.truncate(if text.len() < line.len() { length } else { text.len() });
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// What was read and not yet asked for.
#[derive(Debug)]
struct Ahead {
    bytes: Vec<u8>,
    /// What stands before was taken.
    start: usize,
}

/// `None` while somebody reads and has it.
static AHEAD: Mutex<Option<Ahead>> = Mutex::new(Some(Ahead { bytes: Vec::new(), start: 0 }));

/// A call in progress, which has the buffer; given back when the call ends, also by unwinding.
#[derive(Debug)]
struct Reading(Ahead);

impl Reading {
    fn begin() -> io::Result<Reading> {
        let ahead = AHEAD.lock().unwrap_or_else(PoisonError::into_inner).take();
        ahead.map(Reading).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::ResourceBusy,
                "standard input is being read already; one can read it at a time",
            )
        })
    }

    fn ahead(&self) -> &[u8] {
        &self.0.bytes[self.0.start..]
    }

    /// Waits for more and appends it; 0 at the end of input.
    fn fill(&mut self) -> io::Result<usize> {
        let Ahead { bytes, start } = &mut self.0;
        bytes.drain(..mem::take(start));
        let mut chunk = [0; CHUNK];
        let count = read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    fn take(&mut self, count: usize) {
        let Ahead { bytes, start } = &mut self.0;
        *start += count;
        assert!(*start <= bytes.len(), "only what was read can be taken");
        if *start == bytes.len() {
            *start = 0;
            bytes.clear();
            bytes.shrink_to(KEPT_MAX);
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let ahead = mem::replace(&mut self.0, Ahead { bytes: Vec::new(), start: 0 });
        *AHEAD.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
    }
}

fn read(bytes: &mut [u8]) -> io::Result<usize> {
    when_foreign_ready(io::stdin(), Interest::Read, |fd| read_what_is_there(fd, bytes))
}

/// Reads without blocking, whatever mode the file is in.
fn read_what_is_there(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> rustix::io::Result<usize> {
    // With this offset the call reads where the file stands, and takes files that have no offsets.
    let mut parts = [IoSliceMut::new(bytes)];
    match preadv2(fd, &mut parts, u64::MAX, ReadWriteFlags::NOWAIT) {
        // Not in the page cache; and no readiness is ever reported of such a file.
        Err(Errno::AGAIN) if is_regular(fd) => rustix::io::read(fd, bytes),
        // Neither terminals nor named pipes know the flag.
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => read_if_ready(fd, bytes),
        outcome => outcome,
    }
}

fn is_regular(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

fn read_if_ready(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> rustix::io::Result<usize> {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match is_ready(fd, Interest::Read, Some(&at_once)) {
        Ok(true) => rustix::io::read(fd, bytes),
        Ok(false) => Err(Errno::AGAIN),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}
