//! How many files this process may have open, for every connection is one.
//!
//! Knows nothing of what they are for.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::options::Options;

/// Files that are open besides connections: standard streams, the hubs' own, and some to spare.
const OTHERS: u64 = 64;

/// Raises the limit to what the crawl needs, if it is lower.
pub(crate) fn allow(options: &Options) -> io::Result<()> {
    let connections = options.concurrency.min(options.pages_max) as u64;
    // Both ends of a connection to the site of our own are ours.
    let ends = if options.url.is_none() { 2 } else { 1 };
    let needed = connections.saturating_mul(ends).saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(maximum) = limit.maximum.filter(|&maximum| maximum < needed) {
        return Err(io::Error::other(format!(
            "{connections} pages at once need {needed} open files, and this process may have \
             {maximum}: lower --concurrency, or raise the limit with `ulimit -n`"
        )));
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum })?)
}
