//! What all calls have in common that wait for the first of several fds: ask without waiting, wait on the
//! hub until there may be something, and ask again.
//!
//! The answer is always the kernel's own, to the very question. A call that is not to wait at all does not come
//! here. Knows no call by name, and no fd by its kind.
//!
//! A question with a signal mask is asked under it, so a pending signal that the mask admits is delivered then
//! and ends the call; while the thread is parked, such signals are watched for. Without a mask, a handler
//! runs when its signal comes, and no wait of a green thread ends by that.

use std::{os::fd::RawFd, time::Duration};

use greenroom::{
    Instant,
    foreign::{Here, Stop},
    io::Interest,
};

use crate::{
    file,
    hook::Green,
    raw::{Errno, Result},
    set::{Member, Set},
    wait::{DESTRUCTOR_TIME, PAUSE, errno},
};

/// From the word that an fd is about to be closed until it is, there is mostly no more than this.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// What one call wants to know.
pub(crate) trait Question {
    /// Asks the kernel, which may wait for so long. Zero is an answer that tells nothing.
    fn look(&mut self, time: Duration) -> Result;

    /// What was asked about; negative fds are nobody's. Only called when a look was answered, and by no error.
    fn members(&self) -> Vec<Member>;

    /// Makes good what such an answer has done to the question.
    fn restore(&mut self) {}

    /// Whether an answer is not given again: then nothing may stand between it and the caller.
    fn is_answered_once(&self) -> bool {
        false
    }

    /// Whether it is asked under a signal mask of its own.
    fn is_masked(&self) -> bool;

    /// Signals that end the wait and that no handler runs for meanwhile, bit by bit. Only called when a look was
    /// answered by zero.
    fn signals(&self) -> u64;
}

/// How to wait for an answer.
enum Means {
    /// There is nothing that could happen.
    Sleep,
    /// For the one fd, in its direction.
    Direct(RawFd, Interest),
    Set(Set),
    /// By looking again and again, until then at most: there is nothing that would tell.
    Looks(Option<Instant>),
}

/// Asks until there is an answer, or until the deadline.
///
/// Passes if there are only standard input, output and error and terminals to wait for, which never switch.
pub(crate) fn until_answered(
    here: Here,
    question: &mut impl Question,
    deadline: Option<Instant>,
) -> Green {
    match look(question, Duration::ZERO) {
        Ok(0) => {}
        Ok(count) => return Green::Done(answered(here, question).map(|()| count)),
        Err(errno) => return Green::Done(Err(errno)),
    }
    let members = merged(question.members());
    question.restore();
    if never_switches(&members) {
        return Green::Pass;
    }
    Green::Done(until_found(here, question, &members, deadline))
}

/// A call that is not to wait at all is libc's own. But who makes many of them in a row gives way to others, one of
/// whom may be waited for.
pub(crate) fn only_look(here: Here, question: &mut impl Question) -> Green {
    here.count_call();
    if !here.must_give_way() {
        return Green::Pass;
    }
    let answer = look(question, Duration::ZERO);
    Green::Done(answer.and_then(|count| answered(here, question).map(|()| count)))
}

/// Somebody who is always answered at once gives way to others now and then, and hears then that it is to be stopped.
fn answered(here: Here, question: &mut impl Question) -> Result<()> {
    here.count_call();
    if question.is_answered_once()
        || !here.must_give_way()
        || never_switches(&merged(question.members()))
    {
        return Ok(());
    }
    here.give_way().map_err(|stop| {
        question.restore();
        errno(stop)
    })
}

/// Whether there are members, and all of them never switch.
fn never_switches(members: &[Member]) -> bool {
    !members.is_empty() && members.iter().all(|member| file::never_switches(member.fd))
}

fn until_found(
    here: Here,
    question: &mut impl Question,
    members: &[Member],
    deadline: Option<Instant>,
) -> Result {
    let signals = question.signals();
    let mut means = Means::first(members, signals);
    loop {
        let woken = means.wait(here, deadline);
        match woken {
            Ok(()) | Err(Stop::Closed | Stop::Refused(_)) => {}
            // What came in the same moment is found as well.
            Err(Stop::Expired) => return look(question, Duration::ZERO),
            Err(Stop::Unwinding) => return in_destructor(question, deadline),
            Err(stop) => return Err(errno(stop)),
        }
        match look(question, Duration::ZERO) {
            Ok(0) => question.restore(),
            answer => return answer,
        }
        means = match (means, woken) {
            // Another OS thread is about to close something, or another file has the number.
            (_, Err(Stop::Closed)) => Means::Looks(Some(Instant::now() + CLOSING_TIME)),
            (Means::Looks(Some(end)), _) if end <= Instant::now() => Means::first(members, signals),
            // Ready, but not as it was asked.
            (Means::Direct(..), Ok(()) | Err(Stop::Refused(_))) => Means::set(members, signals),
            (Means::Set(_), Err(Stop::Refused(_))) => Means::Looks(None),
            (means, _) => means,
        };
    }
}

