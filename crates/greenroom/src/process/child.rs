//! A child process, waited for greenly.
//!
//! std's `Child` knows how it ended and keeps that; this knows when to ask. Never starts a process.

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
    process::{self, ExitStatus, Output},
    time::Duration,
};

use greenroom_hub::ListenerKey;
use rustix::{
    io::Errno,
    process::{self as kernel, Pid, PidfdFlags, pidfd_open, pidfd_send_signal},
};

use crate::{
    io::{Descriptor, Interest, PipeReader, PipeWriter},
    process::unwaited,
    scope,
    signal::Signal,
    thread::Waiter,
};

/// A child process.
///
/// Dropping it does what std does: nothing. The child lives on, and when it has ended without having
/// been waited for, it stays in the kernel's table (a zombie) until we end too.
/// [`kill_on_drop`](crate::process::Command::kill_on_drop) changes that.
///
/// A waiter that is killed or out of time has not waited: the child goes on, and whoever has the handle
/// can wait again.
///
/// If the process ignores `SIGCHLD`, the kernel forgets children as they end: a wait then lasts until
/// the child has ended, and fails with `ECHILD`, as std's does.
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::process::Child>();
/// ```
///
/// # Examples
///
/// ```
/// use greenroom::process::Command;
/// use std::{os::unix::process::ExitStatusExt, time::Duration};
///
/// let mut child = Command::new("sleep").arg("1000").spawn()?;
/// assert!(child.wait_timeout(Duration::from_millis(1))?.is_none());
/// child.kill()?;
/// assert_eq!(child.wait()?.signal(), Some(9));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    /// Stands first, so it is dropped first: a child that is killed must not take the closing of its
    /// input for the end of it.
    inner: Owned,
    /// The child's standard input, if that is a pipe. Closing it is how most programs learn that there
    /// is no more.
    pub stdin: Option<PipeWriter>,
    /// The child's standard output, if that is a pipe.
    pub stdout: Option<PipeReader>,
    /// The child's standard error, if that is a pipe.
    pub stderr: Option<PipeReader>,
    /// Readable once the child has ended. Made by the first wait that does not find it so.
    end: Option<Descriptor<OwnedFd>>,
}

