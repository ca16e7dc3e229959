//! Waits for any fd, by its number: level-triggered, once or lasting.

use std::{
    fs::File,
    io::{Read, Write},
    net::Shutdown,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use greenroom_hub::{
    Backend, Clock, Hub, Interest, ListenError, ListenerKey, Outcome, Readiness, Wake,
};
use rustix::{
    event::{
        EventfdFlags,
        epoll::{self, CreateFlags, EventData, EventFlags},
        eventfd,
    },
    io::Errno,
};

use crate::{
    fds::{open_max, pair, with_own_number},
    stage::{Probe, Stage, on_epoll, on_every_backend},
};

const BOTH: Readiness = Readiness::READ.union(Readiness::WRITE);

impl Stage {
    /// Lets a new waiter wait once for an fd that is open.
    #[track_caller]
    pub(crate) fn wait_for(
        &mut self,
        fd: &impl AsRawFd,
        interest: Interest,
        name: &'static str,
    ) -> (Probe, ListenerKey) {
        let probe = Probe::new(name);
        let listened = self.hub.listen_fd(fd.as_raw_fd(), interest, probe.clone(), false);
        (probe, listened.expect("the fd is open and the place is free"))
    }
}

/// Writes until a write would block.
pub(crate) fn fill(mut socket: &UnixStream) {
    while socket.write(&[0; 4096]).is_ok() {}
}

/// Reads until a read would block.
pub(crate) fn drain(mut socket: &UnixStream) {
    while socket.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
}

#[test]
fn what_is_ready_already_counts() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        there.write_all(b"x").unwrap();
        let (reader, _) = stage.wait_for(&here, Interest::Read, "reader");
        let (writer, _) = stage.wait_for(&here, Interest::Write, "writer");
        stage.turn();
        assert_eq!(reader.wakes(), [Wake::Ready(BOTH)]);
        assert_eq!(writer.wakes(), [Wake::Ready(BOTH)]);
    });
}

#[test]
fn what_becomes_ready_later_wakes_only_who_waits_for_it() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        fill(&here);
        let (reader, _) = stage.wait_for(&here, Interest::Read, "reader");
        let (writer, _) = stage.wait_for(&here, Interest::Write, "writer");
        assert!(stage.names().is_empty());
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["reader"]);
        assert!(stage.names().is_empty(), "there is no room to write yet");
        drain(&there);
        assert_eq!(stage.names(), ["writer"], "one report had disarmed both directions");
        assert_eq!(reader.wakes(), [Wake::Ready(Readiness::READ)]);
        assert_eq!(writer.wakes().len(), 1);
    });
}

#[test]
fn a_waiter_is_woken_once_however_long_the_fd_stays_ready() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        there.write_all(b"x").unwrap();
        let (probe, _) = stage.wait_for(&here, Interest::Read, "reader");
        assert_eq!(stage.names(), ["reader"]);
        probe.wait_again();
        there.write_all(b"x").unwrap();
        assert!(stage.names().is_empty(), "it waits, but not for this fd");
        assert!(probe.is_waiting());
        assert_eq!(probe.holders(), 1);
    });
}

#[test]
fn a_listener_spent_or_removed_is_removed_again_without_harm() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let (_, removed) = stage.wait_for(&here, Interest::Read, "removed");
        assert_eq!(stage.hub.unlisten(removed).expect("it listens").name(), "removed");
        assert!(stage.hub.unlisten(removed).is_none());
        let (_, spent) = stage.wait_for(&here, Interest::Read, "spent");
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["spent"]);
        let (_, current) = stage.wait_for(&here, Interest::Read, "current");
        for key in [removed, spent, spent] {
            assert!(stage.hub.unlisten(key).is_none());
        }
        assert_eq!(stage.names(), ["current"]);
        assert!(stage.hub.unlisten(current).is_none());
        assert_eq!(stage.hub.stats().listeners, 0);
    });
}

