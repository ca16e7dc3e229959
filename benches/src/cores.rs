//! Which core does what: everything measured runs on one core, what loads it on another.
//!
//! Must never know what runs there.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Fallible;

/// The part a process plays in a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// It is measured.
    Measured,
    /// It makes work for the measured one.
    Load,
}

/// Pins this thread, and all that it starts from now on, to the one core of its role.
pub(crate) fn pin(role: Role) -> Fallible {
    let [measured, load] = pair()?;
    let mut only = CpuSet::new();
    only.set(match role {
        Role::Measured => measured,
        Role::Load => load,
    });
    sched_setaffinity(None, &only)?;
    Ok(())
}

/// The first two cores this process may use; the same one twice where there is no second.
pub(crate) fn pair() -> Fallible<[usize; 2]> {
    let allowed = sched_getaffinity(None)?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    let measured = cores.next().ok_or("this process may use no core")?;
    Ok([measured, cores.next().unwrap_or(measured)])
}
