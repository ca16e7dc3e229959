//! What calls say on a green thread that is to be stopped; and where no call switches.

use std::{
    cell::{Cell, RefCell},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use greenroom::{Elapsed, hub, spawn, with_timeout, yield_now};
use libc::{ECANCELED, ETIMEDOUT, MSG_WAITALL};

use crate::{
    files::{Kind, bytes, narrow_pair, pair},
    raw,
};

/// A call that waits: it is given an end of an empty pair, or of one without room.
type Call = (&'static str, Kind, fn(RawFd) -> i64);

const WAITING: &[Call] = &[
    ("recv", Kind::Tcp, |fd| raw::recv(fd, &mut [0; 8], 0)),
    ("recv all", Kind::Unix, |fd| raw::recv(fd, &mut [0; 8], MSG_WAITALL)),
    ("recv a datagram", Kind::Datagram, |fd| raw::recv(fd, &mut [0; 8], 0)),
    ("read a socket", Kind::Udp, |fd| raw::read(fd, &mut [0; 8])),
    ("read a pipe", Kind::Pipe, |fd| raw::read(fd, &mut [0; 8])),
    ("recvmmsg", Kind::Udp, raw::receive_two),
    ("splice", Kind::Unix, |fd| {
        let (_reader, writer) = pair(Kind::Pipe);
        raw::splice(fd, writer.as_raw_fd(), 8)
    }),
];

const SENDING: &[Call] = &[
    ("send", Kind::Tcp, |fd| raw::send(fd, &bytes(500_000), 0)),
    ("write", Kind::Unix, |fd| raw::write(fd, &bytes(500_000))),
    ("write to a pipe", Kind::Pipe, |fd| raw::write(fd, &bytes(500_000))),
    ("sendfile", Kind::Unix, |fd| {
        let file = std::fs::File::open("/proc/self/exe").expect("it is running");
        raw::send_file(fd, file.as_raw_fd(), 1_000_000).0
    }),
];

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().expect("a call failed")
}

#[test]
fn a_kill_is_told_by_each_call_until_a_wait_that_can_unwind() {
    for &(name, kind, call) in WAITING {
        let (one, _other) = pair(kind);
        let said = Rc::new(RefCell::new(Vec::new()));
        let thread = spawn({
            let said = Rc::clone(&said);
            move || {
                for _ in 0..3 {
                    let answer = call(one.as_raw_fd());
                    said.borrow_mut().push((answer, errno()));
                }
                thread::sleep(Duration::from_secs(1000));
                yield_now();
                unreachable!("it is killed");
            }
        });
        yield_now();
        thread.kill();
        assert!(thread.join().expect_err("it was killed").is_killed());
        assert_eq!(*said.borrow(), [(-1, ECANCELED); 3], "{name}");
    }
}

#[test]
fn a_limit_is_told_by_each_call_until_a_wait_that_can_unwind() {
    for &(name, kind, call) in WAITING {
        spawn(move || {
            let (one, _other) = pair(kind);
            let said = RefCell::new(Vec::new());
            let ended = with_timeout(Duration::from_millis(5), || {
                for _ in 0..3 {
                    let answer = call(one.as_raw_fd());
                    said.borrow_mut().push((answer, errno()));
                }
                yield_now();
            });
            assert_eq!(ended, Err(Elapsed));
            assert_eq!(*said.borrow(), [(-1, ETIMEDOUT); 3], "{name}");
        })
        .join()
        .expect("it went well");
    }
}

#[test]
fn what_was_sent_before_a_kill_is_told_first() {
    for &(name, kind, call) in SENDING {
        let (receiver, sender) = narrow_pair(kind);
        let said = Rc::new(RefCell::new(Vec::new()));
        let thread = spawn({
            let said = Rc::clone(&said);
            move || {
                let sent = call(sender.as_raw_fd());
                assert!(0 < sent && sent < 500_000, "{name}: {sent}");
                let answer = call(sender.as_raw_fd());
                said.borrow_mut().push((answer, errno()));
                yield_now();
            }
        });
        yield_now();
        thread.kill();
        assert!(thread.join().expect_err("it was killed").is_killed());
        assert_eq!(*said.borrow(), [(-1, ECANCELED)], "{name}");
        drop(receiver);
    }
}

#[test]
fn what_was_received_before_a_kill_is_told_first() {
    let (one, other) = pair(Kind::Unix);
    let said = Rc::new(Cell::new((0, 0)));
    let thread = spawn({
        let said = Rc::clone(&said);
        move || {
            let first = raw::recv(one.as_raw_fd(), &mut [0; 8], MSG_WAITALL);
            let second = raw::recv(one.as_raw_fd(), &mut [0; 8], MSG_WAITALL);
            said.set((first, second));
            yield_now();
        }
    });
    raw::send(other.as_raw_fd(), b"half", 0);
    yield_now();
    thread.kill();
    assert!(thread.join().expect_err("it was killed").is_killed());
    assert_eq!(said.get(), (4, -1));
}

#[test]
fn a_call_that_need_not_wait_goes_well_after_a_kill() {
    let (one, other) = pair(Kind::Unix);
    let went_well = Rc::new(Cell::new(false));
    let thread = spawn({
        let went_well = Rc::clone(&went_well);
        move || {
            let (one, other) = (one.as_raw_fd(), other.as_raw_fd());
            assert_eq!(raw::recv(one, &mut [0; 8], 0), -1);
            assert_eq!(raw::send(other, b"hello", 0), 5);
            assert_eq!(raw::recv(one, &mut [0; 8], 0), 5);
            went_well.set(true);
            yield_now();
        }
    });
    yield_now();
    thread.kill();
    assert!(thread.join().expect_err("it was killed").is_killed());
    assert!(went_well.get());
}

#[test]
fn a_killed_thread_that_sleeps_again_and_again_does_not_keep_others_from_running() {
    let is_over = Rc::new(Cell::new(false));
    let stubborn = spawn({
        let is_over = Rc::clone(&is_over);
        move || {
            while !is_over.get() {
                thread::sleep(Duration::from_secs(1000));
            }
            yield_now();
        }
    });
    yield_now();
    stubborn.kill();
    let other = spawn(|| {
        for _ in 0..150 {
            yield_now();
        }
        greenroom::sleep(Duration::from_millis(20));
    });
    other.join().expect("it went well");
    is_over.set(true);
    assert!(stubborn.join().expect_err("it was killed").is_killed());
}

/// Receives in its destructor.
struct Receives(OwnedFd, Rc<Cell<(i64, i32)>>);

impl Drop for Receives {
    fn drop(&mut self) {
        let answer = raw::recv(self.0.as_raw_fd(), &mut [0; 8], 0);
        self.1.set((answer, errno()));
        thread::sleep(Duration::from_secs(1000));
    }
}

#[test]
fn a_destructor_during_a_panic_waits_for_a_short_while_and_does_not_switch() {
    for has_bytes in [false, true] {
        let (one, other) = pair(Kind::Unix);
        let said = Rc::new(Cell::new((0, 0)));
        let ran = Rc::new(Cell::new(false));
        let begin = Instant::now();
        let thread = spawn({
            let said = Rc::clone(&said);
            move || {
                let _receives = Receives(one, said);
                panic!("on purpose");
            }
        });
        let sibling = spawn({
            let (ran, said) = (Rc::clone(&ran), Rc::clone(&said));
            move || ran.set(said.get() != (0, 0))
        });
        let helper = has_bytes.then(|| {
            raw::send(other.as_raw_fd(), b"hello", 0);
        });
        assert!(thread.join().expect_err("it panicked").is_panic());
        sibling.join().expect("it went well");
        assert!(ran.get(), "the destructor was over before the sibling ran");
        // It asked to sleep for much longer.
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        if helper.is_some() {
            assert_eq!(said.get().0, 5);
        } else {
            assert_eq!(said.get(), (-1, ECANCELED));
        }
    }
}

#[test]
fn no_switch_blocks_the_os_thread() {
    let (one, other) = pair(Kind::Unix);
    let ran = Rc::new(Cell::new(false));
    let thread = spawn({
        let ran = Rc::clone(&ran);
        move || {
            greenroom_patch::no_switch(|| {
                assert_eq!(raw::recv(one.as_raw_fd(), &mut [0; 8], 0), 5);
                thread::sleep(Duration::from_millis(1));
                assert!(!ran.get());
            });
        }
    });
    let sibling = spawn(move || ran.set(true));
    let sender = thread::spawn(move || {
        crate::stage::nap();
        raw::send(other.as_raw_fd(), b"hello", 0);
        other
    });
    thread.join().expect("it went well");
    sibling.join().expect("it went well");
    sender.join().expect("it went well");
}

#[test]
fn a_callback_of_the_hub_blocks_it() {
    let (one, other) = pair(Kind::Unix);
    let received = Rc::new(Cell::new(0));
    let timer = hub::call_after_global(Duration::ZERO, {
        let received = Rc::clone(&received);
        move || received.set(raw::recv(one.as_raw_fd(), &mut [0; 8], 0))
    });
    let sender = thread::spawn(move || {
        crate::stage::nap();
        raw::send(other.as_raw_fd(), b"hello", 0);
        other
    });
    greenroom::sleep(Duration::from_millis(1));
    sender.join().expect("it went well");
    assert!(!timer.is_pending());
    assert_eq!(received.get(), 5);
}

#[test]
fn many_calls_in_a_row_that_need_no_wait_give_way() {
    for kind in [Kind::Unix, Kind::Tcp, Kind::Pipe, Kind::Udp] {
        let (one, other) = pair(kind);
        let is_over = Rc::new(Cell::new(false));
        let caller = spawn({
            let is_over = Rc::clone(&is_over);
            move || {
                for _ in 0..640 {
                    assert_eq!(raw::write(other.as_raw_fd(), b"a"), 1);
                    assert_eq!(raw::read(one.as_raw_fd(), &mut [0; 1]), 1);
                }
                is_over.set(true);
            }
        });
        let mut turns = 0;
        while !is_over.get() {
            yield_now();
            turns += 1;
        }
        caller.join().expect("it went well");
        assert!(turns >= 1280 / 129, "{kind:?}: {turns}");
    }
}

#[test]
fn who_makes_128_calls_in_a_row_gives_way_before_the_next() {
    let (one, other) = pair(Kind::Unix);
    let is_over = Rc::new(Cell::new(false));
    let turns = Rc::new(Cell::new(0));
    let caller = spawn({
        let (is_over, turns) = (Rc::clone(&is_over), Rc::clone(&turns));
        move || {
            for round in 0..3 {
                let before = turns.get();
                for call in 0..64 {
                    assert_eq!(raw::send(other.as_raw_fd(), b"a", 0), 1);
                    assert_eq!(raw::recv(one.as_raw_fd(), &mut [0; 1], 0), 1);
                    // The first one of a later round is one after 128.
                    assert_eq!(turns.get() - before, u32::from(round > 0), "{round}, {call}");
                }
            }
            is_over.set(true);
        }
    });
    let sibling = spawn(move || {
        while !is_over.get() {
            turns.set(turns.get() + 1);
            yield_now();
        }
    });
    caller.join().expect("it went well");
    sibling.join().expect("it went well");
}

/// What is not waited for on a hub: the OS thread waits, and nobody else runs meanwhile.
#[test]
fn what_does_not_switch_keeps_the_os_thread() {
    let calls: [(&str, fn()); 2] = [
        ("a clock of its own", || raw::sleep_by(libc::CLOCK_BOOTTIME, 10)),
        ("a regular file", || {
            std::fs::read("/proc/self/exe").expect("it is running");
        }),
    ];
    for (name, call) in calls {
        let ran = Rc::new(Cell::new(false));
        let caller = spawn({
            let ran = Rc::clone(&ran);
            move || {
                call();
                assert!(!ran.get(), "{name}");
            }
        });
        let sibling = spawn(move || ran.set(true));
        caller.join().expect("it went well");
        sibling.join().expect("it went well");
    }
}

#[test]
fn a_forked_child_calls_as_without_green_threads() {
    let (one, other) = pair(Kind::Unix);
    let answer = spawn(move || {
        let begin = Instant::now();
        let status = raw::fork_and_receive(one.as_raw_fd(), || {
            thread::sleep(Duration::from_millis(20));
            raw::send(other.as_raw_fd(), b"hello", 0);
        });
        assert!(begin.elapsed() >= Duration::from_millis(20));
        status
    });
    assert_eq!(answer.join().expect("it went well"), 5);
}

#[test]
fn a_program_is_started_and_heard_from_a_green_thread() {
    let outputs: Vec<_> = (0..3)
        .map(|_| {
            spawn(|| {
                let mut child = std::process::Command::new("sh")
                    .args(["-c", "sleep 0.05; cat; echo done"])
                    .stdin(std::process::Stdio::piped())
                    .stdout(std::process::Stdio::piped())
                    .spawn()
                    .expect("there is a shell");
                let mut input = child.stdin.take().expect("it is piped");
                let mut output = child.stdout.take().expect("it is piped");
                std::io::Write::write_all(&mut input, b"hello ").expect("it reads");
                drop(input);
                let mut all = String::new();
                std::io::Read::read_to_string(&mut output, &mut all).expect("it writes");
                assert!(child.wait().expect("it is ours").success());
                all
            })
        })
        .collect();
    for output in outputs {
        assert_eq!(output.join().expect("it went well"), "hello done\n");
    }
}
