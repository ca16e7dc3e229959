//! A MariaDB server.

use std::process::Command;

use crate::{
    need::{Missing, program},
    server::{Plan, Server},
};

impl Server {
    /// Starts `mariadbd` without databases, and without its own tables: whoever comes may do all.
    ///
    /// # Errors
    ///
    /// If it is not installed.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn mariadb() -> Result<Server, Missing> {
        let server = program("mariadbd", &["/usr/sbin"], "mariadb-server")?;
        let plan = Plan {
            name: "mariadb",
            prepare: &|_| None,
            command: &|folder, port| {
                let mut command = Command::new(&server);
                command.args(["--no-defaults", "--skip-grant-tables", "--bind-address=127.0.0.1"]);
                for (option, value) in [("datadir", ""), ("tmpdir", ""), ("socket", "socket")] {
                    command.arg(format!("--{option}={}", folder.join(value).display()));
                }
                command.arg(format!("--port={port}"));
                command
                    .args(["--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0"]);
                command
            },
            ready: "ready for connections",
            may_be_root: false,
        };
        Ok(plan.start())
    }
}
