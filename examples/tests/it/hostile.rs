//! The crawler against servers that are broken, slow or mean.
//!
//! The servers are OS threads with std's sockets, so that nothing of what is tested is used.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{crawl::report, program::run};

/// Answers each request for a path on an OS thread of its own; then closes.
fn serve<F>(answer: F) -> SocketAddr
where
    F: Fn(&str, &mut TcpStream) -> io::Result<()> + Clone + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), answer) = (stream, answer.clone()) else { continue };
            thread::spawn(move || {
                // What becomes of the connection is the crawler's trouble.
                let _ = path(&stream).and_then(|path| answer(&path, &mut stream));
            });
        }
    });
    address
}

/// Reads a request; returns its path.
fn path(stream: &TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(request.split(' ').nth(1).unwrap_or_default().to_owned())
}

fn html(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn page_with(links: impl Iterator<Item = String>) -> String {
    html(&links.map(|link| format!("<a href=\"{link}\">")).collect::<String>())
}

/// How a path is answered, and what the crawl must make of it: a page, or a kind of error.
type Case = (&'static str, &'static str, fn(&mut TcpStream) -> io::Result<()>);

const PAGE: &str = "page";
const REDIRECT: &str = "redirect";

/// Answers that are complete, though some are odd.
const SOUND: &[Case] = &[
    ("/empty", PAGE, |s| s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
    ("/old", PAGE, |s| s.write_all(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")),
    ("/bare-newlines", PAGE, |s| s.write_all(b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok")),
    ("/twice-the-same", PAGE, |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok")
    }),
    ("/interim", PAGE, |s| {
        s.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")?;
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }),
    ("/chunked", PAGE, |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n")?;
        s.write_all(b"3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n")
    }),
    ("/byte-by-byte", PAGE, |s| html("slow").bytes().try_for_each(|byte| s.write_all(&[byte]))),
    ("/no-html", PAGE, |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhref=\"/missing\"")
    }),
    ("/elsewhere", PAGE, |s| {
        s.write_all(
            html(
                "<a href=\"http://example.invalid/\"><a href=\"https://127.0.0.1/\"> \
                 <a href=\"mailto:a@b\"><a href=\"//[\"><a href=\"http://127.0.0.1:1/\"> \
                 <a href=\"/old#part\"><a href=\"old\"><a href=\"",
            )
            .as_bytes(),
        )
    }),
    ("/no-text", PAGE, |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; charset=x\r\n\r\n\xff\xfe\0")?;
        s.write_all(b"\xc3<a href=\"deep/../found?a=1&amp;b=2\">")
    }),
    ("/found?a=1&b=2", PAGE, |s| s.write_all(html("found").as_bytes())),
    ("/moved", REDIRECT, |s| s.write_all(b"HTTP/1.1 301 Moved\r\nLocation: /old\r\n\r\n")),
    ("/round", REDIRECT, |s| s.write_all(b"HTTP/1.1 302 Found\r\nLocation: /round\r\n\r\n")),
];

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Answers that end too early, or never, or in the wrong way.
const CUT: &[Case] = &[
    ("/nothing", "truncated answer", |_| Ok(())),
    ("/half-head", "truncated answer", |s| s.write_all(b"HTTP/1.1 200 OK\r\nContent-")),
    ("/half-body", "truncated answer", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    }),
    ("/half-chunk", "truncated answer", |s| s.write_all(&[CHUNKED, b"64\r\nhalf"].concat())),
    ("/no-last-chunk", "truncated answer", |s| s.write_all(&[CHUNKED, b"1\r\na\r\n"].concat())),
    ("/silent", "timed out", |s| s.read(&mut [0]).map(|_| ())),
    ("/drips", "timed out", |s| drip(s, b"HTTP/1.1 200 OK\r\nX-Header: a very long one indeed")),
    ("/drips-body", "timed out", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
        drip(s, b"x")
    }),
];

