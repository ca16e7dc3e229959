//! Event loops that were never written for this, unmodified, on green threads: mio's and tokio's.

use std::{
    cell::Cell,
    io::{Read, Write},
    net::TcpStream as StdStream,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use crate::both::green;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn ten_event_loops_wait_side_by_side_on_one_os_thread() {
    green(|| {
        let begin = Instant::now();
        let threads: Vec<_> = (0..10)
            .map(|n| {
                greenroom::spawn(move || {
                    let mut events = mio::Events::with_capacity(8);
                    let mut poll = mio::Poll::new().unwrap();
                    let (mut sender, mut receiver) = mio::unix::pipe::new().unwrap();
                    let token = mio::Token(n);
                    poll.registry()
                        .register(&mut receiver, token, mio::Interest::READABLE)
                        .unwrap();
                    poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
                    assert!(events.is_empty());
                    let writer = greenroom::spawn(move || sender.write_all(b"x").unwrap());
                    poll.poll(&mut events, None).unwrap();
                    assert!(
                        events.iter().all(|event| event.token() == token && event.is_readable())
                    );
                    assert!(!events.is_empty());
                    writer.join().unwrap();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(100), "{took:?}");
        assert!(took < Duration::from_millis(500), "{took:?} where one takes 100 ms");
    });
}

#[test]
fn ten_runtimes_sleep_side_by_side_on_one_os_thread() {
    green(|| {
        let begin = Instant::now();
        let threads: Vec<_> = (0..10)
            .map(|_| {
                greenroom::spawn(|| {
                    runtime().block_on(async {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    });
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(100), "{took:?}");
        assert!(took < Duration::from_millis(500), "{took:?} where one takes 100 ms");
    });
}

#[test]
fn a_runtime_serves_blocking_clients_of_its_own_os_thread() {
    const CLIENTS: usize = 20;
    green(|| {
        let address = Rc::new(Cell::new(None));
        let told = Rc::clone(&address);
        let server = greenroom::spawn(move || {
            runtime().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.set(Some(listener.local_addr().unwrap()));
                let mut served = Vec::new();
                for _ in 0..CLIENTS {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    served.push(tokio::spawn(async move {
                        let mut bytes = vec![0; 1 << 16];
                        stream.read_exact(&mut bytes).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        stream.write_all(&bytes).await.unwrap();
                    }));
                }
                for task in served {
                    task.await.unwrap();
                }
            });
        });
        while address.get().is_none() {
            greenroom::yield_now();
        }
        let address = address.get().unwrap();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                greenroom::spawn(move || {
                    let mut stream = StdStream::connect(address).unwrap();
                    let sent = vec![n as u8; 1 << 16];
                    stream.write_all(&sent).unwrap();
                    let mut back = vec![0; 1 << 16];
                    stream.read_exact(&mut back).unwrap();
                    assert!(back == sent, "each byte comes back");
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        server.join().unwrap();
    });
}

#[test]
fn a_runtime_is_woken_by_another_os_thread() {
    let heard = green(|| {
        let (send, receive) = tokio::sync::oneshot::channel();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            send.send(7).unwrap();
        });
        let heard = runtime().block_on(receive).unwrap();
        other.join().unwrap();
        heard
    });
    assert_eq!(heard, 7);
}
