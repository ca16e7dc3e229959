//! Stack traces: return addresses, and what they are in words.
//!
//! Knows symbols and the frames that are ours; knows nothing of who waits for what.

use std::fmt::{self, Write};

/// Frames of one stack that are kept, innermost first.
pub(crate) const FRAMES_MAX: usize = 128;

/// Where a green thread waits: its stack, from the call that waits down to the thread's function.
///
/// Addresses are turned into names when it is printed, which for the first of a program takes up
/// to a second: the debug information is read then.
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    frames: Vec<usize>,
}

impl Trace {
    pub(super) fn new(frames: Vec<usize>) -> Trace {
        Trace { frames }
    }

    /// The stack of whoever calls this.
    #[cold]
    pub(super) fn here() -> Trace {
        let mut frames = Vec::new();
        walk(&mut frames);
        Trace { frames }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<_> = self.frames.iter().map(|&frame| Line::of(frame)).collect();
        let first = lines.iter().position(|line| line.machinery() < line.names.len()).unwrap_or(0);
        if let Some(line) = lines.get_mut(first) {
            line.drop_machinery();
        }
        let foot = lines.iter().position(|line| line.is_in(FOOT)).unwrap_or(lines.len());
        for (depth, line) in lines[first..foot.max(first)].iter().enumerate() {
            write!(f, "  {depth:>3}: {line}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("frames", &self.frames.len()).finish_non_exhaustive()
    }
}

/// Appends the return addresses of this stack, innermost first, [`FRAMES_MAX`] at most.
#[cold]
pub(crate) fn walk(frames: &mut Vec<usize>) {
    backtrace::trace(|frame| {
        // The call, and not what comes after it.
        frames.push((frame.ip().addr()).saturating_sub(1));
        frames.len() < FRAMES_MAX
    });
}

/// Above the code that was interrupted stand the frames of the signal's handler; between the two, a
/// frame without a name that the kernel made.
const HANDLER: &str = "greenroom::debug::sample::on_signal";
/// Below a green thread's own code stands the foot of its stack.
const FOOT: &str = "greenroom::thread::spawn::body";

/// Writes the frames between a signal's handler and the foot of a green thread's stack, innermost
/// first; all of them where these cannot be told.
pub(super) fn write(frames: &[usize], out: &mut String) {
    let lines: Vec<_> = frames.iter().map(|&frame| Line::of(frame)).collect();
    let handler = lines.iter().position(|line| line.is_in(HANDLER));
    let first = handler.map_or(0, |handler| (handler + 2).min(lines.len()));
    let foot = lines.iter().position(|line| line.is_in(FOOT)).unwrap_or(lines.len());
    for (depth, line) in lines[first..foot.max(first)].iter().enumerate() {
        // A String takes everything.
        let _ = write!(out, "  {depth:>3}: {line}");
    }
}

/// One frame; inlined functions share it.
struct Line {
    address: usize,
    names: Vec<String>,
    places: Vec<Option<String>>,
}

impl Line {
    fn of(address: usize) -> Line {
        let mut line = Line { address, names: Vec::new(), places: Vec::new() };
        backtrace::resolve(address as *mut _, |symbol| {
            let name = symbol.name().map(|name| format!("{name:#}"));
            line.names.push(name.unwrap_or_else(|| format!("{address:#x}")));
            let file = symbol.filename().map(|file| file.display().to_string());
            let place = file.zip(symbol.lineno()).map(|(file, line)| format!("{file}:{line}"));
            line.places.push(place);
        });
        line
    }

    /// How many of its functions, from the innermost, are nothing but the way from a wait to where
    /// the stack is left.
    fn machinery(&self) -> usize {
        const OURS: [&str; 6] = [
            "backtrace::",
            "greenroom::debug::",
            "greenroom::thread::park::",
            "greenroom::thread::wait_queue::",
            "greenroom_fiber::",
            "corosensei::",
        ];
        let is_ours = |name: &&String| {
            let path = name.trim_start_matches('<');
            OURS.iter().any(|ours| path.starts_with(ours))
        };
        self.names.iter().take_while(is_ours).count()
    }

    fn drop_machinery(&mut self) {
        let count = self.machinery();
        self.names.drain(..count);
        self.places.drain(..count);
    }

    fn is_in(&self, function: &str) -> bool {
        self.names.iter().any(|name| name.starts_with(function))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            return writeln!(f, "{:#x}", self.address);
        }
        for (index, (name, place)) in self.names.iter().zip(&self.places).enumerate() {
            let indent = if index == 0 { "" } else { "       " };
            writeln!(f, "{indent}{name}")?;
            if let Some(place) = place {
                writeln!(f, "             at {place}")?;
            }
        }
        Ok(())
    }
}
