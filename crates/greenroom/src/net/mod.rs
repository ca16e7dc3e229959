//! Green sockets: std's types, names and meaning, waiting on the hub.
//!
//! Each blocking call is one call of the loop in [`io`](crate::io). Options are set through the
//! standard library's own types, which each socket holds. A socket belongs to the OS thread that
//! first waits for it; to move it to another, go through its std type.
//!
//! # What all calls have in common
//!
//! *Costs.* A call that need not wait costs its system call. One that must wait costs a switch
//! there and back besides; the first wait of a socket tells the hub of it with one system call
//! more. Nothing is allocated for a wait. Who makes 128 calls in a row that need not wait lets
//! others run before the next.
//!
//! *Order.* Two green threads that wait for the same socket in the same direction are a bug,
//! mostly: the second is refused with an error that names both. Where
//! [`allow_multiple_waiters`](crate::hub::allow_multiple_waiters) lets them queue, it is first
//! come, first served. A reader and a writer do not mind each other.
//!
//! *Ends.* A call ends with what the kernel says; with [`TimedOut`](std::io::ErrorKind::TimedOut)
//! after the socket's timeout; or, if the fd is [declared closed](crate::hub::notify_close) while
//! it waits, with an error for which [`is_closed`](crate::io::is_closed) is true. A green thread
//! that is killed in a call, or whose [limit of time](crate::with_timeout) is over, unwinds from
//! there: the call has taken nothing and sent nothing, and the socket is as good as before. But
//! what earlier calls have sent is sent: a `write_all` may be thrown out in the middle of its
//! bytes.
//!
//! *Panics.* None of these calls may wait in a hub callback: there they panic, rather than hold up
//! everyone. In a destructor that runs because of a panic nothing can switch: a call that would
//! wait polls with its whole OS thread for a tenth of a second and then fails with `TimedOut`.
//!
//! # Differences from std
//!
//! - A timeout fails with `TimedOut`, where Unix says `WouldBlock`.
//! - A write may take a part of the bytes, where a blocking one of Linux comes back when it has
//!   taken all: use `write_all`, as the trait asks for in any case.
//! - No call fails with [`Interrupted`](std::io::ErrorKind::Interrupted).
//! - Host names are resolved on helper OS threads.
//! - Timeouts and mode are kept here and not in the kernel: setting them costs no system call, and
//!   handles that were not made by `try_clone` do not share them.

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
