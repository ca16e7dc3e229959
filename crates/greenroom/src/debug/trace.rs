//! Return addresses in words.
//!
//! Knows symbols and the frames that are ours; does not walk stacks.

use std::fmt::{self, Write};

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