impl Child {
    /// Takes a child that std has started, for example on a helper OS thread. Its pipes' ends on our
    /// side become non-blocking for the kernel; the child's ends are not touched.
    ///
    /// # Errors
    ///
    /// What the kernel says if that cannot be done; the child is killed then, and waited for.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{offload, process::Child};
    ///
    /// let started = offload(|| std::process::Command::new("true").spawn())?;
    /// assert!(Child::from_std(started)?.wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn from_std(mut inner: process::Child) -> io::Result<Child> {
        match green_ends(&mut inner) {
            Ok((stdin, stdout, stderr)) => {
                let inner = Owned { child: Some(inner), kill_on_drop: false };
                Ok(Child { inner, stdin, stdout, stderr, end: None })
            }
            Err(error) => {
                // Killed, it ends at once; and nobody could act on a second failure.
                let _ = inner.kill().and_then(|()| inner.wait());
                Err(error)
            }
        }
    }

    pub(super) fn set_kill_on_drop(&mut self, kill: bool) {
        self.inner.kill_on_drop = kill;
    }

    /// The child's process id. Once it was waited for, the kernel may give it to another process.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::{Command, Stdio};
    ///
    /// let mut child = Command::new("cat").stdin(Stdio::piped()).spawn()?;
    /// assert!(child.id() > 1 && child.try_wait()?.is_none());
    /// // Its input is closed first.
    /// assert!(child.wait()?.success());
    /// assert!(child.try_wait()?.is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn id(&self) -> u32 {
        self.inner.std().id()
    }

    /// Waits until the child has ended. Its standard input is closed first, so that a child that reads
    /// to its end does not wait for us. Whoever waits again gets the same status.
    ///
    /// Costs one system call if the child has ended, else three and a wait; the first such wait takes
    /// an fd, until the handle is dropped.
    ///
    /// # Errors
    ///
    /// `ECHILD` if the process ignores `SIGCHLD` or somebody else has waited for the child;
    /// [`Unsupported`](io::ErrorKind::Unsupported) before Linux 5.3; if no fds are left. After any of
    /// them the handle can wait again.
    ///
    /// In a destructor that runs because of a panic nothing can switch: it looks with its whole OS
    /// thread for a tenth of a second, and then fails with [`TimedOut`](io::ErrorKind::TimedOut).
    ///
    /// # Panics
    ///
    /// In a hub callback, if the child has not ended; [`try_wait`](Child::try_wait) works there.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.wait_within(None)
    }

    /// Waits for `timeout` at most; `None` if the child has not ended by then. Its standard input stays
    /// open.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait), but for the time in a destructor, after which it is `None`.
    ///
    /// # Panics
    ///
    /// In a hub callback, if the child has not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::process::Command;
    ///
    /// let mut child = Command::new("sleep").arg("60").spawn()?;
    /// assert_eq!(child.wait_timeout(Duration::from_millis(1))?, None);
    /// child.kill()?;
    /// assert!(!child.wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        match self.wait_within(Some(timeout)) {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How the child ended, if it has. Never waits, so it works in hub callbacks and destructors too.
    /// Costs one system call, none once the end is known.
    ///
    /// # Errors
    ///
    /// `ECHILD`, as for [`wait`](Child::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.inner.std_mut().try_wait()
    }

    /// Kills the child, with `SIGKILL`. Does not wait until it has ended, and whoever waits still can.
    /// One that was waited for is not killed again: that is fine. Costs one system call.
    ///
    /// # Errors
    ///
    /// If we may not, because the child runs as somebody else.
    pub fn kill(&mut self) -> io::Result<()> {
        self.inner.std_mut().kill()
    }

    /// Sends the child a signal: [`TERM`](Signal::TERM) asks it to end. Does not wait until anything has
    /// come of it, so it works in hub callbacks and destructors too.
    ///
    /// A child that has ended gets none, and that is fine, as for [`kill`](Child::kill); it is
    /// waited for thereby, and its status kept. The signal goes to the process and not to its number,
    /// so it never reaches another one that got the number since. Grandchildren do not get it.
    ///
    /// Costs two system calls, none if the child's end is known; the first signal costs one more and
    /// takes an fd, until the handle is dropped, unless a wait has taken it.
    ///
    /// # Errors
    ///
    /// If we may not, because the child runs as somebody else; `ECHILD` if the child was forgotten, as
    /// for [`wait`](Child::wait); [`InvalidInput`](io::ErrorKind::InvalidInput) for a real-time signal;
    /// [`Unsupported`](io::ErrorKind::Unsupported) before Linux 5.3; if no fds are left.
    ///
    /// # Examples
    ///
    /// A child that is asked to end, and killed if it does not:
    ///
    /// ```
    /// use greenroom::{process::Command, signal::Signal};
    /// use std::{os::unix::process::ExitStatusExt, time::Duration};
    ///
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// child.signal(Signal::TERM)?;
    /// if child.wait_timeout(Duration::from_secs(10))?.is_none() {
    ///     child.kill()?;
    /// }
    /// assert_eq!(child.wait()?.signal(), Some(15));
    /// child.signal(Signal::TERM)?; // It has ended: that is fine.
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        let to_send = kernel::Signal::from_named_raw(signal.as_raw()).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{signal} cannot be sent to a child: it is a real-time signal"),
            )
        })?;
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        match pidfd_send_signal(self.end()?.file(), to_send) {
            // It has ended since we asked, and was waited for by nobody but the kernel.
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads output and error to their ends, both at once, so that a child that writes much to both
    /// is never stuck; then waits until the child has ended. Its standard input is closed first.
    ///
    /// Of what is no pipe, or was taken out of the handle, nothing is returned. A pipe ends when its last
    /// writer has: grandchildren that have it count too.
    ///
    /// Costs a green thread more if both are pipes. What is read is kept in memory, however much
    /// that is. If the waiter is killed or out of time, what was read is lost, and the child lives on.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait); and what reading says.
    ///
    /// # Panics
    ///
    /// In a hub callback, which may not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use greenroom::process::{Command, Stdio};
    ///
    /// let mut child = Command::new("tr").args(["a-z", "A-Z"])
    ///     .stdin(Stdio::piped())
    ///     .stdout(Stdio::piped())
    ///     .spawn()?;
    /// child.stdin.take().unwrap().write_all(b"loud")?;
    /// assert_eq!(child.wait_with_output()?.stdout, b"LOUD");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = match (self.stdout.take(), self.stderr.take()) {
            (Some(output), Some(error)) => {
                let mut stderr = Ok(Vec::new());
                let stdout = scope(|scope| {
                    scope.spawn(|| stderr = read_to_end(error));
                    read_to_end(output)
                });
                (stdout?, stderr?)
            }
            (output, error) => {
                let read = |pipe: Option<PipeReader>| pipe.map_or(Ok(Vec::new()), read_to_end);
                (read(output)?, read(error)?)
            }
        };
        Ok(Output { status: self.wait()?, stdout, stderr })
    }

    /// For waits on several things at once: [`try_wait`](Child::try_wait) has found it alive.
    pub(crate) fn listen_for_end(&mut self, waiter: Waiter) -> io::Result<ListenerKey> {
        self.end()?.listen(Interest::Read, waiter)
    }

    fn wait_within(&mut self, timeout: Option<Duration>) -> io::Result<ExitStatus> {
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        self.end()?;
        let (end, inner) = (self.end.as_ref().expect("it was just made"), self.inner.std_mut());
        let asked = end.when_ready_within(timeout, Interest::Read, |_| match inner.try_wait() {
            Ok(None) => Err(Errno::AGAIN),
            Ok(Some(status)) => Ok(Ok(status)),
            Err(error) => Ok(Err(error)),
        });
        asked?
    }

    /// The fd of a child that is known to be alive: it has not been forgotten by the kernel, so its
    /// number is its own.
    fn end(&mut self) -> io::Result<&Descriptor<OwnedFd>> {
        match &mut self.end {
            Some(end) => Ok(end),
            none => Ok(none.insert(open_end(self.inner.std().id())?)),
        }
    }
}

