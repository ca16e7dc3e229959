//! libc's functions as safe ones, for numbers of fds and for places in memory, good and bad.
//!
//! Knows nothing of who asks, nor of what stands in front of libc.
//!
//! # Safety
//!
//! Each function reads and writes what its wrapper lends it, and for a bad place the kernel answers with an
//! error; wrappers give bad places only where libc itself does not look. The signal handler adds to an
//! atomic number.

#![allow(unsafe_code)]

use std::{
    io,
    mem::{MaybeUninit, zeroed},
    os::fd::RawFd,
    ptr,
    sync::atomic::{AtomicI32, AtomicU8, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use libc::{c_int, epoll_event, fd_set, nfds_t, pollfd, sigset_t, timespec, timeval};

unsafe extern "C" {
    fn __poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int;
    fn __poll_chk(fds: *mut pollfd, count: nfds_t, timeout: c_int, bytes: usize) -> c_int;
    fn __ppoll_chk(
        fds: *mut pollfd,
        count: nfds_t,
        time: *const timespec,
        mask: *const sigset_t,
        bytes: usize,
    ) -> c_int;
    fn __select(
        count: c_int,
        read: *mut fd_set,
        write: *mut fd_set,
        except: *mut fd_set,
        timeout: *mut timeval,
    ) -> c_int;
    fn epoll_pwait2(
        set: c_int,
        events: *mut epoll_event,
        most: c_int,
        time: *const timespec,
        mask: *const sigset_t,
    ) -> c_int;
}

/// What a call answers: a number, or the errno of a failure.
pub(crate) type Answer = Result<c_int, c_int>;

/// `errno` must be left alone by whatever goes well.
fn answer(call: impl FnOnce() -> c_int) -> Answer {
    const UNTOUCHED: c_int = 4321;
    // SAFETY: this OS thread's own errno.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as above, and the caller stays on its OS thread.
    unsafe { *place = UNTOUCHED };
    let answer = call();
    // SAFETY: as above.
    let errno = unsafe { *place };
    if answer == -1 {
        return Err(errno);
    }
    assert_eq!(errno, UNTOUCHED, "errno is left alone by success");
    Ok(answer)
}

/// Where an argument may lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Nowhere {
    Null,
    /// A page of which the kernel may not read.
    Unreadable,
    /// A page to which the kernel may not write.
    Readonly,
}

impl Nowhere {
    /// Stays for as long as the process: a page for each call.
    fn place<T>(self) -> *mut T {
        let protection = match self {
            Nowhere::Null => return ptr::null_mut(),
            Nowhere::Unreadable => libc::PROT_NONE,
            Nowhere::Readonly => libc::PROT_READ,
        };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a page of its own that nobody else knows.
        let page = unsafe { libc::mmap(ptr::null_mut(), 4096, protection, flags, -1, 0) };
        assert_ne!(page, libc::MAP_FAILED);
        page.cast()
    }
}

/// By which function of libc's a question is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Poll,
    UnderscorePoll,
    PollChk,
    Ppoll,
    PpollChk,
}

pub(crate) const ALL_POLLS: [By; 5] =
    [By::Poll, By::UnderscorePoll, By::PollChk, By::Ppoll, By::PpollChk];

/// Asks about fds and events; returns what came back of each.
pub(crate) fn poll(by: By, asks: &[(RawFd, i16)], ms: c_int) -> (Answer, Vec<i16>) {
    let mut fds: Vec<pollfd> =
        asks.iter().map(|&(fd, events)| pollfd { fd, events, revents: 0x55 }).collect();
    let (first, count) = (fds.as_mut_ptr(), fds.len() as nfds_t);
    let bytes = size_of_val(fds.as_slice());
    let time = timespec_of(u64::try_from(ms).unwrap_or(0));
    let time = if ms < 0 { ptr::null() } else { &raw const time };
    let none = ptr::null();
    // SAFETY: the array is ours and so long.
    let answer = answer(|| unsafe {
        match by {
            By::Poll => libc::poll(first, count, ms),
            By::UnderscorePoll => __poll(first, count, ms),
            By::PollChk => __poll_chk(first, count, ms, bytes),
            By::Ppoll => libc::ppoll(first, count, time, none),
            By::PpollChk => __ppoll_chk(first, count, time, none, bytes),
        }
    });
    (answer, fds.iter().map(|fd| fd.revents).collect())
}

pub(crate) fn poll_nowhere(place: Nowhere, count: u64, ms: c_int) -> Answer {
    let place = place.place();
    // SAFETY: libc passes the array on to the kernel.
    answer(|| unsafe { libc::poll(place, count, ms) })
}

