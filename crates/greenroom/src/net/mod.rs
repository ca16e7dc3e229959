//! Green sockets: std's types, names and meaning, waiting on the hub.
//!
//! Each blocking call is one call of the loop in [`io`](crate::io). Options are set through the
//! standard library's own types, which each socket holds. A socket belongs to the OS thread that
//! first waits for it; to move it to another, go through its std type.
//!
//! Differences from std: a timeout fails with [`TimedOut`](std::io::ErrorKind::TimedOut), where
//! Unix says `WouldBlock`; host names are resolved on helper OS threads; and two green threads
//! that wait for the same socket in the same direction are refused, unless
//! [`allow_multiple_waiters`](crate::hub::allow_multiple_waiters) lets them queue.

mod tcp;
mod udp;
mod unix;

mod accept;
mod serve;

mod address;
mod resolve;
mod socket;
mod transfer;

pub use accept::{Accept, Incoming};
pub use address::ToSocketAddrs;
pub use resolve::lookup_host;
pub use serve::{Server, listen, serve};
pub use tcp::{TcpListener, TcpStream, connect};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixStream};