/// A byte now and then, for as long as anyone reads.
fn drip(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for &byte in bytes.iter().cycle() {
        stream.write_all(&[byte])?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Answers that are too much.
const ENDLESS: &[Case] = &[
    ("/endless-headers", "malformed answer", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\n")?;
        for_ever(s, b"X-Header: and another one, and that is not the last, for this has no end\r\n")
    }),
    ("/many-headers", "malformed answer", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\n")?;
        s.write_all(&b"A: b\r\n".repeat(1000))?;
        s.write_all(b"\r\n")
    }),
    ("/endless-header", "truncated answer", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nX-Header: ")?;
        for_ever(s, b"long ")
    }),
    ("/endless-interim", "malformed answer", |s| {
        for_ever(s, b"HTTP/1.1 100 Continue\r\nX-Header: not yet, there is more to come\r\n\r\n")
    }),
    ("/endless-body", "oversized answer", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        for_ever(s, b"body ")
    }),
    ("/endless-chunks", "oversized answer", |s| {
        s.write_all(CHUNKED)?;
        for_ever(s, b"4\r\nbody\r\n")
    }),
    ("/endless-trailers", "timed out", |s| {
        s.write_all(CHUNKED)?;
        s.write_all(b"0\r\n")?;
        for_ever(s, b"Trailer: x\r\n")
    }),
    ("/huge", "truncated answer", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n")
    }),
    ("/uncountable", "malformed answer", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\n")
    }),
    ("/huge-chunk", "truncated answer", |s| {
        s.write_all(&[CHUNKED, b"ffffffffffffffff\r\n"].concat())
    }),
];

fn for_ever(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let many = bytes.repeat(100);
    loop {
        stream.write_all(&many)?;
    }
}

