//! Pairs of files, and their settings. Made by system calls of which the patch knows nothing.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    time::Duration,
};

use rustix::net::{
    AddressFamily, SocketAddrAny, SocketFlags, SocketType, sockopt, sockopt::Timeout,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
    Seqpacket,
    /// A pair of Unix datagram sockets.
    Datagram,
    Udp,
    Pipe,
}

pub(crate) const STREAMS: [Kind; 2] = [Kind::Tcp, Kind::Unix];
pub(crate) const MESSAGES: [Kind; 3] = [Kind::Seqpacket, Kind::Datagram, Kind::Udp];
pub(crate) const SOCKETS: [Kind; 5] =
    [Kind::Tcp, Kind::Unix, Kind::Seqpacket, Kind::Datagram, Kind::Udp];
pub(crate) const ALL: [Kind; 6] =
    [Kind::Tcp, Kind::Unix, Kind::Seqpacket, Kind::Datagram, Kind::Udp, Kind::Pipe];

/// Two ends: of the pipe, the first one reads.
pub(crate) fn pair(kind: Kind) -> (OwnedFd, OwnedFd) {
    let unix = |of| {
        rustix::net::socketpair(AddressFamily::UNIX, of, SocketFlags::CLOEXEC, None)
            .expect("a pair")
    };
    match kind {
        Kind::Unix => unix(SocketType::STREAM),
        Kind::Seqpacket => unix(SocketType::SEQPACKET),
        Kind::Datagram => unix(SocketType::DGRAM),
        Kind::Pipe => rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe"),
        Kind::Tcp => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let address = listener.local_addr().expect("it is bound");
            let one = TcpStream::connect(address).expect("it listens");
            let (other, _) = listener.accept().expect("one is there");
            for end in [&one, &other] {
                end.set_nodelay(true).expect("an option of TCP");
            }
            (one.into(), other.into())
        }
        Kind::Udp => {
            let [one, other] = [udp(), udp()];
            for (from, to) in [(&one, &other), (&other, &one)] {
                rustix::net::connect(from, &address(to)).expect("any address");
            }
            (one, other)
        }
    }
}

/// A bound socket.
pub(crate) fn udp() -> OwnedFd {
    std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").into()
}

pub(crate) fn address(fd: impl AsFd) -> SocketAddrAny {
    rustix::net::getsockname(fd).expect("a socket has an address")
}

/// With little room, so that soon there is something to wait for; and that for long, for TCP that can receive
/// little waits for timers of its own.
pub(crate) fn narrow_pair(kind: Kind) -> (OwnedFd, OwnedFd) {
    pair_with_room(kind, 8 << 10)
}

/// With little room that is soon free again when somebody reads.
pub(crate) fn flowing_pair(kind: Kind) -> (OwnedFd, OwnedFd) {
    pair_with_room(kind, if kind == Kind::Tcp { 64 << 10 } else { 8 << 10 })
}

fn pair_with_room(kind: Kind, room: usize) -> (OwnedFd, OwnedFd) {
    let (one, other) = pair(kind);
    if kind == Kind::Pipe {
        rustix::pipe::fcntl_setpipe_size(&other, 4096).expect("a page");
    } else {
        for end in [&one, &other] {
            sockopt::set_socket_send_buffer_size(end, 8 << 10).expect("room");
            sockopt::set_socket_recv_buffer_size(end, room).expect("room");
        }
    }
    (one, other)
}

pub(crate) fn receive_timeout(fd: impl AsFd, millis: u64) {
    sockopt::set_socket_timeout(fd, Timeout::Recv, Some(Duration::from_millis(millis)))
        .expect("a socket");
}

pub(crate) fn send_timeout(fd: impl AsFd, millis: u64) {
    sockopt::set_socket_timeout(fd, Timeout::Send, Some(Duration::from_millis(millis)))
        .expect("a socket");
}

/// Closing sends a reset.
pub(crate) fn resets_at_close(fd: impl AsFd) {
    sockopt::set_socket_linger(fd, Some(Duration::ZERO)).expect("a socket");
}

pub(crate) fn set_nonblocking(fd: impl AsFd, nonblocking: bool) {
    let mut flags = rustix::fs::fcntl_getfl(&fd).expect("it is open");
    flags.set(rustix::fs::OFlags::NONBLOCK, nonblocking);
    rustix::fs::fcntl_setfl(fd, flags).expect("it is open");
}

/// So many bytes, no two neighbours alike.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// What a script keeps open may be borrowed by its number.
pub(crate) fn borrowed<'a>(fd: RawFd) -> BorrowedFd<'a> {
    super::calls::borrow(fd)
}

/// A Unix datagram socket with a name, which the kernel chooses.
pub(crate) fn named_datagram() -> (OwnedFd, SocketAddrAny) {
    let socket =
        rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None).expect("a socket");
    let nameless = rustix::net::SocketAddrUnix::new_unnamed();
    rustix::net::bind(&socket, &nameless).expect("the kernel chooses a name");
    let name = address(&socket);
    (socket, name)
}
