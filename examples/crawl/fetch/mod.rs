//! One page over HTTP/1.1, in plain blocking style.
//!
//! Reads from top to bottom, as if it were alone on its thread. Believes nothing that the server
//! says: all that is read has a limit, and the whole page has a deadline.

mod body;
mod connection;
mod failure;
mod head;

use std::{
    io::{self, BufReader, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use url::{Position, Url};

use connection::Connection;
pub(crate) use failure::Failure;
use head::Head;

/// Where the pages are.
pub(crate) struct Server {
    addresses: Vec<SocketAddr>,
    timeout: Duration,
}

/// What a server can say that helps a crawl.
pub(crate) enum Answer {
    Page { body: Vec<u8>, is_html: bool },
    Redirect { location: String },
}

impl Server {
    /// Looks up the server of `url`, once for all its pages.
    pub(crate) fn find(url: &Url, timeout: Duration) -> io::Result<Server> {
        // Nobody else is there to run yet, so the standard library may block the OS thread.
        let addresses = url.socket_addrs(|| None).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot find the server of {url}: {error}"))
        })?;
        Ok(Server { addresses, timeout })
    }

    /// Gets one page, on a connection of its own.
    pub(crate) fn get(&self, url: &Url) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut connection = Connection::open(&self.addresses, deadline)?;
        connection.write_all(request(url).as_bytes())?;
        let mut reader = BufReader::new(connection);
        let head = Head::read(&mut reader)?;
        match (head.status, head.location) {
            (200, _) => {
                let body = body::read(&mut reader, head.framing)?;
                Ok(Answer::Page { body, is_html: head.is_html })
            }
            (300..400, Some(location)) => Ok(Answer::Redirect { location }),
            (status, _) => Err(Failure::Status(status)),
        }
    }
}

fn request(url: &Url) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: greenroom-crawl\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
        path = &url[Position::BeforePath..Position::AfterQuery],
        host = &url[Position::BeforeHost..Position::AfterPort],
    )
}
