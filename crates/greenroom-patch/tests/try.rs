//! First try.
use greenroom_patch as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
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
fn tcp_all_green() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = greenroom::spawn(move || {
        for _ in 0..50 {
            let (mut s, _) = listener.accept().unwrap();
            greenroom::spawn(move || {
                let mut b = [0; 5];
                s.read_exact(&mut b).unwrap();
                std::thread::sleep(Duration::from_millis(20));
                s.write_all(&b).unwrap();
            });
        }
    });
    let clients: Vec<_> = (0..50)
        .map(|_| {
            greenroom::spawn(move || {
                let mut s = TcpStream::connect(addr).unwrap();
                s.write_all(b"hello").unwrap();
                let mut b = [0; 5];
                s.read_exact(&mut b).unwrap();
                b
            })
        })
        .collect();
    for c in clients {
        assert_eq!(&c.join().unwrap(), b"hello");
    }
    server.join().unwrap();
    // refused
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = l.local_addr().unwrap();
    drop(l);
    assert_eq!(
        greenroom::spawn(move || TcpStream::connect(a).unwrap_err().kind()).join().unwrap(),
        std::io::ErrorKind::ConnectionRefused
    );
    // copy file to socket
    let (mut a, b) = UnixStream::pair().unwrap();
    let t = greenroom::spawn(move || {
        let mut f = std::fs::File::open("/usr/bin/redis-server").unwrap();
        let mut b = b;
        std::io::copy(&mut f, &mut b).unwrap()
    });
    let n = greenroom::spawn(move || {
        let mut v = Vec::new();
        a.read_to_end(&mut v).unwrap();
        v
    })
    .join()
    .unwrap();
    assert_eq!(n, std::fs::read("/usr/bin/redis-server").unwrap());
    t.join().unwrap();
}

#[test]
fn closed() {
    let (mut a, _b) = UnixStream::pair().unwrap();
    let fd = a.as_raw_fd();
    let reader = greenroom::spawn(move || {
        let r = a.read(&mut [0]).unwrap_err().raw_os_error();
        std::mem::forget(a);
        r
    });
    greenroom::yield_now();
    let t = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(10));
        unsafe { libc::close(fd) }
    });
    assert_eq!(reader.join().unwrap(), Some(9));
    t.join().unwrap();
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