/// With a time as it stands, and a mask if there is one.
pub(crate) fn ppoll(fd: RawFd, time: Option<(i64, i64)>, mask: Option<&[c_int]>) -> Answer {
    let mut fd = pollfd { fd, events: libc::POLLIN, revents: 0 };
    let time = time.map(|(tv_sec, tv_nsec)| timespec { tv_sec, tv_nsec });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mask = mask.map(signals);
    let mask = mask.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: one fd, a time and a mask, which are ours.
    answer(|| unsafe { libc::ppoll(&mut fd, 1, time, mask) })
}

pub(crate) fn ppoll_with_mask_nowhere(fd: RawFd) -> Answer {
    let mut fd = pollfd { fd, events: libc::POLLIN, revents: 0 };
    let (time, mask) = (timespec_of(50), Nowhere::Unreadable.place());
    // SAFETY: libc passes the mask on to the kernel.
    answer(|| unsafe { libc::ppoll(&mut fd, 1, &time, mask) })
}

fn timespec_of(ms: u64) -> timespec {
    let time = Duration::from_millis(ms);
    timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() }
}

/// Three sets, for what can be read, written, and for what is exceptional.
pub(crate) type Sets = [Vec<RawFd>; 3];

/// So long are sets here: as one of libc's, or twice that.
pub(crate) const USUAL: usize = 128;
pub(crate) const DOUBLE: usize = 256;

pub(crate) struct Selected {
    pub(crate) answer: Answer,
    pub(crate) sets: Sets,
    /// What is left of the time, if there was one.
    pub(crate) rest: Option<(i64, i64)>,
}

/// A set that is empty is given as null.
pub(crate) fn select(
    count: c_int,
    sets: &Sets,
    time: Option<(i64, i64)>,
    bytes: usize,
    by_alias: bool,
) -> Selected {
    let mut bits = sets.each_ref().map(|set| bits_of(set, bytes));
    let places = bits.each_mut().map(|bits| match bits.iter().any(|&byte| byte != 0) {
        true => bits.as_mut_ptr().cast::<fd_set>(),
        false => ptr::null_mut(),
    });
    let mut time = time.map(|(tv_sec, tv_usec)| timeval { tv_sec, tv_usec });
    let timeout = time.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let select = if by_alias { __select } else { libc::select };
    // SAFETY: sets and time are ours; beyond their length there is no fd.
    let answer = answer(|| unsafe { select(count, places[0], places[1], places[2], timeout) });
    let rest = time.map(|rest| (rest.tv_sec, rest.tv_usec));
    Selected { answer, sets: bits.map(|bits| numbers_in(&bits)), rest }
}

/// The same set for reading and writing.
pub(crate) fn select_one_set_twice(count: c_int, set: &[RawFd], ms: u64) -> (Answer, Vec<RawFd>) {
    let mut bits = bits_of(set, USUAL);
    let place = bits.as_mut_ptr().cast::<fd_set>();
    let mut time = timeval { tv_sec: 0, tv_usec: ms as i64 * 1000 };
    // SAFETY: set and time are ours.
    let answer =
        answer(|| unsafe { libc::select(count, place, place, ptr::null_mut(), &mut time) });
    (answer, numbers_in(&bits))
}

/// Waits until the fd is exceptional, with a set that begins where the room does, and says that it is as long as
/// can be.
pub(crate) fn select_in_room(room: &'static [AtomicU8], fd: RawFd, ms: u64) -> Answer {
    room[fd as usize / 8].store(1 << (fd % 8), Ordering::Relaxed);
    let place = room.as_ptr().cast_mut().cast::<fd_set>();
    let mut time = timeval { tv_sec: 0, tv_usec: ms as i64 * 1000 };
    let none = ptr::null_mut();
    // SAFETY: the kernel's table of fds ends before the room does, and so does what it reads and writes.
    answer(|| unsafe { libc::select(c_int::MAX, none, none, place, &mut time) })
}

pub(crate) fn select_nowhere(place: Nowhere, count: c_int) -> Answer {
    let place = place.place();
    let mut time = timeval { tv_sec: 0, tv_usec: 50_000 };
    let none = ptr::null_mut();
    // SAFETY: libc passes the set on to the kernel.
    answer(|| unsafe { libc::select(count, place, none, none, &mut time) })
}

