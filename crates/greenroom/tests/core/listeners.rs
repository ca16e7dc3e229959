//! Functions called when an fd is ready: how often, until when, and for which file.

use std::{
    cell::RefCell,
    fs::File,
    io::{ErrorKind, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    hub::{self, Backend, Listener},
    io::{Interest, trampoline},
    sleep, spawn,
    testing::run_on,
    yield_now,
};

use crate::trace::{Trace, owning};

const SECOND: Duration = Duration::from_secs(1);

/// Plays a case with each backend.
fn on_each_backend(case: impl Fn() + Sync) {
    for backend in Backend::ALL {
        run_on(backend, &case);
    }
}

/// Two ends of a connection; reads from either never block.
fn pair() -> (UnixStream, UnixStream) {
    let (here, there) = UnixStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    there.set_nonblocking(true).unwrap();
    (here, there)
}

/// Lets a few turns pass. Time does not: under a listener whose fd stays ready nobody ever idles.
fn turns() {
    let begin = hub::stats().turns;
    while hub::stats().turns < begin + 5 {
        yield_now();
    }
}

/// Reads all there is; how much that was.
fn drain(mut stream: &UnixStream) -> usize {
    let mut bytes = [0; 64];
    let mut total = 0;
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return total,
            Ok(count) => total += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return total,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_listener_is_called_whenever_its_fd_can_be_read() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (here, mut there) = pair();
        let (inner, reader) = (trace.clone(), here.try_clone().unwrap());
        let listener =
            hub::add(&here, Interest::Read, move |fd| inner.tell((fd, drain(&reader)))).unwrap();
        for count in [3, 5] {
            there.write_all(&vec![0; count]).unwrap();
            sleep(SECOND);
        }
        let fd = here.as_raw_fd();
        assert_eq!(trace.take(), [(fd, 3), (fd, 5)]);
        assert!(listener.is_listening());
        assert_eq!(hub::stats().listeners, 1);
    });
}

#[test]
fn a_listener_is_called_once_a_turn_while_its_fd_is_ready() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (here, mut there) = pair();
        let inner = trace.clone();
        hub::add(&here, Interest::Read, move |_| inner.tell(hub::stats().turns)).unwrap();
        there.write_all(b"never read").unwrap();
        turns();
        let calls = trace.take();
        assert!(calls.len() >= 2, "{calls:?}");
        assert!(calls.windows(2).all(|pair| pair[0] < pair[1]), "{calls:?}");
    });
}

#[test]
fn a_listener_may_wait_until_an_fd_can_be_written() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (mut here, there) = pair();
        while here.write(&[0; 4096]).is_ok() {}
        hub::add(&here, Interest::Write, {
            let trace = trace.clone();
            move |_| trace.tell("room")
        })
        .unwrap();
        sleep(SECOND);
        assert_eq!(trace.take(), [""; 0]);
        drain(&there);
        turns();
        assert!(trace.take().contains(&"room"));
    });
}

#[test]
fn a_listener_hears_that_the_other_side_hung_up() {
    on_each_backend(|| {
        for interest in [Interest::Read, Interest::Write] {
            let trace = Trace::new();
            let (mut here, there) = pair();
            while here.write(&[0; 4096]).is_ok() {}
            let tells = trace.telling("called");
            let listener = hub::add(&here, interest, move |_| tells()).unwrap();
            sleep(SECOND);
            assert_eq!(trace.take(), [""; 0]);
            drop(there);
            turns();
            assert!(!trace.take().is_empty(), "{interest}");
            listener.remove();
        }
    });
}

#[test]
fn a_removed_listener_is_not_called_and_removing_again_does_no_harm() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (here, mut there) = pair();
        let (called, owned) = (trace.telling("called"), trace.on_drop("dropped"));
        let listener = hub::add(&here, Interest::Read, move |_| {
            let _owned = &owned;
            called();
        });
        let listener = listener.unwrap();
        assert!(hub::remove(&listener));
        assert_eq!(trace.take(), ["dropped"]);
        assert!(!hub::remove(&listener) && !listener.clone().remove());
        there.write_all(b"!").unwrap();
        sleep(SECOND);
        assert_eq!((trace.take(), hub::stats().listeners), (vec![], 0));
    });
}

#[test]
fn a_listener_may_remove_itself() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (here, mut there) = pair();
        let own = Rc::new(RefCell::new(None::<Listener>));
        let (theirs, inner, owned) = (Rc::clone(&own), trace.clone(), trace.on_drop("dropped"));
        let listener = hub::add(&here, Interest::Read, move |_| {
            let _owned = &owned;
            inner.tell(if theirs.take().expect("called once").remove() { "removed" } else { "?" });
        });
        *own.borrow_mut() = Some(listener.unwrap());
        there.write_all(b"!").unwrap();
        sleep(SECOND);
        assert_eq!((trace.take(), hub::stats().listeners), (vec!["removed", "dropped"], 0));
    });
}

#[test]
fn a_listener_that_removes_itself_gives_back_what_it_owns_although_it_is_kept() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (here, mut there) = pair();
        let own = Rc::new(RefCell::new(None::<Listener>));
        let (theirs, owned) = (Rc::clone(&own), trace.on_drop("dropped"));
        let listener = hub::add(&here, Interest::Read, move |_| {
            let _owned = &owned;
            let own = theirs.borrow().clone();
            assert!(own.expect("the listener was put there").remove());
        });
        own.replace(Some(listener.unwrap()));
        there.write_all(b"!").unwrap();
        sleep(SECOND);
        assert_eq!(trace.take(), ["dropped"]);
        assert!(!own.take().unwrap().is_listening());
    });
}

