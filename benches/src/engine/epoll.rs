//! A bare epoll loop: what a TCP echo costs when nothing stands between the kernel and the code.
//!
//! Must never allocate, look anything up or make a needless system call while serving a request.
//!
//! Level-triggered, because it needs the fewest calls here: a wait for many events, then one receive and one
//! send for each request. Edge-triggered would have to receive once more to learn that nothing is left. A
//! connection is registered once; its interest changes only while the peer does not take its answers.

use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::{ECHO_BUFFER_BYTES, Engine};
use crate::Fallible;

/// Events taken from the kernel in one call.
const EVENTS_MAX: usize = 1024;
/// The event data of the listener; connections are named by their slot.
const LISTENER: u64 = u64::MAX;

struct Epoll;

pub(super) fn make() -> Fallible<Box<dyn Engine>> {
    Ok(Box::new(Epoll))
}

impl Engine for Epoll {
    fn serve_echo(&mut self, announce: &mut dyn FnMut(SocketAddr)) -> Fallible {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        announce(listener.local_addr()?);
        Server::new(listener)?.run()
    }
}

struct Connection {
    stream: TcpStream,
    /// Bytes that the peer did not take at once; while there are any, nothing is read.
    unsent: Vec<u8>,
}

/// Whether a connection goes on.
#[derive(PartialEq)]
enum Next {
    GoOn,
    Close,
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
}

impl Server {
    fn new(listener: TcpListener) -> Fallible<Self> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(Self { epoll, listener, connections: Vec::new(), vacant: Vec::new() })
    }

    fn run(&mut self) -> Fallible {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        let mut buffer = [0; ECHO_BUFFER_BYTES];
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    slot => self.serve(slot as usize, &mut buffer)?,
                }
            }
        }
    }

    fn accept(&mut self) -> Fallible {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let slot = self.vacant.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            epoll::add(&self.epoll, &stream, EventData::new_u64(slot as u64), EventFlags::IN)?;
            self.connections[slot] = Some(Connection { stream, unsent: Vec::new() });
        }
    }

    fn serve(&mut self, slot: usize, buffer: &mut [u8]) -> Fallible {
        let Some(connection) = &mut self.connections[slot] else { return Ok(()) };
        let next = if connection.unsent.is_empty() {
            connection.echo(buffer, &self.epoll, slot)
        } else {
            connection.flush(&self.epoll, slot)
        };
        // A broken connection ends like a closed one. Closing the fd takes it out of the epoll set.
        if next.unwrap_or(Next::Close) == Next::Close {
            self.connections[slot] = None;
            self.vacant.push(slot);
        }
        Ok(())
    }
}

impl Connection {
    fn echo(
        &mut self,
        buffer: &mut [u8],
        epoll: &OwnedFd,
        slot: usize,
    ) -> rustix::io::Result<Next> {
        let count = match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => return Ok(Next::Close),
            Ok((_, count)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Next::GoOn),
            Err(error) => return Err(error),
        };
        let sent = send_some(&self.stream, &buffer[..count])?;
        if sent < count {
            self.unsent.extend_from_slice(&buffer[sent..count]);
            self.listen(epoll, slot, EventFlags::OUT)?;
        }
        Ok(Next::GoOn)
    }

    fn flush(&mut self, epoll: &OwnedFd, slot: usize) -> rustix::io::Result<Next> {
        let sent = send_some(&self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.listen(epoll, slot, EventFlags::IN)?;
        }
        Ok(Next::GoOn)
    }

    fn listen(&self, epoll: &OwnedFd, slot: usize, flags: EventFlags) -> rustix::io::Result<()> {
        epoll::modify(epoll, &self.stream, EventData::new_u64(slot as u64), flags)
    }
}

/// Sends what the peer takes now, which may be nothing.
fn send_some(stream: &TcpStream, bytes: &[u8]) -> rustix::io::Result<usize> {
    match send(stream, bytes, SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        sent => sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};

    const SLOT: usize = 3;
    /// More than the socket buffers of a connection ever hold.
    const CHUNKS_MAX: usize = 1 << 16;

    fn connected() -> (TcpStream, Connection, OwnedFd) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        epoll::add(&epoll, &stream, EventData::new_u64(SLOT as u64), EventFlags::IN).unwrap();
        (peer, Connection { stream, unsent: Vec::new() }, epoll)
    }

    #[test]
    fn a_peer_that_reads_late_gets_every_byte() {
        let (mut peer, mut connection, epoll) = connected();
        let mut buffer = [0; ECHO_BUFFER_BYTES];
        let mut sent = Vec::new();
        // The peer only sends, until its answers fit nowhere any more.
        for chunk in 0..CHUNKS_MAX {
            let bytes = [(chunk % 251) as u8; ECHO_BUFFER_BYTES];
            peer.write_all(&bytes).unwrap();
            sent.extend_from_slice(&bytes);
            assert!(connection.echo(&mut buffer, &epoll, SLOT).unwrap() == Next::GoOn);
            if !connection.unsent.is_empty() {
                break;
            }
        }
        assert!(!connection.unsent.is_empty(), "{CHUNKS_MAX} chunks were not enough");
        // Then it reads, and what was kept for it follows.
        peer.set_nonblocking(true).unwrap();
        let mut got = Vec::new();
        while got.len() < sent.len() {
            match peer.read(&mut buffer) {
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            let next = match connection.unsent.is_empty() {
                true => connection.echo(&mut buffer, &epoll, SLOT),
                false => connection.flush(&epoll, SLOT),
            };
            assert!(next.unwrap() == Next::GoOn);
        }
        assert!(got == sent, "other bytes came back");
    }

    #[test]
    fn a_peer_that_closes_is_let_go() {
        let (peer, mut connection, epoll) = connected();
        drop(peer);
        let next = connection.echo(&mut [0; ECHO_BUFFER_BYTES], &epoll, SLOT);
        assert!(next.unwrap() == Next::Close);
    }
}
