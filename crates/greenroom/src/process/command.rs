//! How a child process is started: std's `Command`, whose children are green.
//!
//! Knows what std knows, and keeps two things besides: which streams were set, for std does not tell,
//! and [`output`](Command::output) must leave those alone; and whether children end with their handles.

use std::{
    ffi::OsStr,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{self, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio},
};

use crate::process::{Child, unwaited};

/// Starts processes, as [`std::process::Command`] does.
///
/// The builder's methods are std's, and none of them waits or makes a system call. What is missing
/// here, such as `pre_exec`, is there through [`as_std_mut`](Command::as_std_mut).
///
/// It belongs to no hub and may go to another OS thread.
///
/// # Examples
///
/// ```
/// use greenroom::process::Command;
///
/// let output = Command::new("echo").arg("hello").output()?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Command {
    inner: process::Command,
    /// Which of input, output and error were set.
    is_set: [bool; 3],
    kill_on_drop: bool,
}

const INPUT: usize = 0;
const OUTPUT: usize = 1;
const ERROR: usize = 2;

impl Command {
    /// Starts `program`, which is looked for in `PATH` if it is a plain name; without arguments, in our
    /// environment and directory, with our standard streams.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        process::Command::new(program).into()
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Command {
        self.inner.arg(argument);
        self
    }

