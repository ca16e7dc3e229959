//! The process that is an engine's echo server, and tells its CPU time when asked.
//!
//! Must never make the engine help: questions are taken by an OS thread of their own, asleep while requests are
//! counted.
//!
//! The talk, over stdin and stdout: the server says `port N`; for each line it gets it says `cpu_ns N`; when stdin
//! closes, whoever started it is gone, and it ends.

use std::io::BufRead;

use crate::engine::Entry;
use crate::{Fallible, child, meter};

pub(crate) const PORT: &str = "port ";
pub(crate) const CPU_NS: &str = "cpu_ns ";
pub(crate) const ASK_CPU: &[u8] = b"cpu\n";

pub(crate) fn serve(entry: &Entry) -> Fallible {
    child::die_with_parent();
    let mut engine = entry.start()?;
    std::thread::spawn(answer_questions);
    engine.serve_echo(&mut |address| println!("{PORT}{}", address.port()))?;
    Err("the server stopped serving".into())
}

fn answer_questions() {
    // An unreadable stdin is a closed one.
    for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
        println!("{CPU_NS}{}", meter::process_cpu_ns());
    }
    std::process::exit(0);
}
