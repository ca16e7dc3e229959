//! Where another OS thread is right now: its return addresses, asked for by a signal.
//!
//! Knows signals and stacks; knows nothing of how long anyone has been running.
//!
//! # Safety
//!
//! The handler of `SIGURG` runs in the middle of any code of the asked OS thread. It takes no lock
//! and allocates nothing: it walks the stack with the platform's unwinder, which since glibc 2.35
//! finds its tables without a lock, and writes what it finds into atomics that are made at compile
//! time. It leaves `errno` as it was. `SIGURG` is ignored by default and sent by the kernel only
//! for out-of-band data that was asked for, so a program hardly uses it; a handler that was
//! there before is called for signals that are not ours.

#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    mem, ptr,
    sync::{
        Once, OnceLock,
        atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
};

use greenroom_fiber::Fiber;

use crate::{hub::local::existing, thread::Control};

/// Frames kept at most, innermost first.
const FRAMES_MAX: usize = 96;
/// Bytes of a name kept at most.
const NAME_MAX: usize = 64;

/// What an OS thread was doing when it was asked.
#[derive(Debug)]
pub(super) struct Sample {
    /// Return addresses, innermost first.
    pub(super) frames: Vec<usize>,
    /// The green thread that ran; `None` if it was none.
    pub(super) thread: Option<(u64, Option<String>)>,
    /// It was the root, and not in the loop.
    pub(super) is_root: bool,
    /// The pulse of its hub; `None` if it has no hub any more.
    pub(super) moves: Option<u64>,
}

static FRAMES: [AtomicUsize; FRAMES_MAX] = [const { AtomicUsize::new(0) }; FRAMES_MAX];
static FRAMES_LEN: AtomicUsize = AtomicUsize::new(0);
static NAME: [AtomicU8; NAME_MAX] = [const { AtomicU8::new(0) }; NAME_MAX];
static NAME_LEN: AtomicUsize = AtomicUsize::new(0);
/// The green thread's id plus one; zero for none.
static ID: AtomicU64 = AtomicU64::new(0);
static IS_ROOT: AtomicBool = AtomicBool::new(false);
/// The pulse plus one; zero for none.
static MOVES: AtomicU64 = AtomicU64::new(0);

/// What becomes of the question: the OS thread that is asked, or one of these.
static QUESTION: AtomicI32 = AtomicI32::new(NONE);
const NONE: i32 = 0;
const BEING_ANSWERED: i32 = -1;
const ANSWERED: i32 = -2;

/// To an OS thread: where it is. One at a time, for there is one place for the answer.
#[derive(Debug)]
pub(super) struct Question {
    tid: i32,
}

/// Asks the OS thread `tid` of this process where it is; `None` if there is no such thread. To be
/// called by one OS thread of a process only.
///
/// # Panics
///
/// If a question is open.
pub(super) fn ask(tid: i32) -> Option<Question> {
    install_handler();
    assert_eq!(QUESTION.load(Ordering::Acquire), NONE, "one question at a time");
    QUESTION.store(tid, Ordering::Release);
    // SAFETY: sends a signal that has a handler; a thread that is gone makes it fail with ESRCH.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGURG) };
    if sent != 0 {
        QUESTION.store(NONE, Ordering::Release);
        return None;
    }
    Some(Question { tid })
}

/// Forgets what was open in the process from which this one was forked.
pub(super) fn forget_parents_question() {
    QUESTION.store(NONE, Ordering::Release);
}

impl Question {
    /// The answer, once it has come.
    ///
    /// # Errors
    ///
    /// The question, as long as it is open. One who is not `patient` takes it back, and has `None`;
    /// but not from somebody who is just answering, whose words are not to mix with the next one's.
    pub(super) fn answer(self, patient: bool) -> Result<Option<Sample>, Question> {
        if QUESTION.load(Ordering::Acquire) == ANSWERED {
            let sample = collect();
            QUESTION.store(NONE, Ordering::Release);
            return Ok(Some(sample));
        }
        if patient {
            return Err(self);
        }
        let taken_back =
            QUESTION.compare_exchange(self.tid, NONE, Ordering::AcqRel, Ordering::Acquire);
        if taken_back.is_ok() { Ok(None) } else { Err(self) }
    }
}

