//! The head of an HTTP/1.1 answer: what matters of status line and headers.
//!
//! Reads not a byte of the body.

use std::io::{BufRead, Read, Take};

use httparse::{EMPTY_HEADER, Header, Response, Status};

use super::{Failure, body::Framing};

/// More than any server needs; an endless head ends here.
const HEAD_BYTES_MAX: u64 = 64 * 1024;
const HEADERS_MAX: usize = 128;

pub(super) struct Head {
    pub(super) status: u16,
    pub(super) framing: Framing,
    pub(super) is_html: bool,
    pub(super) location: Option<String>,
}

impl Head {
    /// Reads up to the empty line. Interim answers (100 to 199) are passed over.
    pub(super) fn read(reader: &mut impl BufRead) -> Result<Head, Failure> {
        let mut reader = reader.by_ref().take(HEAD_BYTES_MAX);
        loop {
            let head = Head::parse(&up_to_empty_line(&mut reader)?, reader.limit() == 0)?;
            if !(100..200).contains(&head.status) {
                return Ok(head);
            }
        }
    }

    fn parse(bytes: &[u8], is_cut: bool) -> Result<Head, Failure> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut headers);
        match response.parse(bytes) {
            Ok(Status::Complete(_)) => {}
            Ok(Status::Partial) if is_cut => return Err(Failure::Oversized),
            Ok(Status::Partial) => return Err(Failure::Truncated),
            Err(httparse::Error::TooManyHeaders) => return Err(Failure::Oversized),
            Err(_) => return Err(Failure::MalformedHead),
        }
        let headers = Headers(response.headers);
        Ok(Head {
            status: response.code.ok_or(Failure::MalformedHead)?,
            framing: headers.framing()?,
            is_html: headers.is_html(),
            location: headers.location(),
        })
    }
}

/// What there is up to the first empty line, the end or the limit.
fn up_to_empty_line(reader: &mut Take<impl BufRead>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    loop {
        let begin = bytes.len();
        reader.read_until(b'\n', &mut bytes)?;
        if matches!(&bytes[begin..], b"" | b"\n" | b"\r\n") {
            return Ok(bytes);
        }
    }
}

struct Headers<'a>(&'a [Header<'a>]);

impl Headers<'_> {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value.trim_ascii())
    }

    /// How the end of the body is known. Chunks come first, whatever length is told besides.
    fn framing(&self) -> Result<Framing, Failure> {
        if let Some(coding) = self.all("transfer-encoding").last() {
            let is_known = coding.eq_ignore_ascii_case(b"chunked");
            return if is_known { Ok(Framing::Chunked) } else { Err(Failure::MalformedHead) };
        }
        let mut lengths = self.all("content-length");
        let Some(length) = lengths.next() else { return Ok(Framing::UntilClosed) };
        let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
        if !is_number || lengths.any(|other| other != length) {
            return Err(Failure::MalformedHead);
        }
        // A number that does not fit is too large in any case.
        let length = str::from_utf8(length).ok().and_then(|length| length.parse().ok());
        Ok(Framing::Length(length.unwrap_or(u64::MAX)))
    }

    fn is_html(&self) -> bool {
        let kind = self.all("content-type").next().unwrap_or_default();
        let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/html")
    }

    fn location(&self) -> Option<String> {
        self.all("location").next().map(|place| String::from_utf8_lossy(place).into_owned())
    }
}
