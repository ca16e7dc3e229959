//! Fds attached for good: one registration, then waits that cost no system call.

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
};

use greenroom_hub::{Backend, Interest, ListenError, ListenerKey, Readiness, SourceKey, Wake};
use rustix::io::Errno;

use crate::{
    fds::{pair, with_own_number},
    foreign::{drain, fill},
    stage::{Probe, Stage, on_every_backend},
};

const BOTH: Readiness = Readiness::READ.union(Readiness::WRITE);

impl Stage {
    /// Lets a new waiter wait at an attached source.
    #[track_caller]
    fn wait_at(
        &mut self,
        source: SourceKey,
        interest: Interest,
        name: &'static str,
    ) -> (Probe, ListenerKey) {
        let probe = Probe::new(name);
        let listened = self.hub.listen(source, interest, probe.clone());
        (probe, listened.expect("the source is attached and the place is free"))
    }

    /// Attaches a socket and finds it exhausted for reads, as its owner does.
    #[track_caller]
    fn attach_empty(&mut self, socket: &UnixStream) -> SourceKey {
        let source = self.hub.attach(socket.as_raw_fd()).expect("an open socket can be attached");
        self.hub.exhaust(source, Interest::Read);
        source
    }
}

#[test]
fn an_attached_fd_may_be_ready_until_found_exhausted() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let source = stage.hub.attach(here.as_raw_fd()).unwrap();
        assert_eq!(stage.hub.readiness(source), BOTH, "nobody has tried yet");
        stage.hub.exhaust(source, Interest::Read);
        assert_eq!(stage.hub.readiness(source), Readiness::WRITE);
        let (reader, _) = stage.wait_at(source, Interest::Read, "reader");
        assert!(stage.names().is_empty());
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["reader"]);
        assert!(matches!(reader.wakes()[..], [Wake::Ready(heard)]
            if heard.satisfies(Interest::Read)));
        assert_eq!(stage.hub.readiness(source), BOTH);
    });
}

#[test]
fn readiness_that_comes_before_the_wait_is_not_missed() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let source = stage.attach_empty(&here);
        there.write_all(b"x").unwrap();
        stage.wait_at(source, Interest::Read, "right after");
        assert_eq!(stage.names(), ["right after"]);

        drain(&here);
        stage.hub.exhaust(source, Interest::Read);
        stage.wait_at(source, Interest::Write, "writer");
        there.write_all(b"x").unwrap();
        stage.turn();
        stage.wait_at(source, Interest::Read, "after a turn that took the report");
        assert_eq!(stage.names(), ["after a turn that took the report"]);
    });
}

#[test]
fn who_waits_without_having_tried_hears_of_what_is_there() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let source = stage.hub.attach(here.as_raw_fd()).unwrap();
        there.write_all(b"x").unwrap();
        stage.turn();
        for _ in 0..3 {
            stage.wait_at(source, Interest::Read, "reader");
            assert_eq!(stage.names(), ["reader"], "nobody has read it");
        }
    });
}

#[test]
fn both_directions_are_waited_for_apart() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        fill(&here);
        let source = stage.attach_empty(&here);
        stage.hub.exhaust(source, Interest::Write);
        stage.wait_at(source, Interest::Read, "reader");
        stage.wait_at(source, Interest::Write, "writer");
        assert!(stage.names().is_empty());
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["reader"]);
        drain(&there);
        assert_eq!(stage.names(), ["writer"]);
    });
}

#[test]
fn a_hang_up_wakes_both_directions() {
    on_every_backend(|stage| {
        let (here, there) = pair();
        fill(&here);
        let source = stage.attach_empty(&here);
        stage.hub.exhaust(source, Interest::Write);
        let (reader, _) = stage.wait_at(source, Interest::Read, "reader");
        let (writer, _) = stage.wait_at(source, Interest::Write, "writer");
        assert!(stage.names().is_empty());
        drop(there);
        assert_eq!(stage.names(), ["reader", "writer"]);
        for probe in [reader, writer] {
            assert_eq!(probe.wakes(), [Wake::Ready(BOTH.union(Readiness::READ_CLOSED))]);
        }
        let known = stage.hub.readiness(source);
        stage.hub.exhaust(source, Interest::Read);
        assert!(known.contains(Readiness::READ_CLOSED));
        assert!(
            stage.hub.readiness(source).contains(Readiness::READ_CLOSED),
            "the other side stays gone"
        );
    });
}

