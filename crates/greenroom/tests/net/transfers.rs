//! Much data through little buffers, and data in parts: byte for byte.

use std::{
    io::{ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net::Shutdown,
    os::fd::AsFd,
    time::Duration,
};

use greenroom::{
    io::GreenFd,
    net::{TcpStream, UnixStream},
    spawn,
};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

use crate::{
    pattern::{self, Checksum, Random},
    stage::{joined, on_each_backend, tcp_pair},
};

const LENGTH: usize = 4 << 20;

/// Both directions at once, each by a reader and a writer of its own.
fn exchange<S>(ends: [(S, S); 2])
where
    S: Read + Write + 'static,
{
    let mut threads = Vec::new();
    for (end, (mut reader, mut writer)) in ends.into_iter().enumerate() {
        let (own, other) = (end as u64, 1 - end as u64);
        threads.push(spawn(move || {
            let mut random = Random::new(own);
            let bytes = pattern::bytes(own, LENGTH);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let count = random.below(60_000).clamp(1, rest.len());
                writer.write_all(&rest[..count]).unwrap();
                rest = &rest[count..];
            }
        }));
        threads.push(spawn(move || {
            let mut random = Random::new(other + 2);
            let mut sum = Checksum::new();
            let mut total = 0;
            let mut bytes = vec![0; 60_000];
            while total < LENGTH {
                let count = reader.read(&mut bytes[..1 + random.below(59_999)]).unwrap();
                assert!(count > 0, "the stream ended after {total} bytes");
                sum.add(&bytes[..count]);
                total += count;
            }
            assert_eq!(total, LENGTH);
            assert_eq!(sum, Checksum::of(&pattern::bytes(other, LENGTH)));
        }));
    }
    threads.into_iter().for_each(joined);
}

fn narrow(socket: impl AsFd) {
    set_socket_send_buffer_size(&socket, 4096).unwrap();
    // Over loopback the kernel sends segments of 64 KiB. In a window that holds none of them, TCP
    // sends by the tick of its timers: some kilobytes a second.
    set_socket_recv_buffer_size(&socket, 128 << 10).unwrap();
}

#[test]
fn megabytes_pass_both_ways_through_small_tcp_buffers() {
    on_each_backend(|| {
        let both = |stream: TcpStream| {
            narrow(&stream);
            (stream.try_clone().unwrap(), stream)
        };
        let (here, there) = tcp_pair();
        exchange([both(here), both(there)]);
    });
}

#[test]
fn megabytes_pass_both_ways_through_small_unix_buffers() {
    on_each_backend(|| {
        let both = |stream: UnixStream| {
            narrow(&stream);
            (stream.try_clone().unwrap(), stream)
        };
        let (here, there) = UnixStream::pair().unwrap();
        exchange([both(here), both(there)]);
    });
}

/// Writes in parts of random sizes, among them empty ones and more than one call takes; reads so
/// too.
fn in_parts(mut writer: impl Write + 'static, mut reader: impl Read + 'static, seed: u64) {
    const LENGTH: usize = 300_000;
    let sender = spawn(move || {
        let mut random = Random::new(seed);
        let bytes = pattern::bytes(seed, LENGTH);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let mut parts = Vec::new();
            let mut after = rest;
            for _ in 0..random.below(2500) {
                let (part, next) = after.split_at(random.below(40).min(after.len()));
                parts.push(IoSlice::new(part));
                after = next;
            }
            rest = &rest[writer.write_vectored(&parts).unwrap()..];
        }
    });
    let mut random = Random::new(seed + 1);
    let mut received = Vec::new();
    while received.len() < LENGTH {
        let sizes: Vec<_> = (0..1 + random.below(2500)).map(|_| random.below(40)).collect();
        let mut space = vec![0xee; sizes.iter().sum()];
        let mut parts = Vec::new();
        let mut rest = &mut space[..];
        for size in sizes {
            let (part, after) = rest.split_at_mut(size);
            parts.push(IoSliceMut::new(part));
            rest = after;
        }
        let count = reader.read_vectored(&mut parts).unwrap();
        received.extend_from_slice(&space[..count]);
        assert!(space[count..].iter().all(|byte| *byte == 0xee), "written behind the end");
    }
    assert!(received == pattern::bytes(seed, LENGTH), "not what was sent");
    joined(sender);
}

