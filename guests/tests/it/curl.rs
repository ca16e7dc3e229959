//! `curl`: the system's libcurl, which waits by `poll`.

use std::time::Duration;

use curl::easy::Easy;
use greenroom_guests::{Answer, Guest, Order, Server, Slow, Tongue, prove};

struct Curl(Slow);

impl Guest for Curl {
    const NAME: &'static str = "`curl` 0.4 over libcurl 7.88";
    type Client = Easy;

    fn connect(&self, timeout: Option<Duration>) -> Easy {
        let mut easy = Easy::new();
        easy.cainfo(&self.0.certificate).expect("a file of certificates");
        if let Some(timeout) = timeout {
            easy.timeout(timeout).expect("a timeout can be set");
        }
        easy
    }

    fn call(&self, easy: &mut Easy, number: usize, wait: Duration) -> Answer {
        let order = Order { number, wait };
        let url = format!("https://{}{order}", self.0.server.address());
        let mut answer = Vec::new();
        let mut perform = || {
            easy.url(&url)?;
            let mut transfer = easy.transfer();
            transfer.write_function(|part| {
                answer.extend_from_slice(part);
                Ok(part.len())
            })?;
            transfer.perform()
        };
        match perform() {
            Ok(()) => Ok(answer),
            // What it adds tells the time, which is never the same.
            Err(error) => Err(error.description().to_owned()),
        }
    }

    fn server(&self) -> &Server {
        &self.0.server
    }
}

#[test]
fn curl_waits_greenly_and_ends_as_on_an_os_thread() {
    prove(Curl(Slow::start(env!("CARGO_BIN_EXE_slow"), Tongue::Https)));
}
