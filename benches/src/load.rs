//! The client of the echo scenario: a closed loop over many connections, as lean as can be.
//!
//! Must never know which engine answers. Bounded in requests and in time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::Fallible;

const MESSAGE_BYTES: usize = 64;
const EVENTS_MAX: usize = 1024;
/// How long one wait may last before the deadline is looked at again.
const WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// For connecting and for the first round trip of a connection.
const GREETING_TIME_MAX: Duration = Duration::from_secs(10);

/// All the connections to one server, none of them busy between two runs.
pub(crate) struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    deadline: Instant,
}

struct Connection {
    stream: TcpStream,
    /// Differs between neighbours, so that an answer gone astray is noticed.
    message: [u8; MESSAGE_BYTES],
    answer: [u8; MESSAGE_BYTES],
    answer_bytes: usize,
}

impl Load {
    /// Connects, and has each connection answered once before the next: the server's backlog stays empty.
    pub(crate) fn connect(address: SocketAddr, count: usize, deadline: Instant) -> Fallible<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(count);
        for slot in 0..count {
            let connection = Connection::greet(address, slot as u8)?;
            let data = EventData::new_u64(slot as u64);
            epoll::add(&epoll, &connection.stream, data, EventFlags::IN)?;
            connections.push(connection);
            check(deadline)?;
        }
        Ok(Self { epoll, connections, deadline })
    }

    /// Makes `requests` requests, one at a time on each connection, and returns with all of them answered.
    pub(crate) fn run(&mut self, requests: u64) -> Fallible {
        let mut asked = 0;
        for connection in self.connections.iter_mut().take(requests as usize) {
            connection.ask()?;
            asked += 1;
        }
        let mut answered = 0;
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        while answered < requests {
            check(self.deadline)?;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&WAIT)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let connection = &mut self.connections[event.data.u64() as usize];
                if !connection.take_answer()? {
                    continue;
                }
                answered += 1;
                if asked < requests {
                    connection.ask()?;
                    asked += 1;
                }
            }
        }
        Ok(())
    }
}

fn check(deadline: Instant) -> Fallible {
    if Instant::now() < deadline { Ok(()) } else { Err("the client ran out of time".into()) }
}

impl Connection {
    fn greet(address: SocketAddr, mark: u8) -> Fallible<Self> {
        let mut stream = TcpStream::connect_timeout(&address, GREETING_TIME_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GREETING_TIME_MAX))?;
        let message = [mark; MESSAGE_BYTES];
        let mut answer = [0; MESSAGE_BYTES];
        stream.write_all(&message)?;
        stream.read_exact(&mut answer)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, message, answer, answer_bytes: 0 })
    }

    fn ask(&mut self) -> Fallible {
        // With one message in flight, its socket buffer is empty and takes all of it.
        match send(&self.stream, &self.message, SendFlags::NOSIGNAL)? {
            MESSAGE_BYTES => Ok(()),
            sent => Err(format!("only {sent} bytes of a request were sent").into()),
        }
    }

    /// Whether the answer is complete.
    fn take_answer(&mut self) -> Fallible<bool> {
        let rest = &mut self.answer[self.answer_bytes..];
        match recv(&self.stream, rest, RecvFlags::empty()) {
            Ok((_, 0)) => return Err("the server closed a connection".into()),
            Ok((_, count)) => self.answer_bytes += count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        if self.answer_bytes < MESSAGE_BYTES {
            return Ok(false);
        }
        self.answer_bytes = 0;
        if self.answer != self.message {
            return Err("the server sent back something else".into());
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server of the plainest kind, for one connection.
    fn serve_one(answer: impl Fn(&mut [u8]) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = [0; MESSAGE_BYTES];
            while stream.read_exact(&mut buffer).is_ok() {
                answer(&mut buffer);
                // In two pieces: an answer need not come whole.
                let (front, back) = buffer.split_at(10);
                if stream.write_all(front).and_then(|()| stream.write_all(back)).is_err() {
                    break;
                }
            }
        });
        address
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn every_request_is_answered() {
        let mut load = Load::connect(serve_one(|_| ()), 1, soon()).unwrap();
        load.run(100).unwrap();
        load.run(1).unwrap();
    }

    #[test]
    fn a_wrong_answer_is_noticed() {
        let mut load = Load::connect(serve_one(|answer| answer[63] = 1), 1, soon()).unwrap();
        let error = load.run(1).unwrap_err().to_string();
        assert!(error.contains("something else"), "{error}");
    }

    #[test]
    fn time_is_bounded() {
        let mut load = Load::connect(serve_one(|_| ()), 1, soon()).unwrap();
        load.deadline = Instant::now();
        assert!(load.run(1).is_err());
    }
}
