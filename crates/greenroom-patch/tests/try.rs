//! First try.
use greenroom_patch as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

#[test]
fn sleeps_overlap() {
    let begin = Instant::now();
    let threads: Vec<_> = (0..100)
        .map(|_| greenroom::spawn(|| std::thread::sleep(Duration::from_millis(50))))
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
}

#[test]
fn reads_and_writes() {
    let (mut a, mut b) = UnixStream::pair().unwrap();
    let reader = greenroom::spawn(move || {
        let mut v = Vec::new();
        a.read_to_end(&mut v).unwrap();
        v.len()
    });
    let writer = greenroom::spawn(move || {
        b.write_all(&vec![7; 3 << 20]).unwrap();
    });
    writer.join().unwrap();
    assert_eq!(reader.join().unwrap(), 3 << 20);
    let (mut a, mut b) = std::io::pipe().unwrap();
    let reader = greenroom::spawn(move || {
        let mut v = Vec::new();
        a.read_to_end(&mut v).unwrap();
        v.len()
    });
    let writer = greenroom::spawn(move || {
        b.write_all(&vec![7; 3 << 20]).unwrap();
    });
    writer.join().unwrap();
    assert_eq!(reader.join().unwrap(), 3 << 20);
    let (mut a, _b) = UnixStream::pair().unwrap();
    let reader = greenroom::spawn(move || {
        a.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        a.read(&mut [0]).unwrap_err().kind()
    });
    assert_eq!(reader.join().unwrap(), std::io::ErrorKind::WouldBlock);
    let (mut a, _b) = UnixStream::pair().unwrap();
    let reader = greenroom::spawn(move || {
        let e = a.read(&mut [0]).unwrap_err().raw_os_error();
        let f = a.read(&mut [0]).unwrap_err().raw_os_error();
        assert_eq!((e, f), (Some(125), Some(125)));
        greenroom::yield_now();
    });
    greenroom::sleep(Duration::from_millis(10));
    reader.kill();
    assert!(reader.join().unwrap_err().is_killed());
}
