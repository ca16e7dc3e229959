//! Numbers that mean another file than they did: whoever waited for the old one is never woken for
//! the new one, and never forgotten.
//!
//! `reopen` closes the old file and opens the new one under its number in one step, so that no
//! other test gets hold of the number in between.

use std::{
    fs::File,
    io::Write,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use greenroom_hub::{Backend, Interest, ListenError, Readiness, Wake};

use crate::{
    fds::{pair, reopen, with_own_number},
    foreign::fill,
    stage::{Probe, Stage, on_epoll, on_every_backend},
};

/// A socket under a number of its own, and its peer.
fn numbered() -> (OwnedFd, UnixStream) {
    let (here, there) = pair();
    (with_own_number(here), there)
}

#[test]
fn after_notice_old_waiters_hear_closed_and_new_ones_the_new_file() {
    on_every_backend(|stage| {
        let (mut number, mut old_peer) = numbered();
        let (old, key) = stage.wait_for(&number, Interest::Read, "old");
        let (new_file, mut new_peer) = pair();
        reopen(&mut number, &new_file);
        assert_eq!(stage.hub.notify_close(number.as_raw_fd()), 1);
        let (new, _) = stage.wait_for(&number, Interest::Read, "new");
        assert_eq!(stage.names(), ["old"]);
        assert_eq!(old.wakes(), [Wake::Closed]);
        assert!(stage.hub.unlisten(key).is_none(), "the old key does not reach the new waiter");
        let _ = old_peer.write(b"x");
        assert!(stage.names().is_empty());
        new_peer.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["new"]);
        assert_eq!(new.wakes().len(), 1);
    });
}

#[test]
fn after_notice_an_attached_number_can_be_attached_again() {
    on_every_backend(|stage| {
        let (mut number, _old_peer) = numbered();
        let old = stage.hub.attach(number.as_raw_fd()).unwrap();
        stage.hub.exhaust(old, Interest::Read);
        stage.hub.listen(old, Interest::Read, Probe::new("old")).unwrap();
        let (new_file, mut new_peer) = pair();
        reopen(&mut number, &new_file);
        stage.hub.notify_close(number.as_raw_fd());
        let new = stage.hub.attach(number.as_raw_fd()).unwrap();
        assert_ne!(old, new);
        assert_eq!(stage.names(), ["old"]);
        stage.hub.exhaust(new, Interest::Read);
        stage.hub.listen(new, Interest::Read, Probe::new("new")).unwrap();
        stage.hub.detach(old);
        assert!(stage.names().is_empty());
        new_peer.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["new"]);
    });
}

#[test]
fn attaching_the_new_file_gives_notice() {
    for owned in [false, true] {
        on_epoll(|stage| {
            let (mut number, _old_peer) = numbered();
            let fd = number.as_raw_fd();
            let old = if owned {
                let source = stage.hub.attach(fd).unwrap();
                stage.hub.exhaust(source, Interest::Read);
                let probe = Probe::new("old");
                stage.hub.listen(source, Interest::Read, probe.clone()).unwrap();
                probe
            } else {
                stage.wait_for(&number, Interest::Read, "old").0
            };
            let (new_file, mut new_peer) = pair();
            reopen(&mut number, &new_file);
            let source = stage.hub.attach(fd).unwrap();
            stage.hub.exhaust(source, Interest::Read);
            stage.hub.listen(source, Interest::Read, Probe::new("new")).unwrap();
            assert_eq!(stage.names(), ["old"]);
            assert_eq!(old.wakes(), [Wake::Closed]);
            new_peer.write_all(b"x").unwrap();
            assert_eq!(stage.names(), ["new"]);
        });
    }
}

#[test]
fn attaching_gives_notice_to_who_waits_for_a_regular_file_that_had_the_number() {
    on_epoll(|stage| {
        let mut number = with_own_number(File::open("/proc/self/exe").unwrap());
        let (old, _) = stage.wait_for(&number, Interest::Read, "old");
        let (new_file, _new_peer) = pair();
        reopen(&mut number, &new_file);
        stage.hub.attach(number.as_raw_fd()).expect("a socket can be attached");
        assert_eq!(stage.names(), ["old"]);
        assert_eq!(old.wakes(), [Wake::Closed]);
    });
}

