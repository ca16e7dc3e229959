//! `native-tls`: TLS by the system's OpenSSL, over a socket of std.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use greenroom_guests::{Answer, Guest, Order, Server, Slow, Tongue, prove};
use native_tls::{Certificate, TlsConnector, TlsStream};

struct NativeTls {
    slow: Slow,
    connector: TlsConnector,
}

impl NativeTls {
    /// OpenSSL reads the system's certificates whenever a connector is made, which takes long.
    fn start() -> NativeTls {
        let slow = Slow::start(env!("CARGO_BIN_EXE_slow"), Tongue::Https);
        let pem = fs::read(&slow.certificate).expect("the server shows a certificate");
        let root = Certificate::from_pem(&pem).expect("a certificate");
        let mut builder = TlsConnector::builder();
        builder.disable_built_in_roots(true).add_root_certificate(root);
        let connector = builder.build().expect("OpenSSL can be set up");
        NativeTls { slow, connector }
    }
}

impl Guest for NativeTls {
    const NAME: &'static str = "`native-tls` 0.2 over OpenSSL 3";
    type Client = TlsStream<TcpStream>;

    fn connect(&self, timeout: Option<Duration>) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.slow.server.address()).expect("the server listens");
        stream.set_read_timeout(timeout).expect("a timeout can be set");
        self.connector.connect("localhost", stream).expect("a handshake")
    }

    fn call(&self, tls: &mut TlsStream<TcpStream>, number: usize, wait: Duration) -> Answer {
        let order = Order { number, wait };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", order.length());
        let mut reply = vec![0; head.len() + order.length()];
        tls.write_all(format!("GET {order} HTTP/1.1\r\n\r\n").as_bytes())
            .and_then(|()| tls.read_exact(&mut reply))
            .map_err(|error| error.to_string())?;
        assert!(reply.starts_with(head.as_bytes()), "the head tells what follows");
        Ok(reply.split_off(head.len()))
    }

    fn server(&self) -> &Server {
        &self.slow.server
    }
}

#[test]
fn native_tls_waits_greenly_and_ends_as_on_an_os_thread() {
    prove(NativeTls::start());
}
