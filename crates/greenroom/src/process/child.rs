//! A child process, waited for greenly.
//!
//! std's `Child` knows how it ended and keeps that; this knows when to ask. Never starts a process.

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
    process::{self, ExitStatus, Output},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{
    io::{Descriptor, Interest, PipeReader, PipeWriter},
    scope,
};

/// A child process.
///
/// Dropping it does what std does: nothing. The child lives on, and when it has ended without having
/// been waited for, it stays in the kernel's table (a zombie) until we end too.
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
    /// The child's standard input, if that is a pipe. Closing it is how most programs learn that there
    /// is no more.
    pub stdin: Option<PipeWriter>,
    /// The child's standard output, if that is a pipe.
    pub stdout: Option<PipeReader>,
    /// The child's standard error, if that is a pipe.
    pub stderr: Option<PipeReader>,
    /// Readable once the child has ended. Made by the first wait that does not find it so.
    end: Option<Descriptor<OwnedFd>>,
    inner: process::Child,
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
            Ok((stdin, stdout, stderr)) => Ok(Child { stdin, stdout, stderr, end: None, inner }),
            Err(error) => {
                // Killed, it ends at once; and nobody could act on a second failure.
                let _ = inner.kill().and_then(|()| inner.wait());
                Err(error)
            }
        }
    }

    /// The child's process id. Once it was waited for, the kernel may give it to another process.
    pub fn id(&self) -> u32 {
        self.inner.id()
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
        self.inner.try_wait()
    }

    /// Kills the child, with `SIGKILL`. Does not wait until it has ended, and whoever waits still can.
    /// One that was waited for is not killed again: that is fine. Costs one system call.
    ///
    /// # Errors
    ///
    /// If we may not, because the child runs as somebody else.
    pub fn kill(&mut self) -> io::Result<()> {
        self.inner.kill()
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

    fn wait_within(&mut self, timeout: Option<Duration>) -> io::Result<ExitStatus> {
        // Known to be alive it has not been forgotten by the kernel, so its number is its own.
        if let Some(status) = self.inner.try_wait()? {
            return Ok(status);
        }
        let end = match &mut self.end {
            Some(end) => end,
            none => none.insert(open_end(self.inner.id())?),
        };
        let inner = &mut self.inner;
        let asked = end.when_ready_within(timeout, Interest::Read, |_| match inner.try_wait() {
            Ok(None) => Err(Errno::AGAIN),
            Ok(Some(status)) => Ok(Ok(status)),
            Err(error) => Ok(Err(error)),
        });
        asked?
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
            "this kernel cannot tell when a process ends (pidfd_open, since Linux 5.3); \
             Child::try_wait still works",
        )),
        Err(errno) => Err(errno.into()),
    }
}