fn collect() -> Sample {
    let frames = FRAMES[..FRAMES_LEN.load(Ordering::Acquire)].iter();
    let name = NAME[..NAME_LEN.load(Ordering::Acquire)].iter();
    let name: Vec<u8> = name.map(|byte| byte.load(Ordering::Relaxed)).collect();
    let thread = ID.load(Ordering::Acquire).checked_sub(1).map(|id| {
        let name = String::from_utf8_lossy(&name).into_owned();
        (id, Some(name).filter(|name| !name.is_empty()))
    });
    let frames = frames.map(|frame| frame.load(Ordering::Relaxed)).collect();
    let is_root = IS_ROOT.load(Ordering::Acquire);
    let moves = MOVES.load(Ordering::Acquire).checked_sub(1);
    Sample { frames, thread, is_root, moves }
}

/// What SIGURG did before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

fn install_handler() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The first walk loads what the unwinder needs, outside of any handler.
        walk();
        // SAFETY: both structs are plain data for which all zeroes is a value; the handler has the
        // signature that SA_SIGINFO asks for, and keeps the rules in the head of this file.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            let mut before: libc::sigaction = mem::zeroed();
            if libc::sigaction(libc::SIGURG, &action, &mut before) == 0 {
                let _ = BEFORE.set(before);
            }
        }
    });
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the address of this thread's errno is always valid.
    let errno = unsafe { *libc::__errno_location() };
    let me = rustix::thread::gettid().as_raw_nonzero().get();
    let begun = QUESTION.compare_exchange(me, BEING_ANSWERED, Ordering::AcqRel, Ordering::Acquire);
    if begun.is_ok() {
        walk();
        note_who_runs();
        QUESTION.store(ANSWERED, Ordering::Release);
    } else {
        call_before(signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn call_before(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(before) = BEFORE.get() else { return };
    if before.sa_sigaction == libc::SIG_DFL || before.sa_sigaction == libc::SIG_IGN {
        return;
    }
    // SAFETY: the kernel gave us this handler as the one installed before, with the flag that
    // tells its signature; the arguments are those of the signal being handled.
    unsafe {
        if before.sa_flags & libc::SA_SIGINFO == 0 {
            let handler: extern "C" fn(c_int) = mem::transmute(before.sa_sigaction);
            handler(signal);
        } else {
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                mem::transmute(before.sa_sigaction);
            handler(signal, info, context);
        }
    }
}

/// Writes the caller's return addresses into `FRAMES`.
fn walk() {
    let mut count = 0;
    // SAFETY: unsynchronized means that only one walk may run at a time: there is one question at
    // a time, and one answer to it.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            FRAMES[count].store(frame.ip() as usize, Ordering::Relaxed);
            count += 1;
            count < FRAMES_MAX && !ptr::eq(frame.ip(), ptr::null())
        });
    }
    FRAMES_LEN.store(count, Ordering::Release);
}

fn note_who_runs() {
    Fiber::<Control>::with_current(|fiber| {
        let name = fiber.and_then(|fiber| fiber.name()).unwrap_or("");
        let len = name.floor_char_boundary(NAME_MAX);
        for (place, byte) in NAME.iter().zip(&name.as_bytes()[..len]) {
            place.store(*byte, Ordering::Relaxed);
        }
        NAME_LEN.store(len, Ordering::Release);
        ID.store(fiber.map_or(0, |fiber| fiber.id() + 1), Ordering::Release);
    });
    let pulse = existing().map(|local| &local.pulse);
    IS_ROOT.store(pulse.is_some_and(|pulse| pulse.is_of_root()), Ordering::Release);
    MOVES.store(pulse.map_or(0, |pulse| pulse.look().moves + 1), Ordering::Release);
}
