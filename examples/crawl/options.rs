//! What was asked for on the command line.
//!
//! Knows what makes sense, not what is done with it.

use std::{fmt, time::Duration};

use lexopt::{Arg, Parser, ValueExt};
use url::Url;

pub(crate) const HELP: &str = "\
Crawls a web site with green threads, all on one OS thread.

usage: crawl [OPTIONS]

  --url URL          where to begin; only pages of the same host and port are fetched
                     (default: a site of the program's own, with 3000 slow pages)
  --concurrency N    pages to fetch at once, at most (default: 1000)
  --pages N          pages to fetch in all, at most (default: 3000)
  --timeout SECONDS  how long one page may take (default: 10)
  --json             print the result as JSON
  --help             print this

Exit code: 0 if pages were fetched, 1 if none could be, 2 if the command line is wrong.";

/// A page may take this long at most: a day.
const TIMEOUT_SECONDS_MAX: f64 = 86_400.0;

pub(crate) enum Wish {
    Crawl(Options),
    Help,
}

pub(crate) struct Options {
    /// Where to begin, if not at the site of our own.
    pub(crate) url: Option<Url>,
    pub(crate) concurrency: usize,
    pub(crate) pages_max: usize,
    pub(crate) timeout: Duration,
    pub(crate) json: bool,
}

impl Options {
    pub(crate) fn from_command_line() -> Result<Wish, lexopt::Error> {
        let mut options = Options {
            url: None,
            concurrency: 1000,
            pages_max: 3000,
            timeout: Duration::from_secs(10),
            json: false,
        };
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("url") => options.url = Some(parser.value()?.parse_with(page)?),
                Arg::Long("concurrency") => {
                    options.concurrency = parser.value()?.parse_with(count)?;
                }
                Arg::Long("pages") => options.pages_max = parser.value()?.parse_with(count)?,
                Arg::Long("timeout") => options.timeout = parser.value()?.parse_with(seconds)?,
                Arg::Long("json") => options.json = true,
                Arg::Long("help") | Arg::Short('h') => return Ok(Wish::Help),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Wish::Crawl(options))
    }
}

fn page(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; it must be like http://host/"))?;
    match url.scheme() {
        "http" => Ok(url),
        other => Err(format!("this program speaks http only, and not {other}")),
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(must_be("a number from 1 up")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=TIMEOUT_SECONDS_MAX).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(must_be(format_args!("seconds, from 0.001 to {TIMEOUT_SECONDS_MAX}"))),
    }
}

fn must_be(what: impl fmt::Display) -> String {
    format!("it must be {what}")
}