#[test]
fn who_was_woken_is_not_told_closed_because_somebody_attaches_the_same_file() {
    for (from, to) in [(Backend::Epoll, Backend::Epoll), (Backend::Poll, Backend::Epoll)] {
        for regular in [false, true] {
            let stage = &mut Stage::new(from);
            let (here, mut there) = pair();
            there.write_all(b"x").unwrap();
            let file = if regular {
                OwnedFd::from(File::open("/proc/self/exe").unwrap())
            } else {
                here.into()
            };
            let (_, key) = stage.wait_for(&file, Interest::Read, "woken");
            assert_eq!(stage.names(), ["woken"]);
            // The new poller does not know the file, nor does it know that it was another.
            stage.hub.change_backend(to).expect("the kernel has this backend");
            assert_eq!(stage.hub.attach(file.as_raw_fd()).is_err(), regular);
            assert!(stage.hub.is_attached(key.source()), "from {from}, regular: {regular}");
        }
    }
}

#[test]
fn attaching_what_can_not_be_attached_gives_notice_too() {
    on_epoll(|stage| {
        let (mut number, _old_peer) = numbered();
        let (old, _) = stage.wait_for(&number, Interest::Read, "old");
        reopen(&mut number, File::open("/proc/self/exe").unwrap());
        stage.hub.attach(number.as_raw_fd()).expect_err("a regular file makes nobody wait");
        assert_eq!(stage.names(), ["old"]);
        assert_eq!(old.wakes(), [Wake::Closed]);
    });
}

#[test]
fn waiting_for_the_new_file_gives_notice_in_any_direction() {
    for interest in [Interest::Read, Interest::Write] {
        for several in [false, true] {
            on_epoll(|stage| {
                stage.hub.allow_multiple_waiters(several);
                let (mut number, _old_peer) = numbered();
                let (old, _) = stage.wait_for(&number, Interest::Read, "old");
                let (new_file, mut new_peer) = pair();
                fill(&new_file);
                reopen(&mut number, &new_file);
                stage.wait_for(&number, interest, "new");
                assert_eq!(stage.names(), ["old"]);
                assert_eq!(old.wakes(), [Wake::Closed]);
                match interest {
                    Interest::Read => new_peer.write_all(b"x").unwrap(),
                    Interest::Write => crate::foreign::drain(&new_peer),
                }
                assert_eq!(stage.names(), ["new"]);
                assert_eq!(stage.hub.stats().listeners, 0);
            });
        }
    }
}

#[test]
fn a_place_held_for_the_same_file_stays_taken() {
    on_epoll(|stage| {
        let (number, mut peer) = numbered();
        stage.wait_for(&number, Interest::Read, "holder");
        let fd = number.as_raw_fd();
        let refused = stage.hub.listen_fd(fd, Interest::Read, Probe::new("second"), false);
        assert!(matches!(refused, Err(ListenError::Busy { .. })));
        peer.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["holder"], "the question has not cost it its wake-up");
    });
}

#[test]
fn waiting_by_number_frees_it_from_an_owner_who_did_not_detach() {
    on_epoll(|stage| {
        let (mut number, _old_peer) = numbered();
        let source = stage.hub.attach(number.as_raw_fd()).unwrap();
        stage.hub.exhaust(source, Interest::Read);
        stage.hub.listen(source, Interest::Read, Probe::new("old")).unwrap();
        let (new_file, mut new_peer) = pair();
        fill(&new_file);
        reopen(&mut number, &new_file);
        stage.wait_for(&number, Interest::Write, "new");
        assert_eq!(stage.names(), ["old"]);
        let refused = stage.hub.listen(source, Interest::Read, Probe::new("late"));
        assert!(matches!(refused, Err(ListenError::Closed)));
        stage.hub.detach(source);
        crate::foreign::drain(&new_peer);
        assert_eq!(stage.names(), ["new"], "the late detach has not cost it its wake-up");
        new_peer.write_all(b"x").unwrap();
        assert!(stage.names().is_empty());
    });
}

