//! `echo`: a TCP server sends back what it gets, 64 bytes at a time, on loopback.
//!
//! Must never count what the client spends: server and client are two processes on two cores.
//!
//! Measured: CPU time of the server process, kernel side included, divided by the requests. The client is the
//! same bare epoll loop for all and has one request in flight on every connection. It connects, and makes one batch of
//! requests to warm all connections up. Then it makes batches of a fixed number of requests, noting the server's CPU
//! time before and after each; the figure is the median batch, for the two cores interleave better or worse by
//! chance. The goal is a ratio to the bare epoll server of the same round. Wall time per request is told
//! beside it and is no goal: it depends on that interleaving most of all.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use super::{Abstention, Case, Goal, Scenario, Size};
use crate::cores::{self, Role};
use crate::engine::Entry;
use crate::load::Load;
use crate::meter::Sample;
use crate::statistics::median;
use crate::{Fallible, child, server};

/// The client stops here; the limit of the measurement only catches what hangs beyond that.
const TIME_MAX: Duration = Duration::from_secs(45);
const LIMIT: Duration = Duration::from_secs(60);
const GOAL: Option<Goal> = Some(Goal::AtMostOfBaseline(1.05));

pub(super) static SCENARIO: Scenario = Scenario {
    name: "echo",
    about: "TCP echo of 64 B on loopback: CPU time of the server per request",
    unit: "µs of server CPU per request",
    param_unit: "connections",
    baseline: "epoll",
    cases: &[
        Case { param: 64, goal: GOAL, limit: LIMIT, abstain: &[] },
        Case { param: 1000, goal: GOAL, limit: LIMIT, abstain: &[] },
    ],
    abstain: &[Abstention { engine: "corosensei", why: "has no sockets" }],
    run,
};

fn run(entry: &'static Entry, case: &Case, size: Size) -> Fallible<Sample> {
    let requests = size.pick(20_000, 10_000, 2_000);
    let deadline = Instant::now() + TIME_MAX;
    // The server pins itself; only then does this process, or the server would inherit the wrong core.
    let (mut server, address) = Server::start(entry)?;
    cores::pin(Role::Load)?;
    let mut load = Load::connect(address, case.param as usize, deadline)?;
    load.run(requests)?;
    let mut batches_cpu_us = Vec::new();
    let mut batches_wall_us = Vec::new();
    for _ in 0..size.pick(15, 5, 1) {
        let cpu_before_ns = server.cpu_ns()?;
        let wall = Instant::now();
        load.run(requests)?;
        batches_wall_us.push(wall.elapsed().as_nanos() as f64 / 1000.0);
        batches_cpu_us.push((server.cpu_ns()? - cpu_before_ns) as f64 / 1000.0);
    }
    let each = |batches: &[f64]| median(batches).unwrap_or(f64::NAN) / requests as f64;
    Ok(Sample::new(each(&batches_cpu_us), [("wall_us", each(&batches_wall_us))]))
}

/// The server process, as seen from the client: see `server` for its half of the talk.
struct Server {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Server {
    fn start(entry: &Entry) -> Fallible<(Self, SocketAddr)> {
        let mut command = child::myself()?;
        command.args(["--serve", entry.name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let ask = process.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(process.stdout.take().expect("stdout is piped"));
        // Made before the first answer is read: from here on, whatever fails ends the process too.
        let mut server = Self { process, ask, answers };
        let port = server.read(server::PORT)?.try_into()?;
        Ok((server, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    fn cpu_ns(&mut self) -> Fallible<u64> {
        self.ask.write_all(server::ASK_CPU)?;
        self.read(server::CPU_NS)
    }

    fn read(&mut self, key: &str) -> Fallible<u64> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let value = line.strip_prefix(key).ok_or("the server ended early")?;
        Ok(value.trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which is just as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
