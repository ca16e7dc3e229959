//! A server without fds: whom it serves it goes on serving, and whom it could not take it takes as
//! soon as it can.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    net::{self as std_net, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    hub::Backend,
    net::{Accept, Server, TcpListener, TcpStream, serve},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    child::{self, Process},
    stage::{PATIENCE, on_backend},
};

/// What the server's process may have open, everything included.
const FDS_MAX: u64 = 48;

/// More clients than that.
const CLIENTS: usize = 100;

/// What a client may ask.
const ECHO: u8 = b'e';
const HOW_OFTEN_EXHAUSTED: u8 = b'h';
const STOP: u8 = b's';

/// A listener that counts how often there was no fd for a connection.
struct Counting {
    listener: TcpListener,
    exhausted: Rc<Cell<u32>>,
}

impl AsFd for Counting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Accept for Counting {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let outcome = self.listener.accept();
        if let Err(error) = &outcome
            && error.raw_os_error() == Some(libc::EMFILE)
        {
            self.exhausted.set(self.exhausted.get() + 1);
        }
        outcome
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.listener.set_nonblocking(nonblocking)
    }
}

/// The server's process.
fn server(backend: Backend) {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(FDS_MAX), ..limits }).unwrap();
    on_backend(backend, || {
        let exhausted = Rc::new(Cell::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        child::say("address", listener.local_addr().unwrap());
        let counting = Counting { listener, exhausted: Rc::clone(&exhausted) };
        let this: Rc<Cell<Option<Server>>> = Rc::default();
        let to_stop = Rc::clone(&this);
        let server = serve(counting, 10_000, move |mut stream, _| {
            let mut question = [0];
            // A client that goes while an answer is on its way resets the connection.
            while stream.read(&mut question).is_ok_and(|count| count == 1) {
                let answer = match question[0] {
                    HOW_OFTEN_EXHAUSTED => exhausted.get().to_le_bytes()[0],
                    STOP => {
                        let server = to_stop.take().unwrap();
                        server.stop_soon();
                        STOP
                    }
                    same => same,
                };
                stream.write_all(&[answer]).unwrap();
            }
        });
        this.set(Some(server.clone()));
        server.join().unwrap();
    });
}

fn ask(client: &mut std_net::TcpStream, question: u8) -> u8 {
    let mut answer = [0];
    client.write_all(&[question]).unwrap();
    client.read_exact(&mut answer).unwrap();
    answer[0]
}

/// When the server is told to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// While it has no fds, and clients before its door.
    Early,
    /// When it has served them all.
    Late,
}

/// The clients, in the process of the test.
fn clients(process: &mut Process, stop: Stop) {
    let address: SocketAddr = process.told("address").parse().unwrap();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let client = std_net::TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(PATIENCE / 2)).unwrap();
            client
        })
        .collect();
    // The kernel hands out the oldest first, so these are in.
    for client in &mut clients[..10] {
        assert_eq!(ask(client, ECHO), ECHO);
    }
    while ask(&mut clients[0], HOW_OFTEN_EXHAUSTED) < 3 {}
    for client in &mut clients[..10] {
        assert_eq!(ask(client, ECHO), ECHO);
    }
    let last = clients.last_mut().unwrap();
    last.write_all(&[ECHO]).unwrap();
    last.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert!(
        last.read(&mut [0]).is_err(),
        "there were fds for all {CLIENTS}: the limit is no limit"
    );
    last.set_read_timeout(Some(PATIENCE / 2)).unwrap();
    if stop == Stop::Early {
        assert_eq!(ask(&mut clients[0], STOP), STOP);
        let before = ask(&mut clients[0], HOW_OFTEN_EXHAUSTED);
        while ask(&mut clients[0], HOW_OFTEN_EXHAUSTED).wrapping_sub(before) < 3 {}
    }

    // The oldest go, and the others come in, all of them in the end.
    let rest = clients.split_off(FDS_MAX as usize);
    drop(clients);
    for mut client in rest {
        assert_eq!(ask(&mut client, ECHO), ECHO);
    }
    if stop == Stop::Late {
        let mut client = std_net::TcpStream::connect(address).unwrap();
        assert_eq!(ask(&mut client, STOP), STOP);
    }
}

/// One test for each backend and each way to stop.
macro_rules! without_fds {
    ($($name:ident: $backend:expr, $stop:expr;)*) => {$(
        #[test]
        fn $name() {
            child::play_if_child(|| server($backend));
            let mut process = child::start(concat!("exhausted::", stringify!($name)));
            clients(&mut process, $stop);
            process.finished(PATIENCE);
        }
    )*};
}

without_fds! {
    on_epoll_a_server_without_fds_serves_whom_it_has_and_recovers: Backend::Epoll, Stop::Late;
    on_poll_a_server_without_fds_serves_whom_it_has_and_recovers: Backend::Poll, Stop::Late;
    on_epoll_a_server_that_stops_without_fds_still_serves_who_came: Backend::Epoll, Stop::Early;
    on_poll_a_server_that_stops_without_fds_still_serves_who_came: Backend::Poll, Stop::Early;
}
