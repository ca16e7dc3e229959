//! An OS thread whose hub is in its loop, so that green threads can be had there.
//!
//! Knows nothing of what they do.

use std::{
    any::Any,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use greenroom::{
    hub::{self, Remote, RemoteJoinHandle},
    offload,
    testing::wait_all_parked,
};

pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// Never less than a wait for `MOMENT` that began before.
pub(crate) const SEVERAL_MOMENTS: Duration = Duration::from_millis(3);

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
            sender.send(hub::remote()).unwrap();
            let _ = offload(move || ended.recv());
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

/// Holds its OS thread, with all green threads on it, until so much time has passed.
pub(crate) fn hold_up(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}
