//! A server: one green thread that accepts, and one for each connection.
//!
//! Knows listeners only by [`Accept`]; knows no protocol.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
    rc::Rc,
    time::Duration,
};

use rustix::io::Errno;

use crate::{
    hub::notify_close,
    net::{TcpListener, TcpStream, ToSocketAddrs},
    thread::{Blocked, Builder, wait_queue::WaitQueue},
    time::sleep,
};

/// How long a server waits when there is no fd, no memory or no stack for the next connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(10);

/// Something that takes connections.
pub trait Accept: AsFd {
    /// A connection.
    type Stream: 'static;
    /// Who is at its other end.
    type Peer: 'static;

    /// Waits for the next connection.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    fn accept(&self) -> io::Result<(Self::Stream, Self::Peer)>;

    /// Whether accepting says "would block" instead of waiting.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self)
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        TcpListener::set_nonblocking(self, nonblocking)
    }
}

/// Listens on an address, as [`TcpListener::bind`] does.
///
/// # Errors
///
/// As there.
pub fn listen(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    TcpListener::bind(address)
}

/// Accepts connections in a green thread, and calls `handler` with each in a green thread of its
/// own, `concurrency` of them at once at most.
///
/// Returns at once; [`Server::join`] waits until the server ends, [`Server::stop`] ends it.
/// While `concurrency` connections are being served, further ones wait in the kernel. A panic in
/// `handler` is printed and ends that connection alone. When there are no fds left (`EMFILE`) or
/// no memory, those that are served go on, and accepting is tried again a hundred times a second.
///
/// # Panics
///
/// If `concurrency` is zero.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use greenroom::net::{TcpStream, listen, serve};
///
/// let listener = listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let server = serve(listener, 1000, |mut stream, _peer| {
///     stream.write_all(b"bye").unwrap();
/// });
/// let mut text = String::new();
/// TcpStream::connect(address)?.read_to_string(&mut text)?;
/// assert_eq!(text, "bye");
/// server.stop()?;
/// assert!(TcpStream::connect(address).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn serve<L, H>(listener: L, concurrency: usize, handler: H) -> Server
where
    L: Accept + 'static,
    H: Fn(L::Stream, L::Peer) + 'static,
{
    assert!(concurrency > 0, "a server of no concurrency would serve nobody");
    let shared = Rc::new(Shared {
        fd: listener.as_fd().as_raw_fd(),
        stopping: Cell::new(false),
        active: Cell::new(0),
        concurrency,
        room: WaitQueue::new(),
        ended: WaitQueue::new(),
        outcome: RefCell::new(None),
    });
    let server = Server { shared: Rc::clone(&shared) };
    let acceptor = Builder::new().name("acceptor").spawn(move || {
        let outcome = shared.accept_until_stopped(listener, handler);
        *shared.outcome.borrow_mut() = Some(outcome);
        shared.ended.call_all();
    });
    match acceptor {
        Ok(detached) => drop(detached),
        Err(error) => panic!("no green thread can be spawned to accept: {error}"),
    }
    server
}

/// A server that runs in green threads. Made by [`serve`].
///
/// Dropping it changes nothing: the server runs on. A clone is the same server.
#[derive(Clone)]
pub struct Server {
    shared: Rc<Shared>,
}

impl Server {
    /// Ends the server and waits until it has: no more connections are accepted, those that the
    /// kernel had already taken are served, and what is being served is finished.
    ///
    /// # Errors
    ///
    /// Why accepting had ended before, if it had.
    pub fn stop(&self) -> io::Result<()> {
        self.shared.stop();
        self.join()
    }

    /// Asks the server to end, without waiting for that. For handlers.
    pub fn stop_soon(&self) {
        self.shared.stop();
    }

