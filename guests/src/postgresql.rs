//! A PostgreSQL server.

use std::{path::Path, process::Command};

use crate::{
    need::{Missing, program},
    server::{Plan, Server},
};

/// Debian keeps the servers of all versions apart, off the path.
const FOLDERS: [&str; 4] = [
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/18/bin",
];

impl Server {
    /// Starts `postgres` with an empty database `postgres`, whose user `guest` needs no password.
    ///
    /// # Errors
    ///
    /// If it is not installed.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn postgresql() -> Result<Server, Missing> {
        let make = program("initdb", &FOLDERS, "postgresql")?;
        let server = program("postgres", &FOLDERS, "postgresql")?;
        let data = |folder: &Path| folder.join("data");
        let plan = Plan {
            name: "postgresql",
            prepare: &|folder| {
                let mut command = Command::new(&make);
                command.arg("-D").arg(data(folder));
                command.args(["-A", "trust", "-U", "guest", "-E", "UTF8"]);
                command.args(["--no-locale", "--no-sync"]);
                Some(command)
            },
            command: &|folder, port| {
                let mut command = Command::new(&server);
                command.arg("-D").arg(data(folder)).args(["-h", "127.0.0.1", "-p"]);
                command.arg(port.to_string());
                // No socket in a folder of the system's; nothing is to be kept.
                command.args(["-c", "unix_socket_directories=", "-c", "fsync=off"]);
                command
            },
            ready: "ready to accept connections",
            may_be_root: false,
        };
        Ok(plan.start())
    }
}
