//! Event loops whose green thread is to be stopped: they take an error of `epoll_wait` for a fault of
//! their own, and hear the reason from what they read and write.

use std::{
    cell::RefCell,
    io::{ErrorKind, Read},
    os::fd::AsRawFd,
    rc::Rc,
    time::Duration,
};

use greenroom::{Elapsed, sleep, spawn, testing::run, with_timeout, yield_now};
use libc::EPOLLIN;
use tokio::{io::AsyncReadExt, net::UnixStream, runtime::Builder};

use crate::raw::{close, epoll, new_set, watch};

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn who_is_out_of_time_finds_all_fds_ready_and_hears_why_when_it_reads() {
    run(|| {
        let thread = spawn(|| {
            let (_sender, mut receiver) = mio::unix::pipe::new().unwrap();
            let set = new_set();
            watch(set, receiver.as_raw_fd(), EPOLLIN, 77);
            let mut read = || receiver.read(&mut [0]).unwrap_err().kind();
            assert_eq!(read(), ErrorKind::WouldBlock, "nobody is to be stopped");
            let heard = with_timeout(SHORT, || (epoll(set, 8, -1, None), read()));
            assert_eq!(heard, Ok(((Ok(1), vec![(EPOLLIN as u32, 77)]), ErrorKind::TimedOut)));
            assert_eq!(read(), ErrorKind::WouldBlock, "the limit is gone");
            assert_eq!(epoll(set, 8, 10, None), (Ok(0), vec![]));
            close(set).unwrap();
        });
        thread.join().unwrap();
    });
}

#[test]
fn who_is_out_of_time_hears_nothing_from_the_socket_by_which_signals_come() {
    run(|| {
        let thread = spawn(|| {
            let (_sender, receiver) = std::os::unix::net::UnixStream::pair().unwrap();
            receiver.set_nonblocking(true).unwrap();
            let set = new_set();
            watch(set, receiver.as_raw_fd(), EPOLLIN, 77);
            let read = || (&receiver).read(&mut [0]).unwrap_err().kind();
            let heard = with_timeout(SHORT, || {
                let ready = epoll(set, 8, -1, None).0;
                let alone = read();
                // Each event loop has an fd of its own for it.
                let _other = receiver.try_clone().unwrap();
                (ready, alone, read())
            });
            assert_eq!(heard, Ok((Ok(1), ErrorKind::TimedOut, ErrorKind::WouldBlock)));
            close(set).unwrap();
        });
        thread.join().unwrap();
    });
}

#[test]
fn who_never_reads_hears_it_from_the_loop_itself_in_the_end() {
    run(|| {
        let answers = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&answers);
        let thread = spawn(move || {
            let (_sender, receiver) = mio::unix::pipe::new().unwrap();
            let (set, nobody) = (new_set(), new_set());
            watch(set, receiver.as_raw_fd(), EPOLLIN, 0);
            seen.borrow_mut().push(epoll(nobody, 8, -1, None).0);
            seen.borrow_mut().extend((0..20).map(|_| epoll(set, 8, -1, None).0));
            close(nobody).unwrap();
            close(set).unwrap();
            yield_now();
        });
        sleep(SHORT);
        thread.kill();
        assert!(thread.join().unwrap_err().is_killed());
        let answers = answers.take();
        let stopped = Err(libc::ECANCELED);
        assert_eq!(answers[0], stopped, "there was nothing to report");
        assert_eq!(answers[1], Ok(1));
        assert_eq!(answers[20], stopped);
    });
}

#[test]
fn a_runtime_ends_with_an_error_of_the_socket_it_waits_for() {
    run(|| {
        let thread = spawn(|| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let mut kind = None;
            let ended = with_timeout(SHORT, || {
                runtime.block_on(async {
                    let (mut here, _there) = UnixStream::pair().unwrap();
                    kind = here.read_u8().await.err().map(|error| error.kind());
                });
                yield_now();
            });
            assert_eq!((ended, kind), (Err(Elapsed), Some(ErrorKind::TimedOut)));
            // And it is as good as before.
            runtime.block_on(async { tokio::time::sleep(SHORT).await });
        });
        thread.join().unwrap();
    });
}
