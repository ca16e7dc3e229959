//! An OS thread whose hub is in its loop, so that green threads can be had there, and time that
//! passes while somebody waits for another OS thread.
//!
//! Time is virtual on each hub, and passes only where a test says so. Knows nothing of what green
//! threads do.

use std::{any::Any, sync::mpsc, thread, time::Duration};

use greenroom::{
    hub::{self, Remote, RemoteJoinHandle},
    offload, spawn,
    testing::{self, advance, wait_all_parked},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The hub ends when this is dropped, once its green threads have.
pub(crate) struct Site {
    remote: Option<Remote>,
    end: Option<mpsc::Sender<()>>,
    os_thread: Option<thread::JoinHandle<()>>,
}

impl Site {
    pub(crate) fn start() -> Site {
        let (sender, receiver) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let os_thread = thread::spawn(move || {
            testing::run(move || {
                sender.send(hub::remote()).unwrap();
                let _ = offload(move || ended.recv());
            });
        });
        let remote = receiver.recv().unwrap();
        Site { remote: Some(remote), end: Some(end), os_thread: Some(os_thread) }
    }

    /// Has a green thread do something.
    pub(crate) fn spawn<R: Send + 'static>(
        &self,
        f: impl FnOnce() -> R + Send + 'static,
    ) -> RemoteJoinHandle<R> {
        self.remote.as_ref().unwrap().spawn(f).unwrap()
    }

    /// Has a green thread do something and come to where it waits.
    pub(crate) fn waiter<R: Send + 'static>(
        &self,
        f: impl FnOnce() -> R + Send + 'static,
    ) -> RemoteJoinHandle<R> {
        let waiter = self.spawn(f);
        self.settle();
        waiter
    }

    /// Has a green thread do something, and waits for it.
    pub(crate) fn play<R: Send + 'static>(&self, f: impl FnOnce() -> R + Send + 'static) -> R {
        self.spawn(f).join().unwrap()
    }

    /// Until all who were woken have run.
    pub(crate) fn settle(&self) {
        self.play(wait_all_parked);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.remote = None;
        self.end = None;
        let ended = self.os_thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

/// Runs `f` on a plain OS thread, which has no hub yet, and passes its panic on.
pub(crate) fn on_os_thread<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(f).join().unwrap_or_else(|panic| pass_on(panic)))
}

fn pass_on(panic: Box<dyn Any + Send>) -> ! {
    std::panic::resume_unwind(panic)
}

/// Lets so much time pass on this hub while `f` waits, and returns what came of it.
pub(crate) fn while_time_passes<R: 'static>(time: Duration, f: impl FnOnce() -> R + 'static) -> R {
    let waits = spawn(f);
    advance(time);
    assert!(waits.is_finished(), "it waits longer than {time:?}");
    waits.join().unwrap()
}
