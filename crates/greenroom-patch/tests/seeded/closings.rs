//! Fds that are closed by anybody while somebody waits for them, with numbers that mean another file at once.
//!
//! A wait that has begun before the closing ends with it, and a wait for the other file goes on. The numbers
//! of these plays are far above all others, so that nobody meets them by chance.

use std::{
    hint,
    net::TcpListener,
    os::fd::{IntoRawFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use greenroom::foreign::is_awaited;

use crate::{
    calls::{Actor, Deed, Place},
    raw::{self, Answer, Asking, For, Reading, Writing},
    stage::Stage,
    streams::close,
};

/// Numbers from here on are given out by these plays only. They fit into a set of `select`.
const OWN_NUMBERS: RawFd = 700;

const BYE: &[u8] = b"bye";

/// What somebody waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Read(Reading),
    Write(Writing),
    Ask(Asking),
    Accept,
}

fn draw_wait(stage: &mut Stage, may_accept: bool) -> Wait {
    match stage.below(if may_accept { 6 } else { 3 }) {
        0 | 1 => Wait::Read(Reading::SOCKET[stage.below(Reading::SOCKET.len())]),
        2 => Wait::Ask(Asking::BY_FD[stage.below(Asking::BY_FD.len())]),
        3 | 4 => Wait::Write(Writing::SOCKET[stage.below(Writing::SOCKET.len())]),
        _ => Wait::Accept,
    }
}

impl Wait {
    fn begin(self, actor: &Actor, fd: RawFd) -> Answer {
        match self {
            Wait::Read(how) => {
                actor.does(Deed::Read, fd);
                let mut bytes = [0; BYE.len()];
                let answer = raw::read(how, fd, &mut bytes);
                assert!(answer != Ok(BYE.len()) || bytes == BYE, "meant for another file");
                answer
            }
            Wait::Write(how) => {
                actor.does(Deed::Write, fd);
                raw::write(how, fd, &[7; 100_000])
            }
            Wait::Ask(how) => {
                // The kernel watches the closed file, and the other one not at all.
                let ms = if actor.place() == Place::Os { 20 } else { -1 };
                actor.does(Deed::Ask, fd);
                raw::ask(how, &[fd], For::Reading, ms)
            }
            Wait::Accept => {
                actor.does(Deed::Accept, fd);
                raw::accept(fd)
            }
        }
    }
}

/// A file for whose number somebody is to wait in vain, and its other end.
fn mute(wait: Wait) -> [RawFd; 2] {
    if wait == Wait::Accept {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a loopback");
        return [to_own_number(listener.into_raw_fd()), -1];
    }
    let [end, other] = raw::socket_pair(libc::SOCK_STREAM);
    if let Wait::Write(_) = wait {
        raw::set_nonblocking(end);
        while raw::write(Writing::Send, end, &[7; 4096]).is_ok() {}
        raw::set_blocking(end);
    }
    [to_own_number(end), other]
}

fn to_own_number(fd: RawFd) -> RawFd {
    let own = raw::dup_from(fd, OWN_NUMBERS);
    assert_eq!(raw::close(fd), Ok(0));
    own
}

fn close_if_any(actor: &Actor, fd: RawFd) {
    if fd >= 0 {
        close(actor, fd);
    }
}

/// Closes the number in one of the ways there are. Afterwards it means the file of `next`.
fn replace(actor: &mut Actor, fd: RawFd, next: RawFd) {
    actor.does(Deed::Close, fd);
    match actor.below(3) {
        0 => assert_eq!(raw::close(fd), Ok(0)),
        1 => assert_eq!(raw::close_numbers(fd, fd), Ok(0)),
        // At once.
        _ => assert_eq!(raw::dup_onto(next, fd), Ok(fd as usize)),
    }
    assert_eq!(raw::dup_onto(next, fd), Ok(fd as usize));
}

/// Who waits before the closing hears of it, though the number means another file at once, of which there is
/// something to hear.
pub(crate) fn cast_closed_under_wait(stage: &mut Stage) {
    let wait = draw_wait(stage, true);
    let [fd, other] = mute(wait);
    let [next, mouth] = raw::socket_pair(libc::SOCK_STREAM);
    let speaks_first = stage.below(2) == 0;
    let left = Arc::new(AtomicUsize::new(2));
    let waited = Arc::clone(&left);
    let place = stage.any_green();
    stage.cast("one closed upon", place, move |mut actor| {
        actor.dawdle();
        let answer = wait.begin(&actor, fd);
        match wait {
            // It may well look at the number once more.
            Wait::Ask(_) => assert!(matches!(answer, Ok(1) | Err(libc::EBADF)), "{answer:?}"),
            _ => assert_eq!(answer, Err(libc::EBADF), "{wait:?}"),
        }
        if waited.fetch_sub(1, Ordering::SeqCst) == 1 {
            close(&actor, fd);
        }
    });
    let place = stage.any_place();
    stage.cast("closer", place, move |mut actor| {
        actor.does(Deed::Wait, fd);
        while !is_awaited(&(fd..=fd)) {
            raw::give_way();
        }
        let speak = || assert_eq!(raw::write(Writing::Send, mouth, BYE), Ok(BYE.len()));
        if speaks_first {
            speak();
        }
        replace(&mut actor, fd, next);
        close(&actor, next);
        close_if_any(&actor, other);
        if !speaks_first {
            actor.dawdle();
            speak();
        }
        close(&actor, mouth);
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            close(&actor, fd);
        }
    });
}

