//! tokio on its current-thread runtime, all drivers on.
//!
//! Must never use unstable parts, nor more threads than the one.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::{TcpListener, TcpStream};
use ::tokio::runtime::{Builder, Runtime};
use ::tokio::task::{JoinHandle, yield_now};
use ::tokio::{spawn, sync::mpsc::unbounded_channel, time::sleep};

use super::{ECHO_BUFFER_BYTES, Engine, PARKED_FOR, arrive, arrived, check_joined, check_last};
use crate::Fallible;

/// How often `park` looks whether all have arrived, and how long it lets them settle.
const LOOK_EVERY: Duration = Duration::from_millis(1);

type TaskResult<T = ()> = Result<T, ::tokio::task::JoinError>;

struct Tokio {
    runtime: Runtime,
}

pub(super) fn make() -> Fallible<Box<dyn Engine>> {
    Ok(Box::new(Tokio { runtime: Builder::new_current_thread().enable_all().build()? }))
}

impl Tokio {
    /// Runs `body` in a task of its own and hands on its result.
    fn run<T: Send + 'static>(
        &self,
        body: impl Future<Output = T> + Send + 'static,
    ) -> TaskResult<T> {
        self.runtime.block_on(self.runtime.spawn(body))
    }
}

async fn join_all(tasks: Vec<JoinHandle<()>>) -> TaskResult {
    for task in tasks {
        task.await?;
    }
    Ok(())
}

impl Engine for Tokio {
    fn yields(&mut self, tasks: u64, yields_each: u64) -> Fallible {
        let give_way = move || async move {
            for _ in 0..yields_each {
                yield_now().await;
            }
        };
        Ok(self.run(async move {
            join_all((0..tasks).map(|_| spawn(give_way())).collect()).await
        })??)
    }

    fn spawn_join(&mut self, count: u64) -> Fallible {
        let sum = self.run(async move {
            let mut sum = 0;
            for task in 0..count {
                sum += spawn(async move { task }).await?;
            }
            TaskResult::Ok(sum)
        })??;
        check_joined(count, sum)
    }

    fn spawn_many(&mut self, count: u64) -> Fallible {
        let sum = self.run(async move {
            let tasks: Vec<_> = (0..count).map(|task| spawn(async move { task })).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await?;
            }
            TaskResult::Ok(sum)
        })??;
        check_joined(count, sum)
    }

    fn ping_pong(&mut self, count: u64) -> Fallible {
        let last = self.run(async move {
            let (ping, mut pings) = unbounded_channel();
            let (pong, mut pongs) = unbounded_channel();
            let echo = spawn(async move {
                while let Some(n) = pings.recv().await {
                    pong.send(n + 1).map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            });
            let mut last = 0;
            for _ in 0..count {
                ping.send(last).map_err(|error| error.to_string())?;
                last = pongs.recv().await.ok_or("the echo has ended")?;
            }
            drop(ping);
            echo.await.map_err(|error| error.to_string())??;
            Ok::<u64, String>(last)
        })??;
        check_last(count, last)
    }

    fn sleeps(&mut self, lengths: &Arc<[Duration]>) -> Fallible {
        let lengths = Arc::clone(lengths);
        Ok(self.run(async move {
            join_all(lengths.iter().map(|&length| spawn(sleep(length))).collect()).await
        })??)
    }

    fn park(&mut self, count: u64) -> Fallible {
        let expected = arrived() + count;
        for _ in 0..count {
            drop(self.runtime.spawn(async {
                arrive();
                sleep(PARKED_FOR).await;
            }));
        }
        self.runtime.block_on(async {
            while arrived() < expected {
                sleep(LOOK_EVERY).await;
            }
            sleep(LOOK_EVERY).await;
        });
        Ok(())
    }

    fn serve_echo(&mut self, announce: &mut dyn FnMut(SocketAddr)) -> Fallible {
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        announce(listener.local_addr()?);
        Ok(self.run(serve(listener))??)
    }
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that breaks ends its own task only.
        drop(spawn(echo(stream)));
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; ECHO_BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}
