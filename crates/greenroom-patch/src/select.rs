//! `select` and its kind.
//!
//! The kernel answers where the question stood. So the question is kept, and set back after each
//! answer that tells nothing: whatever ends the call otherwise finds the caller's sets as they were.
//!
//! # Safety
//!
//! A set is as long as the number of fds says that the caller gives. But the kernel goes no further than the
//! process's table of fds, so callers that give a large number have sets that end there, and beyond lies what others
//! own: what is read and written here ends there as well. Sets are read by the kernel, since they may be nowhere, and
//! written when it has written there before. Times are read and written as libc's own function does.

#![allow(unsafe_code)]

use std::{ffi::c_int, mem::size_of, ptr, time::Duration};

use greenroom::{Instant, foreign::Here};
use libc::{fd_set, sigset_t, timespec, timeval};

use crate::{
    file,
    hook::Green,
    mask::{MASK_BYTES, Mask},
    memory::copy_words,
    multiplex::{Question, only_look, until_answered},
    poll::timespec_of,
    raw::{Errno, Result},
    set::Member,
    sleep::duration,
};

hooks! {
    fn select(
        count: c_int,
        read: *mut fd_set,
        write: *mut fd_set,
        except: *mut fd_set,
        timeout: *mut timeval,
    ) -> c_int {
        green(here) { select_for(here, count, [read, write, except], timeout) }
        else select_in_kernel(count, [read, write, except], timeout)
    }

    fn __select(
        count: c_int,
        read: *mut fd_set,
        write: *mut fd_set,
        except: *mut fd_set,
        timeout: *mut timeval,
    ) -> c_int {
        green(here) { select_for(here, count, [read, write, except], timeout) }
        else select_in_kernel(count, [read, write, except], timeout)
    }

    fn pselect(
        count: c_int,
        read: *mut fd_set,
        write: *mut fd_set,
        except: *mut fd_set,
        time: *const timespec,
        mask: *const sigset_t,
    ) -> c_int {
        green(here) { select_by_time(here, count, [read, write, except], time, mask) }
        else {
            // SAFETY: null, or a time. The kernel writes to the copy.
            let mut time = (!time.is_null()).then(|| unsafe { *time });
            let time = time.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
            pselect_in_kernel(count, [read, write, except], time, mask)
        }
    }
}

/// What each of the three sets asks about; the kernel counts hang-ups and errors besides, as epoll
/// reports them unasked.
const EVENTS: [i16; 3] = [
    libc::POLLIN | libc::POLLRDNORM | libc::POLLRDBAND,
    libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND,
    libc::POLLPRI,
];

/// Fds in a word of a set.
const WORD_FDS: usize = u64::BITS as usize;

/// A set of libc's own type has room for so many, so a caller that gives no larger number has sets as long as
/// the number says.
const USUAL_FDS: usize = size_of::<fd_set>() * 8;

/// Numbers from here on are not looked at. The kernel gives out none unless its `fs.nr_open` is raised.
const FDS_MAX: usize = 1 << 20;

struct Select {
    count: c_int,
    sets: [*mut fd_set; 3],
    /// The sets as they were, as far as they can be read.
    question: [Vec<u64>; 3],
    mask: Mask,
}

impl Select {
    unsafe fn new(count: c_int, sets: [*mut fd_set; 3], mask: Mask) -> Select {
        // Less than none is for the kernel to refuse.
        let count = if count > USUAL_FDS as c_int { within_table(count) } else { count };
        let words = usize::try_from(count).unwrap_or(0).div_ceil(WORD_FDS);
        let question = sets.map(|set| {
            if set.is_null() {
                return Vec::new();
            }
            let mut question = vec![0; words];
            // SAFETY: libc's caller answers for the set.
            let there = unsafe { copy_words(set.cast(), &mut question) };
            question.truncate(there);
            question
        });
        Select { count, sets, question, mask }
    }
}

impl Question for Select {
    fn look(&mut self, time: Duration) -> Result {
        let mut time = timespec_of(time);
        // SAFETY: libc's caller answers for the sets and the mask.
        unsafe { pselect_in_kernel(self.count, self.sets, &raw mut time, self.mask.0) }
    }

    fn members(&self) -> Vec<Member> {
        let mut members = Vec::new();
        for (question, events) in self.question.iter().zip(EVENTS) {
            for (n, &word) in question.iter().enumerate() {
                let mut rest = word;
                while rest != 0 {
                    let fd = (n * WORD_FDS) as c_int + rest.trailing_zeros() as c_int;
                    if fd < self.count {
                        members.push(Member { fd, events: events as u32 });
                    }
                    rest &= rest - 1;
                }
            }
        }
        members
    }

    fn restore(&mut self) {
        for (set, question) in self.sets.into_iter().zip(&self.question) {
            let words = set.cast::<u64>();
            for (n, &word) in question.iter().enumerate() {
                // SAFETY: it lies in the caller's set, where the kernel has just written.
                unsafe {
                    let place = words.add(n);
                    if place.read_unaligned() != word {
                        place.write_unaligned(word);
                    }
                }
            }
        }
    }

    fn is_masked(&self) -> bool {
        !self.mask.is_none()
    }

    fn signals(&self) -> u64 {
        // SAFETY: a look was answered, so the kernel has read the mask.
        unsafe { self.mask.admits() }
    }
}

