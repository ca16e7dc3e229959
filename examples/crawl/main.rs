//! A web crawler: a thousand green threads on one OS thread, each of them plain blocking code.
//!
//! ```text
//! cargo run --release --example crawl
//! cargo run --release --example crawl -- --url http://127.0.0.1:8000/ --concurrency 5
//! ```
//!
//! Without `--url` it crawls a site of its own, whose pages take their time to answer. `crawl.rs`
//! is the crawl; `fetch` gets one page and does not know that it is not alone.

#![deny(unsafe_code)]

mod options;

mod crawl;
mod frontier;

mod failure;
mod fetch;
mod links;

mod report;

mod open_files;
mod site;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use url::Url;

use crate::{
    crawl::Crawl,
    fetch::Server,
    options::{HELP, Options, Wish},
    report::Report,
    site::Site,
};

fn main() -> ExitCode {
    let options = match Options::from_command_line() {
        Ok(Wish::Crawl(options)) => options,
        Ok(Wish::Help) => return say(HELP),
        Err(error) => {
            eprintln!("crawl: {error}\n`crawl --help` lists the options");
            return ExitCode::from(2);
        }
    };
    match crawl(&options) {
        Ok(report) => {
            let text = if options.json { report.to_json() } else { report.to_string() };
            let said = say(&text);
            if report.pages > 0 { said } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("crawl: {error}");
            ExitCode::FAILURE
        }
    }
}

fn crawl(options: &Options) -> Result<Report, Box<dyn Error>> {
    open_files::allow(options)?;
    if let Some(url) = &options.url {
        return crawl_from(url, options);
    }
    let site = Site::open()?;
    let report = crawl_from(site.url(), options)?;
    Ok(report.of_own_site(site.slept()))
}

fn crawl_from(url: &Url, options: &Options) -> Result<Report, Box<dyn Error>> {
    let server = Server::find(url, options.timeout)?;
    Ok(Crawl::new(server, options).run(url.clone())?)
}

/// Prints, and does not mind if the reader has had enough.
fn say(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
