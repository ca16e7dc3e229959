//! Unix domain sockets: streams and datagrams within one machine, addressed by paths or by
//! abstract names.
//!
//! Calls of [`std::os::unix::net`], with its own addresses; each blocking one waits on the hub.
//! Knows no loop of its own.
//!
//! What differs from the internet's sockets is that a sender depends on room in the *other*
//! socket: in a listener's backlog, in a receiver's queue. Where the kernel reports no readiness
//! for that, the call is tried again after a pause.

mod address;

mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::UnixListener;
pub use stream::UnixStream;
