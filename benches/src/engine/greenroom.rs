//! greenroom, through nothing but its public, std-shaped API.
//!
//! Must never use what a user of the crate could not.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::greenroom::net::{TcpListener, TcpStream};
use ::greenroom::{JoinHandle, sleep, spawn, sync::channel, yield_now};

use super::{ECHO_BUFFER_BYTES, Engine, PARKED_FOR, arrive, arrived, check_joined, check_last};
use crate::Fallible;

/// How often `park` looks whether all have arrived, and how long it lets them settle.
const LOOK_EVERY: Duration = Duration::from_millis(1);

struct Greenroom;

pub(super) fn make() -> Fallible<Box<dyn Engine>> {
    Ok(Box::new(Greenroom))
}

/// Runs `body` in a green thread of its own and hands on its result.
fn run<T: 'static>(body: impl FnOnce() -> T + 'static) -> Fallible<T> {
    joined(spawn(body))
}

fn joined<T: 'static>(thread: JoinHandle<T>) -> Fallible<T> {
    thread.join().map_err(|error| format!("a green thread failed: {error}").into())
}

fn join_all<T: 'static>(threads: Vec<JoinHandle<T>>) -> Fallible {
    threads.into_iter().try_for_each(|thread| joined(thread).map(drop))
}

impl Engine for Greenroom {
    fn yields(&mut self, tasks: u64, yields_each: u64) -> Fallible {
        let give_way = move || (0..yields_each).for_each(|_| yield_now());
        run(move || join_all((0..tasks).map(|_| spawn(give_way)).collect()))?
    }

    fn spawn_join(&mut self, count: u64) -> Fallible {
        let sum = run(move || {
            (0..count).try_fold(0, |sum, task| Fallible::Ok(sum + joined(spawn(move || task))?))
        })??;
        check_joined(count, sum)
    }

    fn spawn_many(&mut self, count: u64) -> Fallible {
        let sum = run(move || {
            let threads: Vec<_> = (0..count).map(|task| spawn(move || task)).collect();
            threads.into_iter().try_fold(0, |sum, thread| Fallible::Ok(sum + joined(thread)?))
        })??;
        check_joined(count, sum)
    }

    fn ping_pong(&mut self, count: u64) -> Fallible {
        let last = run(move || {
            let (ping, pings) = channel::unbounded();
            let (pong, pongs) = channel::unbounded();
            let echo = spawn(move || pings.iter().try_for_each(|n: u64| pong.send(n + 1)));
            let mut last = 0;
            for _ in 0..count {
                ping.send(last)?;
                last = pongs.recv()?;
            }
            drop(ping);
            joined(echo)??;
            Fallible::Ok(last)
        })??;
        check_last(count, last)
    }

    fn sleeps(&mut self, lengths: &Arc<[Duration]>) -> Fallible {
        let lengths = Arc::clone(lengths);
        run(move || join_all(lengths.iter().map(|&length| spawn(move || sleep(length))).collect()))?
    }

    fn park(&mut self, count: u64) -> Fallible {
        let expected = arrived() + count;
        for _ in 0..count {
            drop(spawn(|| {
                arrive();
                sleep(PARKED_FOR);
            }));
        }
        while arrived() < expected {
            sleep(LOOK_EVERY);
        }
        sleep(LOOK_EVERY);
        Ok(())
    }

    fn serve_echo(&mut self, announce: &mut dyn FnMut(SocketAddr)) -> Fallible {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        announce(listener.local_addr()?);
        Ok(run(move || serve(&listener))??)
    }
}

fn serve(listener: &TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        // A connection that breaks ends its own green thread only.
        drop(spawn(move || echo(stream)));
    }
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; ECHO_BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}
