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
        let first = lines.iter().position(|line| !line.is_machinery()).unwrap_or(0);
        if let Some(line) = lines.get_mut(first) {
            line.drop_machinery();
        }
        let foot = lines.iter().position(|line| line.has(FOOT)).unwrap_or(lines.len());
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

/// A function of ours: the module it is in, as a path and as a file, and its name.
struct Landmark {
    module: &'static str,
    file: &'static str,
    function: &'static str,
}

/// Above the code that was interrupted stand the frames of the signal's handler; between the two, a
/// frame without a name that the kernel made.
const HANDLER: Landmark = Landmark {
    module: "greenroom::debug::sample::",
    file: "debug/sample.rs",
    function: "on_signal",
};

/// Below a green thread's own code stands the foot of its stack.
const FOOT: Landmark =
    Landmark { module: "greenroom::thread::spawn::", file: "thread/spawn.rs", function: "body" };

/// Where this crate's sources are, as the debug information has it.
const SOURCES: &str = file!().split_at(file!().len() - "debug/trace.rs".len()).0;

/// Writes the frames between a signal's handler and the foot of a green thread's stack, innermost
/// first; all of them where these cannot be told.
pub(super) fn write(frames: &[usize], out: &mut String) {
    let lines: Vec<_> = frames.iter().map(|&frame| Line::of(frame)).collect();
    let handler = lines.iter().position(|line| line.has(HANDLER));
    let first = handler.map_or(0, |handler| (handler + 2).min(lines.len()));
    let foot = lines.iter().position(|line| line.has(FOOT)).unwrap_or(lines.len());
    for (depth, line) in lines[first..foot.max(first)].iter().enumerate() {
        // A String takes everything.
        let _ = write!(out, "  {depth:>3}: {line}");
    }
}

/// One frame, and the functions inlined into each other that share it, innermost first.
struct Line {
    address: usize,
    calls: Vec<Call>,
}

/// One function of a frame. Where the debug information is scarce its name is without a path.
struct Call {
    name: String,
    file: Option<String>,
    line: Option<u32>,
}

impl Line {
    fn of(address: usize) -> Line {
        let mut line = Line { address, calls: Vec::new() };
        backtrace::resolve(address as *mut _, |symbol| {
            let name = symbol.name().map(|name| format!("{name:#}"));
            line.calls.push(Call {
                name: name.unwrap_or_else(|| format!("{address:#x}")),
                file: symbol.filename().map(|file| file.display().to_string()),
                line: symbol.lineno(),
            });
        });
        line
    }

    /// Nothing but the way from a wait to where the stack is left.
    fn is_machinery(&self) -> bool {
        self.calls.iter().all(Call::is_machinery)
    }

    fn drop_machinery(&mut self) {
        let count = self.calls.iter().take_while(|call| call.is_machinery()).count();
        self.calls.drain(..count);
    }

    fn has(&self, landmark: Landmark) -> bool {
        self.calls.iter().any(|call| call.is(&landmark))
    }
}

impl Call {
    fn is_machinery(&self) -> bool {
        const MODULES: [&str; 6] = [
            "backtrace::",
            "greenroom::debug::",
            "greenroom::thread::park::",
            "greenroom::thread::wait_queue::",
            "greenroom_fiber::",
            "corosensei::",
        ];
        const FILES: [&str; 4] =
            ["debug/trace.rs", "debug/dump.rs", "thread/park.rs", "thread/wait_queue.rs"];
        const CRATES: [&str; 3] = ["/backtrace-", "/corosensei-", "greenroom-fiber"];
        let name = self.name.trim_start_matches('<');
        MODULES.iter().any(|module| name.starts_with(module))
            || FILES.iter().any(|file| self.is_in_our(file))
            || CRATES.iter().any(|name| self.file.as_ref().is_some_and(|file| file.contains(name)))
    }

    fn is(&self, landmark: &Landmark) -> bool {
        let name = self.name.strip_prefix(landmark.module).unwrap_or(&self.name);
        let rest = name.strip_prefix(landmark.function);
        let is_named = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '<']));
        is_named && (name.len() < self.name.len() || self.is_in_our(landmark.file))
    }

    fn is_in_our(&self, file: &str) -> bool {
        let ours = self.file.as_ref().and_then(|path| path.strip_suffix(file));
        ours.is_some_and(|sources| sources.ends_with(SOURCES))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.calls.is_empty() {
            return writeln!(f, "{:#x}", self.address);
        }
        for (index, call) in self.calls.iter().enumerate() {
            let indent = if index == 0 { "" } else { "       " };
            writeln!(f, "{indent}{}", call.name)?;
            if let (Some(file), Some(line)) = (&call.file, call.line) {
                writeln!(f, "             at {file}:{line}")?;
            }
        }
        Ok(())
    }
}