#[test]
fn a_removed_listener_is_not_woken_and_the_next_one_is() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let (gone, key) = stage.wait_for(&here, Interest::Read, "gone");
        stage.hub.unlisten(key);
        assert_eq!(gone.holders(), 1);
        there.write_all(b"x").unwrap();
        assert!(stage.names().is_empty());
        stage.wait_for(&here, Interest::Read, "next");
        assert_eq!(stage.names(), ["next"]);
        assert!(gone.is_waiting());
    });
}

#[test]
fn a_second_waiter_is_refused_and_told_who_holds_the_place() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let fd = here.as_raw_fd();
        let (holder, _) = stage.wait_for(&here, Interest::Read, "holder");
        let second = Probe::new("second");
        for lasting in [false, true] {
            let refused = stage.hub.listen_fd(fd, Interest::Read, second.clone(), lasting);
            let error = refused.expect_err("the place is taken");
            assert_eq!(error.to_string(), format!("another waiter already waits to read fd {fd}"));
            let ListenError::Busy { fd: busy, interest, holder } = error else {
                panic!("refused for another reason: {error}");
            };
            assert_eq!((busy, interest, holder.name()), (fd, Interest::Read, "holder"));
        }
        assert_eq!(second.holders(), 1);
        assert_eq!(stage.hub.stats().listeners, 1);
        stage.wait_for(&here, Interest::Write, "the other direction is free");
        there.write_all(b"x").unwrap();
        stage.turn();
        assert_eq!(holder.wakes().len(), 1);
        stage.wait_for(&here, Interest::Read, "the place is free again");
    });
}

#[test]
fn several_waiters_are_woken_one_a_turn_first_come_first_served() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let (here, mut there) = pair();
        for name in ["a", "b", "c"] {
            stage.wait_for(&here, Interest::Read, name);
        }
        assert_eq!(stage.hub.stats().listeners, 3);
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["a"]);
        assert_eq!(stage.names(), ["b"], "nobody has read it, so it is ready still");
        drain(&here);
        assert!(stage.names().is_empty());
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["c"]);
        assert_eq!(stage.hub.stats().listeners, 0);
    });
}

#[test]
fn who_queues_moves_up_when_someone_before_leaves() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let (here, mut there) = pair();
        let keys = ["a", "b", "c", "d"].map(|name| stage.wait_for(&here, Interest::Read, name).1);
        stage.hub.unlisten(keys[0]);
        stage.hub.unlisten(keys[2]);
        stage.hub.allow_multiple_waiters(false);
        let refused = stage.hub.listen_fd(here.as_raw_fd(), Interest::Read, Probe::new("e"), false);
        assert!(
            matches!(refused, Err(ListenError::Busy { holder, .. }) if holder.name() == "b"),
            "the place is that of who moved up"
        );
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["b"]);
        assert_eq!(stage.names(), ["d"]);
        assert!(stage.names().is_empty());
    });
}

#[test]
fn a_report_spent_on_a_dead_waiter_is_asked_for_again() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let (here, mut there) = pair();
        let (dead, _) = stage.wait_for(&here, Interest::Read, "dead");
        stage.wait_for(&here, Interest::Read, "alive");
        stage.hub.call(dead.clone());
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["dead"], "by the call; the report came too late for it");
        assert_eq!(dead.wakes(), [Wake::Called]);
        assert_eq!(stage.names(), ["alive"]);
    });
}

#[test]
fn a_lasting_listener_fires_each_turn_until_removed() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let probe = Probe::new("lasting");
        let fd = here.as_raw_fd();
        let key = stage.hub.listen_fd(fd, Interest::Read, probe.clone(), true).unwrap();
        assert!(stage.names().is_empty());
        there.write_all(b"x").unwrap();
        for _ in 0..3 {
            assert_eq!(stage.names(), ["lasting"]);
            probe.wait_again();
        }
        drain(&here);
        assert!(stage.names().is_empty());
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["lasting"]);
        probe.wait_again();
        assert_eq!(stage.hub.stats().listeners, 1);
        assert!(stage.hub.unlisten(key).is_some());
        assert!(stage.names().is_empty());
        assert!(stage.hub.unlisten(key).is_none());
        assert_eq!((stage.hub.stats().listeners, probe.holders()), (0, 1));
    });
}

