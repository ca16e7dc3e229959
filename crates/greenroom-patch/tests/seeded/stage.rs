//! Two hubs and any number of OS threads, on which a cast plays; and somebody who watches that it ends.
//!
//! Knows nothing of the plays.

use std::{
    fmt::Write as _,
    fs,
    process::abort,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use greenroom::{foreign::is_awaited, hub};

use crate::{
    calls::{Actor, Deed, Note, Place},
    pattern::Random,
};

/// Longer than any play, on the slowest machine. Less than a hub's longest sleep, at whose end it would find what it was
/// not woken for.
const PATIENCE: Duration = Duration::from_secs(40);

const HUBS: usize = 2;

/// Numbers of fds are below it in every play.
const FDS_MAX: i32 = 4000;

type Part = (Actor, Box<dyn FnOnce(Actor) + Send>);

/// A play in the making.
pub(crate) struct Stage {
    seed: u64,
    random: Random,
    parts: Vec<Part>,
    files: usize,
}

impl Stage {
    pub(crate) fn new(seed: u64) -> Stage {
        Stage { seed, random: Random::new(seed), parts: Vec::new(), files: open_files() }
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit)
    }

    /// A green thread mostly, of one or the other hub.
    pub(crate) fn any_place(&mut self) -> Place {
        if self.below(5) == 0 { Place::Os } else { self.any_green() }
    }

    pub(crate) fn any_green(&mut self) -> Place {
        Place::Green(self.below(HUBS))
    }

    pub(crate) fn cast(
        &mut self,
        role: &str,
        place: Place,
        play: impl FnOnce(Actor) + Send + 'static,
    ) {
        let random = Random::new(self.random.next());
        self.parts.push((Actor::new(role, place, random), Box::new(play)));
    }

    /// Plays all parts to their end.
    pub(crate) fn play(self) {
        let files = self.files;
        let notes: Vec<_> = self.parts.iter().map(|(actor, _)| actor.note()).collect();
        let seed = self.seed;
        let watcher = Watcher::new(seed, notes.clone());
        let mut green: [Vec<Part>; HUBS] = Default::default();
        let mut os_threads = Vec::new();
        let notes = Arc::new(notes);
        for part in self.parts {
            let notes = Arc::clone(&notes);
            match part.0.place() {
                Place::Green(hub) => green[hub].push(part),
                Place::Os => os_threads.push(thread::spawn(move || act(part, seed, &notes))),
            }
        }
        for parts in green {
            let notes = Arc::clone(&notes);
            os_threads.push(thread::spawn(move || {
                let _loud = Loud { seed, notes: Arc::clone(&notes) };
                let threads: Vec<_> = parts
                    .into_iter()
                    .map(|part| {
                        let notes = Arc::clone(&notes);
                        greenroom::spawn(move || act(part, seed, &notes))
                    })
                    .collect();
                threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
                // The word that the last way in is gone may be under way.
                while hub::stats().expected > 0 {
                    greenroom::sleep(Duration::from_micros(100));
                }
                let stats = hub::stats();
                let left = (stats.listeners, stats.timers, stats.threads);
                assert_eq!(left, (0, 0, 0), "listeners, timers, threads");
            }));
        }
        for os_thread in os_threads {
            os_thread.join().expect("it does not panic");
        }
        drop(watcher);
        let awaited: Vec<_> = (0..FDS_MAX).filter(|&fd| is_awaited(&(fd..=fd))).collect();
        assert_eq!(awaited, [], "somebody is still waited for");
        assert_eq!(open_files(), files, "files were left open, or closed twice");
    }
}

fn act((actor, play): Part, seed: u64, notes: &Arc<Vec<Arc<Note>>>) {
    let _loud = Loud { seed, notes: Arc::clone(notes) };
    play(actor.clone());
    actor.does(Deed::Ended, -1);
}

/// How many fds this process has open.
fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").expect("there is a proc").count()
}

/// Whoever panics leaves others waiting for ever; so the process ends.
struct Loud {
    seed: u64,
    notes: Arc<Vec<Arc<Note>>>,
}

impl Drop for Loud {
    fn drop(&mut self) {
        if thread::panicking() {
            tell("somebody panicked", self.seed, &self.notes);
            abort();
        }
    }
}

/// Ends the process if the play does not end.
struct Watcher(Option<(mpsc::Sender<()>, thread::JoinHandle<()>)>);

impl Watcher {
    fn new(seed: u64, notes: Vec<Arc<Note>>) -> Watcher {
        let (ended, is_over) = mpsc::channel();
        let watcher = thread::spawn(move || {
            if is_over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                tell("somebody waits for ever", seed, &notes);
                abort();
            }
        });
        Watcher(Some((ended, watcher)))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some((ended, watcher)) = self.0.take() {
            drop(ended);
            watcher.join().expect("it only waits");
        }
    }
}

fn tell(what: &str, seed: u64, notes: &[Arc<Note>]) {
    let mut words = format!("failed with seed {seed}: {what}\n");
    for note in notes {
        // A String takes everything.
        let _ = writeln!(words, "  {}", note.shown());
    }
    eprint!("{words}");
}
