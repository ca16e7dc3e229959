//! Handles, signals and waits at random, against a model that is a set for each handle.

use std::{collections::BTreeSet, time::Duration};

use greenroom::{
    signal::{Signal, Signals},
    spawn,
    testing::{run_seeded, wait_all_parked},
};
use greenroom_hub::Chance;
use signal_hook::low_level::raise;

use crate::{
    case::{Case, PLAIN},
    seeds::with_seeds,
};

const KINDS: [Signal; 3] = [Signal::USR1, Signal::USR2, Signal::WINCH];
const STEPS: usize = 60;
const HANDLES_MAX: usize = 4;

struct Model {
    signals: Signals,
    wants: Vec<Signal>,
    came: BTreeSet<Signal>,
}

impl Model {
    fn new(chance: &mut Chance) -> Model {
        let first = chance.below(KINDS.len());
        let count = 1 + chance.below(KINDS.len());
        let wants: Vec<_> = KINDS.into_iter().cycle().skip(first).take(count).collect();
        Model { signals: Signals::new(&wants).unwrap(), wants, came: BTreeSet::new() }
    }

    fn heard(&mut self, signal: Option<Signal>) {
        match signal {
            Some(signal) => assert!(self.came.remove(&signal), "{signal} came, which was not sent"),
            None => assert!(self.came.is_empty(), "{:?} got lost", self.came),
        }
    }
}

fn play(seed: u64) {
    let mut chance = Chance::from_seed(seed);
    // Kept, for a process that nobody waits in would be ended.
    let _all = Signals::new(KINDS).unwrap();
    let mut handles: Vec<Model> = Vec::new();
    for _ in 0..STEPS {
        match chance.below(6) {
            0 if handles.len() < HANDLES_MAX => handles.push(Model::new(&mut chance)),
            1 if !handles.is_empty() => drop(handles.swap_remove(chance.below(handles.len()))),
            2 | 3 => {
                let signal = KINDS[chance.below(KINDS.len())];
                raise(signal.as_raw()).unwrap();
                for handle in handles.iter_mut().filter(|handle| handle.wants.contains(&signal)) {
                    handle.came.insert(signal);
                }
            }
            4 if !handles.is_empty() => {
                let at = chance.below(handles.len());
                let heard = handles[at].signals.try_next();
                handles[at].heard(heard);
            }
            5 if !handles.is_empty() => {
                // Somebody who waits, is killed or not, and has the handle back.
                let mut handle = handles.swap_remove(chance.below(handles.len()));
                let is_killed = chance.below(2) == 0 && handle.came.is_empty();
                if is_killed {
                    greenroom::scope(|scope| {
                        let waiter = scope.spawn(|| handle.signals.wait().map(drop));
                        wait_all_parked();
                        waiter.thread().kill();
                    });
                } else {
                    let waiter = spawn(move || {
                        let heard = handle.signals.wait_timeout(Duration::from_secs(1)).unwrap();
                        handle.heard(heard);
                        handle
                    });
                    handle = waiter.join().unwrap();
                }
                handles.push(handle);
            }
            _ => {}
        }
    }
}

pub(crate) const CASES: &[Case] = &[Case {
    name: "seeded_signals::each_handle_hears_what_was_sent_and_nothing_else",
    play: || with_seeds(100, |seed| run_seeded(seed, || play(seed))),
    ..PLAIN
}];
