//! `r2d2`: a pool of connections, with one for each call.
//!
//! One that is empty holds up the OS thread: see `not_green.rs`. Who is stopped while it takes a connection may find
//! each of them broken and leave the pool empty, so what `prove` shows of others is not shown of it.

use greenroom_guests::{CALLS, PATIENCE, Server, WAIT, measure, skip};
use r2d2::Pool;
use redis::{Client, RedisResult};

const NAME: &str = "`r2d2` 0.8, a pool of `redis`";

#[test]
fn a_pool_of_r2d2_s_with_a_connection_for_each_gives_them_to_green_threads() {
    let server = match Server::redis() {
        Ok(server) => server,
        Err(missing) => return skip(NAME, &missing),
    };
    let client = Client::open(format!("redis://{}/", server.address())).expect("a url");
    let pool = Pool::builder().max_size(CALLS as u32).connection_timeout(PATIENCE).build(client);
    let pool = pool.expect("the server listens");
    let call = move |number| -> RedisResult<Vec<u8>> {
        let mut connection = pool.get().expect("there is one for each");
        let mut pop = redis::cmd("BLPOP");
        let nothing: Option<(String, String)> =
            pop.arg("empty").arg(WAIT.as_secs_f64()).query(&mut *connection)?;
        assert_eq!(nothing, None);
        redis::cmd("ECHO").arg(vec![number as u8; number * 999]).query(&mut *connection)
    };
    measure(NAME, move |number| call(number).map_err(|error| error.to_string()));
}