#[test]
fn an_owner_who_waits_untried_for_a_file_that_is_gone_hears_so() {
    on_epoll(|stage| {
        let (mut number, _old_peer) = numbered();
        let source = stage.hub.attach(number.as_raw_fd()).unwrap();
        stage.hub.exhaust(source, Interest::Read);
        stage.hub.listen(source, Interest::Read, Probe::new("old")).unwrap();
        let (new_file, _new_peer) = pair();
        reopen(&mut number, &new_file);
        let refused = stage.hub.listen(source, Interest::Write, Probe::new("untried"));
        assert!(matches!(refused, Err(ListenError::Closed)));
        assert_eq!(stage.names(), ["old"]);
    });
}

#[test]
fn an_owner_who_waits_untried_at_a_closed_number_hears_so_and_so_do_the_others() {
    on_every_backend(|stage| {
        let (number, _peer) = numbered();
        let source = stage.hub.attach(number.as_raw_fd()).unwrap();
        stage.hub.exhaust(source, Interest::Read);
        let reader = Probe::new("reader");
        stage.hub.listen(source, Interest::Read, reader.clone()).unwrap();
        drop(number);
        let untried = Probe::new("untried");
        match stage.hub.listen(source, Interest::Write, untried.clone()) {
            // Only poll learns it no sooner than it waits.
            Ok(_) => assert_eq!(stage.hub.backend(), Backend::Poll),
            Err(error) => assert!(matches!(error, ListenError::Closed), "{error}"),
        }
        assert!(stage.names().contains(&"reader"));
        assert_eq!(reader.wakes(), [Wake::Closed]);
        assert_eq!((stage.hub.stats().listeners, untried.holders()), (0, 1));
        assert!(!stage.hub.is_attached(source));
    });
}

#[test]
fn a_poller_that_came_later_tells_files_apart_as_well() {
    for attached in [false, true] {
        let stage = &mut Stage::new(Backend::Poll);
        let (mut number, _old_peer) = numbered();
        let fd = number.as_raw_fd();
        let old = Probe::new("old");
        let source = if attached {
            let source = stage.hub.attach(fd).unwrap();
            stage.hub.exhaust(source, Interest::Read);
            stage.hub.listen(source, Interest::Read, old.clone()).unwrap();
            Some(source)
        } else {
            stage.hub.listen_fd(fd, Interest::Read, old.clone(), false).unwrap();
            None
        };
        stage.hub.change_backend(Backend::Epoll).expect("the kernel has epoll");
        let (new_file, _new_peer) = pair();
        reopen(&mut number, &new_file);
        match source {
            Some(source) => {
                let refused = stage.hub.listen(source, Interest::Write, Probe::new("untried"));
                assert!(matches!(refused, Err(ListenError::Closed)));
                assert_eq!(stage.names(), ["old"]);
            }
            None => {
                stage.wait_for(&number, Interest::Write, "new");
                assert_eq!(stage.names(), ["old", "new"]);
            }
        }
        assert_eq!(old.wakes(), [Wake::Closed]);
    }
}

#[test]
fn who_was_passed_over_is_not_armed_for_the_new_file() {
    on_epoll(|stage| {
        let (mut number, mut old_peer) = numbered();
        fill(&UnixStream::from(number.try_clone().unwrap()));
        stage.wait_for(&number, Interest::Read, "reader");
        let (writer, _) = stage.wait_for(&number, Interest::Write, "writer");
        old_peer.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["reader"]);
        let (new_file, _new_peer) = pair();
        reopen(&mut number, &new_file);
        assert_eq!(stage.names(), ["writer"]);
        assert_eq!(writer.wakes(), [Wake::Closed], "the new file has room, but it is not theirs");
        assert_eq!(stage.hub.stats().listeners, 0);
    });
}

#[test]
fn who_was_passed_over_when_the_number_was_closed_hears_so() {
    on_epoll(|stage| {
        let (number, mut old_peer) = numbered();
        fill(&UnixStream::from(number.try_clone().unwrap()));
        stage.wait_for(&number, Interest::Read, "reader");
        let (writer, _) = stage.wait_for(&number, Interest::Write, "writer");
        old_peer.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["reader"]);
        drop(number);
        assert_eq!(stage.names(), ["writer"]);
        assert_eq!(writer.wakes(), [Wake::Closed]);
    });
}

