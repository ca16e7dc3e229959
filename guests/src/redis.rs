//! A Redis server.

use std::process::Command;

use crate::{
    need::{Missing, program},
    server::{Plan, Server},
};

impl Server {
    /// Starts `redis-server`, which keeps nothing on disk.
    ///
    /// # Errors
    ///
    /// If it is not installed.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn redis() -> Result<Server, Missing> {
        let server = program("redis-server", &[], "redis-server")?;
        let plan = Plan {
            name: "redis",
            prepare: &|_| None,
            command: &|_, port| {
                let mut command = Command::new(&server);
                command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
                command.args(["--save", "", "--appendonly", "no"]);
                // So often it looks whose wait is over.
                command.args(["--hz", "100"]);
                command
            },
            ready: "Ready to accept connections",
            may_be_root: true,
        };
        Ok(plan.start())
    }
}