unsafe fn select_for(
    here: Here,
    count: c_int,
    sets: [*mut fd_set; 3],
    timeout: *mut timeval,
) -> Green {
    // SAFETY: null, or a time.
    let deadline = match unsafe { time_of(timeout) } {
        None => None,
        Some(Ok(Duration::ZERO)) => {
            // SAFETY: the caller answers for the sets.
            return unsafe { select_at_once(here, count, sets, Mask::NONE) };
        }
        // What is no time is for libc's own to refuse.
        Some(Err(_)) => return Green::Pass,
        Some(Ok(time)) => Some(Instant::now() + time),
    };
    // SAFETY: the caller answers for the sets.
    let mut question = unsafe { Select::new(count, sets, Mask::NONE) };
    let green = until_answered(here, &mut question, deadline);
    if let (Green::Done(_), Some(deadline)) = (&green, deadline) {
        // SAFETY: not null, or there were no deadline.
        unsafe { write_rest(timeout, deadline - Instant::now()) };
    }
    green
}

unsafe fn select_by_time(
    here: Here,
    count: c_int,
    sets: [*mut fd_set; 3],
    time: *const timespec,
    mask: *const sigset_t,
) -> Green {
    let deadline = match (!time.is_null()).then(|| duration(time)) {
        None => None,
        Some(Ok(Duration::ZERO)) => {
            // SAFETY: the caller answers for the sets and the mask.
            return unsafe { select_at_once(here, count, sets, Mask(mask)) };
        }
        Some(Err(_)) => return Green::Pass,
        Some(Ok(time)) => Some(Instant::now() + time),
    };
    // SAFETY: the caller answers for the sets and the mask.
    let mut question = unsafe { Select::new(count, sets, Mask(mask)) };
    until_answered(here, &mut question, deadline)
}

/// There is no time to wait.
unsafe fn select_at_once(here: Here, count: c_int, sets: [*mut fd_set; 3], mask: Mask) -> Green {
    if !here.must_give_way() {
        here.count_call();
        return Green::Pass;
    }
    // SAFETY: the caller answers for the sets and the mask.
    only_look(here, &mut unsafe { Select::new(count, sets, mask) })
}

unsafe fn select_in_kernel(count: c_int, sets: [*mut fd_set; 3], timeout: *mut timeval) -> Result {
    // SAFETY: null, or a time.
    let mut time = unsafe { time_of(timeout) }.transpose()?.map(timespec_of);
    let rest = time.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: the caller answers for the sets; the time is ours.
    let found = unsafe { pselect_in_kernel(count, sets, rest, ptr::null()) };
    if let Some(rest) = time {
        let rest = Duration::new(rest.tv_sec.unsigned_abs(), rest.tv_nsec as u32);
        // SAFETY: not null, or there were no time.
        unsafe { write_rest(timeout, rest) };
    }
    found
}

unsafe fn pselect_in_kernel(
    count: c_int,
    [read, write, except]: [*mut fd_set; 3],
    time: *mut timespec,
    mask: *const sigset_t,
) -> Result {
    let mask = [mask.expose_provenance(), MASK_BYTES];
    // SAFETY: the caller answers for all of it.
    unsafe { syscall!(SYS_pselect6, count, read, write, except, time, mask.as_ptr()) }
}

/// A time as `select` takes it: microseconds may be more than a second's.
unsafe fn time_of(timeout: *const timeval) -> Option<Result<Duration>> {
    if timeout.is_null() {
        return None;
    }
    // SAFETY: not null, and libc's caller passes a time to be read.
    let time = unsafe { *timeout };
    let parts = (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec));
    let (Ok(seconds), Ok(micros)) = parts else { return Some(Err(Errno::INVAL)) };
    Some(Ok(Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros))))
}

/// Linux tells how much time was left, whatever else the answer is.
unsafe fn write_rest(timeout: *mut timeval, rest: Duration) {
    let rest = timeval {
        tv_sec: i64::try_from(rest.as_secs()).unwrap_or(i64::MAX),
        tv_usec: rest.subsec_micros().into(),
    };
    // SAFETY: the caller's own time, which it has lent to be written.
    unsafe { timeout.write(rest) };
}

/// The number of fds, but not more than the process's table has room for.
///
/// Of a number in the table that is not open the kernel says so, and one beyond it ignores. By that the end
/// is found, in some twenty questions.
fn within_table(count: c_int) -> c_int {
    let mut set = vec![0; (count as usize).min(FDS_MAX).div_ceil(WORD_FDS)];
    let (mut inside, mut outside) = (0, set.len());
    while inside < outside {
        let middle = usize::midpoint(inside, outside);
        if is_in_table(&mut set, middle) {
            inside = middle + 1;
        } else {
            outside = middle;
        }
    }
    count.min((inside * WORD_FDS) as c_int)
}

/// Whether the last number of this word of a set is in the table. The set is empty before and after.
fn is_in_table(set: &mut [u64], word: usize) -> bool {
    let count = ((word + 1) * WORD_FDS) as c_int;
    if file::is_open(count - 1) {
        return true;
    }
    set[word] = 1 << (WORD_FDS - 1);
    let sets = [set.as_mut_ptr().cast(), ptr::null_mut(), ptr::null_mut()];
    let mut at_once = timespec_of(Duration::ZERO);
    // SAFETY: the set is ours, and as long as the number says.
    let asked = unsafe { pselect_in_kernel(count, sets, &raw mut at_once, ptr::null()) };
    set[word] = 0;
    asked == Err(Errno::BADF)
}

const _: () = assert!(USUAL_FDS <= FDS_MAX, "a usual set is looked at to its end");
