//! `mysql`: a blocking client of MariaDB.

use std::time::Duration;

use greenroom_guests::{Answer, Guest, Server, prove, skip};
use mysql::{Conn, OptsBuilder, prelude::Queryable};

struct Mysql(Server);

impl Guest for Mysql {
    const NAME: &'static str = "`mysql` 28";
    type Client = Conn;

    fn connect(&self, timeout: Option<Duration>) -> Conn {
        let address = self.0.address();
        let options = OptsBuilder::new()
            .ip_or_hostname(Some(address.ip().to_string()))
            .tcp_port(address.port())
            .prefer_socket(false)
            .read_timeout(timeout);
        Conn::new(options).expect("the server listens")
    }

    fn call(&self, client: &mut Conn, number: usize, wait: Duration) -> Answer {
        let wait = wait.as_secs_f64();
        let question = format!("select sleep({wait}), repeat(md5({number}), {number})");
        let row: Result<Option<(u8, Vec<u8>)>, _> = client.query_first(question);
        row.map(|row| row.expect("one row").1).map_err(|error| error.to_string())
    }

    fn server(&self) -> &Server {
        &self.0
    }
}

#[test]
fn mysql_waits_greenly_and_ends_as_on_an_os_thread() {
    match Server::mariadb() {
        Ok(server) => prove(Mysql(server)),
        Err(missing) => skip(Mysql::NAME, &missing),
    }
}