    /// Adds arguments.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::Command;
    ///
    /// let mut command = Command::new("echo");
    /// command.arg("-n").args(["two", "words"]);
    /// assert_eq!(command.get_program(), "echo");
    /// assert_eq!(command.get_args().collect::<Vec<_>>(), ["-n", "two", "words"]);
    /// assert_eq!(command.output()?.stdout, b"two words");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        self.inner.args(arguments);
        self
    }

    /// Sets the argument before the first: what the program is told that it is called.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::Command;
    ///
    /// let output = Command::new("sh").arg0("called-so").args(["-c", "echo $0"]).output()?;
    /// assert_eq!(output.stdout, b"called-so\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.inner.arg0(name);
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env(name, value);
        self
    }

    /// Sets variables of the child's environment.
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> &mut Command {
        self.inner.envs(variables);
        self
    }

    /// Takes a variable out of the child's environment.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env_remove(name);
        self
    }

    /// Gives the child an environment of nothing but what is set from here on.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::Command;
    ///
    /// let mut command = Command::new("/usr/bin/env");
    /// command.env_clear().env("A", "1").envs([("B", "2"), ("C", "3")]).env_remove("C");
    /// assert_eq!(command.get_envs().count(), 2);
    /// assert_eq!(command.output()?.stdout, b"A=1\nB=2\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// Sets the child's working directory.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::path::Path;
    /// use greenroom::process::Command;
    ///
    /// let mut command = Command::new("pwd");
    /// command.current_dir("/");
    /// assert_eq!(command.get_current_dir(), Some(Path::new("/")));
    /// assert_eq!(command.output()?.stdout, b"/\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.inner.current_dir(directory);
        self
    }

    /// Sets the child's standard input: ours if it is not set, or none for [`output`](Command::output).
    ///
    /// Besides what std takes, an end of a [pipe](crate::io::pipe) or an fd will do, which becomes
    /// blocking again, as the child expects.
    ///
    /// # Examples
    ///
    /// One program's output is another's input:
    ///
    /// ```
    /// use greenroom::process::{Command, Stdio};
    ///
    /// let mut first = Command::new("echo").arg("b\na").stdout(Stdio::piped()).spawn()?;
    /// let words = first.stdout.take().unwrap();
    /// let sorted = Command::new("sort").stdin(words).output()?;
    /// assert_eq!(sorted.stdout, b"a\nb\n");
    /// assert!(first.wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stdin(&mut self, input: impl Into<Stdio>) -> &mut Command {
        self.inner.stdin(input);
        self.is_set[INPUT] = true;
        self
    }

    /// Sets the child's standard output: ours if it is not set, or a pipe for
    /// [`output`](Command::output).
    pub fn stdout(&mut self, output: impl Into<Stdio>) -> &mut Command {
        self.inner.stdout(output);
        self.is_set[OUTPUT] = true;
        self
    }

    /// Sets the child's standard error, as [`stdout`](Command::stdout) sets its output.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::{Command, Stdio};
    ///
    /// let mut loud = Command::new("sh");
    /// loud.args(["-c", "echo out; echo err >&2"]).stdout(Stdio::null()).stderr(Stdio::piped());
    /// let output = loud.spawn()?.wait_with_output()?;
    /// assert_eq!((output.stdout, output.stderr), (b"".to_vec(), b"err\n".to_vec()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stderr(&mut self, error: impl Into<Stdio>) -> &mut Command {
        self.inner.stderr(error);
        self.is_set[ERROR] = true;
        self
    }

    /// Sets the user that the child runs as. Makes std fork.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::fs::MetadataExt;
    /// use greenroom::process::Command;
    ///
    /// let me = std::fs::metadata("/proc/self")?;
    /// let output = Command::new("id").arg("-u").uid(me.uid()).gid(me.gid()).output()?;
    /// assert_eq!(output.stdout, format!("{}\n", me.uid()).into_bytes());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.inner.uid(id);
        self
    }

    /// Sets the group that the child runs as. Makes std fork.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.inner.gid(id);
        self
    }

    /// Puts the child into this process group; 0 makes a new one, which ctrl-c does not reach.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::Command;
    ///
    /// // A group of its own, whose number is the child's.
    /// let mut child = Command::new("sleep").arg("60").process_group(0).spawn()?;
    /// let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    /// assert_eq!(stat.split(' ').nth(4), Some(child.id().to_string().as_str()));
    /// child.kill()?;
    /// child.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.inner.process_group(group);
        self
    }

    /// Whether children are killed, with `SIGKILL`, when their handles are dropped before their end was
    /// waited for; false if it is not set. For [`status`](Command::status) and
    /// [`output`](Command::output) that is when the waiter is killed, or its time is over.
    ///
    /// The drop does not wait, so it works in hub callbacks and destructors too. A child that has not
    /// ended by then is left in a list of the process: it is a zombie from its end until the next
    /// [`spawn`](Command::spawn), or the next drop that kills, on any OS thread, waits for it without
    /// blocking. Each of these looks at 16 of them at most.
    ///
    /// Grandchildren are not killed, nor is a child whose handle is never dropped: because it is leaked,
    /// or because this process ends first. The streams of the handle are closed after the kill. A child
    /// that runs as somebody else may live on. [`Command::into_std`] and [`Command::as_std_mut`] start
    /// children that know nothing of this.
    ///
    /// The drop costs a system call, three if the child is alive, and one for each that is looked at.
    ///
    /// # Examples
    ///
    /// A program that must not outlive the wait for it:
    ///
    /// ```
    /// use greenroom::{process::Command, with_timeout};
    /// use std::time::Duration;
    ///
    /// let mut slow = Command::new("sleep");
    /// slow.arg("1000").kill_on_drop(true);
    /// assert!(with_timeout(Duration::from_millis(10), || slow.status()).is_err());
    /// // It has been killed.
    /// ```
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// Starts the child. Its streams are our own, unless they were set.
    ///
    /// Holds the loop for about a tenth of a millisecond: see [the module](super). Does not wait, so it
    /// works in hub callbacks and destructors too, and cannot be killed half-way.
    ///
    /// # Errors
    ///
    /// If there is no such program, or it cannot be started.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::Command;
    /// use std::io::ErrorKind;
    ///
    /// let missing = Command::new("/no/such/program").spawn().unwrap_err();
    /// assert_eq!(missing.kind(), ErrorKind::NotFound);
    /// let status = Command::new("true").spawn()?.wait()?;
    /// assert!(status.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(&mut self) -> io::Result<Child> {
        unwaited::reap();
        let mut child = Child::from_std(self.inner.spawn()?)?;
        child.set_kill_on_drop(self.kill_on_drop);
        Ok(child)
    }

    /// Starts the child and waits until it has ended. Its streams are our own, unless they were set;
    /// if its input is a pipe, that is closed.
    ///
    /// If the waiter is killed, or its [time](crate::with_timeout) is over, the child lives on, and no
    /// handle to it is left: keep a [`Child`] if that matters, or have it
    /// [killed](Command::kill_on_drop).
    ///
    /// # Errors
    ///
    /// As [`spawn`](Command::spawn) and [`Child::wait`].
    ///
    /// # Panics
    ///
    /// In a hub callback, which may not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::Command;
    ///
    /// let status = Command::new("sh").args(["-c", "exit 3"]).status()?;
    /// assert_eq!(status.code(), Some(3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Starts the child, waits until it has ended, and returns what it wrote. Output and error are read
    /// unless they were set, and it has no input unless that was set: set them here and not through
    /// std's type, which does not tell.
    ///
    /// If the waiter is killed, or its [time](crate::with_timeout) is over, the child lives on, as with
    /// [`status`](Command::status); it meets broken pipes when it writes.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Command::spawn) and [`Child::wait_with_output`].
    ///
    /// # Panics
    ///
    /// In a hub callback, which may not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::Command;
    ///
    /// let output = Command::new("sh").args(["-c", "echo fine; echo bad >&2"]).output()?;
    /// assert_eq!((&*output.stdout, &*output.stderr), (&b"fine\n"[..], &b"bad\n"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn output(&mut self) -> io::Result<Output> {
        self.spawn_for_output()?.wait_with_output()
    }

    fn spawn_for_output(&mut self) -> io::Result<Child> {
        self.set_unset(Stdio::null, Stdio::piped);
        let child = self.spawn();
        // What std does with those that nobody has set.
        self.set_unset(Stdio::inherit, Stdio::inherit);
        child
    }

    fn set_unset(&mut self, input: fn() -> Stdio, others: fn() -> Stdio) {
        if !self.is_set[INPUT] {
            self.inner.stdin(input());
        }
        if !self.is_set[OUTPUT] {
            self.inner.stdout(others());
        }
        if !self.is_set[ERROR] {
            self.inner.stderr(others());
        }
    }

    /// Becomes the program: on success this never returns, and nothing is unwound or flushed.
    /// Returns why that failed.
    ///
    /// Green threads end with the process image; so do timers and helpers.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::Command;
    ///
    /// let error = Command::new("/no/such/program").exec();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    pub fn exec(&mut self) -> io::Error {
        self.inner.exec()
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.inner.get_args()
    }

    /// What was set of the environment, or removed.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// The working directory, if it was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }

    /// The std command.
    pub fn as_std(&self) -> &process::Command {
        &self.inner
    }

    /// The std command, to set what has no method here. Set streams here all the same: see
    /// [`output`](Command::output).
    pub fn as_std_mut(&mut self) -> &mut process::Command {
        &mut self.inner
    }

    /// The std command, to be started without a hub.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::process::Command;
    ///
    /// let mut command = Command::new("true");
    /// command.as_std_mut().arg("ignored");
    /// assert_eq!(command.as_std().get_args().count(), 1);
    /// let std: std::process::Command = command.into_std();
    /// assert_eq!(std.get_program(), "true");
    /// ```
    pub fn into_std(self) -> process::Command {
        self.inner
    }
}

impl From<process::Command> for Command {
    /// Takes a std command. Streams that were set there count as not set: see
    /// [`output`](Command::output).
    fn from(inner: process::Command) -> Command {
        Command { inner, is_set: [false; 3], kill_on_drop: false }
    }
}
