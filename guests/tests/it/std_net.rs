//! `std::net`: a socket, read and written by std.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use greenroom_guests::{Answer, Guest, Order, Server, Slow, Tongue, prove};

struct StdNet(Slow);

impl Guest for StdNet {
    const NAME: &'static str = "`std::net`";
    type Client = TcpStream;

    fn connect(&self, timeout: Option<Duration>) -> TcpStream {
        let stream = TcpStream::connect(self.0.server.address()).expect("the server listens");
        stream.set_read_timeout(timeout).expect("a timeout can be set");
        stream
    }

    fn call(&self, stream: &mut TcpStream, number: usize, wait: Duration) -> Answer {
        let order = Order { number, wait };
        let mut answer = vec![0; order.length()];
        stream
            .write_all(format!("{order}\n").as_bytes())
            .and_then(|()| stream.read_exact(&mut answer))
            .map(|()| answer)
            .map_err(|error| error.to_string())
    }

    fn server(&self) -> &Server {
        &self.0.server
    }
}

#[test]
fn sockets_of_std_wait_greenly_and_end_as_on_an_os_thread() {
    prove(StdNet(Slow::start(env!("CARGO_BIN_EXE_slow"), Tongue::Lines)));
}
