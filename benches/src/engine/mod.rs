//! The engines: greenroom and its rivals behind one trait, so that a scenario is written once.
//!
//! Must never measure: an engine does what it is told, with its own means at their best, and returns.
//!
//! Every engine keeps to one thread for its tasks and uses its public API with defaults, except where a
//! setting makes it faster at the scenarios; those settings stand in its `make`. A scenario's body runs in a
//! task of the engine, never in what merely hosts the tasks, so all pay for the same spawns and joins.

mod epoll;
mod greenroom;

#[cfg(feature = "rivals")]
mod corosensei;
#[cfg(feature = "rivals")]
mod may;
#[cfg(feature = "rivals")]
mod tokio;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Fallible;
use crate::cores::{self, Role};

/// Size of the buffer that each echo task reads into, the same in all engines.
pub(crate) const ECHO_BUFFER_BYTES: usize = 1024;
/// How long a parked task sleeps: longer than any measurement.
pub(crate) const PARKED_FOR: Duration = Duration::from_secs(3600);

/// What a scenario may ask of an engine. One that cannot do a thing leaves the default, and the scenario
/// that needs it lists the engine among its abstentions, with the reason.
pub(crate) trait Engine {
    /// Has `tasks` tasks at once, each giving way to the others `yields_each` times.
    fn yields(&mut self, _tasks: u64, _yields_each: u64) -> Fallible {
        cannot("yield")
    }

    /// `count` times: spawns a task and joins it.
    fn spawn_join(&mut self, _count: u64) -> Fallible {
        cannot("spawn")
    }

    /// Spawns `count` tasks, then joins them all in the order of their birth.
    fn spawn_many(&mut self, _count: u64) -> Fallible {
        cannot("spawn")
    }

    /// Has two tasks, one of which sends `count` numbers to the other through a channel, each when the one
    /// before has come back through another channel, made greater by one.
    fn ping_pong(&mut self, _count: u64) -> Fallible {
        cannot("send")
    }

    /// Spawns a task for each length, which sleeps as long; then joins them all.
    fn sleeps(&mut self, _lengths: &Arc<[Duration]>) -> Fallible {
        cannot("sleep")
    }

    /// Spawns `count` more tasks that stay parked for good; returns once all of them are.
    fn park(&mut self, _count: u64) -> Fallible {
        cannot("park")
    }

    /// Listens on a loopback port of its choice, announces it, and echoes on every connection for ever.
    fn serve_echo(&mut self, _announce: &mut dyn FnMut(SocketAddr)) -> Fallible {
        cannot("serve")
    }
}

fn cannot(what: &str) -> Fallible {
    Err(format!("this engine cannot {what}, and its scenario does not say so").into())
}

type Make = fn() -> Fallible<Box<dyn Engine>>;

/// One engine of the table, built in or not.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    make: Option<Make>,
}

/// In the order of the table.
pub(crate) static ALL: &[Entry] = &[
    Entry { name: "greenroom", about: "green threads, one hub", make: built::GREENROOM },
    Entry { name: "tokio", about: "async tasks, current_thread runtime", make: built::TOKIO },
    Entry { name: "may", about: "stackful coroutines, one worker", make: built::MAY },
    Entry { name: "corosensei", about: "the raw switch, no scheduler", make: built::COROSENSEI },
    Entry { name: "epoll", about: "a bare event loop, no tasks", make: built::EPOLL },
];

/// What this build contains.
mod built {
    use super::Make;

    pub(super) const GREENROOM: Option<Make> = Some(super::greenroom::make);
    pub(super) const EPOLL: Option<Make> = Some(super::epoll::make);

    #[cfg(feature = "rivals")]
    pub(super) use rivals::*;
    #[cfg(feature = "rivals")]
    mod rivals {
        use super::super::{Make, corosensei, may, tokio};
        pub(in super::super) const TOKIO: Option<Make> = Some(tokio::make);
        pub(in super::super) const MAY: Option<Make> = Some(may::make);
        pub(in super::super) const COROSENSEI: Option<Make> = Some(corosensei::make);
    }

    #[cfg(not(feature = "rivals"))]
    pub(super) use no_rivals::*;
    #[cfg(not(feature = "rivals"))]
    mod no_rivals {
        use super::Make;
        pub(in super::super) const TOKIO: Option<Make> = None;
        pub(in super::super) const MAY: Option<Make> = None;
        pub(in super::super) const COROSENSEI: Option<Make> = None;
    }
}

impl Entry {
    pub(crate) fn is_built(&self) -> bool {
        self.make.is_some()
    }

    /// Pins this process to the measured core, then starts the engine, whose threads inherit the pin.
    pub(crate) fn start(&self) -> Fallible<Box<dyn Engine>> {
        let make = self.make.ok_or_else(|| format!("{} is not built in", self.name))?;
        cores::pin(Role::Measured)?;
        make()
    }
}

pub(crate) fn find(name: &str) -> Fallible<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|entry| entry.name).collect();
        format!("no engine {name:?}; there are {}", known.join(", ")).into()
    })
}

/// Counts tasks that are about to park. A static, so that it adds nothing to what a task captures.
static ARRIVED: AtomicU64 = AtomicU64::new(0);

/// Called by each parked task, right before it parks.
fn arrive() {
    ARRIVED.fetch_add(1, Ordering::Relaxed);
}

fn arrived() -> u64 {
    ARRIVED.load(Ordering::Relaxed)
}

/// The joined values must be those of tasks 0 to `count - 1`: a task that was lost is no fast task.
fn check_joined(count: u64, sum: u64) -> Fallible {
    let expected = (0..count).sum::<u64>();
    if sum == expected {
        return Ok(());
    }
    Err(format!("joined values add up to {sum}, not {expected}").into())
}

/// The last number to come back must be that of the round trips: each has sent what came and one more.
fn check_last(count: u64, last: u64) -> Fallible {
    if last == count {
        return Ok(());
    }
    Err(format!("{last} came back last, and not {count}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for entry in ALL {
            assert!(std::ptr::eq(find(entry.name).unwrap(), entry));
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = find("nginx").unwrap_err().to_string();
        assert!(error.contains("tokio") && error.contains("epoll"), "{error}");
    }

    #[test]
    fn a_lost_task_is_noticed() {
        assert!(check_joined(4, 6).is_ok());
        assert!(check_joined(4, 5).is_err());
    }
}