#[test]
fn a_lasting_listener_that_has_not_run_yet_is_not_queued_twice() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let probe = Probe::new("lasting");
        let fd = here.as_raw_fd();
        stage.hub.listen_fd(fd, Interest::Read, probe.clone(), true).unwrap();
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["lasting"]);
        assert!(stage.names().is_empty(), "it has not said that it waits again");
        probe.wait_again();
        assert_eq!(stage.names(), ["lasting"]);
    });
}

#[test]
fn whoever_queues_behind_a_lasting_listener_moves_up_when_it_is_removed() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let (here, mut there) = pair();
        let lasting = Probe::new("lasting");
        let fd = here.as_raw_fd();
        let key = stage.hub.listen_fd(fd, Interest::Read, lasting.clone(), true).unwrap();
        stage.wait_for(&here, Interest::Read, "behind");
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["lasting"]);
        stage.hub.unlisten(key);
        assert_eq!(stage.names(), ["behind"]);
    });
}

#[test]
fn a_hang_up_wakes_both_directions() {
    on_every_backend(|stage| {
        let (here, there) = pair();
        fill(&here);
        let (reader, _) = stage.wait_for(&here, Interest::Read, "reader");
        let (writer, _) = stage.wait_for(&here, Interest::Write, "writer");
        assert!(stage.names().is_empty());
        drop(there);
        assert_eq!(stage.names(), ["reader", "writer"]);
        for probe in [reader, writer] {
            let heard = probe.wakes();
            assert_eq!(heard, [Wake::Ready(BOTH.union(Readiness::READ_CLOSED))]);
        }
    });
}

#[test]
fn the_end_of_a_stream_wakes_readers_only() {
    on_every_backend(|stage| {
        let (here, there) = pair();
        fill(&here);
        let (reader, _) = stage.wait_for(&here, Interest::Read, "reader");
        stage.wait_for(&here, Interest::Write, "writer");
        there.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stage.names(), ["reader"]);
        let heard = reader.wakes();
        assert_eq!(heard, [Wake::Ready(Readiness::READ.union(Readiness::READ_CLOSED))]);
        assert!(stage.names().is_empty());
    });
}

#[test]
fn closing_wakes_everyone_within_one_turn() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let (here, _there) = pair();
        fill(&here);
        let fd = here.as_raw_fd();
        let mut probes = Vec::new();
        for name in ["a", "b", "c"] {
            probes.push(stage.wait_for(&here, Interest::Read, name).0);
        }
        let lasting = Probe::new("lasting");
        let key = stage.hub.listen_fd(fd, Interest::Read, lasting.clone(), true).unwrap();
        probes.push(lasting);
        probes.push(stage.wait_for(&here, Interest::Write, "w").0);
        assert_eq!(stage.hub.notify_close(fd), 5);
        assert_eq!(stage.hub.notify_close(fd), 0);
        drop(here);
        assert_eq!(stage.names(), ["a", "b", "c", "lasting", "w"]);
        for probe in &probes {
            assert_eq!(probe.wakes(), [Wake::Closed]);
            assert_eq!(probe.holders(), 1);
        }
        assert!(stage.hub.unlisten(key).is_none());
        assert!(stage.names().is_empty());
        assert_eq!(stage.hub.stats().listeners, 0);
    });
}

#[test]
fn closing_what_nobody_waits_for_is_no_error() {
    on_every_backend(|stage| {
        for fd in [-1, RawFd::MIN, RawFd::MAX, 0] {
            assert_eq!(stage.hub.notify_close(fd), 0);
        }
    });
}

