//! A server: one green thread that accepts, and one for each connection.
//!
//! Knows listeners only by [`Accept`]; knows no protocol.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    time::Duration,
};

use rustix::io::Errno;

use crate::{
    debug::say,
    hub::notify_close,
    net::{Accept, TcpListener, ToSocketAddrs, socket::BACKLOG},
    thread::{Blocked, Builder, SpawnError, wait_queue::WaitQueue},
    time::{Instant, sleep},
};

/// How long a server waits when there is no fd, no memory or no stack for the next connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(10);

/// A server that was without them for so long says so.
const LACK_TOLD_AFTER: Duration = Duration::from_secs(1);

/// Connections that a stopping server still takes at most. What the kernel had in its queue is
/// among them, for it hands out the oldest first and keeps one more than the backlog.
const ACCEPTED_AT_STOP_MAX: usize = BACKLOG as usize + 1;

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
/// Connections are served in the order in which they came. While `concurrency` of them are being
/// served, further ones wait in the kernel. A panic in `handler` is printed and ends that
/// connection alone, and so does a kill of its green thread. When there are no fds left (`EMFILE`)
/// or no memory, those that are served go on, and accepting is tried again a hundred times a
/// second; when that lasts for a second it is told on standard error. One that was accepted and for which there is
/// no stack is closed. A listener with an
/// accept timeout ends the server when nobody came for so long.
///
/// Costs, for each connection, an accept and a green thread.
///
/// # Panics
///
/// If `concurrency` is zero; if there is no stack for the green thread that accepts.
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
    let listener = Rc::new(listener);
    let shared = Rc::new(Shared {
        listening: RefCell::new(Some(Rc::clone(&listener) as Rc<dyn Listening>)),
        stopping: Cell::new(false),
        active: Cell::new(0),
        concurrency,
        room: WaitQueue::new(),
        ended: WaitQueue::new(),
        outcome: RefCell::new(None),
    });
    let server = Server { shared: Rc::clone(&shared) };
    // Made here, so that it is dropped even if the acceptor is killed before it runs.
    let end = End(shared);
    let acceptor = Builder::new().name("acceptor").spawn(move || {
        let outcome = end.0.serve(listener, &Rc::new(handler));
        *end.0.outcome.borrow_mut() = Some(outcome);
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
///
/// It stays on its OS thread, whose hub it waits with:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::net::Server>();
/// ```
#[derive(Clone)]
pub struct Server {
    shared: Rc<Shared>,
}

impl Server {
    /// Ends the server and waits until it has: those connections that the kernel had already taken
    /// are served, and what is being served is finished.
    ///
    /// The listener is closed when the last connection is accepted. Until then a clone of it takes
    /// its share of those that come, and takes all that come after.
    ///
    /// A handler that calls this waits for itself; [`stop_soon`](Server::stop_soon) is for
    /// handlers. Who is thrown out of the wait, by a [`with_timeout`](crate::with_timeout) say, has
    /// stopped the server all the same, and can [`join`](Server::join) it later.
    ///
    /// # Errors
    ///
    /// As [`join`](Server::join); and that there are no fds to accept those who are waiting, nor
    /// any connection whose end would give some back.
    pub fn stop(&self) -> io::Result<()> {
        self.shared.stop();
        self.join()
    }

    /// Asks the server to end, as [`stop`](Server::stop) does, without waiting for that.
    pub fn stop_soon(&self) {
        self.shared.stop();
    }

    /// Waits until somebody has stopped the server and all its connections are finished. Any number
    /// may wait, and all of them hear the same.
    ///
    /// # Errors
    ///
    /// Why accepting failed for good; or that the acceptor was killed, with its hub say, or that
    /// the listener's [`accept`](Accept::accept) panicked.
    pub fn join(&self) -> io::Result<()> {
        loop {
            if let Some(outcome) = &*self.shared.outcome.borrow() {
                return match outcome {
                    Ok(()) => Ok(()),
                    Err(error) => Err(again(error)),
                };
            }
            if self.shared.ended.wait(Blocked::Call(&"a server to end"), None, || ()).is_err() {
                return Err(io::Error::other("a thread that unwinds cannot wait for a server"));
            }
        }
    }

    /// How many connections are being served now.
    pub fn active(&self) -> usize {
        self.shared.active.get()
    }
}

/// The same error once more, for everyone who asks.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
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

/// What a server that is told to stop asks of its listener.
trait Listening {
    fn number(&self) -> RawFd;
    fn refuse_to_wait(&self) -> io::Result<()>;
}

impl<L: Accept> Listening for L {
    fn number(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }

    fn refuse_to_wait(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

struct Shared {
    /// The listener, until it is closed: after that its number may be anybody's.
    listening: RefCell<Option<Rc<dyn Listening>>>,
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
        if self.stopping.replace(true) {
            return;
        }
        self.room.call_all();
        let Some(listener) = self.listening.borrow().clone() else { return };
        // Not that it is closed: this ends the wait for the next connection.
        if notify_close(listener.number()) == 0 {
            // The acceptor may be on its way to that wait, having been held up within the accept.
            // A listener that does not take this ends the server with the next connection.
            let _ = listener.refuse_to_wait();
        }
    }

    fn serve<L, H>(self: &Rc<Self>, listener: Rc<L>, handler: &Rc<H>) -> io::Result<()>
    where
        L: Accept,
        H: Fn(L::Stream, L::Peer) + 'static,
    {
        let outcome = self
            .accept_until_stopped(&*listener, handler)
            .and_then(|()| self.accept_queued(&*listener, handler));
        drop((self.listening.take(), listener));
        self.wait_while(|active| active > 0);
        outcome
    }

    fn accept_until_stopped<L, H>(self: &Rc<Self>, listener: &L, handler: &Rc<H>) -> io::Result<()>
    where
        L: Accept,
        H: Fn(L::Stream, L::Peer) + 'static,
    {
        listener.set_nonblocking(false)?;
        let mut lack = Lack::default();
        loop {
            self.wait_while(|active| active >= self.concurrency && !self.stopping.get());
            if self.stopping.get() {
                return Ok(());
            }
            match listener.accept() {
                Ok((stream, peer)) => match self.handle(handler, stream, peer) {
                    Ok(()) => lack = Lack::default(),
                    // This connection is closed, and those that are served go on.
                    Err(error) => lack.go_on(listener.as_fd().as_raw_fd(), &error),
                },
                // Mostly this error is the end of the wait.
                Err(_) if self.stopping.get() => return Ok(()),
                // Somebody has told a clone of the listener to say so.
                Err(error) if is_nobody_there(&error) => sleep(EXHAUSTED_PAUSE),
                Err(error) if is_one_of(&error, &LACKING) => {
                    lack.go_on(listener.as_fd().as_raw_fd(), &error);
                }
                // Of the next one too, if the network is down.
                Err(error) if is_one_of(&error, &OF_ONE_CONNECTION) => sleep(EXHAUSTED_PAUSE),
                Err(error) => return Err(error),
            }
        }
    }

    /// Accepts those who came before the stop. Whoever knocks meanwhile may be let in too, but
    /// cannot keep the server from ending.
    fn accept_queued<L, H>(self: &Rc<Self>, listener: &L, handler: &Rc<H>) -> io::Result<()>
    where
        L: Accept,
        H: Fn(L::Stream, L::Peer) + 'static,
    {
        // The stop may have changed it.
        listener.set_nonblocking(false)?;
        let mut accepted = 0;
        while accepted < ACCEPTED_AT_STOP_MAX {
            self.wait_while(|active| active >= self.concurrency);
            match accept_at_once(listener) {
                // One for which there is no stack is closed.
                Ok((stream, peer)) => drop(self.handle(handler, stream, peer)),
                Err(error) if is_nobody_there(&error) => return Ok(()),
                // Once nobody is served any more, nobody will give back what is lacking.
                Err(error) if is_one_of(&error, &LACKING) && self.active.get() > 0 => {
                    sleep(EXHAUSTED_PAUSE);
                    continue;
                }
                Err(error) if is_one_of(&error, &OF_ONE_CONNECTION) => {}
                Err(error) => return Err(error),
            }
            accepted += 1;
        }
        Ok(())
    }

    fn wait_while(&self, condition: impl Fn(usize) -> bool) {
        while condition(self.active.get()) {
            // Unwinding cannot be: this is no destructor.
            let _ = self.room.wait(Blocked::Call(&"a connection to end"), None, || ());
        }
    }

    /// Fails if there is no stack.
    fn handle<S, P, H>(
        self: &Rc<Self>,
        handler: &Rc<H>,
        stream: S,
        peer: P,
    ) -> Result<(), SpawnError>
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
        thread.map(drop)
    }
}

/// A time in which a server has accepted nobody for want of fds, memory or stacks.
#[derive(Default)]
struct Lack {
    began: Option<Instant>,
    is_told: bool,
}

impl Lack {
    /// Lets a little time pass. When that has been much in all, says so once.
    fn go_on(&mut self, listener: RawFd, error: &dyn fmt::Display) {
        let began = *self.began.get_or_insert_with(Instant::now);
        if began.elapsed() >= LACK_TOLD_AFTER && !self.is_told {
            self.is_told = true;
            say(format_args!(
                "the server that listens at fd {listener} has served nobody new for {LACK_TOLD_AFTER:?}: \
                 {error}; it goes on trying. Raise the limit, or serve fewer at once"
            ));
        }
        sleep(EXHAUSTED_PAUSE);
    }
}

/// The acceptor's end, also by unwinding: tells those who wait for it.
struct End(Rc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        drop(self.0.listening.take());
        let killed = || Err(io::Error::other("the server's acceptor was killed, or panicked"));
        self.0.outcome.borrow_mut().get_or_insert_with(killed);
        self.0.ended.call_all();
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

/// Accepts who is there, and does not wait. The mode is shared with clones of the listener, so it
/// is changed for this moment only.
fn accept_at_once<L: Accept>(listener: &L) -> io::Result<(L::Stream, L::Peer)> {
    listener.set_nonblocking(true)?;
    let outcome = listener.accept();
    listener.set_nonblocking(false).and(outcome)
}

/// True if the listener is non-blocking and its queue empty.
fn is_nobody_there(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Errors that pass when somebody else closes a file or frees memory.
const LACKING: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];

/// Errors that pass with the next connection. Linux reports what happened to one that is waiting to
/// be accepted as an error of the accept itself: see accept(2).
const OF_ONE_CONNECTION: [Errno; 9] = [
    Errno::CONNABORTED,
    Errno::NETDOWN,
    Errno::PROTO,
    Errno::NOPROTOOPT,
    Errno::HOSTDOWN,
    Errno::NONET,
    Errno::HOSTUNREACH,
    Errno::NETUNREACH,
    // A firewall's word.
    Errno::PERM,
];

fn is_one_of(error: &io::Error, errnos: &[Errno]) -> bool {
    let code = error.raw_os_error();
    errnos.iter().any(|errno| code == Some(errno.raw_os_error()))
}