#[test]
fn several_waiters_of_one_source_lose_no_readiness() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let (mut here, mut there) = pair();
        let source = stage.attach_empty(&here);
        for name in ["a", "b", "c"] {
            stage.wait_at(source, Interest::Read, name);
        }
        there.write_all(b"xy").unwrap();
        assert_eq!(stage.names(), ["a"]);
        here.read_exact(&mut [0]).unwrap();
        assert_eq!(stage.names(), ["b"], "the first has left a byte, and no edge will tell");
        here.read_exact(&mut [0]).unwrap();
        assert!(stage.names().is_empty());
        there.write_all(b"z").unwrap();
        assert_eq!(stage.names(), ["c"]);
    });
}

#[test]
fn an_edge_spent_on_a_dead_waiter_reaches_the_next() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let (here, mut there) = pair();
        let source = stage.attach_empty(&here);
        let (dead, _) = stage.wait_at(source, Interest::Read, "dead");
        stage.wait_at(source, Interest::Read, "alive");
        stage.hub.call(dead.clone());
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["dead"]);
        assert_eq!(dead.wakes(), [Wake::Called]);
        assert_eq!(stage.names(), ["alive"]);
    });
}

#[test]
fn a_second_waiter_is_refused_and_told_who_holds_the_place() {
    on_every_backend(|stage| {
        let (here, _there) = pair();
        let source = stage.attach_empty(&here);
        stage.wait_at(source, Interest::Read, "holder");
        let refused = stage.hub.listen(source, Interest::Read, Probe::new("second"));
        assert!(matches!(
            refused,
            Err(ListenError::Busy { fd, interest: Interest::Read, holder })
                if fd == here.as_raw_fd() && holder.name() == "holder"
        ));
        assert_eq!(stage.hub.stats().listeners, 1);
    });
}

#[test]
fn a_wait_taken_back_leaves_the_source_in_order() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let source = stage.attach_empty(&here);
        let (gone, key) = stage.wait_at(source, Interest::Read, "gone");
        assert!(stage.hub.unlisten(key).is_some());
        assert!(stage.hub.unlisten(key).is_none());
        there.write_all(b"x").unwrap();
        stage.wait_at(source, Interest::Read, "next");
        assert_eq!(stage.names(), ["next"]);
        assert!(gone.is_waiting());
    });
}

#[test]
fn a_file_attached_twice_is_one_source_with_two_owners() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let source = stage.attach_empty(&here);
        stage.wait_at(source, Interest::Read, "reader");
        let again = stage.hub.attach(here.as_raw_fd()).unwrap();
        assert_eq!(source, again);
        stage.hub.detach(source);
        assert!(stage.names().is_empty(), "the other owner keeps it");
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["reader"]);
        drain(&here);
        stage.hub.exhaust(again, Interest::Read);
        let (last, _) = stage.wait_at(again, Interest::Read, "last");
        stage.hub.detach(again);
        assert_eq!(stage.names(), ["last"]);
        assert_eq!(last.wakes(), [Wake::Closed]);
    });
}

#[test]
fn detaching_wakes_everyone_and_leaves_a_key_that_names_nothing() {
    on_every_backend(|stage| {
        stage.hub.allow_multiple_waiters(true);
        let (here, mut there) = pair();
        let source = stage.attach_empty(&here);
        let (reader, key) = stage.wait_at(source, Interest::Read, "reader");
        let (behind, _) = stage.wait_at(source, Interest::Read, "behind");
        stage.hub.detach(source);
        stage.hub.detach(source);
        assert_eq!(stage.names(), ["reader", "behind"]);
        assert_eq!((reader.wakes(), behind.wakes()), (vec![Wake::Closed], vec![Wake::Closed]));
        assert_eq!(stage.hub.readiness(source), BOTH, "so that the next call finds out");
        stage.hub.exhaust(source, Interest::Read);
        let refused = stage.hub.listen(source, Interest::Read, Probe::new("late"));
        assert!(matches!(refused, Err(ListenError::Closed)));
        assert!(stage.hub.unlisten(key).is_none());
        there.write_all(b"x").unwrap();
        assert!(stage.names().is_empty());
        assert_eq!(stage.hub.stats().listeners, 0);
    });
}

