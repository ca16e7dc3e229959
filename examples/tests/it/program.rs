//! Runs an example, for a bounded time.
//!
//! Knows nothing of any of them.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, Read},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// Whatever takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(50);

/// What a program that has ended left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs an example to its end.
#[track_caller]
pub(crate) fn run(name: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(path(name));
    command.args(arguments);
    finish(command)
}

/// Runs an example to its end, in a shell that has run `preparation` before.
#[track_caller]
pub(crate) fn run_after(preparation: &str, name: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{preparation} && exec \"$0\" \"$@\"")]);
    command.arg(path(name)).args(arguments);
    finish(command)
}

#[track_caller]
fn finish(mut command: Command) -> Outcome {
    let mut child = Running(start(&mut command));
    let stdout = collect(child.0.stdout.take().expect("it is piped"));
    let stderr = collect(child.0.stderr.take().expect("it is piped"));
    let Ok(stdout) = stdout.recv_timeout(PATIENCE) else {
        panic!("{command:?} has not ended in {PATIENCE:?}");
    };
    let stderr = stderr.recv_timeout(PATIENCE).expect("standard error ends with the program");
    let code = child.0.wait().expect("a child can be waited for").code();
    assert!(!stderr.contains("panicked"), "{stderr}");
    Outcome { code, stdout, stderr }
}

/// An example that serves an address, until this is dropped.
pub(crate) struct Service {
    running: Running,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Service {
    /// Starts it and waits until it has said where it listens.
    #[track_caller]
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Service {
        let mut running = Running(start(Command::new(path(name)).args(arguments)));
        let mut stdout = BufReader::new(running.0.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it says where it listens");
        let address = line.trim_end().strip_prefix("listening on ");
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{name} said {line:?}"));
        Service { running, stdout, address }
    }

    /// A connection whose reads do not wait for ever.
    #[track_caller]
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream
    }

    /// Sends it what ctrl-c sends, and waits until it has ended. Its output is what it has printed
    /// since it said where it listens.
    #[track_caller]
    pub(crate) fn interrupt(mut self) -> Outcome {
        let pid = i32::try_from(self.running.0.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has a number"), Signal::INT).expect("it runs");
        let stdout = collect(self.stdout);
        let stderr = collect(self.running.0.stderr.take().expect("it is piped"));
        let stdout = stdout.recv_timeout(PATIENCE).expect("it ends when it is interrupted");
        let stderr = stderr.recv_timeout(PATIENCE).expect("standard error ends with the program");
        let code = self.running.0.wait().expect("a child can be waited for").code();
        Outcome { code, stdout, stderr }
    }

    /// Ends it. Returns what it had to complain of.
    pub(crate) fn stop(mut self) -> String {
        let stderr = collect(self.running.0.stderr.take().expect("it is piped"));
        self.running.end();
        stderr.recv_timeout(PATIENCE).expect("standard error ends with the program")
    }
}

/// A child that does not outlive its test.
struct Running(Child);

impl Running {
    fn end(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Reads to the end, on an OS thread of its own.
fn collect(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (done, received) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).expect("programs print text");
        // Whoever waited may have lost patience.
        let _ = done.send(text);
    });
    received
}

/// Cargo builds examples into a folder beside the tests before it runs all of these. Before it runs
/// some of them, chosen by name, it does not, so what is there may be old.
#[track_caller]
pub(crate) fn path(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().find(|folder| folder.file_name() == Some(OsStr::new("deps")));
    let profile = profile.and_then(Path::parent).expect("tests are built into `deps`");
    let path = profile.join("examples").join(name);
    assert!(
        is_up_to_date(&path).unwrap_or(false),
        "{} is missing or old; `cargo build -p greenroom-examples --examples` builds it",
        path.display()
    );
    path
}

/// Whether a program is younger than each of its sources, which cargo lists beside it.
fn is_up_to_date(program: &Path) -> io::Result<bool> {
    let built = program.metadata()?.modified()?;
    let list = fs::read_to_string(program.with_extension("d"))?;
    let mut sources = list.split_whitespace().skip(1).map(Path::new);
    Ok(sources.all(|source| {
        // One that is gone, or cut at a space in its name, tells nothing.
        let modified = source.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified <= built) || !source.exists()
    }))
}