#[test]
fn data_in_parts_is_byte_exact() {
    on_each_backend(|| {
        for seed in 0..4 {
            let (here, there) = tcp_pair();
            in_parts(here, there, seed);
            let (here, there) = UnixStream::pair().unwrap();
            narrow(&here);
            in_parts(here, there, seed);
            let (reader, writer) = std::io::pipe().unwrap();
            in_parts(GreenFd::new(writer).unwrap(), GreenFd::new(reader).unwrap(), seed);
        }
    });
}

/// Fills `writer` until a write of it times out; with `reader` empty, both would make anyone wait.
fn moving_nothing_waits_for_nothing<R, W>(mut reader: R, mut writer: W)
where
    R: Read,
    W: Write,
{
    while writer.write(&[7; 4096]).is_ok() {}
    assert_eq!(writer.write(&[]).unwrap(), 0);
    assert_eq!(writer.write_vectored(&[]).unwrap(), 0);
    assert_eq!(writer.write_vectored(&[IoSlice::new(b"")]).unwrap(), 0);
    assert_eq!(writer.write(b"!").unwrap_err().kind(), ErrorKind::TimedOut);
    let mut byte = [0];
    assert_eq!(reader.read_vectored(&mut []).unwrap(), 0);
    // So many parts are what one call takes; what is behind them does not count.
    let mut parts: Vec<_> = (0..1024).map(|_| IoSliceMut::new(&mut [])).collect();
    parts.push(IoSliceMut::new(&mut byte));
    assert_eq!(reader.read_vectored(&mut parts).unwrap(), 0);
}

#[test]
fn moving_nothing_waits_for_nothing_even_where_there_is_no_room() {
    on_each_backend(|| {
        let short = Some(Duration::from_millis(5));
        let (here, silent) = tcp_pair();
        here.set_read_timeout(short).unwrap();
        here.set_write_timeout(short).unwrap();
        assert_eq!((&here).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        moving_nothing_waits_for_nothing(&here, &here);
        drop(silent);
        let (here, silent) = UnixStream::pair().unwrap();
        here.set_read_timeout(short).unwrap();
        here.set_write_timeout(short).unwrap();
        assert_eq!((&here).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        moving_nothing_waits_for_nothing(&here, &here);
        drop(silent);

        let (_full, writer) = std::io::pipe().unwrap();
        let (reader, _silent) = std::io::pipe().unwrap();
        let (mut reader, writer) = (GreenFd::new(reader).unwrap(), GreenFd::new(writer).unwrap());
        reader.set_read_timeout(short);
        writer.set_write_timeout(short);
        assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(reader.read(&mut []).unwrap(), 0);
        moving_nothing_waits_for_nothing(reader, writer);

        // But a message that is empty needs room as any other.
        let (here, _full) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let mut sender = GreenFd::new(here).unwrap();
        sender.set_write_timeout(short);
        while sender.write(b"!").is_ok() {}
        assert_eq!(sender.write(&[]).unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn writing_nothing_to_who_is_gone_is_an_error_as_it_is_in_std() {
    on_each_backend(|| {
        let (mut here, _there) = tcp_pair();
        here.shutdown(Shutdown::Write).unwrap();
        assert_eq!(here.write(&[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(here.write_vectored(&[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut std = here.into_std();
        assert_eq!(std.write(&[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn parts_without_room_or_content_wait_for_nothing() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        assert_eq!(there.read_vectored(&mut []).unwrap(), 0);
        assert_eq!(there.read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
        assert_eq!(here.write_vectored(&[]).unwrap(), 0);
        assert_eq!(here.write_vectored(&[IoSlice::new(b"")]).unwrap(), 0);
        here.shutdown(Shutdown::Write).unwrap();
        assert_eq!(there.read_vectored(&mut [IoSliceMut::new(&mut [0; 4])]).unwrap(), 0);
    });
}
