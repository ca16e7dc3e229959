//! Last words: a message on standard error that names a fiber, and then the end of the process.
//!
//! Allocates nothing and takes no lock, so that a signal handler may use it. Never returns.

use std::fmt::{self, Write};
use std::process;

use rustix::io::retry_on_intr;

use crate::block::Header;

/// Ends the process with a message about one fiber.
#[cold]
pub(crate) fn abort_naming(header: &Header, what: &str) -> ! {
    abort_with(format_args!("greenroom: {} {what}\n", Name::of(header)));
}

/// Writes the message and aborts. Async-signal-safe as far as formatting its arguments is.
#[cold]
pub(crate) fn abort_with(message: fmt::Arguments<'_>) -> ! {
    let mut line = Line { bytes: [0; LINE_BYTES_MAX], len: 0 };
    // A message that is too long is cut off; there is nobody to tell.
    let _ = line.write_fmt(message);
    let mut rest = &line.bytes[..line.len];
    while !rest.is_empty() {
        // The system call itself: libc's function may be replaced by one that waits.
        match retry_on_intr(|| rustix::io::write(rustix::stdio::stderr(), rest)) {
            Ok(written) => rest = &rest[written..],
            Err(_) => break,
        }
    }
    process::abort();
}

/// How messages call a fiber: `green thread "name" (id 7)`.
pub(crate) struct Name<'a> {
    id: u64,
    name: Option<&'a str>,
}

impl Name<'_> {
    pub(crate) fn of(header: &Header) -> Name<'_> {
        Name { id: header.id, name: header.name.as_deref() }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            // So many characters of it that the rest of the message has room in a line.
            Some(name) => write!(f, "green thread \"{name:.60}\" (id {})", self.id),
            None => write!(f, "green thread {}", self.id),
        }
    }
}

/// Room for the longest message: 60 characters of a name take 240 bytes at most.
const LINE_BYTES_MAX: usize = 512;

/// A message in the making.
struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let taken = text.len().min(room.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
        if taken < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}
