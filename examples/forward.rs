//! A port forwarder: connections to one address come out at another.
//!
//! ```text
//! cargo run --release --example forward -- 127.0.0.1:8080 example.org:80
//! ```
//!
//! Both directions run by themselves. When one side has sent all it has to send, the other is told,
//! and may go on sending.

#![deny(unsafe_code)]

use std::{env, error::Error, ffi::OsString, io, net::Shutdown, process::ExitCode, rc::Rc};

use greenroom::net::{TcpStream, connect, listen, serve};

const USAGE: &str = "usage: forward LISTEN TARGET
both are addresses such as 127.0.0.1:8080 or localhost:80; port 0 is any, to listen on";

const CONNECTIONS_MAX: usize = 10_000;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).map(OsString::into_string).collect();
    let [Ok(from), Ok(to)] = &arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let Err(error) = run(from, to) else { return ExitCode::SUCCESS };
    eprintln!("forward: {error}");
    ExitCode::FAILURE
}

fn run(from: &str, to: &str) -> Result<(), Box<dyn Error>> {
    let listener = listen(from).map_err(|error| format!("cannot listen on {from}: {error}"))?;
    println!("listening on {}", listener.local_addr()?);
    let target = to.to_owned();
    let server = serve(listener, CONNECTIONS_MAX, move |client, peer| {
        if let Err(error) = forward(client, &target) {
            eprintln!("{peer} to {target}: {error}");
        }
    });
    Ok(server.join()?)
}

/// Serves one connection until both directions have ended.
fn forward(client: TcpStream, target: &str) -> Result<(), Box<dyn Error>> {
    let target = connect(target)?;
    client.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let (client, target) = (Rc::new(client), Rc::new(target));
    let there = {
        let (client, target) = (Rc::clone(&client), Rc::clone(&target));
        greenroom::spawn(move || pass(&client, &target))
    };
    let back = pass(&target, &client);
    Ok(there.join()?.and(back)?)
}

/// Passes bytes on until there are no more, then says so. If that fails, nothing is left of the
/// connection: the other direction ends too.
fn pass(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let passed = io::copy(&mut &*from, &mut &*to).and_then(|_| to.shutdown(Shutdown::Write));
    if passed.is_err() {
        // Whoever is gone already needs no ending.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
    passed
}
