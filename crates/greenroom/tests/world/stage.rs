//! Where a case is played: on each backend, with a look at what it left behind; and what cases of
//! several topics need to see.
//!
//! Knows nothing of what is tested. A case that hangs is killed by the runner.

use std::{
    cell::Cell,
    env, fs, io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    process,
    rc::Rc,
    sync::mpsc::channel,
    time::Duration,
};

use greenroom::{
    hub::{self, Backend},
    spawn, testing,
};

use crate::CASE;

/// Longer than any case: whoever waits so long waits for ever.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// Plays on each backend, with real time, on an OS thread of its own.
pub(crate) fn on_each_backend(play: fn()) {
    for backend in Backend::ALL {
        let player = std::thread::spawn(move || {
            hub::use_hub(backend).unwrap();
            leaves_nothing(play);
        });
        player.join().unwrap_or_else(|payload| resume_unwind(payload));
    }
}

/// Plays on each backend, with virtual time.
pub(crate) fn in_virtual_time(play: fn()) {
    for backend in Backend::ALL {
        testing::run_on(backend, || leaves_nothing(play));
    }
}

fn leaves_nothing(play: fn()) {
    play();
    let left = hub::stats();
    assert_eq!((left.listeners, left.timers, left.threads), (0, 0, 0), "left behind: {left:?}");
}

/// How many fds this process has.
pub(crate) fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How many OS threads this process has.
pub(crate) fn os_threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// What `f` comes to in a destructor that runs because of a panic.
pub(crate) fn in_destructor<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    let (tell, told) = channel();
    let panicking = spawn(move || {
        let mut f = Some(f);
        let _finally = Finally(|| tell.send(f.take().unwrap()()).unwrap());
        resume_unwind(Box::new("as it shall be"));
    });
    assert!(panicking.join().unwrap_err().is_panic());
    told.recv().unwrap()
}

struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What `f` comes to in a hub callback; `Err` if it panics there because callbacks may not wait.
pub(crate) fn in_callback<T: 'static>(f: impl FnOnce() -> T + 'static) -> Result<T, String> {
    let outcome = Rc::new(Cell::new(None));
    let place = Rc::clone(&outcome);
    hub::call_after_global(Duration::ZERO, move || {
        place.set(Some(catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
            payload.downcast_ref::<&str>().map_or_else(String::new, ToString::to_string)
        })));
    });
    loop {
        if let Some(outcome) = outcome.take() {
            return outcome;
        }
        greenroom::yield_now();
    }
}

/// Panics unless `f` refuses to wait in a hub callback.
#[track_caller]
pub(crate) fn assert_refused_in_callback<T: 'static>(f: impl FnOnce() -> T + 'static) {
    let refused = in_callback(f).map(drop).unwrap_err();
    assert!(refused.contains("a hub callback may not block"), "{refused:?}");
}

/// This program over again, to play one case.
pub(crate) fn again(case: &str) -> greenroom::process::Command {
    let mut command = greenroom::process::Command::new(env::current_exe().unwrap());
    command.env(CASE, case);
    command
}

/// The same, with signals ignored from the beginning, as a shell does that.
pub(crate) fn again_ignoring(signal: &str, case: &str) -> greenroom::process::Command {
    let mut command = greenroom::process::Command::new("sh");
    command.args(["-c", &format!("trap '' {signal}; exec \"$0\"")]);
    command.arg(env::current_exe().unwrap()).env(CASE, case);
    command
}

/// A directory that is empty at first, and gone afterwards.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        let path = env::temp_dir().join(format!("greenroom-world-{}", process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A named pipe.
    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed: io::Result<()> = fs::remove_dir_all(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}
