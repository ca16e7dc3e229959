//! Ten thousand connections, all open at the same time, and every byte accounted for at both ends.
//!
//! Server and clients are two processes, for each needs an fd a connection, and many systems allow
//! a process some twenty thousand.

use std::{
    cell::Cell,
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    rc::Rc,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use greenroom::{
    hub::Backend,
    io::GreenFd,
    net::{TcpListener, TcpStream, serve},
    spawn,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    child,
    pattern::{self, Checksum, Random},
    stage::{PATIENCE, joined, on_backend},
};

const CONNECTIONS: u64 = 10_000;

/// What else a process may have open, other tests included.
const OTHER_FDS: u64 = 1_000;

/// Fits into the buffers of a connection, so a client may write it all before it reads.
const LENGTH_MAX: usize = 8_192;

/// What the server says to whom it has accepted.
const GREETING: &[u8] = b"welcome";

/// Lets this process open as many files as it is allowed to, which must be enough.
fn raise_limit() {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).unwrap();
    let needed = CONNECTIONS + OTHER_FDS;
    let allowed = limits.maximum.unwrap_or(u64::MAX);
    assert!(
        allowed >= needed,
        "this test needs {needed} open files a process, and the hard limit is {allowed}: raise it \
         with `ulimit -Hn {needed}` as root, or in /etc/security/limits.conf"
    );
}

/// One connection's bytes, a function of its number alone.
fn payload(number: u64) -> Vec<u8> {
    let length = 1 + Random::new(number).below(LENGTH_MAX);
    pattern::bytes(number, length)
}

/// The server's process: echoes until its standard input ends, then tells what it has seen.
fn server(backend: Backend) {
    raise_limit();
    on_backend(backend, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        child::say("address", listener.local_addr().unwrap());
        let (total, sums, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::default());
        let (all_bytes, all_sums, most_at_once) =
            (Rc::clone(&total), Rc::clone(&sums), Rc::<Cell<u64>>::clone(&most));
        let active = Cell::new(0);
        let server = serve(listener, 2 * CONNECTIONS as usize, move |mut stream, _| {
            active.set(active.get() + 1);
            most_at_once.set(most_at_once.get().max(active.get()));
            stream.write_all(GREETING).unwrap();
            let mut sum = Checksum::new();
            let mut bytes = [0; 2048];
            loop {
                let count = stream.read(&mut bytes).unwrap();
                if count == 0 {
                    break;
                }
                sum.add(&bytes[..count]);
                all_bytes.set(all_bytes.get() + count as u64);
                stream.write_all(&bytes[..count]).unwrap();
            }
            all_sums.set(all_sums.get() ^ sum.value());
            active.set(active.get() - 1);
        });
        GreenFd::new(std::io::stdin()).unwrap().read_to_end(&mut Vec::new()).unwrap();
        server.stop().unwrap();
        child::say("most", most.get());
        child::say("total", total.get());
        child::say("sums", sums.get());
    });
}

fn clients(address: SocketAddr) {
    let connecting: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            spawn(move || {
                let mut stream = TcpStream::connect(address)
                    .unwrap_or_else(|error| panic!("connection {number}: {error}"));
                let mut greeting = [0; GREETING.len()];
                stream.read_exact(&mut greeting).unwrap();
                assert_eq!(greeting, GREETING);
                stream
            })
        })
        .collect();
    // Once all are greeted, all are open at both ends.
    let streams: Vec<_> = connecting.into_iter().map(joined).collect();
    let talking: Vec<_> = streams
        .into_iter()
        .zip(0..)
        .map(|(mut stream, number)| {
            spawn(move || {
                let said = payload(number);
                stream.write_all(&said).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).unwrap();
                assert!(heard == said, "connection {number} heard something else");
            })
        })
        .collect();
    talking.into_iter().for_each(joined);
}

/// The clients' process: plays them, and compares what the server tells with what they said.
fn play(backend: Backend, test: &str) {
    // Two at once would need the fds of both in this process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    raise_limit();
    let mut process = child::start(test);
    let address = process.told("address").parse().unwrap();
    let begin = Instant::now();
    on_backend(backend, move || clients(address));
    let took = begin.elapsed();
    process.close_input();
    let told = |process: &mut child::Process, name| process.told(name).parse::<u64>().unwrap();
    assert_eq!(told(&mut process, "most"), CONNECTIONS);
    let payloads = (0..CONNECTIONS).map(payload);
    let (total, sums) = payloads.fold((0, 0), |(total, sums), bytes| {
        (total + bytes.len() as u64, sums ^ Checksum::of(&bytes).value())
    });
    assert_eq!(told(&mut process, "total"), total);
    assert_eq!(told(&mut process, "sums"), sums);
    process.finished(PATIENCE);
    println!("on {backend}: {CONNECTIONS} connections, {total} bytes each way: {took:.2?}");
    assert!(took < Duration::from_secs(30), "it took {took:?}");
}

/// One test for each backend.
macro_rules! ten_thousand_connections {
    ($($name:ident: $backend:expr;)*) => {$(
        #[test]
        fn $name() {
            child::play_if_child(|| server($backend));
            play($backend, concat!("ten_thousand_connections::", stringify!($name)));
        }
    )*};
}

ten_thousand_connections! {
    on_epoll_ten_thousand_connections_at_once_lose_no_byte: Backend::Epoll;
    on_poll_ten_thousand_connections_at_once_lose_no_byte: Backend::Poll;
}