/// Waits for reading. Returns the time as it stands afterwards, too.
pub(crate) fn pselect(
    fd: RawFd,
    time: Option<(i64, i64)>,
    mask: Option<&[c_int]>,
) -> (Answer, Option<(i64, i64)>) {
    let mut bits = bits_of(&[fd], USUAL);
    let place = bits.as_mut_ptr().cast::<fd_set>();
    let time = time.map(|(tv_sec, tv_nsec)| timespec { tv_sec, tv_nsec });
    let at = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mask = mask.map(signals);
    let mask = mask.as_ref().map_or(ptr::null(), ptr::from_ref);
    let none = ptr::null_mut();
    // SAFETY: set, time and mask are ours.
    let answer = answer(|| unsafe { libc::pselect(fd + 1, place, none, none, at, mask) });
    (answer, time.map(|time| (time.tv_sec, time.tv_nsec)))
}

fn bits_of(set: &[RawFd], bytes: usize) -> Vec<u8> {
    let mut bits = vec![0; bytes];
    for &fd in set {
        bits[fd as usize / 8] |= 1 << (fd % 8);
    }
    bits
}

fn numbers_in(bits: &[u8]) -> Vec<RawFd> {
    let fds = 0..bits.len() as RawFd * 8;
    fds.filter(|&fd| bits[fd as usize / 8] & (1 << (fd % 8)) != 0).collect()
}

pub(crate) fn new_set() -> RawFd {
    // SAFETY: makes an fd.
    let set = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    assert!(set >= 0);
    set
}

pub(crate) fn watch(set: RawFd, fd: RawFd, events: c_int, data: u64) {
    assert!(try_watch(set, fd, events, data), "{}", io::Error::last_os_error());
}

pub(crate) fn try_watch(set: RawFd, fd: RawFd, events: c_int, data: u64) -> bool {
    let mut event = epoll_event { events: events as u32, u64: data };
    // SAFETY: reads an event that is ours.
    unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &mut event) == 0 }
}

/// What an epoll set reported: events and data.
pub(crate) type Reports = Vec<(u32, u64)>;

/// Room for so many events is lent.
const ROOM: usize = 8;

/// By `epoll_wait`, or with a mask by `epoll_pwait`.
pub(crate) fn epoll(
    set: RawFd,
    most: c_int,
    ms: c_int,
    mask: Option<&[c_int]>,
) -> (Answer, Reports) {
    let mut room = [epoll_event { events: 0, u64: 0 }; ROOM];
    let place = room.as_mut_ptr();
    assert!(most <= ROOM as c_int);
    let mask = mask.map(signals);
    // SAFETY: there is room for so many, and the mask is ours.
    let answer = answer(|| unsafe {
        match &mask {
            Some(mask) => libc::epoll_pwait(set, place, most, ms, mask),
            None => libc::epoll_wait(set, place, most, ms),
        }
    });
    (answer, reports(&room, answer))
}

pub(crate) fn epoll_by_time(
    set: RawFd,
    time: Option<(i64, i64)>,
    mask: Option<&[c_int]>,
) -> (Answer, Reports) {
    let mut room = [epoll_event { events: 0, u64: 0 }; ROOM];
    let time = time.map(|(tv_sec, tv_nsec)| timespec { tv_sec, tv_nsec });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mask = mask.map(signals);
    let mask = mask.as_ref().map_or(ptr::null(), ptr::from_ref);
    let place = room.as_mut_ptr();
    // SAFETY: there is room for so many; time and mask are ours.
    let answer = answer(|| unsafe { epoll_pwait2(set, place, ROOM as c_int, time, mask) });
    (answer, reports(&room, answer))
}

pub(crate) fn epoll_by_time_nowhere(set: RawFd, place: Nowhere) -> Answer {
    let mut room = [epoll_event { events: 0, u64: 0 }; ROOM];
    let (events, time, none) = (room.as_mut_ptr(), place.place(), ptr::null());
    // SAFETY: libc passes the time on to the kernel.
    answer(|| unsafe { epoll_pwait2(set, events, ROOM as c_int, time, none) })
}

pub(crate) fn epoll_nowhere(set: RawFd, place: Nowhere, ms: c_int) -> Answer {
    let place = place.place();
    // SAFETY: libc passes the place on to the kernel.
    answer(|| unsafe { libc::epoll_wait(set, place, ROOM as c_int, ms) })
}

fn reports(room: &[epoll_event], answer: Answer) -> Reports {
    let count = answer.unwrap_or(0) as usize;
    room[..count].iter().map(|event| (event.events, event.u64)).collect()
}

pub(crate) fn close(fd: RawFd) -> Answer {
    // SAFETY: a number that the case has taken out of its owner.
    answer(|| unsafe { libc::close(fd) })
}

/// By a system call, of which nobody is told.
pub(crate) fn close_silently(fd: RawFd) {
    // SAFETY: a number that is given up here.
    unsafe { rustix::io::close(fd) };
}

