//! One page, fetched by `ureq`, which was never written for this.
//!
//! `ureq` reads and writes blocking sockets of the standard library. What makes a thousand of its calls wait at the same time
//! on one OS thread is the `use` line below, and it is all there is. Believes nothing that the server
//! says: all that is read has a limit, and the whole page has a deadline.

use std::{io, time::Duration};

use greenroom::with_timeout;
use greenroom_patch as _;
use ureq::{
    Agent, Body,
    http::{Response, header},
};
use url::Url;

use crate::failure::Failure;

const BODY_BYTES_MAX: u64 = 1024 * 1024;
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What a connection takes in either direction: there are a thousand of them.
const BUFFER_BYTES: usize = 16 * 1024;

/// Where the pages are.
pub(crate) struct Server {
    agent: Agent,
    timeout: Duration,
}

/// What a server can say that helps a crawl.
pub(crate) enum Answer {
    Page { body: Vec<u8>, is_html: bool },
    Redirect { location: String },
}

impl Server {
    /// Looks the server of `url` up, so that a name that does not exist is told once and not of each page.
    pub(crate) fn find(url: &Url, timeout: Duration) -> io::Result<Server> {
        url.socket_addrs(|| None).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot find the server of {url}: {error}"))
        })?;
        let agent = Agent::config_builder()
            .user_agent("greenroom-crawl")
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(HEAD_BYTES_MAX)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(0)
            .proxy(None)
            .build()
            .new_agent();
        Ok(Server { agent, timeout })
    }

    /// Gets one page. Time is up for all that it takes, whatever `ureq` waits for then.
    pub(crate) fn get(&self, url: &Url) -> Result<Answer, Failure> {
        let answer = with_timeout(self.timeout, || self.get_in_any_time(url));
        answer.unwrap_or(Err(Failure::Io(io::ErrorKind::TimedOut)))
    }

    fn get_in_any_time(&self, url: &Url) -> Result<Answer, Failure> {
        let mut response = self.agent.get(url.as_str()).call()?;
        match (response.status().as_u16(), location(&response)) {
            (200, _) => {
                let kind = response.body().mime_type().unwrap_or_default();
                let is_html = kind.eq_ignore_ascii_case("text/html");
                let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec()?;
                Ok(Answer::Page { body, is_html })
            }
            (300..400, Some(location)) => Ok(Answer::Redirect { location }),
            (status, _) => Err(Failure::Status(status)),
        }
    }
}

fn location(response: &Response<Body>) -> Option<String> {
    let location = response.headers().get(header::LOCATION)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}
