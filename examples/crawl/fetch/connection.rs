//! A TCP connection with a deadline for all that is done with it.
//!
//! A server that sends a byte now and then meets every timeout of a single read, but no deadline.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use greenroom::net::TcpStream;

pub(super) struct Connection {
    stream: TcpStream,
    deadline: Instant,
}

impl Connection {
    /// Connects to the first address that takes it.
    pub(super) fn open(addresses: &[SocketAddr], deadline: Instant) -> io::Result<Connection> {
        let mut refusal = io::Error::new(io::ErrorKind::NotFound, "the server has no address");
        for address in addresses {
            match TcpStream::connect_timeout(address, time_left(deadline)?) {
                Ok(stream) => return Ok(Connection { stream, deadline }),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

impl Read for Connection {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(time_left(self.deadline)?))?;
        self.stream.read(bytes)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(time_left(self.deadline)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
