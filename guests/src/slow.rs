//! The server of our own, which takes its time: orders, and the answers to them.
//!
//! An order says how long to wait, and what to answer then; so every byte of an answer is known beforehand. It
//! is a program of its own (`slow`), that it can be killed. Opens no sockets.

use std::{
    fmt::{self, Display},
    path::PathBuf,
    process::Command,
    str::FromStr,
    time::Duration,
};

use crate::server::{Plan, Server};

/// What the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    /// A line for each order, and after it the bytes of the answer.
    Lines,
    /// HTTP/1.1: an order is the path of a `GET`.
    Http,
    /// The same over TLS.
    Https,
    /// WebSocket: an order is a text, the answer is binary.
    WebSocket,
    /// SMTP: an order is the subject of a mail, the answer repeats it and says how long the mail is.
    Smtp,
}

impl Tongue {
    const ALL: [(Tongue, &'static str); 5] = [
        (Tongue::Lines, "lines"),
        (Tongue::Http, "http"),
        (Tongue::Https, "https"),
        (Tongue::WebSocket, "websocket"),
        (Tongue::Smtp, "smtp"),
    ];
}

impl Display for Tongue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Tongue::ALL.iter().find(|(tongue, _)| tongue == self);
        f.write_str(named.map_or("nothing", |(_, name)| name))
    }
}

impl FromStr for Tongue {
    type Err = String;

    fn from_str(name: &str) -> Result<Tongue, String> {
        let named = Tongue::ALL.iter().find(|(_, its)| *its == name);
        named.map(|(tongue, _)| *tongue).ok_or_else(|| format!("nobody speaks {name}"))
    }
}

/// A call of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// How long it waits, to the millisecond.
    pub wait: Duration,
    /// Which answer is wanted.
    pub number: usize,
}

impl Order {
    /// The answer: its length and its bytes depend on the number.
    pub fn answer(self) -> Vec<u8> {
        let length = self.length();
        let mut state = self.number as u32;
        let step = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..length).map(step).collect()
    }

    /// From one byte to more than a socket's buffer takes.
    pub fn length(self) -> usize {
        1 + self.number % 50 * 2_999
    }
}

/// `/wait-in-ms/number`, as HTTP has it.
impl Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/{}", self.wait.as_millis(), self.number)
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Order, String> {
        let refuse = || format!("{text:?} is no order");
        let (wait, number) =
            text.strip_prefix('/').and_then(|rest| rest.split_once('/')).ok_or_else(refuse)?;
        let wait = wait.parse().map(Duration::from_millis).map_err(|_| refuse())?;
        Ok(Order { wait, number: number.parse().map_err(|_| refuse())? })
    }
}

/// The server, running.
#[derive(Debug)]
pub struct Slow {
    /// Its process.
    pub server: Server,
    /// Where the certificate is that it shows, which it made itself: for `localhost` and `127.0.0.1`.
    pub certificate: PathBuf,
}

impl Slow {
    /// Starts `program`, which is `env!("CARGO_BIN_EXE_slow")`.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(program: &str, tongue: Tongue) -> Slow {
        let plan = Plan {
            name: "slow",
            prepare: &|_| None,
            command: &|folder, port| {
                let mut command = Command::new(program);
                command.args([tongue.to_string(), port.to_string()]);
                command.arg(folder.join("certificate.pem"));
                command
            },
            ready: "ready",
            may_be_root: true,
        };
        let server = plan.start();
        let certificate = server.folder().join("certificate.pem");
        Slow { server, certificate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_tongues_are_read_as_they_are_written() {
        let order = Order { wait: Duration::from_millis(250), number: 49 };
        assert_eq!(order.to_string().parse(), Ok(order));
        assert_eq!(order.answer().len(), order.length());
        for (tongue, _) in Tongue::ALL {
            assert_eq!(tongue.to_string().parse(), Ok(tongue));
        }
        for wrong in ["", "/1", "1/2", "/1/x", "/-1/2"] {
            assert!(wrong.parse::<Order>().is_err(), "{wrong}");
        }
    }
}
