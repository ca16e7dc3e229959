//! An echo server on all cores: one hub for each, and nothing shared between them.
//!
//! ```text
//! cargo run --release --example cores -- 127.0.0.1:7007       until ctrl-c
//! cargo run --release --example cores -- --hubs 2 127.0.0.1:7007
//! cargo run --release --example cores -- --self-test
//! ```

#![deny(unsafe_code)]

use std::{
    cell::Cell,
    error::Error,
    ffi::OsString,
    io::{self, Read, Write},
    net::SocketAddr,
    process::ExitCode,
    rc::Rc,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use greenroom::{
    hubs,
    net::{Server, TcpListener, TcpStream, serve},
    signal::{Signal, Signals},
    sleep, spawn,
};

const USAGE: &str = "usage: cores [--hubs N] ADDRESS   serves it until ctrl-c; port 0 is any
       cores [--hubs N] --self-test  serves itself, and checks what comes back";

const HUBS_MAX: usize = 1024;
const CONNECTIONS_MAX: usize = 10_000;

const TEST_CLIENTS: usize = 400;
const TEST_BYTES: usize = 10_000;

enum Task {
    Serve(String),
    SelfTest,
}

fn main() -> ExitCode {
    let Ok((count, task)) = arguments(lexopt::Parser::from_env()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let outcome = match task {
        Task::Serve(address) => run(count, &address),
        Task::SelfTest => self_test(count),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("cores: {error}");
    ExitCode::FAILURE
}

fn arguments(mut parser: lexopt::Parser) -> Result<(usize, Task), lexopt::Error> {
    use lexopt::{Arg, ValueExt as _};
    let (mut count, mut task) = (hubs::available(), None);
    while let Some(argument) = parser.next()? {
        task = match (argument, task) {
            (Arg::Long("hubs"), task) => {
                count = parser.value()?.parse()?;
                task
            }
            (Arg::Long("self-test"), None) => Some(Task::SelfTest),
            (Arg::Value(address), None) => {
                Some(Task::Serve(address.into_string().map_err(|_: OsString| "not text")?))
            }
            (argument, _) => return Err(argument.unexpected()),
        };
    }
    match task {
        Some(task) if (1..=HUBS_MAX).contains(&count) => Ok((count, task)),
        _ => Err("nothing to do".into()),
    }
}

/// Serves until ctrl-c, which every hub hears.
fn run(count: usize, address: &str) -> Result<(), Box<dyn Error>> {
    let address = free_port(address)?;
    let all_listen = Barrier::new(count);
    let served = hubs::run(count, |number| -> io::Result<usize> {
        // Before anybody knows the address, so that nobody can be too quick with ctrl-c.
        let interrupt = Signals::new([Signal::INT]);
        let server = echo(address);
        all_listen.wait();
        let (interrupt, (server, served)) = (interrupt?, server?);
        if number == 0 {
            println!("listening on {address}");
        }
        interrupt.wait()?;
        server.stop()?;
        Ok(served.get())
    });
    for (number, served) in served.into_iter().enumerate() {
        println!("hub {number} served {} connections", served?);
    }
    Ok(())
}

/// The address with a port of its own, where any would do: all hubs must listen on the same.
fn free_port(address: &str) -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind_reuse_port(address)
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    Ok(listener.local_addr()?)
}

/// One hub's share of the connections, and how many those were.
fn echo(address: SocketAddr) -> io::Result<(Server, Rc<Cell<usize>>)> {
    let listener = TcpListener::bind_reuse_port(address)?;
    let served = Rc::new(Cell::new(0));
    let count = Rc::clone(&served);
    let server = serve(listener, CONNECTIONS_MAX, move |stream: TcpStream, _peer| {
        count.set(count.get() + 1);
        // A connection that breaks is its client's affair.
        let _ = io::copy(&mut &stream, &mut &stream);
    });
    Ok((server, served))
}

/// Serves on `count` hubs, and calls them from one more.
fn self_test(count: usize) -> Result<(), Box<dyn Error>> {
    let address = free_port("127.0.0.1:0")?;
    let (all_listen, failed) = (Barrier::new(count + 1), AtomicUsize::new(0));
    let left = AtomicUsize::new(TEST_CLIENTS);
    let served = hubs::run(count + 1, |number| -> io::Result<usize> {
        if number == count {
            all_listen.wait();
            let clients: Vec<_> = (0..TEST_CLIENTS)
                .map(|client| spawn(move || send_and_compare(address, client)))
                .collect();
            for client in clients {
                if !matches!(client.join(), Ok(Ok(()))) {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                left.fetch_sub(1, Ordering::Release);
            }
            return Ok(0);
        }
        let (server, served) = echo(address)?;
        all_listen.wait();
        while left.load(Ordering::Acquire) > 0 {
            sleep(Duration::from_millis(2));
        }
        server.stop()?;
        Ok(served.get())
    });
    let served = served.into_iter().collect::<io::Result<Vec<_>>>()?;
    let (failed, total) = (failed.into_inner(), served.iter().sum::<usize>());
    println!("{count} hubs served {total} connections: {:?}", &served[..count]);
    if failed > 0 || total != TEST_CLIENTS {
        return Err(format!("{failed} of {TEST_CLIENTS} clients failed").into());
    }
    Ok(())
}

fn send_and_compare(address: SocketAddr, number: usize) -> io::Result<()> {
    let sent: Vec<u8> = (0..TEST_BYTES).map(|n| (n * (number + 1)) as u8).collect();
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&sent)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    if received == sent { Ok(()) } else { Err(io::Error::other("got back what was not sent")) }
}