#[test]
fn a_duplicate_of_the_old_file_wakes_nobody_who_waits_for_the_new() {
    for old_is_waited_for in [false, true] {
        on_epoll(|stage| {
            let (mut number, mut old_peer) = numbered();
            let _duplicate = number.try_clone().unwrap();
            let (old, key) = stage.wait_for(&number, Interest::Read, "old");
            if !old_is_waited_for {
                stage.hub.unlisten(key);
            }
            let (new_file, mut new_peer) = pair();
            reopen(&mut number, &new_file);
            let (new, _) = stage.wait_for(&number, Interest::Read, "new");
            old_peer.write_all(b"x").unwrap();
            stage.turn();
            assert!(new.is_waiting(), "the old file is ready, the new one is not");
            assert_eq!(old.is_waiting(), !old_is_waited_for);
            new_peer.write_all(b"x").unwrap();
            assert_eq!(stage.names(), ["new"]);
        });
    }
}

#[test]
fn a_duplicate_of_an_attached_file_wakes_nobody_after_notice() {
    on_epoll(|stage| {
        let (mut number, mut old_peer) = numbered();
        let _duplicate = number.try_clone().unwrap();
        let source = stage.hub.attach(number.as_raw_fd()).unwrap();
        stage.hub.exhaust(source, Interest::Read);
        let (new_file, _new_peer) = pair();
        reopen(&mut number, &new_file);
        stage.hub.notify_close(number.as_raw_fd());
        let (new, _) = stage.wait_for(&number, Interest::Read, "new");
        for _ in 0..3 {
            old_peer.write_all(b"x").unwrap();
            assert!(stage.names().is_empty());
        }
        assert!(new.is_waiting());
    });
}

#[test]
fn a_regular_file_and_a_socket_under_one_number_are_told_apart() {
    let regular = || File::open("/proc/self/exe").unwrap();
    on_epoll(|stage| {
        let (mut number, _old_peer) = numbered();
        let (socket, _) = stage.wait_for(&number, Interest::Read, "socket");
        reopen(&mut number, regular());
        stage.wait_for(&number, Interest::Write, "file");
        stage.turn();
        assert_eq!(socket.wakes(), [Wake::Closed]);

        let (file, _) = stage.wait_for(&number, Interest::Read, "file");
        let (new_file, mut new_peer) = pair();
        reopen(&mut number, &new_file);
        stage.wait_for(&number, Interest::Read, "socket");
        assert_eq!(stage.names(), ["file"]);
        assert_eq!(file.wakes(), [Wake::Closed]);
        new_peer.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["socket"]);
        assert_eq!(stage.hub.stats().listeners, 0);
    });
}

#[test]
fn poll_takes_the_new_file_for_the_old_unless_it_is_told() {
    let stage = &mut Stage::new(Backend::Poll);
    let (mut number, _old_peer) = numbered();
    let (old, _) = stage.wait_for(&number, Interest::Read, "old");
    let (new_file, mut new_peer) = pair();
    reopen(&mut number, &new_file);
    new_peer.write_all(b"x").unwrap();
    assert_eq!(stage.names(), ["old"]);
    assert_eq!(old.wakes(), [Wake::Ready(Readiness::READ)]);
}

#[test]
fn a_number_can_change_hands_many_times() {
    on_every_backend(|stage| {
        let (mut number, first_peer) = numbered();
        let fd = number.as_raw_fd();
        let mut peers = vec![first_peer];
        for round in 0..50 {
            let (waiter, _) = stage.wait_for(&number, Interest::Read, "waiter");
            if round % 2 == 0 {
                peers.last_mut().unwrap().write_all(b"x").unwrap();
                assert_eq!(stage.names(), ["waiter"]);
            } else {
                assert!(stage.names().is_empty());
            }
            let (file, peer) = pair();
            reopen(&mut number, &file);
            peers.push(peer);
            assert_eq!(stage.hub.notify_close(fd), round % 2);
            stage.turn();
            assert_eq!(waiter.wakes().len(), 1);
            assert_eq!(waiter.holders(), 1);
        }
        assert_eq!(stage.hub.stats().listeners, 0);
    });
}
