//! `lettre`: sends a mail by SMTP, and waits for the server to take it.

use std::time::Duration;

use greenroom_guests::{Answer, Guest, Order, Server, Slow, Tongue, prove};
use lettre::{Message, SmtpTransport, Transport, message::Mailbox};

struct Lettre(Slow);

impl Guest for Lettre {
    const NAME: &'static str = "`lettre` 0.11";
    type Client = SmtpTransport;

    fn connect(&self, timeout: Option<Duration>) -> SmtpTransport {
        let address = self.0.server.address();
        SmtpTransport::builder_dangerous(address.ip().to_string())
            .port(address.port())
            .timeout(timeout)
            .build()
    }

    fn call(&self, transport: &mut SmtpTransport, number: usize, wait: Duration) -> Answer {
        let order = Order { number, wait };
        let mailbox = |name: &str| Mailbox::new(None, name.parse().expect("an address"));
        // As it is sent: lines of it are neither folded nor escaped.
        let text = ".23456789".repeat(8) + "\r\n";
        let mail = Message::builder()
            .from(mailbox("green@localhost"))
            .to(mailbox("room@localhost"))
            .subject(order.to_string())
            .body(text.repeat(order.length() / text.len() + 1))
            .expect("a mail");
        let taken = transport.send(&mail).map_err(|error| format!("{error:?}"))?;
        Ok(taken.message().collect::<String>().into_bytes())
    }

    fn server(&self) -> &Server {
        &self.0.server
    }
}

#[test]
fn lettre_waits_greenly_and_ends_as_on_an_os_thread() {
    prove(Lettre(Slow::start(env!("CARGO_BIN_EXE_slow"), Tongue::Smtp)));
}
