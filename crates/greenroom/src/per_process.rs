//! A value that each process of a family of forks has for itself.
//!
//! A forked child has the OS thread alone that forked. What others of its parent held, or were in the middle of, is
//! never let go of there, and so a lock must not be the parent's. Knows nothing of what the value is; by what a process is
//! told from its parent is up to whoever asks.

use std::sync::OnceLock;

/// The number of this process, asked of the kernel: in a child of `vfork`, which shares its parent's memory, it is
/// another.
pub(crate) fn process_id() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get().cast_unsigned()
}

/// The value of the process that made it, and those of its children, one below the other.
pub(crate) struct PerProcess<T> {
    process: u32,
    value: T,
    of_child: OnceLock<Box<PerProcess<T>>>,
}

impl<T> PerProcess<T> {
    pub(crate) fn new(process: u32, value: T) -> PerProcess<T> {
        PerProcess { process, value, of_child: OnceLock::new() }
    }

    /// The value of `process`, which is the one that asks. If it has none, `inherit` makes one of its parent's.
    pub(crate) fn of(&self, process: u32, inherit: impl Fn(&T) -> T) -> &T {
        let mut own = self;
        while own.process != process {
            own = own
                .of_child
                .get_or_init(|| Box::new(PerProcess::new(process, inherit(&own.value))));
        }
        &own.value
    }

    /// As [`of`](PerProcess::of), but makes none.
    pub(crate) fn existing(&self, process: u32) -> Option<&T> {
        let mut own = self;
        while own.process != process {
            own = own.of_child.get()?;
        }
        Some(&own.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_its_own_made_of_its_parent_s_when_it_first_asks() {
        let family = PerProcess::new(1, vec![1]);
        let inherit = |parent: &Vec<u32>| [&parent[..], &[0]].concat();
        assert_eq!(family.of(1, inherit), &[1]);
        assert_eq!(family.existing(2), None);
        assert_eq!(family.of(2, inherit), &[1, 0]);
        assert_eq!(family.existing(2), Some(&vec![1, 0]));
        // A grandchild.
        assert_eq!(family.of(3, inherit), &[1, 0, 0]);
        assert_eq!(family.existing(3), Some(&vec![1, 0, 0]));
    }
}