impl Means {
    fn first(members: &[Member], signals: u64) -> Means {
        match *members {
            [] if signals == 0 => Means::Sleep,
            [Member { fd, events }] if signals == 0 => match plain(events) {
                Some(interest) => Means::Direct(fd, interest),
                None => Means::set(members, signals),
            },
            _ => Means::set(members, signals),
        }
    }

    fn set(members: &[Member], signals: u64) -> Means {
        Set::new(members, signals).map_or(Means::Looks(None), Means::Set)
    }

    fn wait(&self, here: Here, deadline: Option<Instant>) -> std::result::Result<(), Stop> {
        match self {
            Means::Direct(fd, interest) => here.wait(*fd, *interest, deadline),
            Means::Set(set) => set.wait(here, deadline),
            Means::Sleep => sleep(here, deadline, None),
            Means::Looks(_) => sleep(here, deadline, Some(Instant::now() + PAUSE)),
        }
    }
}

/// Until the deadline, which is then expired, or until `end`.
fn sleep(
    here: Here,
    deadline: Option<Instant>,
    end: Option<Instant>,
) -> std::result::Result<(), Stop> {
    let first = [deadline, end].into_iter().flatten().min();
    here.sleep_until(first.unwrap_or_else(|| Instant::now() + Duration::MAX))?;
    if end.is_some() && end == first { Ok(()) } else { Err(Stop::Expired) }
}

/// Looks once more where the look was interrupted by a signal that ends nothing.
fn look(question: &mut impl Question, time: Duration) -> Result {
    loop {
        match question.look(time) {
            Err(Errno::INTR) if !question.is_masked() => {}
            answer => return answer,
        }
    }
}

/// In a destructor that runs because of a panic nothing may switch: the OS thread waits, but not for
/// long.
#[cold]
fn in_destructor(question: &mut impl Question, deadline: Option<Instant>) -> Result {
    let rest = deadline.map_or(Duration::MAX, |deadline| deadline - Instant::now());
    match question.look(rest.min(DESTRUCTOR_TIME))? {
        0 if rest > DESTRUCTOR_TIME => {
            question.restore();
            Err(Errno::CANCELED)
        }
        answer => Ok(answer),
    }
}

/// The direction, if there is no more to it than that. Bands come with the plain event, in all that the kernel
/// itself makes.
fn plain(events: u32) -> Option<Interest> {
    const READ: i16 = libc::POLLIN | libc::POLLRDNORM;
    const WRITE: i16 = libc::POLLOUT | libc::POLLWRNORM;
    let only = |plain: i16, band: i16| {
        events & plain as u32 != 0 && events & !(plain | band) as u16 as u32 == 0
    };
    if only(READ, libc::POLLRDBAND) {
        Some(Interest::Read)
    } else if only(WRITE, libc::POLLWRBAND) {
        Some(Interest::Write)
    } else {
        None
    }
}

/// Each fd once, with all that is asked about it.
fn merged(mut members: Vec<Member>) -> Vec<Member> {
    members.retain(|member| member.fd >= 0);
    members.sort_unstable();
    members.dedup_by(|next, member| {
        let is_same = next.fd == member.fd;
        if is_same {
            member.events |= next.events;
        }
        is_same
    });
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(fd: RawFd, events: i16) -> Member {
        Member { fd, events: events as u32 }
    }

    #[test]
    fn an_fd_that_stands_there_twice_is_one_member_with_all_events() {
        let members = vec![
            member(7, libc::POLLOUT),
            member(-1, libc::POLLIN),
            member(5, libc::POLLPRI),
            member(7, libc::POLLIN),
        ];
        let expected = [member(5, libc::POLLPRI), member(7, libc::POLLIN | libc::POLLOUT)];
        assert_eq!(merged(members), expected);
    }

    #[test]
    fn only_one_direction_and_nothing_else_is_plain() {
        let cases = [
            (libc::POLLIN, Some(Interest::Read)),
            (libc::POLLRDNORM, Some(Interest::Read)),
            (libc::POLLIN | libc::POLLRDBAND, Some(Interest::Read)),
            (libc::POLLOUT | libc::POLLWRNORM, Some(Interest::Write)),
            (libc::POLLIN | libc::POLLOUT, None),
            (libc::POLLIN | libc::POLLPRI, None),
            (libc::POLLIN | libc::POLLRDHUP, None),
            (libc::POLLRDBAND, None),
            (0, None),
        ];
        for (events, interest) in cases {
            assert_eq!(plain(events as u32), interest, "{events:#x}");
        }
    }
}
