//! `tungstenite`: a blocking client of a WebSocket server.

use std::{net::TcpStream, time::Duration};

use greenroom_guests::{Answer, Guest, Order, Server, Slow, Tongue, prove};
use tungstenite::{Message, WebSocket};

struct Tungstenite(Slow);

impl Guest for Tungstenite {
    const NAME: &'static str = "`tungstenite` 0.30";
    type Client = WebSocket<TcpStream>;

    fn connect(&self, timeout: Option<Duration>) -> WebSocket<TcpStream> {
        let address = self.0.server.address();
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(timeout).expect("a timeout can be set");
        let (socket, _) = tungstenite::client(format!("ws://{address}/"), stream)
            .expect("the server speaks WebSocket");
        socket
    }

    fn call(&self, socket: &mut WebSocket<TcpStream>, number: usize, wait: Duration) -> Answer {
        let order = Order { number, wait };
        let asked = socket.send(Message::text(order.to_string()));
        let message = asked.and_then(|()| socket.read()).map_err(|error| error.to_string())?;
        Ok(message.into_data().to_vec())
    }

    fn server(&self) -> &Server {
        &self.0.server
    }
}

#[test]
fn tungstenite_waits_greenly_and_ends_as_on_an_os_thread() {
    prove(Tungstenite(Slow::start(env!("CARGO_BIN_EXE_slow"), Tongue::WebSocket)));
}
