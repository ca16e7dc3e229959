//! `std::process`: programs of others, started and waited for by std.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Write},
    process::{Child, Command, Output, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

use greenroom::{Elapsed, with_timeout};
use greenroom_guests::{PATIENCE, WAIT, measure};

/// Says its number, on both streams, after a while.
fn say_late(number: usize) -> Output {
    let wait = WAIT.as_secs_f64();
    let script = format!("sleep {wait}; echo {number}; echo +{number} >&2; exit {number}");
    Command::new("sh").args(["-c", &script]).output().expect("a shell")
}

fn endless() -> Child {
    Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("a program")
}

#[test]
fn what_programs_write_is_read_greenly() {
    measure("`std::process`, `Command::output`", say_late);
}

#[test]
fn the_ends_of_programs_are_waited_for_greenly() {
    measure("`std::process`, `Command::status`", |number| {
        let wait = WAIT.as_secs_f64();
        let script = format!("sleep {wait}; exit {number}");
        Command::new("sh").args(["-c", &script]).status().expect("a shell").code()
    });
}

#[test]
fn programs_are_fed_and_read_at_the_same_time() {
    let thread = greenroom::spawn(|| {
        let mut command = Command::new("cat");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
        let mut input = child.stdin.take().expect("a pipe");
        let text = vec![b'x'; 1 << 20];
        let writer = greenroom::spawn({
            let text = text.clone();
            move || input.write_all(&text)
        });
        let output = child.wait_with_output().expect("cat ends");
        writer.join().expect("no panic").expect("all is written");
        assert_eq!(output.stdout, text);
    });
    thread.join().expect("no panic");
}

#[test]
fn a_limit_ends_the_wait_for_a_program_with_an_error() {
    let thread = greenroom::spawn(|| {
        let begin = Instant::now();
        let mut child = endless();
        let mut waited = None;
        let ended = with_timeout(WAIT, || {
            waited = Some(child.wait().map_err(|error| error.kind()));
            greenroom::yield_now();
        });
        assert_eq!(ended, Err(Elapsed));
        assert_eq!(waited, Some(Err(ErrorKind::TimedOut)));
        child.kill().expect("it runs");
        assert!(child.wait().expect("it ends").code().is_none(), "a signal ended it");
        assert!(begin.elapsed() < PATIENCE);
    });
    thread.join().expect("no panic");
}

#[test]
fn a_program_that_is_killed_ends_the_wait_for_it() {
    let mut child = endless();
    let id = child.id();
    let waiter = greenroom::spawn(move || child.wait().map(|status| status.to_string()));
    greenroom::sleep(WAIT);
    let killed = greenroom::spawn(move || Command::new("kill").arg(id.to_string()).status());
    assert!(killed.join().expect("no panic").expect("kill runs").success());
    let status = waiter.join().expect("no panic").expect("it has ended");
    assert_eq!(status, "signal: 15 (SIGTERM)");
}

#[test]
fn who_is_killed_waits_no_more_for_a_program() {
    let child = Rc::new(RefCell::new(endless()));
    let calls = Rc::new(Cell::new(0));
    let waiter = greenroom::spawn({
        let (child, calls) = (child.clone(), calls.clone());
        move || {
            let mut child = child.borrow_mut();
            calls.set(1);
            assert!(child.wait().is_err());
            calls.set(2);
            greenroom::yield_now();
        }
    });
    greenroom::sleep(Duration::from_millis(50));
    assert_eq!(calls.get(), 1);
    waiter.kill();
    assert!(waiter.join().is_err_and(|error| error.is_killed()));
    assert_eq!(calls.get(), 2);
    let mut child = child.borrow_mut();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
