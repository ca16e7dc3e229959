//! A green thread that waits in the kernel for a lock of its OS thread, and everyone with it.
//!
//! Such a lock may be held by a green thread of the same hub, which cannot run to let go of it: then
//! this wait has no end. It cannot be told from a short one before it is long; so after a while it is
//! said what happens, who could be the cause, and what to do. Takes no lock and changes nothing.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use crate::{
    debug::{self, say},
    foreign::Here,
    thread::current,
};

/// How many of those who could hold the lock are named.
const NAMED_MAX: usize = 8;

/// What was told of last: a wait that is taken up again and again is told of once.
static TOLD: AtomicUsize = AtomicUsize::new(0);

impl Here {
    /// Says that the caller has waited for `time` in `call` for the lock, or whatever it is, at
    /// `address`, with the whole OS thread; and goes on for what is `left`, or until it is there.
    #[cold]
    pub fn report_lock(self, call: &str, address: usize, time: Duration, left: Option<Duration>) {
        if TOLD.swap(address, Ordering::Relaxed) != address {
            say(format_args!("{}", words(self, call, time, left).trim_end()));
        }
    }
}

fn words(here: Here, call: &str, time: Duration, left: Option<Duration>) -> String {
    let me = current();
    let end = match left {
        None => "that is never, for none can run".to_owned(),
        Some(left) => format!("it waits in vain for another {left:.0?}, for none can run"),
    };
    let mut words = format!(
        "{me} has held the loop for {time:.0?}: it waits in {call} with its whole OS thread, for a \
         lock or a signal of another thread. If one of this hub's green threads is to give it, {end}. \
         Do not hold such a lock across a wait, or wait for such a signal: \
         greenroom::sync has both for green threads, and greenroom_patch::no_switch keeps a \
         thread that holds a lock from stepping aside.\n"
    );
    let dump = debug::take(here.local(), NAMED_MAX);
    let others =
        || dump.threads.iter().filter(|thread| thread.id != me.id() && thread.since.is_some());
    // A String takes everything.
    let _ = match others().count() {
        0 => writeln!(
            words,
            "  No other green thread waits here, so it is another OS thread's to give."
        ),
        count => writeln!(words, "  Green threads that wait meanwhile, {count} in all:"),
    };
    for thread in others().take(NAMED_MAX) {
        let name = thread.name.as_deref().unwrap_or("without a name");
        let since = thread.since.unwrap_or_default();
        let _ = writeln!(words, "  {} ({name}) {}, for {since:.0?}", thread.id, thread.state);
        if let Some(trace) = &thread.trace {
            let _ = writeln!(words, "{trace}");
        }
    }
    words
}
