//! What the hub waits with: chosen by name, before its first use or while it is idle.
//!
//! What the environment says is in `children`.

use std::{
    cell::Cell, error::Error, io::Write, os::unix::net::UnixStream, rc::Rc,
    thread::spawn as os_thread, time::Duration,
};

use greenroom::{
    hub::{self, Backend, UseHubError},
    io::{GreenFd, Interest, trampoline},
    sleep, spawn, spawn_after,
    testing::{run, run_on},
    yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_hub_is_made_at_first_use() {
    os_thread(|| {
        assert_eq!(hub::stats(), hub::Stats::default());
        assert!(Backend::ALL.contains(&hub::get().backend()));
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
        assert_ne!(hub::stats(), hub::Stats::default());
    })
    .join()
    .unwrap();
}

#[test]
fn it_can_be_chosen_before_the_first_use() {
    for backend in Backend::ALL {
        os_thread(move || {
            hub::use_hub(backend).unwrap();
            assert_eq!(hub::get().backend(), backend);
            assert_eq!(spawn(|| 1).join().unwrap(), 1);
        })
        .join()
        .unwrap();
    }
}

#[test]
fn it_can_be_changed_while_the_hub_is_idle() {
    run(|| {
        for backend in [Backend::Poll, Backend::Epoll, Backend::Poll] {
            hub::use_hub(backend).unwrap();
            assert_eq!(hub::get().backend(), backend);
            let (here, mut there) = UnixStream::pair().unwrap();
            drop(spawn(move || there.write_all(b"!").unwrap()));
            trampoline(&here, Interest::Read, None).unwrap();
        }
    });
}

#[test]
fn an_idle_connection_survives_the_change() {
    run(|| {
        use std::io::Read;
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut here = GreenFd::new(here).unwrap();
        let mut byte = [0];
        for backend in [Backend::Epoll, Backend::Poll, Backend::Epoll] {
            hub::use_hub(backend).unwrap();
            let mut peer = there.try_clone().unwrap();
            let writer = spawn(move || {
                sleep(SECOND);
                peer.write_all(b"!").unwrap();
            });
            assert_eq!(here.read(&mut byte).unwrap(), 1);
            writer.join().unwrap();
        }
        there.write_all(b"!").unwrap();
        assert_eq!(here.read(&mut byte).unwrap(), 1);
    });
}

#[test]
fn it_cannot_be_changed_while_the_hub_is_in_use() {
    fn refused() -> UseHubError {
        let before = hub::get().backend();
        let error = hub::use_hub(Backend::Poll).unwrap_err();
        assert_eq!(hub::get().backend(), before);
        error
    }
    run_on(Backend::Epoll, || {
        let thread = spawn(|| drop(refused()));
        let text = refused().to_string();
        assert!(text.contains("green threads alive: 1, timers: 0, listeners: 0"), "{text}");
        assert!(text.contains("choose it before the first use"), "{text}");
        thread.join().unwrap();

        let timer = hub::call_after_global(SECOND, || {});
        assert!(refused().to_string().contains("timers: 1"));
        timer.cancel();

        let (here, _there) = UnixStream::pair().unwrap();
        let listener = hub::add(&here, Interest::Read, |_| {}).unwrap();
        let error = refused();
        assert!(matches!(&error, UseHubError::Busy(stats) if stats.listeners == 1), "{error:?}");
        assert!(error.source().is_none());
        listener.remove();
        hub::use_hub(Backend::Poll).unwrap();
    });
}

#[test]
fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
    let error = "kqueue".parse::<Backend>().unwrap_err();
    assert_eq!(error.to_string(), "unknown hub \"kqueue\"; known are: epoll poll");
    for backend in Backend::ALL {
        assert_eq!(backend.to_string().parse(), Ok(backend));
    }
}

#[test]
fn the_counts_say_what_ended_the_waits() {
    run(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        sleep(SECOND);
        drop(spawn(move || there.write_all(b"!").unwrap()));
        trampoline(&here, Interest::Read, None).unwrap();
        spawn(|| {}).join().unwrap();
        let stats = hub::stats();
        assert_eq!((stats.expired, stats.fd_ready, stats.closed, stats.called), (1, 1, 0, 1));
        assert_eq!(stats.switches, 2);
        assert!(0 < stats.sleeps && stats.sleeps <= stats.turns, "{stats:?}");
    });
}

#[test]
fn a_switch_is_counted_for_each_time_somebody_runs() {
    run(|| {
        let fired = Rc::new(Cell::new(false));
        let theirs = Rc::clone(&fired);
        hub::call_after_global(SECOND, move || theirs.set(true));
        spawn(|| sleep(2 * SECOND)).join().unwrap();
        assert!(fired.get());
        assert_eq!(hub::stats().switches, 3);
    });
}

#[test]
fn the_parked_are_told_from_those_who_run_or_may() {
    run(|| {
        let parked = || hub::stats().parked;
        assert_eq!(parked(), 0);
        let sleepers = [1, 2].map(|n| spawn(move || sleep(n * SECOND)));
        // They have not started, so they may run.
        assert_eq!(parked(), 0);
        let yields = spawn(yield_now);
        yield_now();
        assert_eq!(parked(), 2);
        let delayed = spawn_after(SECOND, parked);
        assert_eq!(parked(), 3);
        // One sleeper is left, and the root waits, but is no green thread.
        let [first, second] = sleepers;
        first.join().unwrap();
        assert_eq!(delayed.join().unwrap(), 1);
        second.join().unwrap();
        yields.join().unwrap();
        assert_eq!(parked(), 0);
    });
}
