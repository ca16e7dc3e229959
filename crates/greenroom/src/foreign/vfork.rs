//! Children of `vfork`, which run in their parent's memory, on its stack, while its OS thread stands still.
//!
//! Such a child has the parent's hub before it, and nothing in memory tells that it is a child. So whoever is
//! about to make one says so, and from then on the kernel is asked for the process's number, until the
//! parent itself has asked. Makes no process.

use rustix::process::getpid;

use crate::hub::local::{Local, existing};

/// The process that was about to make such a child, and the era of its hub: a child of `fork` gets another
/// era when it waits by itself, and has nothing to do with what its parent was about to do.
pub(crate) type Announced = Option<(i32, u32)>;

/// Says that this OS thread is about to call `vfork`. In the child [`Here::get`](crate::foreign::Here::get) is
/// `None` then, as in one of `fork`.
///
/// Costs a system call, and one more when the parent next asks. Takes no lock and allocates nothing.
pub fn about_to_vfork() {
    if let Some(local) = existing()
        && let Ok(hub) = local.hub.try_borrow()
    {
        local.vfork.set(Some((process(), hub.era())));
    }
}

/// Whether this is such a child, where the hub is of this era.
#[inline]
pub(super) fn is_child(local: &Local, era: u32) -> bool {
    local.vfork.get().is_some_and(|announced| is_child_of(local, announced, era))
}

#[cold]
fn is_child_of(local: &Local, (parent, made_in): (i32, u32), era: u32) -> bool {
    let is_child = made_in == era && parent != process();
    if !is_child {
        local.vfork.set(None);
    }
    is_child
}

fn process() -> i32 {
    getpid().as_raw_nonzero().get()
}
