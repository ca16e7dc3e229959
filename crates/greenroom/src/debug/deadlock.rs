//! What is said when the root waits and nothing is left that could wake anyone.
//!
//! Only words: who decides that it has come to this is the hub.

use crate::{debug::dump, hub::local::Local, thread::AskHolders};

/// Threads listed at most; more are only counted.
const LISTED_MAX: usize = 50;

/// Says who waits for what, and who holds it, as the panic of whoever waits on the root.
///
/// # Panics
///
/// Always.
#[cold]
pub(crate) fn report(local: &Local, holders: Option<AskHolders<'_>>) -> ! {
    let mut root = local.root.blocked.get().to_string();
    dump::say_holders(holders.map(|ask| ask()), &dump::alive(local), &mut root);
    let threads = dump::take(local, LISTED_MAX).threads;
    let mut message = format!(
        "deadlock: the root {root}, and nothing is left that could wake anyone: no timer, no fd, \
         no other OS thread"
    );
    if threads.is_empty() {
        message.push_str("; no green thread is alive");
    }
    for thread in threads.iter().take(LISTED_MAX) {
        let name = thread.name.as_deref().unwrap_or("-");
        message.push_str(&format!(
            "\n  green thread {} {name}: {}, spawned at {}",
            thread.id, thread.state, thread.spawned_at
        ));
    }
    if threads.len() > LISTED_MAX {
        message.push_str(&format!("\n  and {} more", threads.len() - LISTED_MAX));
    }
    panic!("{message}");
}
