//! Where a case is played: once on each backend, on an OS thread of its own, in bounded time, and
//! with a look at what it left behind.
//!
//! Knows nothing of what is tested.

use std::{
    io::{Read, Write},
    net::Ipv4Addr,
    panic::resume_unwind,
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    time::Duration,
};

use greenroom::{
    JoinHandle,
    hub::{self, Backend},
    net::{TcpListener, TcpStream},
    thread::Builder,
};

/// No case takes nearly as long; one that does waits for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Plays a case on each backend.
#[track_caller]
pub(crate) fn on_each_backend(case: fn()) {
    for backend in Backend::ALL {
        on_backend(backend, case);
    }
}

/// Plays a case on one backend. Nobody may be left waiting at its end.
#[track_caller]
pub(crate) fn on_backend(backend: Backend, case: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let player = move || {
        hub::use_hub(backend).unwrap();
        case();
        let left = hub::stats();
        assert_eq!((left.listeners, left.timers, left.threads), (0, 0, 0), "left behind: {left:?}");
        done.send(()).unwrap();
    };
    let name = format!("on {backend}: {}", std::thread::current().name().unwrap_or("-"));
    let player = std::thread::Builder::new().name(name).spawn(player).unwrap();
    match ended.recv_timeout(PATIENCE) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            player.join().unwrap_or_else(|payload| resume_unwind(payload));
        }
        Err(RecvTimeoutError::Timeout) => panic!("on {backend}: not over after {PATIENCE:?}"),
    }
}

/// An address of this machine that no other test uses: where nobody listens now, nobody will.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = std::process::id().to_le_bytes()[0];
    // All of 127.0.0.0/8 is this machine, but for the first address and the last.
    Ipv4Addr::new(127, process.clamp(1, 254), high, low)
}

/// Two ends of one TCP connection.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = greenroom::spawn(move || TcpStream::connect(address).unwrap());
    let (accepted, _) = listener.accept().unwrap();
    (client.join().unwrap(), accepted)
}

/// A green thread with a name.
pub(crate) fn spawn_named<T: 'static>(
    name: &str,
    f: impl FnOnce() -> T + 'static,
) -> JoinHandle<T> {
    Builder::new().name(name).spawn(f).unwrap()
}

/// What a green thread returns, if it ends in time.
#[track_caller]
pub(crate) fn joined<T>(handle: JoinHandle<T>) -> T {
    let name = handle.thread().to_string();
    match handle.join_timeout(PATIENCE) {
        Ok(outcome) => outcome.unwrap(),
        Err(_) => panic!("{name} waits for ever:\n{}", greenroom::debug::dump()),
    }
}

/// Echoes until the other side sends no more. Returns how much that was.
pub(crate) fn echo(mut stream: impl Read + Write) -> std::io::Result<usize> {
    let mut bytes = [0; 4096];
    let mut total = 0;
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Ok(total);
        }
        stream.write_all(&bytes[..count])?;
        total += count;
    }
}
