//! OS threads: each has a hub of its own, made at its first use, and nothing is shared.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Barrier},
    thread::spawn as os_thread,
    time::Duration,
};

use greenroom::{
    hub::{self, Backend},
    io::{GreenFd, Interest, trampoline},
    offload, sleep, sleep_until, spawn, spawn_after, thread, yield_now,
};

const MOMENT: Duration = Duration::from_micros(1);

/// Every way to wait, where nothing was started before.
fn blocking_calls() -> Vec<fn()> {
    vec![
        || sleep(MOMENT),
        || sleep_until(greenroom::Instant::now() + MOMENT),
        yield_now,
        || spawn(|| sleep(MOMENT)).join().unwrap(),
        || spawn_after(MOMENT, || ()).join().unwrap(),
        || drop(spawn(|| sleep(Duration::MAX)).join_timeout(MOMENT)),
        || {
            let (here, mut there) = UnixStream::pair().unwrap();
            drop(spawn(move || there.write_all(b"!").unwrap()));
            trampoline(&here, Interest::Read, None).unwrap();
        },
        || {
            let (here, mut there) = UnixStream::pair().unwrap();
            drop(spawn(move || there.write_all(b"!").unwrap()));
            assert_eq!(GreenFd::new(here).unwrap().read(&mut [0; 8]).unwrap(), 1);
        },
        || assert_eq!(offload(|| 1), 1),
        || {
            hub::call_after_global(MOMENT, || {});
            sleep(2 * MOMENT);
        },
    ]
}

#[test]
fn any_blocking_call_works_first_on_an_os_thread() {
    for call in blocking_calls() {
        os_thread(call).join().unwrap();
    }
}

#[test]
fn hubs_of_different_os_threads_have_nothing_in_common() {
    let both_spawned = Arc::new(Barrier::new(2));
    let threads = [(3, Backend::Epoll), (5, Backend::Poll)].map(|(count, backend)| {
        let both_spawned = Arc::clone(&both_spawned);
        os_thread(move || {
            hub::use_hub(backend).unwrap();
            let threads: Vec<_> = (0..count).map(|n| spawn(move || n)).collect();
            both_spawned.wait();
            assert_eq!((hub::stats().threads, hub::get().backend()), (count, backend));
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        })
    });
    let [first, second] = threads;
    assert_eq!((first.join().unwrap(), second.join().unwrap()), (3, 10));
}

#[test]
fn a_green_thread_stays_on_its_os_thread() {
    os_thread(|| {
        let home = std::thread::current().id();
        let threads: Vec<_> = (0..10)
            .map(|n| {
                spawn(move || {
                    for _ in 0..n {
                        sleep(MOMENT);
                        assert_eq!(std::thread::current().id(), home);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    })
    .join()
    .unwrap();
}

#[test]
fn two_os_threads_talk_through_a_socket() {
    let (here, there) = UnixStream::pair().unwrap();
    let echo = os_thread(move || {
        let mut there = GreenFd::new(there).unwrap();
        let mut bytes = [0; 5];
        there.read_exact(&mut bytes).unwrap();
        there.write_all(&bytes).unwrap();
    });
    let mut here = GreenFd::new(here).unwrap();
    let mut bytes = [0; 5];
    here.write_all(b"hello").unwrap();
    here.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    echo.join().unwrap();
}

#[test]
fn an_os_thread_may_wait_with_a_green_one_for_another_os_thread() {
    os_thread(|| {
        let inner = spawn(|| os_thread(|| spawn(|| thread::current().id()).join().unwrap()).join());
        let id = inner.join().unwrap().unwrap();
        assert_eq!(id.to_string(), "1");
    })
    .join()
    .unwrap();
}
