//! `postgres`: a blocking face of an asynchronous client, with a runtime of tokio's inside each connection.
//!
//! Its waits are green. But tokio notes in a thread-local of the OS thread that a runtime runs there (see
//! `tokio.rs`), so only one call at a time can be under way on an OS thread.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use greenroom::{Elapsed, offload, with_timeout};
use greenroom_guests::{Answer, PATIENCE, Server, WAIT, measure, skip};
use postgres::{Client, Config, NoTls};

const NAME: &str = "`postgres` 0.19";

/// One call on a connection of its own.
fn call(port: u16, number: usize, wait: Duration) -> Answer {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user("guest").dbname("postgres");
    let wait = wait.as_secs_f64();
    let question = format!("select pg_sleep({wait})::text, repeat(md5('{number}'), {number})");
    let ask = |mut client: Client| client.query_one(&question, &[]);
    let row = config.connect(NoTls).and_then(ask).map_err(|error| error.to_string())?;
    Ok(row.get::<_, String>(1).into_bytes())
}

/// Runs a test with a server, if there is one.
fn with_server(test: impl FnOnce(&Server)) {
    match Server::postgresql() {
        Ok(server) => test(&server),
        Err(missing) => skip(NAME, &missing),
    }
}

#[test]
fn one_call_at_a_time_waits_greenly_and_ends_as_on_an_os_thread() {
    with_server(|server| {
        let port = server.address().port();
        let (turns, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let sibling = greenroom::spawn({
            let (turns, ended) = (turns.clone(), ended.clone());
            move || {
                while !ended.get() {
                    turns.set(turns.get() + 1);
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let green = greenroom::spawn(move || call(port, 7, WAIT)).join().expect("no panic");
        assert!(turns.get() > 10, "others run meanwhile, but only {} times", turns.get());
        ended.set(true);
        sibling.join().expect("no panic");
        let plain = std::thread::spawn(move || call(port, 7, WAIT)).join().expect("no panic");
        assert!(plain.is_ok(), "{plain:?}");
        assert_eq!(green, plain);

        let green = greenroom::spawn(move || call(port, 7, PATIENCE * 10));
        let plain = std::thread::spawn(move || call(port, 7, PATIENCE * 10));
        greenroom::sleep(WAIT * 3);
        let begin = Instant::now();
        server.kill();
        let (green, plain) = (green.join().expect("no panic"), plain.join().expect("no panic"));
        assert!(begin.elapsed() < PATIENCE);
        assert!(plain.is_err(), "{plain:?}");
        assert_eq!(green, plain, "the death of the server is the same error");
    });
}

#[test]
fn a_limit_and_a_kill_end_a_call_with_an_error() {
    with_server(|server| {
        let port = server.address().port();
        let begin = Instant::now();
        let answer = Rc::new(RefCell::new(None));
        let limited = greenroom::spawn({
            let answer = answer.clone();
            move || {
                with_timeout(WAIT, || {
                    *answer.borrow_mut() = Some(call(port, 1, PATIENCE * 10));
                    greenroom::yield_now();
                })
            }
        });
        assert_eq!(limited.join().expect("no panic"), Err(Elapsed));
        assert!(answer.take().expect("the call has ended").is_err());

        let killed = greenroom::spawn({
            let answer = answer.clone();
            move || {
                *answer.borrow_mut() = Some(call(port, 1, PATIENCE * 10));
                greenroom::yield_now();
            }
        });
        greenroom::sleep(WAIT * 2);
        killed.kill();
        assert!(killed.join().is_err_and(|error| error.is_killed()));
        assert!(answer.take().expect("the call has ended").is_err());
        assert!(begin.elapsed() < PATIENCE);

        let after = greenroom::spawn(move || call(port, 1, Duration::ZERO));
        assert!(after.join().expect("no panic").is_ok(), "others are answered");
    });
}

#[test]
fn two_calls_at_a_time_on_one_os_thread_are_refused_by_tokio() {
    with_server(|server| {
        let port = server.address().port();
        let first = greenroom::spawn(move || call(port, 1, WAIT * 5));
        greenroom::sleep(WAIT * 2);
        let second = greenroom::spawn(move || call(port, 2, Duration::ZERO));
        let error = second.join().expect_err("it panics");
        assert!(error.to_string().contains("Cannot start a runtime"), "{error}");
        assert!(first.join().expect("it does not notice").is_ok());
    });
}

#[test]
fn many_calls_at_a_time_overlap_on_helper_threads() {
    with_server(|server| {
        let port = server.address().port();
        measure("`postgres` 0.19 in `greenroom::offload`", move |number| {
            offload(move || call(port, number, WAIT))
        });
        let begin = Instant::now();
        let waiter = greenroom::spawn(move || offload(move || call(port, 1, WAIT * 5)));
        greenroom::sleep(WAIT);
        waiter.kill();
        assert!(waiter.join().is_err_and(|error| error.is_killed()));
        assert!(begin.elapsed() < WAIT * 5, "who is killed does not wait for the helper");
    });
}
