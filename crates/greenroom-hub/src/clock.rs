//! What time it is: the monotonic clock, or a virtual one that a test advances.
//!
//! The only file of this crate that reads a clock. Never sleeps.

use std::{
    cell::Cell,
    ops::{Add, Sub},
    rc::Rc,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// A point in time on a hub's clock, counted in nanoseconds.
///
/// On the monotonic clock this is the kernel's `CLOCK_MONOTONIC`. Arithmetic saturates: a deadline
/// too far away to be counted (584 years) is [`Instant::NEVER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// A deadline that never comes.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The instant `nanos` nanoseconds after the clock's zero.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// Nanoseconds since the clock's zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, rest: Duration) -> Instant {
        let nanos = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_since(earlier)
    }
}

/// Where a hub reads the time.
///
/// A clone shows the same time as the original.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    Monotonic,
    Virtual(Rc<Cell<u64>>),
}

impl Clock {
    /// The kernel's monotonic clock. Costs one vDSO call a reading (about 20 ns).
    pub fn monotonic() -> Clock {
        Clock(Source::Monotonic)
    }

    /// A clock that stands still at one second past its zero until somebody advances it.
    ///
    /// A hub on a virtual clock never sleeps for a deadline: when nobody is ready it jumps to the
    /// first one.
    pub fn manual() -> Clock {
        Clock(Source::Virtual(Rc::new(Cell::new(1_000_000_000))))
    }

    /// The time now.
    #[inline]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::Monotonic => {
                let time = clock_gettime(ClockId::Monotonic);
                Instant(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
            }
            Source::Virtual(nanos) => Instant(nanos.get()),
        }
    }

    /// True if time passes only when somebody says so.
    pub fn is_virtual(&self) -> bool {
        matches!(self.0, Source::Virtual(_))
    }

    /// Moves a virtual clock forward to `instant`; to an earlier one it does not move.
    ///
    /// # Panics
    ///
    /// On the monotonic clock, which nobody can set.
    pub fn advance_to(&self, instant: Instant) {
        match &self.0 {
            Source::Virtual(nanos) => nanos.set(nanos.get().max(instant.0)),
            Source::Monotonic => panic!("the monotonic clock cannot be advanced by hand"),
        }
    }
}
