//! Signals of the kernel, waited for: ctrl-c, a request to end, a child's news.
//!
//! [`wait`] and [`ctrl_c`] wait for one signal once. [`Signals`] hears several, again and again, and
//! misses none between two waits.
//!
//! # What a signal does meanwhile
//!
//! From the first handle for a signal to the last, the signal does not do what it does by default:
//! ctrl-c no longer ends the process. When the last handle in the process is gone, the default action
//! is back. So a program that waits for ctrl-c, and then ends its work in good order without waiting
//! for another one, can be stopped by a second ctrl-c.
//!
//! If the signal was ignored before (as `SIGHUP` is under `nohup`), or somebody had a handler for it,
//! that is not so: it stays ignored afterwards, and a handler that was there is called in any case,
//! before, meanwhile and after. Whether that is so is read from `/proc/self/status`; where there is none,
//! a signal that was waited for once is ignored from then on, rather than end a process that should
//! live. The same holds for real-time signals, `SIGPWR` and `SIGSTKFLT`. A handler that somebody
//! installs later, while a handle is alive, is not known here: as long as that one wants the signal,
//! keep a handle.
//!
//! A child process that is started gets the default actions, whatever is waited for here. A forked child
//! that goes on without `exec` has its parent's handles, and cannot wait with them: it makes its own.
//!
//! # Who hears
//!
//! A signal that is sent to the process is heard by every handle for it, on every OS thread and hub. The
//! kernel and a handle each keep one of a kind: of several that come before one is asked for, one is
//! heard.
//!
//! `catch` knows what the process does with a signal, `signals` how a handle waits. Nothing here runs
//! in the handler but what `signal-hook` does: it sets a flag and writes a byte.

mod catch;
mod signals;

use std::{ffi::c_int, fmt, io};

pub use signals::{Iter, Signals};

/// The number of a signal.
///
/// # Examples
///
/// ```
/// use greenroom::signal::Signal;
///
/// assert_eq!(Signal::INT.as_raw(), 2);
/// assert_eq!(Signal::from_raw(15), Some(Signal::TERM));
/// assert_eq!(Signal::from_raw(0), None);
/// assert_eq!(Signal::HUP.to_string(), "SIGHUP");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(c_int);

/// The greatest number that Linux has for a signal.
const NUMBER_MAX: c_int = 64;

macro_rules! signals {
    ($($(#[doc = $doc:literal])* $name:ident = $number:ident,)*) => {
        impl Signal {
            $(
                $(#[doc = $doc])*
                pub const $name: Signal = Signal(libc::$number);
            )*

            fn name(self) -> Option<&'static str> {
                match self.0 {
                    $(libc::$number => Some(stringify!($number)),)*
                    _ => None,
                }
            }
        }
    };
}

signals! {
    /// The terminal is gone. For a program without one, by custom: read the settings again.
    HUP = SIGHUP,
    /// Ctrl-c.
    INT = SIGINT,
    /// Ctrl-\\.
    QUIT = SIGQUIT,
    /// An instruction that does not exist. Cannot be waited for.
    ILL = SIGILL,
    /// A breakpoint.
    TRAP = SIGTRAP,
    /// The process ends itself.
    ABRT = SIGABRT,
    /// A fault of memory. Cannot be waited for.
    BUS = SIGBUS,
    /// A fault of arithmetic. Cannot be waited for.
    FPE = SIGFPE,
    /// Ends the process. Cannot be waited for.
    KILL = SIGKILL,
    /// Free for use.
    USR1 = SIGUSR1,
    /// A fault of memory. Cannot be waited for.
    SEGV = SIGSEGV,
    /// Free for use.
    USR2 = SIGUSR2,
    /// A pipe was written to that nobody reads. Ignored in Rust programs.
    PIPE = SIGPIPE,
    /// The time of `alarm` is over.
    ALRM = SIGALRM,
    /// A request to end.
    TERM = SIGTERM,
    /// The coprocessor's stack.
    STKFLT = SIGSTKFLT,
    /// A child has ended, stopped or gone on. Ignored by default.
    CHLD = SIGCHLD,
    /// Goes on after a stop, which it does in any case.
    CONT = SIGCONT,
    /// Stops the process. Cannot be waited for.
    STOP = SIGSTOP,
    /// Ctrl-z.
    TSTP = SIGTSTP,
    /// A process in the background reads from the terminal.
    TTIN = SIGTTIN,
    /// A process in the background writes to the terminal.
    TTOU = SIGTTOU,
    /// Out-of-band data. Ignored by default; the [watchdog](crate::debug::watch) uses it too.
    URG = SIGURG,
    /// More processor time than allowed.
    XCPU = SIGXCPU,
    /// A larger file than allowed.
    XFSZ = SIGXFSZ,
    /// A timer of the process's own time.
    VTALRM = SIGVTALRM,
    /// A timer for profilers.
    PROF = SIGPROF,
    /// The terminal has another size. Ignored by default.
    WINCH = SIGWINCH,
    /// An fd is ready.
    IO = SIGIO,
    /// The power fails.
    PWR = SIGPWR,
    /// A system call that does not exist.
    SYS = SIGSYS,
}

impl Signal {
    /// The signal with this number, from 1 to 64.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::signal::Signal;
    ///
    /// assert_eq!(Signal::from_raw(Signal::TERM.as_raw()), Some(Signal::TERM));
    /// assert_eq!((Signal::INT.as_raw(), Signal::from_raw(0)), (2, None));
    /// ```
    pub fn from_raw(number: c_int) -> Option<Signal> {
        (1..=NUMBER_MAX).contains(&number).then_some(Signal(number))
    }

    /// Its number.
    pub fn as_raw(self) -> c_int {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// Waits until `signal` comes. One that came before the call is not heard: to wait for one again and
/// again, make [`Signals`].
///
/// Everyone who waits hears it; see [the module](self) for what the signal does meanwhile.
///
/// Costs what [`Signals::new`] costs, and a wait. Who is killed while waiting, or out of time, leaves
/// nothing behind. Under virtual time a signal is waited for in real time, as fds are.
///
/// # Errors
///
/// As [`Signals::new`] and [`Signals::wait`].
///
/// # Panics
///
/// In a hub callback, which may not wait.
///
/// # Examples
///
/// ```
/// use greenroom::signal::{self, Signal};
/// use rustix::process::{Signal as ToSend, getpid, kill_process};
///
/// let waiter = greenroom::spawn(|| signal::wait(Signal::USR1));
/// greenroom::yield_now();
/// kill_process(getpid(), ToSend::USR1)?;
/// waiter.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn wait(signal: Signal) -> io::Result<()> {
    Signals::new([signal])?.wait().map(drop)
}

/// Waits for ctrl-c: [`wait`] for [`Signal::INT`], with its costs, errors and panics.
///
/// When it returns, and nobody else waits for it, the next ctrl-c ends the process again.
///
/// # Examples
///
/// A server that is told to end:
///
/// ```no_run
/// use std::time::Duration;
///
/// let server = greenroom::spawn(|| greenroom::sleep(Duration::MAX));
/// greenroom::signal::ctrl_c()?;
/// server.thread().kill();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ctrl_c() -> io::Result<()> {
    wait(Signal::INT)
}
