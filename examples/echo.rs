//! An echo server: whatever a connection sends, it gets back.
//!
//! ```text
//! cargo run --release --example echo -- 127.0.0.1:7007
//! cargo run --release --example echo -- --self-test
//! ```

#![deny(unsafe_code)]

use std::{
    env,
    error::Error,
    ffi::OsString,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    process::ExitCode,
    time::Instant,
};

use greenroom::net::{Server, TcpListener, TcpStream, listen, serve};

const USAGE: &str = "usage: echo ADDRESS      serves it, such as 127.0.0.1:7007; port 0 is any
       echo --self-test  serves itself, and checks what comes back";

const CONNECTIONS_MAX: usize = 10_000;

const TEST_CLIENTS: usize = 200;
const TEST_BYTES: usize = 100_000;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).map(OsString::into_string).collect();
    let outcome = match &arguments[..] {
        [Ok(only)] if only == "--self-test" => self_test(),
        [Ok(address)] if !address.starts_with('-') => run(address),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("echo: {error}");
    ExitCode::FAILURE
}

fn run(address: &str) -> Result<(), Box<dyn Error>> {
    let listener =
        listen(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    println!("listening on {}", listener.local_addr()?);
    Ok(echo(listener).join()?)
}

/// Each connection has a green thread of its own, which runs this closure.
fn echo(listener: TcpListener) -> Server {
    serve(listener, CONNECTIONS_MAX, |stream, peer| {
        if let Err(error) = answer(&stream) {
            eprintln!("{peer}: {error}");
        }
    })
}

fn answer(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    io::copy(&mut &*stream, &mut stream)?;
    Ok(())
}

/// Server and clients on one OS thread.
fn self_test() -> Result<(), Box<dyn Error>> {
    let listener = listen("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = echo(listener);
    let begin = Instant::now();
    let clients: Vec<_> = (0..TEST_CLIENTS)
        .map(|number| greenroom::spawn(move || send_and_compare(address, number)))
        .collect();
    for client in clients {
        client.join()??;
    }
    server.stop()?;
    let time = begin.elapsed();
    println!("{TEST_CLIENTS} clients got their {TEST_BYTES} bytes back in {time:.1?}");
    Ok(())
}

fn send_and_compare(address: SocketAddr, number: usize) -> io::Result<()> {
    let sent: Vec<u8> = (0..TEST_BYTES).map(|n| (n * (number + 1)) as u8).collect();
    let mut stream = TcpStream::connect(address)?;
    let mut received = Vec::new();
    for part in sent.chunks(TEST_BYTES / 10) {
        stream.write_all(part)?;
        let begin = received.len();
        received.resize(begin + part.len(), 0);
        stream.read_exact(&mut received[begin..])?;
    }
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut received)?;
    if received != sent {
        return Err(io::Error::other(format!("client {number} got back what it did not send")));
    }
    Ok(())
}
