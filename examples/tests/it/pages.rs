//! What one `use` line makes of a blocking program.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use crate::program::run;

const PAGES: usize = 20;

/// Visitors that are waited for come in this time, or not at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many visitors wait, and how many ever did at once.
#[derive(Default)]
struct Hall {
    visitors: Mutex<(usize, usize)>,
    came: Condvar,
}

impl Hall {
    /// Keeps a visitor until there have been so many at once.
    fn wait_for(&self, at_once: usize) {
        let mut visitors = self.visitors.lock().expect("nobody panics in here");
        visitors.0 += 1;
        visitors.1 = visitors.1.max(visitors.0);
        self.came.notify_all();
        let too_few = |visitors: &mut (usize, usize)| visitors.1 < at_once;
        let waited = self.came.wait_timeout_while(visitors, PATIENCE, too_few);
        waited.expect("nobody panics in here").0.0 -= 1;
    }
}

/// A server that answers when so many have asked at once.
fn serve(at_once: usize) -> (SocketAddr, Arc<Hall>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let hall = Arc::<Hall>::default();
    let visitors = Arc::clone(&hall);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let visitors = Arc::clone(&visitors);
            thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().expect("fds are left")).lines();
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                visitors.wait_for(at_once);
                let answer =
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
                stream.write_all(answer.as_bytes()).expect("the visitor waits");
            });
        }
    });
    (address, hall)
}

#[test]
fn with_the_line_the_waits_overlap_and_without_it_they_do_not() {
    for (program, at_once) in [("pages", PAGES), ("pages_before", 1)] {
        let (address, hall) = serve(at_once);
        let url = format!("http://{address}/");
        let outcome = run(program, &[&*url; PAGES]);
        assert_eq!(outcome.code, Some(0), "{program}: {outcome:?}");
        assert_eq!(outcome.stdout, "5 bytes\n".repeat(PAGES), "{program}");
        let most = hall.visitors.lock().expect("nobody panics in here").1;
        assert_eq!(most, at_once, "{program}");
    }
}

#[test]
fn the_two_programs_differ_in_that_line_alone() {
    let code = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = fs::read_to_string(path).expect("the example is there");
        let is_code = |line: &&str| !line.starts_with("//!") && !line.is_empty();
        text.lines().filter(is_code).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut with = code("pages.rs");
    with.retain(|line| line != "use greenroom_patch as _;");
    assert_eq!(with.len() + 1, code("pages.rs").len());
    assert_eq!(with, code("pages_before.rs"));
}

#[test]
fn a_page_that_cannot_be_had_is_an_error() {
    let outcome = run("pages", &["http://127.0.0.1:1/"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("refused"), "{outcome:?}");
}