/// A child of std, which ends with its handle if that is asked. Apart from [`Child`], whose streams can
/// be moved out because it has no destructor.
#[derive(Debug)]
struct Owned {
    /// Gone only while it is dropped.
    child: Option<process::Child>,
    kill_on_drop: bool,
}

impl Owned {
    fn std(&self) -> &process::Child {
        self.child.as_ref().expect("the child is there until its handle is dropped")
    }

    fn std_mut(&mut self) -> &mut process::Child {
        self.child.as_mut().expect("the child is there until its handle is dropped")
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.kill_on_drop {
            return;
        }
        // One that has ended is waited for by this question; known to be alive, its number is its own.
        if let Some(mut child) = self.child.take()
            && let Ok(None) = child.try_wait()
        {
            // If we may not kill it, nobody here could act on that: it is waited for all the same.
            let _ = child.kill();
            if let Ok(None) = child.try_wait() {
                unwaited::keep(child);
            }
        }
    }
}

impl TryFrom<process::Child> for Child {
    type Error = io::Error;

    fn try_from(inner: process::Child) -> io::Result<Child> {
        Child::from_std(inner)
    }
}

type GreenEnds = (Option<PipeWriter>, Option<PipeReader>, Option<PipeReader>);

/// Our ends of the child's pipes. Each end of a pipe is an open file of its own, so the child's stay
/// as blocking as they were.
fn green_ends(child: &mut process::Child) -> io::Result<GreenEnds> {
    let reader = |fd: OwnedFd| PipeReader::from_std(fd.into());
    Ok((
        child
            .stdin
            .take()
            .map(|end| PipeWriter::from_std(OwnedFd::from(end).into()))
            .transpose()?,
        child.stdout.take().map(|end| reader(end.into())).transpose()?,
        child.stderr.take().map(|end| reader(end.into())).transpose()?,
    ))
}

fn read_to_end(mut pipe: PipeReader) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An fd that becomes readable when the process has ended.
fn open_end(id: u32) -> io::Result<Descriptor<OwnedFd>> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    let pid = pid.expect("numbers of children are positive");
    match pidfd_open(pid, PidfdFlags::empty()) {
        // It is only ever asked whether it is ready: no call on it could block.
        Ok(fd) => Ok(Descriptor::already_nonblocking(fd)),
        Err(Errno::NOSYS) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel has no fds of processes (pidfd_open, since Linux 5.3); Child::try_wait and \
             Child::kill still work",
        )),
        Err(errno) => Err(errno.into()),
    }
}
