//! The chat server, with guests of all manners.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::program::{PATIENCE, Service, run};

struct Guest(BufReader<TcpStream>);

impl Guest {
    fn new(chat: &Service) -> Guest {
        let mut guest = Guest(BufReader::new(chat.connect()));
        guest.hears("Your name?");
        guest
    }

    /// A guest who is in, which everyone in `room` has been told.
    fn enter(chat: &Service, name: &str, room: &mut [&mut Guest]) -> Guest {
        let mut guest = Guest::new(chat);
        guest.says(name);
        for other in room {
            other.hears(&format!("* {name} is here"));
        }
        guest
    }

    fn says(&mut self, line: &str) {
        self.sends(format!("{line}\n").as_bytes());
    }

    fn sends(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the server reads");
    }

    #[track_caller]
    fn hears(&mut self, line: &str) {
        let mut heard = String::new();
        self.0.read_line(&mut heard).expect("the server speaks");
        assert_eq!(heard.trim_end_matches('\n'), line);
    }
}

fn chat() -> Service {
    Service::start("chat", &["127.0.0.1:0"])
}

#[test]
fn lines_reach_the_others_and_so_does_news_of_who_comes_and_goes() {
    let chat = chat();
    let mut ada = Guest::enter(&chat, "Ada", &mut []);
    let mut bob = Guest::enter(&chat, "Bob", &mut [&mut ada]);
    let mut cleo = Guest::enter(&chat, "Cleo", &mut [&mut ada, &mut bob]);
    ada.says("hello");
    bob.hears("Ada: hello");
    cleo.hears("Ada: hello");
    bob.says("hello Ada");
    ada.hears("Bob: hello Ada");
    cleo.hears("Bob: hello Ada");
    drop(bob);
    ada.hears("* Bob has left");
    cleo.hears("* Bob has left");
}

#[test]
fn names_are_asked_for_until_one_will_do() {
    let chat = chat();
    let mut ada = Guest::enter(&chat, "Ada", &mut []);
    let mut other = Guest::new(&chat);
    for name in ["Ada", "", "two words", "<b>", &"x".repeat(100)] {
        other.says(name);
        other.hears("Letters and digits, please, and not taken. Your name?");
    }
    other.says("Zoë2");
    ada.hears("* Zoë2 is here");
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let chat = chat();
    let mut ada = Guest::enter(&chat, "Ada", &mut []);
    let mut bob = Guest::enter(&chat, "Bob", &mut [&mut ada]);
    bob.sends(b"\xff\xfe \x1b[2J\0\x07beep\r\n");
    ada.hears("Bob: \u{fffd}\u{fffd} [2Jbeep");
    let mut noise = Guest::new(&chat);
    noise.sends(&[0xff; 3000]);
    drop(noise);
    bob.says("still here");
    ada.hears("Bob: still here");
}

#[test]
fn a_line_without_end_ends_the_visit() {
    let chat = chat();
    let mut ada = Guest::enter(&chat, "Ada", &mut []);
    let mut bob = Guest::enter(&chat, "Bob", &mut [&mut ada]);
    bob.sends(&[b'a'; 5000]);
    ada.hears("* Bob has left");
}

#[test]
fn a_guest_who_does_not_read_is_shown_out() {
    let chat = chat();
    let mut ada = Guest::enter(&chat, "Ada", &mut []);
    let _deaf = Guest::enter(&chat, "Deaf", &mut [&mut ada]);
    let mouth = ada.0.get_ref().try_clone().expect("there are fds");
    let enough = AtomicBool::new(false);
    let begin = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let line = format!("{}\n", "blah ".repeat(200));
            while !enough.load(Ordering::Relaxed) && begin.elapsed() < PATIENCE {
                (&mouth).write_all(line.as_bytes()).expect("the server reads");
            }
        });
        ada.hears("* Deaf has left");
        let waited = begin.elapsed();
        enough.store(true, Ordering::Relaxed);
        assert!(waited < Duration::from_secs(25), "for what waits, not for how long: {waited:?}");
    });
    Guest::enter(&chat, "Deaf", &mut [&mut ada]);
}

#[test]
fn wrong_arguments_are_explained() {
    let outcome = run("chat", &[]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.starts_with("usage: chat"), "{outcome:?}");
    let taken = chat();
    let outcome = run("chat", &[&taken.address.to_string()]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("Address already in use"), "{outcome:?}");
}
