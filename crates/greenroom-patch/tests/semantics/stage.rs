//! Plays one script several times: by OS threads alone, and with green threads in one part or in all of them.
//!
//! What the actors note must be equal. Knows no calls and no files.

use std::{
    collections::BTreeMap,
    fmt::{Debug, Display, Write},
    fs,
    os::fd::OwnedFd,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// A performance that takes longer has hung.
const PERFORMANCE_MAX: Duration = Duration::from_secs(20);

/// Time enough for an OS thread to come to wait in the kernel.
const NAP: Duration = Duration::from_millis(12);

/// Who is played by a green thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    Nobody,
    Only(usize),
    /// On one hub. If one of them kept the OS thread to itself, the others would not come to their lines.
    Everybody,
}

/// What each actor noted, call by call.
pub(crate) type Transcript = BTreeMap<&'static str, Vec<String>>;

type Part = Box<dyn FnOnce(&mut Actor) + Send>;

/// Where the actors of one performance are gathered.
#[derive(Default)]
pub(crate) struct Stage {
    parts: Vec<(&'static str, Part)>,
    kept: Vec<OwnedFd>,
}

impl Stage {
    pub(crate) fn actor(
        &mut self,
        name: &'static str,
        part: impl FnOnce(&mut Actor) + Send + 'static,
    ) {
        self.parts.push((name, Box::new(part)));
    }

    /// Keeps an fd open until everybody has ended, and gives its number.
    pub(crate) fn keep(&mut self, fd: OwnedFd) -> i32 {
        use std::os::fd::AsRawFd;
        let number = fd.as_raw_fd();
        self.kept.push(fd);
        number
    }
}

/// Who calls, and notes what came of it.
pub(crate) struct Actor {
    name: &'static str,
    notes: Notes,
    steps: Arc<Steps>,
}

#[derive(Default)]
struct Steps {
    /// A bit for each.
    taken: AtomicU32,
    by: [AtomicI32; 32],
}

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Transcript>>);

impl Actor {
    pub(crate) fn note(&mut self, line: impl Display) {
        let mut notes = self.notes.0.lock().expect("nobody panics over its notes");
        notes.entry(self.name).or_default().push(line.to_string());
    }

    /// Lets those go on who wait for this step. Steps are one to 31.
    pub(crate) fn step(&self, step: u32) {
        self.steps.by[step as usize].store(os_thread(), Ordering::SeqCst);
        self.steps.taken.fetch_or(1 << step, Ordering::SeqCst);
    }

    /// Waits until somebody has taken this step.
    pub(crate) fn after(&self, step: u32) {
        while self.steps.taken.load(Ordering::SeqCst) & 1 << step == 0 {
            thread::sleep(Duration::from_micros(500));
        }
    }

    /// Waits until somebody who took this step before a call can be expected to wait in it.
    pub(crate) fn while_waiting(&self, step: u32) {
        self.after(step);
        let by = self.steps.by[step as usize].load(Ordering::SeqCst);
        nap();
        while by != os_thread() && !is_asleep(by) {
            nap();
        }
    }
}

/// The kernel's number of this OS thread.
fn os_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Whether an OS thread waits in the kernel, or is gone.
fn is_asleep(os_thread: i32) -> bool {
    let Ok(state) = fs::read_to_string(format!("/proc/self/task/{os_thread}/stat")) else {
        return true;
    };
    state.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('S'))
}

pub(crate) fn nap() {
    thread::sleep(NAP);
}

/// The transcript of one performance.
pub(crate) fn perform(cast: Cast, script: &dyn Fn(&mut Stage)) -> Transcript {
    let mut stage = Stage::default();
    script(&mut stage);
    let steps = Arc::new(Steps::default());
    let notes = Notes::default();
    let (over, is_over) = mpsc::channel();
    let (mut plain, mut green) = (Vec::new(), Vec::new());
    for (index, (name, part)) in stage.parts.into_iter().enumerate() {
        let mut actor = Actor { name, notes: notes.clone(), steps: Arc::clone(&steps) };
        let is_green = cast == Cast::Everybody || cast == Cast::Only(index);
        if is_green { &mut green } else { &mut plain }.push(move || part(&mut actor));
    }
    let mut running = plain.len();
    for part in plain {
        let over = over.clone();
        thread::spawn(move || {
            part();
            over.send(()).expect("the performance waits");
        });
    }
    if !green.is_empty() {
        running += 1;
        thread::spawn(move || {
            let threads: Vec<_> = green.into_iter().map(greenroom::spawn).collect();
            for thread in threads {
                thread.join().expect("an actor panicked");
            }
            over.send(()).expect("the performance waits");
        });
    }
    for _ in 0..running {
        if is_over.recv_timeout(PERFORMANCE_MAX).is_err() {
            let notes = notes.0.lock().expect("nobody panics over its notes");
            panic!("{cast:?}: somebody hangs or has panicked; so far:\n{notes:#?}");
        }
    }
    std::mem::take(&mut *notes.0.lock().expect("nobody panics over its notes"))
}

/// Asserts that a script is played alike by whatever threads.
#[track_caller]
pub(crate) fn equal(script: impl Fn(&mut Stage)) {
    let plain = perform(Cast::Nobody, &script);
    assert!(
        plain.values().any(|lines| !lines.is_empty()),
        "a script without a line proves nothing"
    );
    for cast in casts(&script) {
        let green = perform(cast, &script);
        assert!(green == plain, "{cast:?} differs:\n{}", side_by_side(&plain, &green));
    }
}

/// As [`equal`], for each of several kinds of files, at once.
#[track_caller]
pub(crate) fn equal_for<K: Copy + Debug + Send + Sync>(
    kinds: &[K],
    script: impl Fn(&mut Stage, K) + Sync,
) {
    thread::scope(|scope| {
        for &kind in kinds {
            let script = &script;
            scope.spawn(move || {
                let played = panic::catch_unwind(AssertUnwindSafe(|| {
                    equal(|stage| script(stage, kind));
                }));
                assert!(played.is_ok(), "played with {kind:?}");
            });
        }
    });
}

/// Each actor green alone, and all together.
fn casts(script: &dyn Fn(&mut Stage)) -> Vec<Cast> {
    let mut stage = Stage::default();
    script(&mut stage);
    let mut casts = vec![Cast::Everybody];
    if stage.parts.len() > 1 {
        casts.extend((0..stage.parts.len()).map(Cast::Only));
    }
    casts
}

pub(crate) fn side_by_side(plain: &Transcript, green: &Transcript) -> String {
    let mut text = String::new();
    let nothing = Vec::new();
    let names: std::collections::BTreeSet<_> = plain.keys().chain(green.keys()).collect();
    for name in names {
        let [plain, green] = [plain, green].map(|all| all.get(name).unwrap_or(&nothing));
        for at in 0..plain.len().max(green.len()) {
            let [left, right] = [plain, green].map(|all| all.get(at).map_or("-", String::as_str));
            let mark = if left == right { ' ' } else { '!' };
            writeln!(text, "{mark} {name:10} | {left:70} | {right}").expect("memory takes all");
        }
    }
    text
}
