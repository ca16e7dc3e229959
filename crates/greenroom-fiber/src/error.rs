//! Why there is no stack or no block: what was tried, what the kernel said, what the user can do.
//!
//! Never decides to give up; it only words the refusal.

use std::{error, fmt, io};

use rustix::io::Errno;

use crate::stack::STACK_SIZE_MAX;

/// There is no memory for a fiber. Everything that exists goes on working, and a later try may succeed.
///
/// Its text says what to do. It carries the kernel's error number, and converts into an
/// [`io::Error`] of the same kind.
///
/// ```
/// use greenroom_fiber::{Fiber, Options, Pool, STACK_SIZE_MAX};
///
/// let options = Options { stack_size: STACK_SIZE_MAX + 1, ..Options::default() };
/// let refused = Fiber::new(&Pool::new(), options, (), || ()).unwrap_err();
/// assert!(refused.error.to_string().contains("at most 1 GiB"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackError {
    step: Step,
    errno: Errno,
    stack_size: usize,
}

/// Where the way to a new stack ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The wish is above the largest stack size.
    Size,
    /// `mmap` gave no address space, not even for one stack.
    Map,
    /// The guard below the stack could not be made.
    Guard,
    /// There was no memory for the control block.
    Block,
    /// The heap had no room for the pool's lists.
    Lists,
}

impl StackError {
    #[cold]
    pub(crate) fn new(step: Step, errno: Errno, stack_size: usize) -> StackError {
        StackError { step, errno, stack_size }
    }

    /// The kernel's error number, such as `ENOMEM` (12).
    pub fn raw_os_error(&self) -> i32 {
        self.errno.raw_os_error()
    }

    /// Bytes of the stack that was asked for, rounded up to its size class where there is one.
    pub fn stack_size(&self) -> usize {
        self.stack_size
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = Bytes(self.stack_size);
        let kernel = io::Error::from(self.errno);
        match self.step {
            Step::Size => {
                write!(
                    f,
                    "a stack of {size} is too large; ask for at most {}",
                    Bytes(STACK_SIZE_MAX)
                )
            }
            Step::Map => write!(
                f,
                "no address space for a stack of {size} ({kernel}); lower the stack size, or raise \
                 RLIMIT_AS (ulimit -v), vm.max_map_count or, with vm.overcommit_memory=2, the \
                 commit limit"
            ),
            Step::Guard => write!(
                f,
                "no guard for a stack of {size} ({kernel}); raise vm.max_map_count, or run on \
                 Linux 6.13 or newer, where a guard takes no mapping of its own"
            ),
            Step::Block => write!(
                f,
                "no memory for the control block of a fiber with a stack of {size} ({kernel}); free \
                 memory, or raise RLIMIT_AS (ulimit -v)"
            ),
            Step::Lists => write!(
                f,
                "no heap memory to keep a stack of {size} in the pool's lists; free memory, or \
                 raise RLIMIT_AS (ulimit -v)"
            ),
        }
    }
}

impl error::Error for StackError {}

impl From<StackError> for io::Error {
    fn from(error: StackError) -> io::Error {
        io::Error::new(io::Error::from(error.errno).kind(), error)
    }
}

/// A number of bytes, written in the largest unit that divides it.
pub(crate) struct Bytes(pub(crate) usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bytes(bytes) = *self;
        match bytes {
            0 => f.write_str("0 bytes"),
            _ if bytes.is_multiple_of(1 << 30) => write!(f, "{} GiB", bytes >> 30),
            _ if bytes.is_multiple_of(1 << 20) => write!(f, "{} MiB", bytes >> 20),
            _ if bytes.is_multiple_of(1 << 10) => write!(f, "{} KiB", bytes >> 10),
            _ => write!(f, "{bytes} bytes"),
        }
    }
}