#[test]
fn a_late_detach_does_not_touch_who_has_the_number_by_then() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let first = stage.hub.attach(here.as_raw_fd()).unwrap();
        stage.hub.detach(first);
        let second = stage.attach_empty(&here);
        assert_ne!(first, second);
        stage.hub.detach(first);
        stage.wait_at(second, Interest::Read, "reader");
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["reader"]);
    });
}

#[test]
fn closing_an_attached_fd_is_told_to_waiters_and_owner() {
    on_every_backend(|stage| {
        let (here, _there) = pair();
        let source = stage.attach_empty(&here);
        let (reader, _) = stage.wait_at(source, Interest::Read, "reader");
        assert!(stage.hub.is_attached(source));
        assert_eq!(stage.hub.notify_close(here.as_raw_fd()), 1);
        assert!(!stage.hub.is_attached(source));
        assert_eq!(stage.names(), ["reader"]);
        assert_eq!(reader.wakes(), [Wake::Closed]);
        let refused = stage.hub.listen(source, Interest::Read, Probe::new("late"));
        assert!(matches!(refused, Err(ListenError::Closed)));
    });
}

#[test]
fn who_waits_by_number_for_an_attached_fd_hears_of_it() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let source = stage.attach_empty(&here);
        there.write_all(b"x").unwrap();
        stage.wait_for(&here, Interest::Read, "by number");
        assert_eq!(stage.names(), ["by number"]);
        let lasting = Probe::new("lasting");
        let fd = here.as_raw_fd();
        let key = stage.hub.listen_fd(fd, Interest::Read, lasting.clone(), true).unwrap();
        for _ in 0..3 {
            assert_eq!(stage.names(), ["lasting"], "it was not read");
            lasting.wait_again();
        }
        drain(&here);
        stage.hub.exhaust(source, Interest::Read);
        assert!(stage.names().is_empty());
        stage.hub.unlisten(key);
        stage.wait_at(source, Interest::Read, "owner");
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["owner"]);
    });
}

#[test]
fn who_waited_by_number_keeps_waiting_when_the_fd_is_attached() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        stage.wait_for(&here, Interest::Read, "by number");
        let source = stage.hub.attach(here.as_raw_fd()).unwrap();
        assert!(stage.names().is_empty());
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["by number"]);
        drain(&here);
        stage.hub.exhaust(source, Interest::Read);
        stage.wait_at(source, Interest::Read, "owner");
        assert!(stage.names().is_empty());
        there.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["owner"]);
    });
}

#[test]
fn an_fd_that_was_waited_for_once_can_be_attached() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let (_, key) = stage.wait_for(&here, Interest::Read, "by number");
        stage.hub.unlisten(key);
        let source = stage.attach_empty(&here);
        stage.wait_at(source, Interest::Read, "owner");
        assert!(stage.names().is_empty());
        for _ in 0..2 {
            there.write_all(b"x").unwrap();
            assert_eq!(stage.names(), ["owner"]);
            drain(&here);
            stage.hub.exhaust(source, Interest::Read);
            stage.wait_at(source, Interest::Read, "owner");
        }
    });
}

#[test]
fn what_cannot_be_attached_is_refused_with_the_errno() {
    on_every_backend(|stage| {
        let (here, _there) = pair();
        let number = with_own_number(&here);
        let closed = number.as_raw_fd();
        let (_, key) = stage.wait_for(&number, Interest::Read, "a");
        stage.hub.unlisten(key);
        drop(number);
        for fd in [-1, RawFd::MIN, RawFd::MAX, closed] {
            let error = stage.hub.attach(fd).expect_err("no file has this number");
            assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()), "{fd}");
        }
        let file = File::open("/proc/self/exe").unwrap();
        let attached = stage.hub.attach(file.as_raw_fd());
        if stage.hub.backend() == Backend::Epoll {
            let error = attached.expect_err("a regular file makes nobody wait");
            assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()));
        }
        assert_eq!(stage.hub.stats().listeners, 0);
    });
}
