//! libpq, by a client in C: it waits by `poll` before it reads.

use std::time::Duration;

use greenroom_guests::{Answer, Guest, Server, libpq::Connection, prove, skip};

struct Libpq(Server);

impl Guest for Libpq {
    const NAME: &'static str = "libpq 15, a client in C";
    type Client = Connection;

    fn connect(&self, timeout: Option<Duration>) -> Connection {
        let port = self.0.address().port();
        let target = format!("host=127.0.0.1 port={port} user=guest dbname=postgres");
        Connection::open(&target, timeout)
    }

    fn call(&self, connection: &mut Connection, number: usize, wait: Duration) -> Answer {
        let wait = wait.as_secs_f64();
        let value = format!("repeat(md5('{number}'), {number})");
        connection.ask(&format!("select pg_sleep({wait}), {value}"))
    }

    fn server(&self) -> &Server {
        &self.0
    }
}

#[test]
fn libpq_waits_greenly_and_ends_as_on_an_os_thread() {
    match Server::postgresql() {
        Ok(server) => prove(Libpq(server)),
        Err(missing) => skip(Libpq::NAME, &missing),
    }
}
