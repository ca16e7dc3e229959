//! A server that answers orders after a while: `slow TONGUE PORT CERTIFICATE`.
//!
//! Has an OS thread for each connection, and knows nothing of green threads.

#![deny(unsafe_code)]

use std::{
    env,
    error::Error,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use greenroom_guests::{Order, Tongue};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tungstenite::Message;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [tongue, port, certificate] = &arguments[..] else {
        return Err("usage: slow TONGUE PORT CERTIFICATE".into());
    };
    let tongue: Tongue = tongue.parse()?;
    let tls = Arc::new(identity(certificate)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?))?;
    println!("ready");
    loop {
        let (stream, _) = listener.accept()?;
        let tls = tls.clone();
        thread::spawn(move || {
            if let Err(error) = serve(tongue, stream, tls) {
                eprintln!("{error}");
            }
        });
    }
}

fn serve(tongue: Tongue, stream: TcpStream, tls: Arc<ServerConfig>) -> Outcome {
    stream.set_nodelay(true)?;
    match tongue {
        Tongue::Lines => lines(stream),
        Tongue::Http => http(stream),
        Tongue::Https => http(StreamOwned::new(ServerConnection::new(tls)?, stream)),
        Tongue::WebSocket => websocket(stream),
        Tongue::Smtp => smtp(stream),
    }
}

/// A key and a certificate for it, which is written down for clients.
fn identity(path: &str) -> Outcome<ServerConfig> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let own = rcgen::generate_simple_self_signed(names)?;
    fs::write(path, own.cert.pem())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    Ok(config.with_single_cert(vec![own.cert.der().clone()], key)?)
}

fn carry_out(order: &str) -> Outcome<Vec<u8>> {
    let order: Order = order.trim().parse()?;
    thread::sleep(order.wait);
    Ok(order.answer())
}

fn lines(mut stream: TcpStream) -> Outcome {
    let orders = BufReader::new(stream.try_clone()?).lines();
    for order in orders {
        stream.write_all(&carry_out(&order?)?)?;
    }
    Ok(())
}

fn http(stream: impl Read + Write) -> Outcome {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        // An empty line ends a head. Nothing at all is the end of the connection.
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let path = head.split(' ').nth(1).ok_or("a request without a path")?;
        let answer = carry_out(path)?;
        let length = answer.len();
        let mut reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        reply.extend(answer);
        stream.get_mut().write_all(&reply)?;
        stream.get_mut().flush()?;
    }
}

fn websocket(stream: TcpStream) -> Outcome {
    // Whoever only looks whether somebody listens hangs up during the handshake.
    let mut socket =
        tungstenite::accept(stream).map_err(|error| io::Error::other(error.to_string()))?;
    loop {
        match socket.read()? {
            Message::Text(order) => socket.send(carry_out(&order)?.into())?,
            Message::Close(_) => return Ok(()),
            _ => {}
        }
    }
}

fn smtp(mut stream: TcpStream) -> Outcome {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    stream.write_all(b"220 slow\r\n")?;
    while let Some(line) = lines.next() {
        let reply = match line?.split([' ', ':']).next() {
            Some("EHLO") => "250 slow".to_owned(),
            Some("MAIL" | "RCPT") => "250 yes".to_owned(),
            Some("DATA") => {
                stream.write_all(b"354 go on\r\n")?;
                mail(&mut lines)?
            }
            Some("QUIT") => "221 bye".to_owned(),
            _ => "500 what".to_owned(),
        };
        stream.write_all(format!("{reply}\r\n").as_bytes())?;
    }
    Ok(())
}

/// A mail, up to the line that is a dot alone.
fn mail(lines: &mut impl Iterator<Item = io::Result<String>>) -> Outcome<String> {
    let (mut order, mut bytes, mut is_head) = (None, 0, true);
    for line in lines {
        let line = line?;
        match (line.strip_prefix("Subject: "), line.as_str()) {
            (_, ".") => {
                let order: Order = order.ok_or("a mail without a subject")?;
                thread::sleep(order.wait);
                return Ok(format!("250 {} of {bytes}", order.number));
            }
            (Some(subject), _) if is_head => order = Some(subject.trim().parse()?),
            (_, "") if is_head => is_head = false,
            _ if is_head => {}
            // A line that begins with a dot has a second one.
            _ => bytes += line.strip_prefix('.').unwrap_or(&line).len(),
        }
    }
    Err("a mail without an end".into())
}
