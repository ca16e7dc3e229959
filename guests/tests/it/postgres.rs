//! `postgres`: a blocking face of an asynchronous client, with a runtime of tokio's inside each connection, which
//! waits by `epoll_wait`.

use std::time::Duration;

use greenroom_guests::{Answer, Guest, Server, prove, skip};
use postgres::{Client, Config, NoTls};

struct Postgres(Server);

impl Guest for Postgres {
    const NAME: &'static str = "`postgres` 0.19 over tokio 1.54";
    /// It leaves that to the server (`statement_timeout`).
    const HAS_TIMEOUT: bool = false;
    type Client = Client;

    fn connect(&self, _: Option<Duration>) -> Client {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.0.address().port()).user("guest").dbname("postgres");
        config.connect(NoTls).expect("the server listens")
    }

    fn call(&self, client: &mut Client, number: usize, wait: Duration) -> Answer {
        let wait = wait.as_secs_f64();
        let question = format!("select pg_sleep({wait})::text, repeat(md5('{number}'), {number})");
        let row = client.query_one(&question, &[]).map_err(|error| error.to_string())?;
        Ok(row.get::<_, String>(1).into_bytes())
    }

    fn server(&self) -> &Server {
        &self.0
    }
}

#[test]
fn postgres_waits_greenly_and_ends_as_on_an_os_thread() {
    match Server::postgresql() {
        Ok(server) => prove(Postgres(server)),
        Err(missing) => skip(Postgres::NAME, &missing),
    }
}
