//! Several hubs at once: one for each core, with nothing shared between them.
//!
//! Knows OS threads; what runs on them is the caller's. Where a socket is bound by all of them, the kernel
//! shares the connections out.

use std::{num::NonZero, panic::resume_unwind, sync::Arc, thread, time::Duration};

use crate::sync::shared::Event;

/// How many hubs are worth having: as many as this process may use cores at once.
///
/// ```
/// assert!(greenroom::hubs::available() >= 1);
/// ```
pub fn available() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Calls `f` on `count` OS threads at once, each of which has a hub of its own, and waits for what
/// they return.
///
/// `f` is given a number from zero up, and returned is what each returned, in that order. This is how a
/// server uses all cores: each hub binds the same address by
/// [`TcpListener::bind_reuse_port`](crate::net::TcpListener::bind_reuse_port), and the kernel
/// deals new connections out among them. Nothing is shared but what `f` borrows; so hubs are told to
/// stop by something of [`sync::shared`](crate::sync::shared), or sent work by a
/// [`Remote`](crate::hub::Remote).
///
/// Costs the start of an OS thread for each hub, and the few fds that a hub has. Other green threads of
/// the caller's hub go on meanwhile. If the caller is killed or out of time, the OS threads cannot be:
/// its whole hub then stands still until they have returned. So tell them to stop first.
///
/// # Panics
///
/// With what the first of them panicked with, when all have ended. If `count` is zero. If an OS thread
/// cannot be started: no more are started then, and those that were run to their end first. So whoever
/// waits in `f` for all the others, at a barrier say, may wait for one that never comes.
///
/// In a destructor that runs because of a panic, this blocks the OS thread until they have returned.
///
/// # Examples
///
/// ```
/// use greenroom::{hubs, net::TcpListener};
///
/// let address = TcpListener::bind_reuse_port("127.0.0.1:0")?.local_addr()?;
/// let listening = hubs::run(2, |_| {
///     // To be served by green threads of this hub, and only of this one.
///     let listener = TcpListener::bind_reuse_port(address)?;
///     listener.local_addr()
/// });
/// for at in listening {
///     assert_eq!(at?, address);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn run<T: Send>(count: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    assert!(count > 0, "no hubs at all would do nothing");
    let f = &f;
    thread::scope(|scope| {
        let mut threads = Vec::with_capacity(count);
        let mut refused = None;
        for number in 0..count {
            let ended = Arc::new(Event::new());
            let end = End(Arc::clone(&ended));
            let builder = thread::Builder::new().name(format!("hub-{number}"));
            let thread = builder.spawn_scoped(scope, move || {
                let _end = end;
                f(number)
            });
            match thread {
                Ok(thread) => threads.push((thread, ended)),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let mut results = Vec::with_capacity(count);
        let mut failure = None;
        for (thread, ended) in threads {
            // So that the join does not block this hub. Who unwinds cannot wait, and blocks it.
            let _ = ended.wait_timeout(Duration::MAX);
            match thread.join() {
                Ok(value) => results.push(value),
                Err(payload) if failure.is_none() => failure = Some(payload),
                // What it carries may itself panic when it is dropped.
                Err(payload) => std::mem::forget(payload),
            }
        }
        if let Some(payload) = failure {
            resume_unwind(payload);
        }
        if let Some(error) = refused {
            panic!("an OS thread for another hub cannot be started: {error}");
        }
        results
    })
}

/// Says when it is dropped that an OS thread is about to end, however that comes.
struct End(Arc<Event<()>>);

impl Drop for End {
    fn drop(&mut self) {
        // It is sent once, here.
        let _ = self.0.send(());
    }
}