pub(crate) fn dup_onto(fd: RawFd, number: RawFd) -> Answer {
    // SAFETY: as for `close`.
    answer(|| unsafe { libc::dup2(fd, number) })
}

/// Numbers from here on are given out to one case each, so that none means another file once it is
/// closed: tests run at the same time. They do not fit into a set of libc's.
static OWN_NUMBERS: AtomicI32 = AtomicI32::new(1500);

pub(crate) fn dup_to_own_number(fd: RawFd) -> RawFd {
    let number = OWN_NUMBERS.fetch_add(1, Ordering::Relaxed);
    assert!(number < DOUBLE as RawFd * 8, "it fits into the larger sets");
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes and reads a limit of ours; then makes an fd.
    let made = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, number)
    };
    assert_eq!(made, number, "{}", io::Error::last_os_error());
    number
}

/// A byte that overtakes the others.
pub(crate) fn send_urgent(fd: RawFd) {
    // SAFETY: reads one byte.
    let sent = unsafe { libc::send(fd, b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
    assert_eq!(sent, 1);
}

// Signals.

/// How often the handler ran.
pub(crate) static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_signal(_: c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// What becomes of a signal.
pub(crate) fn on_signal(signal: c_int, is_counted: bool) {
    let handler = if is_counted { count_signal as *const () as usize } else { libc::SIG_IGN };
    // SAFETY: the handler only adds to an atomic number.
    let before = unsafe { libc::signal(signal, handler) };
    assert_ne!(before, libc::SIG_ERR);
}

fn signals(numbers: &[c_int]) -> sigset_t {
    // SAFETY: fills the set, which may be zeroes before.
    unsafe {
        let mut set = zeroed();
        libc::sigemptyset(&mut set);
        for &number in numbers {
            libc::sigaddset(&mut set, number);
        }
        set
    }
}

/// Blocks signals on this OS thread.
pub(crate) fn block(numbers: &[c_int]) {
    // SAFETY: reads a mask of ours.
    let done =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &signals(numbers), ptr::null_mut()) };
    assert_eq!(done, 0);
}

pub(crate) fn is_blocked(number: c_int) -> bool {
    let mut mask = MaybeUninit::uninit();
    // SAFETY: writes the mask in force, then reads it.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), mask.as_mut_ptr());
        libc::sigismember(mask.as_ptr(), number) == 1
    }
}

pub(crate) fn is_pending(number: c_int) -> bool {
    let mut pending = MaybeUninit::uninit();
    // SAFETY: writes the pending signals, then reads them.
    unsafe {
        libc::sigpending(pending.as_mut_ptr());
        libc::sigismember(pending.as_ptr(), number) == 1
    }
}

/// An OS thread to which signals can be sent, from any.
#[derive(Clone, Copy)]
pub(crate) struct Target(libc::pthread_t);

impl Target {
    pub(crate) fn this_os_thread() -> Target {
        // SAFETY: has no conditions.
        Target(unsafe { libc::pthread_self() })
    }

    /// The target has to be alive.
    pub(crate) fn send(self, signal: c_int) {
        // SAFETY: the case that is sent to joins whoever sends.
        let done = unsafe { libc::pthread_kill(self.0, signal) };
        assert_eq!(done, 0);
    }
}

/// How long this OS thread has kept its processor busy.
pub(crate) fn cpu_time() -> Duration {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes a time of ours.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(done, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// From now on this OS thread may not read the memory of processes, as in some sandboxes.
pub(crate) fn forbid_process_vm_readv() {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let jump = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let end = (libc::BPF_RET | libc::BPF_K) as u16;
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    let number = libc::SYS_process_vm_readv as u32;
    let mut steps = [
        libc::sock_filter { code: load, jt: 0, jf: 0, k: 0 },
        libc::sock_filter { code: jump, jt: 0, jf: 1, k: number },
        libc::sock_filter { code: end, jt: 0, jf: 0, k: refuse },
        libc::sock_filter { code: end, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: both only read their arguments, which outlive the calls.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
    };
    assert!(done, "the kernel takes the filter: {}", io::Error::last_os_error());
}

/// Does something from another OS thread, a moment from now. Joined when this is dropped.
pub(crate) struct Later(Option<thread::JoinHandle<()>>);

pub(crate) fn later(f: impl FnOnce() + Send + 'static) -> Later {
    Later(Some(thread::spawn(move || {
        thread::sleep(Duration::from_millis(15));
        f();
    })))
}

impl Drop for Later {
    fn drop(&mut self) {
        let ended = self.0.take().map(thread::JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "what was to be done later is done");
        }
    }
}
