//! A web site to crawl: three thousand pages that link to each other and take their time.
//!
//! It runs on a hub of its own, on an OS thread of its own; the crawl knows nothing of it but an
//! address. What a page says and how slow it is depends on its number alone.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use greenroom::net::{TcpListener, TcpStream, listen, serve};
use url::Url;

const PAGES: u64 = 3000;

/// Each page links to so many that no earlier page links to, and to some that are known already.
const LINKS_AHEAD: u64 = 8;
const LINKS_ANYWHERE: u64 = 4;

const DELAY_MS_MIN: u64 = 20;
const DELAY_MS_MAX: u64 = 120;
const WORDS_MAX: u64 = 2000;

const CONNECTIONS_MAX: usize = 100_000;
const REQUEST_BYTES_MAX: u64 = 8192;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The site, open until the process ends.
pub(crate) struct Site {
    first_page: Url,
    slept_ms: Arc<AtomicU64>,
}

impl Site {
    pub(crate) fn open() -> io::Result<Site> {
        // A green socket stays on its OS thread. On its way to another it is one of std.
        let listener = listen("127.0.0.1:0")?.into_std();
        let first_page = format!("http://{}/page/0", listener.local_addr()?);
        let first_page = Url::parse(&first_page).map_err(io::Error::other)?;
        let slept_ms = Arc::new(AtomicU64::new(0));
        let site = Site { first_page, slept_ms: Arc::clone(&slept_ms) };
        thread::Builder::new().name("site".into()).spawn(move || {
            if let Err(error) = run(listener, slept_ms) {
                eprintln!("crawl: the site is closed: {error}");
            }
        })?;
        Ok(site)
    }

    pub(crate) fn url(&self) -> &Url {
        &self.first_page
    }

    /// For how long pages have been held back, added up.
    pub(crate) fn slept(&self) -> Duration {
        Duration::from_millis(self.slept_ms.load(Ordering::Relaxed))
    }
}

fn run(listener: net::TcpListener, slept_ms: Arc<AtomicU64>) -> io::Result<()> {
    let site = serve(TcpListener::from_std(listener)?, CONNECTIONS_MAX, move |stream, _| {
        // A visitor that leaves early is none of our business.
        let _ = answer(stream, &slept_ms);
    });
    site.join()
}

/// One request, one answer.
fn answer(mut stream: TcpStream, slept_ms: &AtomicU64) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    let request = read_request(&stream)?;
    let path = request.split(' ').nth(1).unwrap_or_default();
    let number = path.strip_prefix("/page/").and_then(|number| number.parse().ok());
    let Some(page) = number.filter(|&page| page < PAGES) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let delay_ms = DELAY_MS_MIN + chance(page, 0) % (DELAY_MS_MAX - DELAY_MS_MIN + 1);
    greenroom::sleep(Duration::from_millis(delay_ms));
    slept_ms.fetch_add(delay_ms, Ordering::Relaxed);
    stream.write_all(framed(page, &body(page)).as_bytes())
}

fn read_request(stream: &TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(stream).take(REQUEST_BYTES_MAX);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(request)
}

/// The three ways to tell where a body ends take turns.
fn framed(page: u64, body: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
    let length = body.len();
    match page % 3 {
        0 => format!("{head}Content-Length: {length}\r\n\r\n{body}"),
        1 => format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
        _ => format!("{head}\r\n{body}"),
    }
}

fn body(page: u64) -> String {
    let ahead = (1..=LINKS_AHEAD).map(|n| page * LINKS_AHEAD + n).filter(|&link| link < PAGES);
    let anywhere = (1..=LINKS_ANYWHERE).map(|n| chance(page, n) % PAGES);
    let mut body = format!("<!DOCTYPE html><title>Page {page}</title>\n<h1>Page {page}</h1>\n");
    for link in ahead.chain(anywhere) {
        body.push_str(&format!("<a href=\"/page/{link}\">page {link}</a>\n"));
    }
    body.push_str("<p>");
    body.push_str(&"wait ".repeat((chance(page, LINKS_ANYWHERE + 1) % WORDS_MAX) as usize));
    body
}

/// A number without a pattern, always the same for the same question (SplitMix64).
fn chance(page: u64, question: u64) -> u64 {
    let mut mixed = SEED.wrapping_mul(page * 64 + question + 1);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