/// Answers that are none, and those that say no.
const WRONG: &[Case] = &[
    ("/garbage", "malformed answer", |s| s.write_all(b"\x00\xff\x13\x37 garbage \r\n\r\n")),
    ("/endless-garbage", "malformed answer", |s| for_ever(s, b"\x80garbage")),
    ("/other-protocol", "malformed answer", |s| s.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")),
    ("/big-status", "malformed answer", |s| s.write_all(b"HTTP/1.1 99999 Much\r\n\r\n")),
    ("/minus", "malformed answer", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
    }),
    ("/plus", "malformed answer", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na")
    }),
    ("/two-lengths", "malformed answer", |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
    }),
    ("/unknown-coding", PAGE, |s| {
        s.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n")
    }),
    ("/no-chunk", "malformed answer", |s| s.write_all(&[CHUNKED, b"zz\r\n"].concat())),
    ("/uncountable-chunk", "malformed answer", |s| {
        s.write_all(&[CHUNKED, b"fffffffffffffffff\r\n"].concat())
    }),
    ("/endless-chunk-size", "malformed answer", |s| {
        s.write_all(CHUNKED)?;
        for_ever(s, b"0000")
    }),
    ("/longer-chunk", "malformed answer", |s| {
        s.write_all(&[CHUNKED, b"2\r\nlonger\r\n0\r\n\r\n"].concat())
    }),
    ("/chunk-without-end", "malformed answer", |s| {
        s.write_all(&[CHUNKED, b"2\r\nok!!0\r\n\r\n"].concat())
    }),
    ("/missing", "status 404", |s| s.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n")),
    ("/broken", "status 500", |s| s.write_all(b"HTTP/1.1 500\r\nContent-Length: 1\r\n\r\n")),
    ("/no-content", "status 204", |s| s.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")),
    ("/nowhere", "status 302", |s| s.write_all(b"HTTP/1.1 302 Found\r\n\r\n")),
];

#[test]
fn every_bad_answer_is_counted_by_its_kind() {
    let cases = || [SOUND, CUT, ENDLESS, WRONG].into_iter().flatten();
    let address = serve(move |path, stream| match path {
        "/" => {
            // Some are only found on other pages.
            let links = cases().map(|(path, ..)| path.replace("/found?a=1&b=2", "/old"));
            stream.write_all(page_with(links).as_bytes())
        }
        _ => {
            let case = cases().find(|(known, ..)| *known == path);
            let (.., answer) = case.unwrap_or_else(|| panic!("{path} should not be asked for"));
            answer(stream)
        }
    });
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    cases().for_each(|(_, kind, _)| *expected.entry(*kind).or_default() += 1);
    let (pages, redirects) = (expected.remove(PAGE), expected.remove(REDIRECT));

    let begin = Instant::now();
    let url = format!("http://{address}/");
    let outcome = run("crawl", &["--url", &url, "--json", "--timeout", "3"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let report = report(&outcome);
    assert_eq!(report["errors"], json!(expected));
    assert_eq!(report["pages"], pages.unwrap_or_default() + 1, "the front page is one more");
    assert_eq!(report["redirects"], redirects.unwrap_or_default());
    assert_eq!(report["os_threads"], 1);
    assert!(begin.elapsed() < Duration::from_secs(20), "the deadline of a page is 3 s");
}

#[test]
fn a_chain_of_pages_is_followed_to_its_end() {
    const CHAIN: u32 = 100;
    let address = serve(|path, stream| {
        let links = match path[1..].parse::<u32>() {
            Ok(CHAIN) => vec![],
            Ok(number) => vec![format!("/{}", number + 1)],
            Err(_) if path == "/" => vec!["/slow".to_owned(), "/1".to_owned()],
            Err(_) => vec![],
        };
        thread::sleep(Duration::from_millis(if path == "/slow" { 100 } else { 5 }));
        stream.write_all(page_with(links.into_iter()).as_bytes())
    });
    let url = format!("http://{address}/");
    let outcome = run("crawl", &["--url", &url, "--concurrency", "3", "--json"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(report(&outcome)["pages"], CHAIN + 2, "{outcome:?}");
}

#[test]
fn a_connection_that_is_reset_is_counted_as_ureq_tells_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let links = ["/at-once", "/half-way"].map(str::to_owned);
        let front_page = page_with(links.into_iter());
        let half_page = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
        for (answer, reads_request) in [(&*front_page, true), ("", false), (half_page, false)] {
            let (mut stream, _) = listener.accept().expect("the crawler connects");
            stream.peek(&mut [0]).expect("a request comes");
            if reads_request {
                path(&stream).expect("the request is complete");
            }
            stream.write_all(answer.as_bytes()).expect("the crawler waits for it");
            // The kernel resets what is closed with bytes unread.
        }
    });
    let url = format!("http://{address}/");
    let outcome = run("crawl", &["--url", &url, "--json", "--concurrency", "1"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(report(&outcome)["errors"], json!({"connection reset": 1, "truncated answer": 1}));
}

#[test]
fn a_server_that_is_not_there_leaves_nothing_to_crawl() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    drop(listener);
    let outcome = run("crawl", &["--url", &url, "--json"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(report(&outcome)["errors"], json!({"connection refused": 1}));

    let outcome = run("crawl", &["--url", &url]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("connection refused"), "{outcome:?}");
}

#[test]
fn seeded_damage_to_answers_is_survived() {
    const PAGES: u64 = 300;
    let times = std::env::var("GREENROOM_SOAK_SEEDS").ok().and_then(|times| times.parse().ok());
    for round in 0..times.unwrap_or(1) {
        let address = serve(move |path, stream| {
            if path == "/" {
                let links = (0..PAGES).map(|page| format!("/{page}"));
                return stream.write_all(page_with(links).as_bytes());
            }
            let page: u64 = path[1..].parse().unwrap_or(0);
            stream.write_all(&damaged(round * PAGES + page + 1))
        });
        let url = format!("http://{address}/");
        let outcome = run("crawl", &["--url", &url, "--json", "--timeout", "20"]);
        assert_eq!(outcome.code, Some(0), "round {round}: {outcome:?}");
        let report = report(&outcome);
        let errors = report["errors"].as_object().expect("it is a table").values();
        let errors: u64 = errors.filter_map(serde_json::Value::as_u64).sum();
        let count = |name: &str| report[name].as_u64().unwrap_or_default();
        let total = count("pages") + count("redirects") + errors;
        assert!(total > PAGES, "round {round}: no answer is lost: {report}");
    }
}

/// A sound answer with a few bytes changed, left out or repeated.
fn damaged(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut chance = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut bytes = match chance(3) {
        0 => html("<a href=\"/1\">one</a> and <a href=\"2\">two</a>").into_bytes(),
        1 => [CHUNKED, b"5\r\nhello\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n"].concat(),
        _ => b"HTTP/1.1 301 Moved\r\nLocation: /3\r\nContent-Length: 3\r\n\r\nbye".to_vec(),
    };
    for _ in 0..=chance(4) {
        let at = chance(bytes.len());
        let end = at + chance(bytes.len() - at);
        match chance(4) {
            0 => bytes[at] = chance(256) as u8,
            1 => drop(bytes.drain(at..end)),
            2 => bytes.extend_from_within(at..end),
            _ => bytes.truncate(at),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}