#[test]
fn a_listener_that_panics_is_removed_and_the_loop_goes_on() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (here, mut there) = pair();
        let called = trace.telling("called");
        let listener = hub::add(&here, Interest::Read, move |_| {
            called();
            panic!("in a listener");
        });
        there.write_all(b"!").unwrap();
        sleep(SECOND);
        sleep(SECOND);
        assert_eq!(trace.take(), ["called"]);
        assert!(!listener.unwrap().is_listening());
        assert_eq!(hub::stats().listeners, 0);
    });
}

#[test]
fn dropping_a_listener_changes_nothing() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (here, mut there) = pair();
        let called = trace.telling("called");
        drop(hub::add(&here, Interest::Read, move |_| called()).unwrap());
        there.write_all(b"!").unwrap();
        turns();
        assert!(!trace.take().is_empty());
    });
}

#[test]
fn a_second_listener_for_the_same_direction_is_refused_and_both_are_named() {
    on_each_backend(|| {
        let (here, _there) = pair();
        let trace = Trace::new();
        let first = hub::add(&here, Interest::Read, |_| {}).unwrap();
        let owned = trace.on_drop("dropped");
        let error = hub::add(&here, Interest::Read, owning(owned)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("fd {}", here.as_raw_fd())), "{text}");
        assert_eq!(text.matches("a listener's function").count(), 2, "{text}");
        assert_eq!(text.matches(file!()).count(), 2, "{text}");
        assert_eq!(trace.take(), ["dropped"]);
        hub::add(&here, Interest::Write, |_| {}).unwrap().remove();
        first.remove();
        hub::add(&here, Interest::Read, |_| {}).unwrap().remove();
        assert_eq!(hub::stats().listeners, 0);
    });
}

#[test]
fn an_fd_is_free_for_threads_when_its_listener_was_removed() {
    on_each_backend(|| {
        let (here, mut there) = pair();
        let listener = hub::add(&here, Interest::Read, |_| {}).unwrap();
        let refused = trampoline(&here, Interest::Read, None).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
        listener.remove();
        drop(spawn(move || there.write_all(b"!").unwrap()));
        trampoline(&here, Interest::Read, None).unwrap();
    });
}

#[test]
fn a_listener_of_a_closed_fd_is_over() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (here, _there) = pair();
        let owned = trace.on_drop("dropped");
        let listener = hub::add(&here, Interest::Read, owning(owned)).unwrap();
        assert_eq!(hub::notify_close(here.as_raw_fd()), 1);
        assert_eq!(hub::stats().listeners, 0);
        assert!(!listener.is_listening(), "it is over at once");
        assert_eq!(trace.take(), [""; 0], "what it owns is dropped in the loop");
        yield_now();
        assert_eq!(trace.take(), ["dropped"]);
        assert!(!listener.is_listening() && !listener.remove());
    });
}

#[test]
fn removing_a_listener_of_a_closed_fd_changes_nothing_but_drops_what_it_owns() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (here, _there) = pair();
        let owned = trace.on_drop("dropped");
        let listener = hub::add(&here, Interest::Read, owning(owned)).unwrap();
        hub::notify_close(here.as_raw_fd());
        assert!(!listener.remove());
        assert_eq!(trace.take(), ["dropped"]);
        yield_now();
        assert_eq!(hub::stats().ready, 0);
    });
}

#[test]
fn a_listener_that_was_about_to_be_called_is_not_called_for_a_closed_fd() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (first, mut there) = pair();
        let (second, mut there_too) = pair();
        let closed = Rc::new(RefCell::new(None));
        let victim = Rc::clone(&closed);
        let closer = hub::add(&first, Interest::Read, move |_| {
            if let Some(stream) = victim.take() {
                let stream: UnixStream = stream;
                let ready = hub::stats().ready;
                hub::notify_close(stream.as_raw_fd());
                assert_eq!(hub::stats().ready, ready, "it is queued once");
            }
        });
        let called = trace.telling("called");
        let listener = hub::add(&second, Interest::Read, move |_| called()).unwrap();
        *closed.borrow_mut() = Some(second);
        there.write_all(b"!").unwrap();
        there_too.write_all(b"!").unwrap();
        turns();
        assert_eq!(trace.take(), [""; 0]);
        assert!(!listener.is_listening());
        assert!(closer.unwrap().is_listening(), "it has not panicked");
    });
}

#[test]
fn a_listener_may_declare_its_own_fd_closed() {
    on_each_backend(|| {
        let trace = Trace::new();
        let (here, mut there) = pair();
        let called = trace.telling("called");
        let listener = hub::add(&here, Interest::Read, move |fd| {
            called();
            hub::notify_close(fd);
        });
        there.write_all(b"!").unwrap();
        sleep(SECOND);
        sleep(SECOND);
        assert_eq!(trace.take(), ["called"]);
        assert!(!listener.unwrap().is_listening());
    });
}

#[test]
fn a_regular_file_is_always_ready_to_its_listener() {
    on_each_backend(|| {
        let trace = Trace::new();
        let file = File::open("/proc/self/exe").unwrap();
        let called = trace.telling("called");
        let listener = hub::add(&file, Interest::Read, move |_| called()).unwrap();
        turns();
        assert!(trace.take().len() >= 2);
        listener.remove();
        yield_now();
        assert_eq!((trace.take(), hub::stats().listeners), (vec![], 0));
    });
}
