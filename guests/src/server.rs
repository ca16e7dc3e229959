//! A server as a child process: on a free port of the loopback, in a folder of its own, ended by its id.
//!
//! The kernel kills it when the OS thread that started it ends, whatever way that is. Knows no server
//! by name.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt, chown},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::folder::Folder;

/// Whoever is not up by then never is.
const START_TIME: Duration = Duration::from_secs(40);

/// So often another port is tried: somebody else may have been faster.
const TRIES_MAX: u32 = 3;

/// Who runs servers that refuse to be run by root. Both are on every Debian.
const NOBODY: (u32, u32) = (65534, 65534);

/// A server that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    child: Mutex<Child>,
    address: SocketAddr,
    folder: Folder,
}

/// A program and its arguments, without the port.
pub(crate) struct Plan<'a> {
    pub(crate) name: &'a str,
    /// What is done in the folder before.
    pub(crate) prepare: &'a dyn Fn(&Path) -> Option<Command>,
    /// What is run in it.
    pub(crate) command: &'a dyn Fn(&Path, u16) -> Command,
    /// What it writes when it takes connections.
    pub(crate) ready: &'a str,
    pub(crate) may_be_root: bool,
}

impl Plan<'_> {
    /// # Panics
    ///
    /// If it does not get up. The message has what it wrote.
    pub(crate) fn start(&self) -> Server {
        for _ in 0..TRIES_MAX {
            match self.try_start().expect("folders can be made, and programs started") {
                Ok(server) => return server,
                Err(log) if log.to_lowercase().contains("in use") => {}
                Err(log) => panic!("{} does not start:\n{log}", self.name),
            }
        }
        panic!("{} finds no free port", self.name);
    }

    /// The inner error is what the server wrote.
    fn try_start(&self) -> io::Result<Result<Server, String>> {
        let folder = Folder::make(self.name)?;
        let is_root = fs::metadata(folder.path())?.uid() == 0;
        let be_nobody = is_root && !self.may_be_root;
        if be_nobody {
            chown(folder.path(), Some(NOBODY.0), Some(NOBODY.1))?;
        }
        let log = folder.path().join("log");
        if let Some(command) = (self.prepare)(folder.path()) {
            let output = bound(command, be_nobody).stdin(Stdio::null()).output()?;
            if !output.status.success() {
                return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
            }
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let file = File::create(&log)?;
        let child = bound((self.command)(folder.path(), port), be_nobody)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        let server = Server {
            child: Mutex::new(child),
            address: (Ipv4Addr::LOCALHOST, port).into(),
            folder,
        };
        if server.is_up(&log, self.ready) {
            return Ok(Ok(server));
        }
        server.kill();
        Ok(Err(fs::read_to_string(log)?))
    }
}

/// The command, ended with the OS thread that starts it; and run by nobody.
fn bound(command: Command, be_nobody: bool) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL"]);
    if be_nobody {
        bound.args([format!("--reuid={}", NOBODY.0), format!("--regid={}", NOBODY.1)]);
        bound.arg("--clear-groups");
    }
    bound.arg(command.get_program()).args(command.get_args().map(OsStr::to_owned));
    bound
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it, as by `kill -9`, and waits for its end.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits until it has written that it is ready. False if it ended, or time is over.
    fn is_up(&self, log: &Path, ready: &str) -> bool {
        let end = Instant::now() + START_TIME;
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
            let written = fs::read(log).unwrap_or_default();
            if String::from_utf8_lossy(&written).contains(ready) {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
