//! The types have std's shape: code that names std's types compiles with ours in their place.
//!
//! One list of calls with their exact types, which std's types must satisfy as well as ours: so the
//! list itself cannot be wrong. Nothing is called; what calls do is the matter of other tests.

use std::{
    fmt::Debug,
    io::{Read, Result, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr},
    os::{
        fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
        unix::net::SocketAddr as UnixAddr,
    },
    path::PathBuf,
    time::Duration,
};

/// Checks the types of some calls; the compiler does it.
macro_rules! calls {
    ($($type:ty { $($name:ident: $shape:ty;)* })*) => {
        $($(let _: $shape = <$type>::$name;)*)*
    };
}

/// What all sockets can do.
fn socket<S>()
where
    S: Debug + AsFd + AsRawFd + IntoRawFd + Into<OwnedFd> + TryFrom<OwnedFd>,
{
}

fn stream<S>()
where
    S: Read + Write,
    for<'a> &'a S: Read + Write,
{
}

fn listener<L, S>()
where
    for<'a> &'a L: IntoIterator<Item = Result<S>>,
{
}

macro_rules! shape {
    ($name:ident, $net:path, $unix:path) => {
        #[test]
        fn $name() {
            use $net as net;
            use $unix as unix;

            use net::{TcpListener, TcpStream, UdpSocket};
            use unix::{UnixDatagram, UnixListener, UnixStream};

            type Time = Option<Duration>;

            socket::<TcpListener>();
            socket::<TcpStream>();
            socket::<UdpSocket>();
            socket::<UnixDatagram>();
            socket::<UnixListener>();
            socket::<UnixStream>();
            stream::<TcpStream>();
            stream::<UnixStream>();
            listener::<UnixListener, UnixStream>();
            let _ = |tcp: &TcpListener, unix: &UnixListener| {
                let _: &mut dyn Iterator<Item = Result<TcpStream>> = &mut tcp.incoming();
                let _: &mut dyn Iterator<Item = Result<UnixStream>> = &mut unix.incoming();
            };

            calls! {
                TcpListener {
                    bind: fn(SocketAddr) -> Result<TcpListener>;
                    local_addr: fn(&TcpListener) -> Result<SocketAddr>;
                    try_clone: fn(&TcpListener) -> Result<TcpListener>;
                    accept: fn(&TcpListener) -> Result<(TcpStream, SocketAddr)>;
                    set_ttl: fn(&TcpListener, u32) -> Result<()>;
                    ttl: fn(&TcpListener) -> Result<u32>;
                    take_error: fn(&TcpListener) -> Result<Option<std::io::Error>>;
                    set_nonblocking: fn(&TcpListener, bool) -> Result<()>;
                }
                TcpStream {
                    connect: fn(&'static str) -> Result<TcpStream>;
                    connect_timeout: fn(&SocketAddr, Duration) -> Result<TcpStream>;
                    peer_addr: fn(&TcpStream) -> Result<SocketAddr>;
                    local_addr: fn(&TcpStream) -> Result<SocketAddr>;
                    shutdown: fn(&TcpStream, Shutdown) -> Result<()>;
                    try_clone: fn(&TcpStream) -> Result<TcpStream>;
                    set_read_timeout: fn(&TcpStream, Time) -> Result<()>;
                    set_write_timeout: fn(&TcpStream, Time) -> Result<()>;
                    read_timeout: fn(&TcpStream) -> Result<Time>;
                    write_timeout: fn(&TcpStream) -> Result<Time>;
                    peek: fn(&TcpStream, &mut [u8]) -> Result<usize>;
                    set_nodelay: fn(&TcpStream, bool) -> Result<()>;
                    nodelay: fn(&TcpStream) -> Result<bool>;
                    set_ttl: fn(&TcpStream, u32) -> Result<()>;
                    ttl: fn(&TcpStream) -> Result<u32>;
                    take_error: fn(&TcpStream) -> Result<Option<std::io::Error>>;
                    set_nonblocking: fn(&TcpStream, bool) -> Result<()>;
                }
                UdpSocket {
                    bind: fn(SocketAddr) -> Result<UdpSocket>;
                    recv_from: fn(&UdpSocket, &mut [u8]) -> Result<(usize, SocketAddr)>;
                    peek_from: fn(&UdpSocket, &mut [u8]) -> Result<(usize, SocketAddr)>;
                    send_to: fn(&UdpSocket, &[u8], SocketAddr) -> Result<usize>;
                    peer_addr: fn(&UdpSocket) -> Result<SocketAddr>;
                    local_addr: fn(&UdpSocket) -> Result<SocketAddr>;
                    try_clone: fn(&UdpSocket) -> Result<UdpSocket>;
                    set_read_timeout: fn(&UdpSocket, Time) -> Result<()>;
                    set_write_timeout: fn(&UdpSocket, Time) -> Result<()>;
                    read_timeout: fn(&UdpSocket) -> Result<Time>;
                    write_timeout: fn(&UdpSocket) -> Result<Time>;
                    set_broadcast: fn(&UdpSocket, bool) -> Result<()>;
                    broadcast: fn(&UdpSocket) -> Result<bool>;
                    set_multicast_loop_v4: fn(&UdpSocket, bool) -> Result<()>;
                    multicast_loop_v4: fn(&UdpSocket) -> Result<bool>;
                    set_multicast_ttl_v4: fn(&UdpSocket, u32) -> Result<()>;
                    multicast_ttl_v4: fn(&UdpSocket) -> Result<u32>;
                    set_multicast_loop_v6: fn(&UdpSocket, bool) -> Result<()>;
                    multicast_loop_v6: fn(&UdpSocket) -> Result<bool>;
                    set_ttl: fn(&UdpSocket, u32) -> Result<()>;
                    ttl: fn(&UdpSocket) -> Result<u32>;
                    join_multicast_v4: fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> Result<()>;
                    join_multicast_v6: fn(&UdpSocket, &Ipv6Addr, u32) -> Result<()>;
                    leave_multicast_v4: fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> Result<()>;
                    leave_multicast_v6: fn(&UdpSocket, &Ipv6Addr, u32) -> Result<()>;
                    take_error: fn(&UdpSocket) -> Result<Option<std::io::Error>>;
                    connect: fn(&UdpSocket, SocketAddr) -> Result<()>;
                    send: fn(&UdpSocket, &[u8]) -> Result<usize>;
                    recv: fn(&UdpSocket, &mut [u8]) -> Result<usize>;
                    peek: fn(&UdpSocket, &mut [u8]) -> Result<usize>;
                    set_nonblocking: fn(&UdpSocket, bool) -> Result<()>;
                }
                UnixListener {
                    bind: fn(PathBuf) -> Result<UnixListener>;
                    bind_addr: fn(&UnixAddr) -> Result<UnixListener>;
                    accept: fn(&UnixListener) -> Result<(UnixStream, UnixAddr)>;
                    try_clone: fn(&UnixListener) -> Result<UnixListener>;
                    local_addr: fn(&UnixListener) -> Result<UnixAddr>;
                    set_nonblocking: fn(&UnixListener, bool) -> Result<()>;
                    take_error: fn(&UnixListener) -> Result<Option<std::io::Error>>;
                }
                UnixStream {
                    connect: fn(PathBuf) -> Result<UnixStream>;
                    connect_addr: fn(&UnixAddr) -> Result<UnixStream>;
                    pair: fn() -> Result<(UnixStream, UnixStream)>;
                    try_clone: fn(&UnixStream) -> Result<UnixStream>;
                    local_addr: fn(&UnixStream) -> Result<UnixAddr>;
                    peer_addr: fn(&UnixStream) -> Result<UnixAddr>;
                    set_read_timeout: fn(&UnixStream, Time) -> Result<()>;
                    set_write_timeout: fn(&UnixStream, Time) -> Result<()>;
                    read_timeout: fn(&UnixStream) -> Result<Time>;
                    write_timeout: fn(&UnixStream) -> Result<Time>;
                    set_nonblocking: fn(&UnixStream, bool) -> Result<()>;
                    take_error: fn(&UnixStream) -> Result<Option<std::io::Error>>;
                    shutdown: fn(&UnixStream, Shutdown) -> Result<()>;
                }
                UnixDatagram {
                    bind: fn(PathBuf) -> Result<UnixDatagram>;
                    bind_addr: fn(&UnixAddr) -> Result<UnixDatagram>;
                    unbound: fn() -> Result<UnixDatagram>;
                    pair: fn() -> Result<(UnixDatagram, UnixDatagram)>;
                    connect: fn(&UnixDatagram, PathBuf) -> Result<()>;
                    connect_addr: fn(&UnixDatagram, &UnixAddr) -> Result<()>;
                    try_clone: fn(&UnixDatagram) -> Result<UnixDatagram>;
                    local_addr: fn(&UnixDatagram) -> Result<UnixAddr>;
                    peer_addr: fn(&UnixDatagram) -> Result<UnixAddr>;
                    recv_from: fn(&UnixDatagram, &mut [u8]) -> Result<(usize, UnixAddr)>;
                    recv: fn(&UnixDatagram, &mut [u8]) -> Result<usize>;
                    send_to: fn(&UnixDatagram, &[u8], PathBuf) -> Result<usize>;
                    send_to_addr: fn(&UnixDatagram, &[u8], &UnixAddr) -> Result<usize>;
                    send: fn(&UnixDatagram, &[u8]) -> Result<usize>;
                    set_read_timeout: fn(&UnixDatagram, Time) -> Result<()>;
                    set_write_timeout: fn(&UnixDatagram, Time) -> Result<()>;
                    read_timeout: fn(&UnixDatagram) -> Result<Time>;
                    write_timeout: fn(&UnixDatagram) -> Result<Time>;
                    set_nonblocking: fn(&UnixDatagram, bool) -> Result<()>;
                    take_error: fn(&UnixDatagram) -> Result<Option<std::io::Error>>;
                    shutdown: fn(&UnixDatagram, Shutdown) -> Result<()>;
                }
            }
        }
    };
}

shape!(the_list_fits_std, std::net, std::os::unix::net);
shape!(ours_have_the_shape_of_stds, greenroom::net, greenroom::net);