/// Several come at any time, before, in and after the closing: each of them comes back.
pub(crate) fn cast_closed_at_any_time(stage: &mut Stage) {
    let waits: Vec<_> = (0..1 + stage.below(4)).map(|_| draw_wait(stage, false)).collect();
    let [fd, other] = mute(waits[0]);
    let [next, mouth] = raw::socket_pair(libc::SOCK_STREAM);
    let left = Arc::new(AtomicUsize::new(waits.len() + 1));
    for wait in waits {
        let left = Arc::clone(&left);
        let place = stage.any_place();
        stage.cast("one who comes any time", place, move |mut actor| {
            actor.dawdle();
            let answer = wait.begin(&actor, fd);
            let is_green = actor.place() != Place::Os;
            let explained = match answer {
                // The end of one of the files, or a part of what the second has to say.
                Ok(count) => count <= BYE.len(),
                Err(libc::EBADF) => true,
                // The other end went while bytes were on their way here.
                Err(libc::ECONNRESET) => !is_green,
                Err(_) => false,
            };
            assert!(explained, "{wait:?}: {answer:?}");
            if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                close(&actor, fd);
            }
        });
    }
    let place = stage.any_place();
    stage.cast("closer", place, move |mut actor| {
        actor.dawdle();
        replace(&mut actor, fd, next);
        close(&actor, next);
        actor.dawdle();
        close_if_any(&actor, other);
        actor.dawdle();
        close(&actor, mouth);
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            close(&actor, fd);
        }
    });
}

/// Times that a number is waited for and closed in the same moment.
const ROUNDS: usize = 30;

/// One begins to wait as another closes, again and again: whoever came first, the wait ends.
pub(crate) fn cast_closed_in_the_same_moment(stage: &mut Stage) {
    let number = to_own_number(raw::new_count());
    let rounds: Arc<[AtomicUsize; 2]> = Arc::default();
    let others = Arc::clone(&rounds);
    let wait = draw_wait(stage, false);
    let waiters = Place::Green(0);
    stage.cast("one who waits at once", waiters, move |mut actor| {
        for round in 1..=ROUNDS {
            meet(&actor, &others, 0, 2 * round);
            meet(&actor, &others, 0, 2 * round + 1);
            spin(&mut actor);
            let answer = wait.begin(&actor, number);
            let is_explained = match (wait, answer) {
                // The end of the stream: the call itself had the file when both ends went.
                (Wait::Ask(_), Ok(1)) | (Wait::Read(_), Ok(0)) | (_, Err(libc::EBADF)) => true,
                _ => false,
            };
            assert!(is_explained, "{wait:?}: {answer:?}");
            actor.came_to(round);
        }
    });
    let closers = [Place::Os, Place::Green(1)][stage.below(2)];
    stage.cast("one who closes at once", closers, move |mut actor| {
        for round in 1..=ROUNDS {
            // A poll that was told would go on with the next file.
            meet(&actor, &rounds, 1, 2 * round);
            let [end, other] = raw::socket_pair(libc::SOCK_STREAM);
            assert_eq!(raw::dup_onto(end, number), Ok(number as usize));
            close(&actor, end);
            meet(&actor, &rounds, 1, 2 * round + 1);
            spin(&mut actor);
            close(&actor, number);
            // In a kernel's wait this would be the end of the stream.
            close(&actor, other);
            actor.came_to(round);
        }
    });
}

/// Waits until the other one has come to this round.
fn meet(actor: &Actor, rounds: &[AtomicUsize; 2], me: usize, round: usize) {
    actor.does(Deed::Wait, -1);
    rounds[me].store(round, Ordering::SeqCst);
    while rounds[1 - me].load(Ordering::SeqCst) < round {
        raw::give_way();
    }
}

fn spin(actor: &mut Actor) {
    for _ in 0..actor.below(4000) {
        hint::spin_loop();
    }
}
