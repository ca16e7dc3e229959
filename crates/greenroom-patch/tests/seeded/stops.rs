//! Green threads that are killed, or whose time is over, in a call of libc's: it fails and says so, as does each
//! later one, and the thread ends at its next wait of greenroom's own.

use std::{
    os::fd::RawFd,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use greenroom::{hub, with_timeout};

use crate::{
    calls::{Deed, Place},
    pattern::Random,
    raw::{self, Answer, Asking, For, Reading, Writing},
    stage::Stage,
    streams::close,
};

/// A call that waits for ever, drawn by lot.
fn endless(random: &mut Random, fd: RawFd) -> Answer {
    let mut bytes = [0; 100];
    match random.below(4) {
        0 => match raw::ask(Asking::ALL[random.below(4)], &[fd], For::Reading, -1) {
            // An epoll set says that its fds are ready; what they are is for the next call to say.
            Ok(1) => raw::read(Reading::Read, fd, &mut bytes),
            other => other,
        },
        1 => {
            // A sleep says that it slept; the next call says why it ended.
            raw::nap(3_600_000_000);
            raw::read(Reading::Read, fd, &mut bytes)
        }
        _ => {
            let how = Reading::SOCKET[random.below(Reading::SOCKET.len())];
            raw::read(how, fd, &mut bytes)
        }
    }
}

type Told = Arc<Mutex<Vec<Answer>>>;

/// The life of one who is killed.
fn be_killed(mut random: Random, fd: RawFd, told: &Told) {
    for _ in 0..1 + random.below(3) {
        let answer = endless(&mut random, fd);
        told.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
    }
    greenroom::yield_now();
    panic!("it was killed before");
}

fn check(told: &Told) {
    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(told.iter().all(|answer| *answer == Err(libc::ECANCELED)), "{told:?}");
}

/// Killed by a sibling.
pub(crate) fn cast_kill(stage: &mut Stage) {
    let [fd, other] = raw::socket_pair(libc::SOCK_STREAM);
    let place = stage.any_green();
    stage.cast("killer", place, move |mut actor| {
        let told = Told::default();
        let (heard, random) = (Arc::clone(&told), Random::new(actor.random.next()));
        let victim = greenroom::spawn(move || be_killed(random, fd, &heard));
        for _ in 0..actor.below(4) {
            actor.dawdle();
        }
        victim.kill();
        actor.does(Deed::Wait, fd);
        assert!(victim.join().expect_err("it was killed").is_killed());
        check(&told);
        close(&actor, fd);
        close(&actor, other);
    });
}

/// Killed from another OS thread.
pub(crate) fn cast_kill_from_elsewhere(stage: &mut Stage) {
    let [fd, other] = raw::socket_pair(libc::SOCK_STREAM);
    let [stays, goes] = raw::pipe();
    let (sender, receiver) = mpsc::channel();
    let place = stage.any_green();
    stage.cast("host", place, move |actor| {
        sender.send(hub::remote()).expect("the killer waits for it");
        actor.does(Deed::Read, stays);
        assert_eq!(raw::read(Reading::Read, stays, &mut [0]), Ok(0));
        close(&actor, stays);
    });
    stage.cast("killer from elsewhere", Place::Os, move |mut actor| {
        actor.does(Deed::Wait, -1);
        let remote = receiver.recv().expect("the host sends it");
        let told = Told::default();
        let (heard, random) = (Arc::clone(&told), Random::new(actor.random.next()));
        let victim = remote.spawn(move || be_killed(random, fd, &heard)).expect("the host stays");
        for _ in 0..actor.below(4) {
            actor.dawdle();
        }
        victim.kill().expect("the host stays");
        actor.does(Deed::Wait, fd);
        assert!(victim.join().expect_err("it was killed").is_killed());
        check(&told);
        // While there is a way in, its hub waits for others.
        drop(remote);
        close(&actor, goes);
        close(&actor, fd);
        close(&actor, other);
    });
}

/// Limits that are over in calls; afterwards the same fd is as good as before.
pub(crate) fn cast_limits(stage: &mut Stage) {
    let [fd, other] = raw::socket_pair(libc::SOCK_STREAM);
    let place = stage.any_green();
    stage.cast("one with limits", place, move |mut actor| {
        for n in 0..1 + actor.below(4) {
            let limit = Duration::from_micros(actor.below(2000) as u64);
            actor.does(Deed::Read, fd);
            let answers = with_timeout(limit, || {
                [endless(&mut actor.random, fd), endless(&mut actor.random, fd)]
            });
            assert_eq!(answers, Ok([Err(libc::ETIMEDOUT); 2]));
            let byte = [n as u8];
            assert_eq!(raw::write(Writing::Send, other, &byte), Ok(1));
            let how = actor.one_of(Asking::ALL);
            assert_eq!(raw::ask(how, &[fd], For::Reading, -1), Ok(1));
            let mut back = [99];
            assert_eq!(raw::read(Reading::Recv, fd, &mut back), Ok(1));
            assert_eq!(back, byte);
        }
        close(&actor, fd);
        close(&actor, other);
    });
}