#[test]
fn a_number_that_is_no_open_fd_is_refused_or_told_closed() {
    on_every_backend(|stage| {
        for fd in [-1, RawFd::MIN, RawFd::MAX] {
            let probe = Probe::new("a");
            let refused = stage.hub.listen_fd(fd, Interest::Read, probe.clone(), false);
            let error = refused.expect_err("no file has this number");
            assert!(
                matches!(&error, ListenError::Io(error)
                    if error.raw_os_error() == Some(Errno::BADF.raw_os_error())),
                "{error}"
            );
            assert_eq!(probe.holders(), 1);
        }
        let (here, _there) = pair();
        let high = with_own_number(&here);
        let fd = high.as_raw_fd();
        // The table has a place for the number, so that only the poller can refuse it.
        let (_, key) = stage.wait_for(&high, Interest::Read, "open");
        stage.hub.unlisten(key);
        drop(high);
        let probe = Probe::new("a");
        match stage.hub.listen_fd(fd, Interest::Read, probe.clone(), false) {
            Err(ListenError::Io(error)) => {
                assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
            }
            Err(error) => panic!("refused for another reason: {error}"),
            Ok(_) => {
                assert_eq!(stage.names(), ["a"]);
                assert_eq!(probe.wakes(), [Wake::Closed]);
            }
        }
        assert_eq!((stage.hub.stats().listeners, probe.holders()), (0, 1));
    });
}

/// An epoll set that watches another, which watches another, and so on, as deep as the kernel allows.
fn nested_sets() -> Vec<OwnedFd> {
    let mut sets = vec![epoll::create(CreateFlags::CLOEXEC).unwrap()];
    loop {
        let set = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let inner = sets.last().expect("there is one");
        match epoll::add(&set, inner, EventData::new_u64(0), EventFlags::IN) {
            Ok(()) => sets.push(set),
            Err(errno) => {
                assert_eq!(errno, Errno::LOOP);
                return sets;
            }
        }
    }
}

#[test]
fn what_the_kernel_refuses_for_another_reason_is_told_and_leaves_nothing() {
    on_epoll(|stage| {
        let sets = nested_sets();
        let refused = sets.last().expect("there is one");
        let fd = refused.as_raw_fd();
        let probe = Probe::new("a");
        for _ in 0..2 {
            let error = stage.hub.listen_fd(fd, Interest::Read, probe.clone(), false).unwrap_err();
            assert!(
                matches!(&error, ListenError::Io(error)
                    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error())),
                "{error}"
            );
            let error = stage.hub.attach(fd).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        }
        assert_eq!((stage.hub.stats().listeners, probe.holders()), (0, 1));
        assert_eq!(stage.hub.notify_close(fd), 0);
        assert!(stage.names().is_empty());
        assert!(stage.hub.is_idle());
    });
}

#[test]
fn an_fd_closed_under_its_waiters_is_found_out_by_whoever_asks_next() {
    on_every_backend(|stage| {
        let (here, _there) = pair();
        fill(&here);
        let number = with_own_number(&here);
        let fd = number.as_raw_fd();
        let (reader, _) = stage.wait_for(&number, Interest::Read, "reader");
        drop(number);
        let probe = Probe::new("writer");
        let _ = stage.hub.listen_fd(fd, Interest::Write, probe, false);
        stage.turn();
        assert_eq!(reader.wakes(), [Wake::Closed]);
        assert_eq!(stage.hub.stats().listeners, 0);
    });
}

#[test]
fn a_regular_file_is_always_ready() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let file = File::open("/proc/self/exe").unwrap();
        let lasting = Probe::new("lasting");
        let fd = file.as_raw_fd();
        stage.wait_for(&file, Interest::Read, "a");
        stage.wait_for(&file, Interest::Read, "b");
        stage.wait_for(&file, Interest::Write, "w");
        assert_eq!(stage.names(), ["a", "w"]);
        assert_eq!(stage.names(), ["b"]);
        assert!(stage.names().is_empty());
        let key = stage.hub.listen_fd(fd, Interest::Read, lasting.clone(), true).unwrap();
        for _ in 0..3 {
            assert_eq!(stage.names(), ["lasting"]);
            lasting.wait_again();
        }
        assert!(stage.hub.unlisten(key).is_some());
        assert!(stage.names().is_empty());
        stage.wait_for(&file, Interest::Read, "again");
        assert_eq!(stage.hub.notify_close(fd), 1);
        assert_eq!(stage.names(), ["again"]);
        assert_eq!(stage.hub.stats().listeners, 0);
    });
}

