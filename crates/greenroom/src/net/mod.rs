//! Green sockets: std's types, names and meaning, waiting on the hub.
//!
//! Each blocking call is one call of the loop in [`io`](crate::io). Options are set through the
//! standard library's own types, which each socket holds. A socket belongs to the OS thread that
//! first waits for it; to move it to another, go through its std type.
//!
//! Differences from std: a timeout fails with [`TimedOut`](std::io::ErrorKind::TimedOut), where
//! Unix says `WouldBlock`; and host names are resolved on helper OS threads.

mod serve;
mod tcp;

mod address;
mod resolve;
mod socket;

pub use address::ToSocketAddrs;
pub use resolve::lookup_host;
pub use serve::{Accept, Server, listen, serve};
pub use tcp::{Incoming, TcpListener, TcpStream, connect};