    /// Waits until somebody has stopped the server and all its connections are finished.
    ///
    /// # Errors
    ///
    /// If accepting failed for good.
    pub fn join(&self) -> io::Result<()> {
        loop {
            if let Some(outcome) = &*self.shared.outcome.borrow() {
                return match outcome {
                    Ok(()) => Ok(()),
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                };
            }
            if self.shared.ended.wait(Blocked::Call(&"a server to end"), None).is_err() {
                return Err(io::Error::other("a thread that unwinds cannot wait for a server"));
            }
        }
    }

    /// How many connections are being served now.
    pub fn active(&self) -> usize {
        self.shared.active.get()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("active", &self.active())
            .field("stopping", &self.shared.stopping.get())
            .finish_non_exhaustive()
    }
}

struct Shared {
    fd: i32,
    stopping: Cell<bool>,
    active: Cell<usize>,
    concurrency: usize,
    /// The acceptor, while there is no room, or while it waits for the last handler.
    room: WaitQueue,
    /// Who waits for the server's end.
    ended: WaitQueue,
    outcome: RefCell<Option<io::Result<()>>>,
}

impl Shared {
    fn stop(&self) {
        if self.stopping.replace(true) || self.outcome.borrow().is_some() {
            return;
        }
        self.room.call_all();
        notify_close(self.fd);
    }

    fn accept_until_stopped<L, H>(self: &Rc<Self>, listener: L, handler: H) -> io::Result<()>
    where
        L: Accept,
        H: Fn(L::Stream, L::Peer) + 'static,
    {
        let handler = Rc::new(handler);
        let outcome = loop {
            self.wait_while(|active| active >= self.concurrency && !self.stopping.get());
            if self.stopping.get() {
                // What is in the kernel's queue came before the stop. Nobody waits any more.
                listener.set_nonblocking(true)?;
                self.wait_while(|active| active >= self.concurrency);
            }
            match listener.accept() {
                Ok((stream, peer)) => self.handle(&handler, stream, peer),
                Err(error) if self.stopping.get() => {
                    if crate::io::is_closed(&error) {
                        continue;
                    }
                    break Ok(());
                }
                Err(error) if is_exhaustion(&error) => sleep(EXHAUSTED_PAUSE),
                Err(error) => break Err(error),
            }
        };
        drop(listener);
        self.wait_while(|active| active > 0);
        outcome
    }

    fn wait_while(&self, condition: impl Fn(usize) -> bool) {
        while condition(self.active.get()) {
            // Unwinding cannot be: this is no destructor.
            let _ = self.room.wait(Blocked::Call(&"a connection to end"), None);
        }
    }

    fn handle<S, P, H>(self: &Rc<Self>, handler: &Rc<H>, stream: S, peer: P)
    where
        S: 'static,
        P: 'static,
        H: Fn(S, P) + 'static,
    {
        let handler = Rc::clone(handler);
        let served = Served::begin(Rc::clone(self));
        let thread = Builder::new().spawn(move || {
            let _served = served;
            handler(stream, peer);
        });
        if thread.is_err() {
            // No stack: this connection is closed, and those that are served go on.
            sleep(EXHAUSTED_PAUSE);
        }
    }
}

/// One connection that is being served; counted until it is dropped.
struct Served(Rc<Shared>);

impl Served {
    fn begin(shared: Rc<Shared>) -> Served {
        shared.active.set(shared.active.get() + 1);
        Served(shared)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.room.call_one();
    }
}

/// True for errors that pass by themselves, when somebody else closes a file or frees memory.
fn is_exhaustion(error: &io::Error) -> bool {
    const PASSING: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    let code = error.raw_os_error();
    PASSING.iter().any(|errno| code == Some(errno.raw_os_error())) || is_network_trouble(code)
}

/// True for errors of a connection that is waiting to be accepted, which Linux reports as errors
/// of the accept itself: see accept(2).
fn is_network_trouble(code: Option<i32>) -> bool {
    const TROUBLE: [Errno; 7] = [
        Errno::NETDOWN,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
        Errno::PERM,
    ];
    TROUBLE.iter().any(|errno| code == Some(errno.raw_os_error()))
}
