//! may with one worker thread.
//!
//! Must never join from the main thread within a measurement: there may blocks a whole OS thread.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::may::coroutine::{JoinHandle, sleep, yield_now};
use ::may::go;
use ::may::net::{TcpListener, TcpStream};
use ::may::sync::mpsc::channel;

use super::{ECHO_BUFFER_BYTES, Engine, PARKED_FOR, arrive, arrived, check_joined, check_last};
use crate::Fallible;

/// How often `park` looks whether all have arrived, and how long it lets them settle.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Errors of a coroutine must cross threads, for may's main thread is none of its workers.
type TaskResult<T = ()> = Result<T, String>;

struct May;

pub(super) fn make() -> Fallible<Box<dyn Engine>> {
    ::may::config().set_workers(1);
    Ok(Box::new(May))
}

/// How many stacks may keeps for reuse. It makes as many when its first coroutine is spawned, and of itself 1,000.
fn pool_stacks(count: u64) {
    ::may::config().set_pool_capacity(count as usize);
}

/// Runs `body` in a coroutine of its own and hands on its result.
fn run<T: Send + 'static>(body: impl FnOnce() -> TaskResult<T> + Send + 'static) -> Fallible<T> {
    Ok(joined(go!(body))??)
}

fn joined<T>(task: JoinHandle<T>) -> TaskResult<T> {
    task.join().map_err(|_| "a coroutine panicked".to_owned())
}

fn join_all(tasks: Vec<JoinHandle<()>>) -> TaskResult {
    tasks.into_iter().try_for_each(joined)
}

impl Engine for May {
    fn yields(&mut self, tasks: u64, yields_each: u64) -> Fallible {
        let give_way = move || (0..yields_each).for_each(|_| yield_now());
        run(move || join_all((0..tasks).map(|_| go!(give_way)).collect()))
    }

    fn spawn_join(&mut self, count: u64) -> Fallible {
        let sum = run(move || {
            (0..count).try_fold(0, |sum, task| TaskResult::Ok(sum + joined(go!(move || task))?))
        })?;
        check_joined(count, sum)
    }

    fn spawn_many(&mut self, count: u64) -> Fallible {
        // All of them, and the one that spawns them, so that every pass but the first runs warm.
        pool_stacks(count + 1);
        let sum = run(move || {
            let tasks: Vec<_> = (0..count).map(|task| go!(move || task)).collect();
            tasks.into_iter().try_fold(0, |sum, task| TaskResult::Ok(sum + joined(task)?))
        })?;
        check_joined(count, sum)
    }

    fn ping_pong(&mut self, count: u64) -> Fallible {
        let last = run(move || {
            let (ping, pings) = channel();
            let (pong, pongs) = channel();
            let echo = go!(move || pings.iter().all(|n: u64| pong.send(n + 1).is_ok()));
            let mut last = 0;
            for _ in 0..count {
                ping.send(last).map_err(|error| error.to_string())?;
                last = pongs.recv().map_err(|error| error.to_string())?;
            }
            drop(ping);
            if joined(echo)? { Ok(last) } else { Err("nobody took what came back".into()) }
        })?;
        check_last(count, last)
    }

    fn sleeps(&mut self, lengths: &Arc<[Duration]>) -> Fallible {
        let lengths = Arc::clone(lengths);
        pool_stacks(lengths.len() as u64 + 1);
        run(move || join_all(lengths.iter().map(|&length| go!(move || sleep(length))).collect()))
    }

    fn park(&mut self, count: u64) -> Fallible {
        // Stacks made before anybody parks would be missing from the bill.
        pool_stacks(1);
        let expected = arrived() + count;
        for _ in 0..count {
            drop(go!(|| {
                arrive();
                sleep(PARKED_FOR);
            }));
        }
        while arrived() < expected {
            std::thread::sleep(LOOK_EVERY);
        }
        std::thread::sleep(LOOK_EVERY);
        Ok(())
    }

    fn serve_echo(&mut self, announce: &mut dyn FnMut(SocketAddr)) -> Fallible {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        announce(listener.local_addr()?);
        run(move || serve(&listener).map_err(|error| error.to_string()))
    }
}

fn serve(listener: &TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        // A connection that breaks ends its own coroutine only.
        drop(go!(move || echo(stream)));
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
