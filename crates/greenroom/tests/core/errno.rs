//! The C library's `errno`: what a thread left there, it finds there after a wait.
//!
//! Only std is used: a call of its that fails sets it, and its last error reads it.

use std::{fs::File, io, io::Write, os::unix::net::UnixStream, time::Duration};

use greenroom::{
    hub,
    io::{Interest, trampoline},
    offload, sleep, spawn,
    testing::run,
    yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

/// Leaves `ENOENT` there, or `ENOTDIR`.
fn fail(path: &str) -> i32 {
    File::open(path).unwrap_err();
    errno()
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap()
}

/// Waits while somebody else leaves another value; both find their own.
fn survives(wait: impl FnOnce() + 'static) {
    let busy = spawn(|| {
        loop {
            let theirs = fail("/dev/null/no/folder");
            assert_eq!(theirs, libc::ENOTDIR);
            yield_now();
            assert_eq!(errno(), theirs);
            sleep(Duration::from_millis(1));
            assert_eq!(errno(), theirs);
        }
    });
    yield_now();
    let ours = fail("/no/such/file");
    assert_eq!(ours, libc::ENOENT);
    wait();
    assert_eq!(errno(), ours);
    hub::abort();
    assert!(busy.join().unwrap_err().is_killed());
}

fn waits() -> Vec<fn()> {
    vec![
        yield_now,
        || sleep(SECOND),
        || spawn(|| sleep(SECOND)).join().unwrap(),
        || {
            let (here, mut there) = UnixStream::pair().unwrap();
            drop(spawn(move || {
                sleep(SECOND);
                there.write_all(b"!").unwrap();
            }));
            trampoline(&here, Interest::Read, None).unwrap();
        },
        || {
            hub::call_after_global(SECOND / 2, || {
                fail("/dev/null/no/folder");
            });
            sleep(SECOND);
        },
    ]
}

#[test]
fn it_survives_a_wait_of_the_root() {
    for wait in waits() {
        run(|| survives(wait));
    }
}

#[test]
fn it_survives_a_wait_of_a_green_thread() {
    for wait in waits() {
        run(|| {
            let thread = spawn(move || {
                let busy = spawn(|| {
                    for _ in 0..2000 {
                        fail("/dev/null/no/folder");
                        sleep(Duration::from_millis(1));
                    }
                });
                yield_now();
                let ours = fail("/no/such/file");
                wait();
                assert_eq!(errno(), ours);
                busy.join().unwrap();
            });
            thread.join().unwrap();
        });
    }
}

#[test]
fn it_survives_offloaded_work() {
    run(|| {
        let ours = fail("/no/such/file");
        let theirs = offload(|| fail("/dev/null/no/folder"));
        assert_ne!(ours, theirs);
        assert_eq!(errno(), ours);
    });
}
