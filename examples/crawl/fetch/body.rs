//! The body of an HTTP/1.1 answer, in each of the three ways its end can be told.
//!
//! Takes no more than a page may have, whatever the server promises.

use std::io::{BufRead, Read};

use httparse::{Status, parse_chunk_size};

use super::Failure;

const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// The size of a chunk with its extensions, or a trailer.
const LINE_BYTES_MAX: u64 = 4096;
const TRAILERS_MAX: usize = 128;

#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClosed,
}

pub(super) fn read(reader: &mut impl BufRead, framing: Framing) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    match framing {
        Framing::Length(length) => read_exactly(reader, length, &mut body)?,
        Framing::Chunked => read_chunks(reader, &mut body)?,
        Framing::UntilClosed => {
            reader.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)?;
            if body.len() as u64 > BODY_BYTES_MAX {
                return Err(Failure::Oversized);
            }
        }
    }
    Ok(body)
}

/// Adds `length` bytes to the body.
fn read_exactly(reader: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> Result<(), Failure> {
    if length > BODY_BYTES_MAX - body.len() as u64 {
        return Err(Failure::Oversized);
    }
    let count = reader.take(length).read_to_end(body)?;
    if count as u64 == length { Ok(()) } else { Err(Failure::Truncated) }
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result<(), Failure> {
    loop {
        let Ok(Status::Complete((_, length))) = parse_chunk_size(&read_line(reader)?) else {
            return Err(Failure::BadChunk);
        };
        if length == 0 {
            return skip_trailers(reader);
        }
        read_exactly(reader, length, body)?;
        let mut end = [0; 2];
        reader.read_exact(&mut end)?;
        if end != *b"\r\n" {
            return Err(Failure::BadChunk);
        }
    }
}

fn skip_trailers(reader: &mut impl BufRead) -> Result<(), Failure> {
    for _ in 0..TRAILERS_MAX {
        if matches!(&read_line(reader)?[..], b"\n" | b"\r\n") {
            return Ok(());
        }
    }
    Err(Failure::Oversized)
}

fn read_line(reader: &mut impl BufRead) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    match line.last() {
        Some(b'\n') => Ok(line),
        _ if line.len() as u64 == LINE_BYTES_MAX => Err(Failure::BadChunk),
        _ => Err(Failure::Truncated),
    }
}
