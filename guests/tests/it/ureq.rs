//! `ureq`: HTTP over TLS by rustls, in Rust down to std's sockets.

use std::{fs, time::Duration};

use greenroom_guests::{Answer, Guest, Order, Server, Slow, Tongue, prove};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

struct Ureq(Slow);

impl Guest for Ureq {
    const NAME: &'static str = "`ureq` 3.5 over rustls 0.23";
    type Client = Agent;

    fn connect(&self, timeout: Option<Duration>) -> Agent {
        let pem = fs::read(&self.0.certificate).expect("the server shows a certificate");
        let root = Certificate::from_pem(&pem).expect("a certificate");
        let tls = TlsConfig::builder().root_certs(RootCerts::from([root])).build();
        let config = Agent::config_builder().tls_config(tls).timeout_recv_response(timeout);
        config.build().new_agent()
    }

    fn call(&self, agent: &mut Agent, number: usize, wait: Duration) -> Answer {
        let address = self.0.server.address();
        let order = Order { number, wait };
        agent
            .get(format!("https://{address}{order}"))
            .call()
            .and_then(|mut response| response.body_mut().read_to_vec())
            .map_err(|error| error.to_string())
    }

    fn server(&self) -> &Server {
        &self.0.server
    }
}

#[test]
fn ureq_waits_greenly_and_ends_as_on_an_os_thread() {
    prove(Ureq(Slow::start(env!("CARGO_BIN_EXE_slow"), Tongue::Https)));
}