#[test]
fn the_hub_does_not_sleep_beside_a_regular_file() {
    on_every_backend(|stage| {
        let file = File::open("/proc/self/exe").unwrap();
        let lasting = Probe::new("lasting");
        let fd = file.as_raw_fd();
        stage.hub.listen_fd(fd, Interest::Read, lasting.clone(), true).unwrap();
        stage.hub.arm(stage.at(10), Probe::new("sleeper"));
        let before = stage.clock.now();
        for _ in 0..4 {
            stage.hub.prepare();
            assert_eq!(stage.hub.wait().unwrap(), Outcome::Continue);
            if !stage.pop_all().is_empty() {
                lasting.wait_again();
            }
        }
        assert!(lasting.wakes().len() >= 2);
        assert_eq!(stage.clock.now(), before, "somebody was ready all the time");
    });
}

#[test]
fn the_hub_does_not_sleep_while_somebody_waits_behind_the_dead() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let file = File::open("/proc/self/exe").unwrap();
        let dead = Probe::new("dead");
        stage.hub.call(dead.clone());
        assert_eq!(stage.names(), ["dead"]);
        stage.hub.listen_fd(file.as_raw_fd(), Interest::Read, dead, false).unwrap();
        stage.wait_for(&file, Interest::Read, "alive");
        stage.hub.arm(stage.at(10), Probe::new("sleeper"));
        stage.hub.prepare();
        assert_eq!(stage.hub.wait().unwrap(), Outcome::Continue);
        assert!(stage.pop_all().is_empty(), "it was the turn of the dead");
        assert_eq!(stage.clock.now(), stage.at(0), "nobody slept over it");
        assert_eq!(stage.names(), ["alive"]);
    });
}

#[test]
fn what_nobody_waits_for_any_more_does_not_end_a_sleep() {
    // Only in poll's list does it cost nothing to be taken out; epoll may report once more.
    for close in [false, true] {
        let mut hub = Hub::new(Backend::Poll, Clock::monotonic()).unwrap();
        let (here, mut there) = pair();
        let fd = here.as_raw_fd();
        let key = hub.listen_fd(fd, Interest::Read, Probe::new("gone"), false).unwrap();
        if close {
            hub.notify_close(fd);
            hub.prepare();
            hub.wait().expect("a look never fails");
            assert_eq!(hub.pop().map(|probe| probe.name()), Some("gone"));
        } else {
            hub.unlisten(key);
        }
        there.write_all(b"x").unwrap();
        let deadline = hub.clock().now() + Duration::from_millis(5);
        hub.arm(deadline, Probe::new("sleeper"));
        hub.prepare();
        hub.wait().expect("a sleep never fails");
        assert!(hub.clock().now() >= deadline);
    }
}

#[test]
fn thousands_of_ready_fds_are_all_heard_of() {
    open_max();
    on_every_backend(|stage| {
        let ready: Vec<OwnedFd> =
            (0..2000).map(|_| eventfd(1, EventfdFlags::CLOEXEC).unwrap()).collect();
        for fd in &ready {
            stage.wait_for(fd, Interest::Read, "one of many");
        }
        let mut woken = 0;
        for _ in 0..4 {
            let turn = stage.turn();
            assert!(turn.len() <= 1024, "one turn's work is bounded");
            woken += turn.len();
        }
        assert_eq!((woken, stage.hub.stats().listeners), (2000, 0));
    });
}

#[test]
fn listeners_can_be_looked_at() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let (here, there) = pair();
        stage.wait_for(&here, Interest::Read, "a");
        stage.wait_for(&here, Interest::Read, "b");
        stage.wait_for(&there, Interest::Write, "c");
        let mut seen: Vec<_> = stage
            .hub
            .listeners()
            .map(|(fd, interest, probe)| (probe.name(), fd, interest))
            .collect();
        seen.sort_unstable_by_key(|entry| entry.0);
        let (one, other) = (here.as_raw_fd(), there.as_raw_fd());
        assert_eq!(
            seen,
            [("a", one, Interest::Read), ("b", one, Interest::Read), ("c", other, Interest::Write)]
        );
    });
}
