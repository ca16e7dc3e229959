//! `redis`: a blocking client of a Redis server. It waits in `BLPOP` on a list that nobody fills.

use std::time::Duration;

use greenroom_guests::{Answer, Guest, Server, prove, skip};
use redis::{Client, Connection, RedisResult};

struct Redis(Server);

impl Guest for Redis {
    const NAME: &'static str = "`redis` 1.8";
    type Client = Connection;

    fn connect(&self, timeout: Option<Duration>) -> Connection {
        let client = Client::open(format!("redis://{}/", self.0.address())).expect("a url");
        let connection = client.get_connection().expect("the server listens");
        connection.set_read_timeout(timeout).expect("a timeout can be set");
        connection
    }

    fn call(&self, connection: &mut Connection, number: usize, wait: Duration) -> Answer {
        let mut call = || -> RedisResult<Vec<u8>> {
            if !wait.is_zero() {
                let () = redis::cmd("BLPOP")
                    .arg("empty")
                    .arg(wait.as_secs_f64())
                    .query::<Option<(String, String)>>(connection)
                    .map(|nothing| assert_eq!(nothing, None))?;
            }
            redis::cmd("ECHO").arg(vec![number as u8; number * 999]).query(connection)
        };
        call().map_err(|error| error.to_string())
    }

    fn server(&self) -> &Server {
        &self.0
    }
}

#[test]
fn redis_waits_greenly_and_ends_as_on_an_os_thread() {
    match Server::redis() {
        Ok(server) => prove(Redis(server)),
        Err(missing) => skip(Redis::NAME, &missing),
    }
}
