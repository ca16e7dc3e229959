//! What happens to the whole process: forks, and signals during a sleep.
//!
//! A program of its own with one OS thread, and without the usual test harness, which has several:
//! after a fork only the forking one is left, and whatever the others held stays held.
//!
//! # Safety
//!
//! The unsafe code forks, leaves a child without running what was registered for the end of the
//! parent, and installs a signal handler. With one OS thread a child is a full copy, so it may do
//! whatever its parent may. The handler only counts, in an atomic.

#![allow(unsafe_code)]
#![allow(missing_docs)]

#[path = "it/fds.rs"]
#[allow(dead_code)]
mod fds;

#[path = "it/stage.rs"]
#[allow(dead_code)]
mod stage;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use fds::pair;
use greenroom_hub::{
    Backend, Clock, Hub, Instant, Interest, ListenError, Outcome, SourceKey, Wake,
};
use rustix::{
    io::Errno,
    process::{
        Pid, Resource, Rlimit, Signal, WaitOptions, getppid, getrlimit, kill_process, setrlimit,
        waitpid,
    },
};
use stage::{Probe, until_asleep};

type Case = (&'static str, fn(Backend));

const CASES: &[Case] = &[
    ("what_was_given_up_is_not_watched", nothing_is_left),
    ("a_child_has_all_waits_but_those_for_other_threads", child_inherits),
    ("whatever_a_child_does_first_its_parent_is_undisturbed", parent_is_undisturbed),
    ("a_child_takes_no_report_from_its_parent", child_takes_no_report),
    ("a_child_that_only_looks_takes_no_report_either", child_only_looks),
    ("what_a_child_has_closed_is_closed_for_its_waiters", child_closes),
    ("a_child_hears_of_its_own_threads", child_has_threads),
    ("a_child_of_a_child_is_a_child", grandchild),
    ("a_hub_dropped_in_a_child_lives_on_in_its_parent", child_drops_hub),
    ("a_hub_made_in_a_child_is_not_taken_for_its_parents", child_makes_hub),
    ("the_fds_of_a_hub_are_nobody_elses_to_wait_for", own_fds_are_refused),
    ("without_fds_no_hub_is_made_and_none_is_changed", out_of_fds),
    ("a_child_without_fds_leaves_its_parents_epoll_set_alone", child_without_fds),
    ("zero_is_the_number_of_an_fd_like_any_other", fd_zero),
    ("a_signal_ends_a_sleep_and_no_wait", signal_during_sleep),
];

/// Plays the cases as the usual harness would, and reports like it.
fn main() {
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in CASES {
        if filter.as_ref().is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        for backend in Backend::ALL {
            let outcome = catch_unwind(|| case(backend));
            println!(
                "test {name} on {backend} ... {}",
                ["FAILED", "ok"][usize::from(outcome.is_ok())]
            );
            *if outcome.is_ok() { &mut passed } else { &mut failed } += 1;
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         0 filtered out"
    );
    std::process::exit(i32::from(failed > 0));
}

/// A hub that misses a call hears it all the same when its longest sleep, a minute, is over.
const SLEPT_THROUGH: Duration = Duration::from_secs(30);

// Children.

/// Runs `child` in a forked child and waits for its end, which must be a good one.
#[track_caller]
fn in_a_child(child: impl FnOnce()) {
    let pid = fork(child);
    assert!(ended_well(pid), "the child failed");
}

fn fork(child: impl FnOnce()) -> Pid {
    // SAFETY: this process has one OS thread, see the head of this file.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no child could be forked");
    if let Some(pid) = Pid::from_raw(pid) {
        return pid;
    }
    let outcome = catch_unwind(AssertUnwindSafe(child));
    // SAFETY: ends the child. The parent's `main` below this frame is not for it to return to.
    unsafe { libc::_exit(i32::from(outcome.is_err())) }
}

fn ended_well(pid: Pid) -> bool {
    let (_, status) =
        waitpid(Some(pid), WaitOptions::empty()).expect("it is our child").expect("it ended");
    status.exit_status() == Some(0)
}

// The scene: a hub with one wait of each kind.

struct Scene {
    hub: Hub<Probe>,
    attached: (UnixStream, UnixStream),
    source: SourceKey,
    foreign: (UnixStream, UnixStream),
    expected: Probe,
}

impl Scene {
    fn new(backend: Backend) -> Scene {
        let mut hub = Hub::new(backend, Clock::monotonic()).expect("the kernel has this backend");
        let (attached, foreign) = (pair(), pair());
        let source = hub.attach(attached.0.as_raw_fd()).unwrap();
        hub.exhaust(source, Interest::Read);
        hub.listen(source, Interest::Read, Probe::new("attached")).unwrap();
        let fd = foreign.0.as_raw_fd();
        hub.listen_fd(fd, Interest::Read, Probe::new("foreign"), false).unwrap();
        hub.arm(Instant::from_nanos(0), Probe::new("timer"));
        let expected = Probe::new("expected");
        hub.expect(expected.clone());
        Scene { hub, attached, source, foreign, expected }
    }

    /// One turn that does not sleep, and who was handed out, in the order of their names.
    fn turn(&mut self) -> Vec<&'static str> {
        self.hub.queue(Probe::new("busy"));
        self.hub.prepare();
        self.wait()
    }

    /// The rest of such a turn.
    fn wait(&mut self) -> Vec<&'static str> {
        self.hub.wait().expect("a look never fails");
        let mut names: Vec<_> = std::iter::from_fn(|| self.hub.pop())
            .map(|probe| probe.name())
            .filter(|&name| name != "busy")
            .collect();
        names.sort_unstable();
        names
    }

    fn send_to_all(&mut self) {
        self.attached.1.write_all(b"x").unwrap();
        self.foreign.1.write_all(b"x").unwrap();
    }

    fn drain_all(&mut self) {
        for socket in [&mut self.attached.0, &mut self.foreign.0] {
            while socket.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        }
    }
}

/// All that this process's epoll sets watch, as the kernel tells it.
fn watched() -> Vec<String> {
    let mut entries = Vec::new();
    for fd in fs::read_dir("/proc/self/fd").unwrap() {
        let fd = fd.unwrap();
        let is_set = fs::read_link(fd.path())
            .is_ok_and(|target| target.as_os_str() == "anon_inode:[eventpoll]");
        if is_set {
            let number = fd.file_name().into_string().unwrap();
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
            let lines = info.lines().filter(|line| line.starts_with("tfd:"));
            entries.extend(lines.map(|line| format!("set {number} {line}")));
        }
    }
    entries.sort();
    entries
}

// The cases.

fn nothing_is_left(backend: Backend) {
    let before = watched().len();
    let mut scene = Scene::new(backend);
    // Duplicates keep files alive, and with them whatever is registered.
    let _kept = (scene.attached.0.try_clone(), scene.foreign.0.try_clone());
    let bell = usize::from(backend == Backend::Epoll);
    assert_eq!(watched().len(), before + 3 * bell);
    scene.hub.detach(scene.source);
    assert_eq!(watched().len(), before + 2 * bell);
    scene.hub.notify_close(scene.foreign.0.as_raw_fd());
    assert_eq!(watched().len(), before + bell);
    drop(scene);
    assert_eq!(watched().len(), before);
}

fn child_inherits(backend: Backend) {
    let mut scene = Scene::new(backend);
    in_a_child(|| {
        assert_eq!(scene.turn(), ["expected", "timer"]);
        assert_eq!(scene.expected.wakes(), [Wake::Orphaned]);
        assert_eq!(scene.hub.stats().expected, 0);
        assert!(scene.turn().is_empty());
        scene.send_to_all();
        assert_eq!(scene.turn(), ["attached", "foreign"]);
        scene.drain_all();
        scene.hub.exhaust(scene.source, Interest::Read);
        scene.hub.listen(scene.source, Interest::Read, Probe::new("again")).unwrap();
        assert!(scene.turn().is_empty());
        scene.send_to_all();
        assert_eq!(scene.turn(), ["again"]);
        scene.drain_all();
    });
    assert_eq!(scene.turn(), ["timer"]);
    assert_eq!(scene.expected.wakes(), [], "in the parent it is expected still");
    scene.send_to_all();
    assert_eq!(scene.turn(), ["attached", "foreign"]);
}

/// What a child may begin with.
type Beginning = fn(&mut Scene);

const BEGINNINGS: &[Beginning] = &[
    |scene| scene.hub.detach(scene.source),
    |scene| {
        scene.hub.notify_close(scene.foreign.0.as_raw_fd());
    },
    |scene| {
        scene.hub.attach(scene.foreign.1.as_raw_fd()).unwrap();
    },
    |scene| {
        let fd = scene.foreign.1.as_raw_fd();
        scene.hub.listen_fd(fd, Interest::Read, Probe::new("child's"), true).unwrap();
    },
    |scene| {
        let fd = scene.foreign.0.as_raw_fd();
        scene.hub.listen_fd(fd, Interest::Write, Probe::new("child's"), false).unwrap();
    },
    |scene| {
        scene.hub.listen(scene.source, Interest::Write, Probe::new("child's")).unwrap();
    },
    |scene| {
        scene.hub.expect(Probe::new("child's"));
    },
    |scene| scene.hub.change_backend(Backend::Epoll).unwrap(),
    |scene| scene.hub.prepare(),
    |scene| scene.hub.look().unwrap(),
    |scene| {
        scene.hub.wait().unwrap();
    },
];

fn parent_is_undisturbed(backend: Backend) {
    for begin in BEGINNINGS {
        let mut scene = Scene::new(backend);
        scene.turn();
        // The next turn will have to ask for the writer anew.
        let passed_over = pair();
        let fd = passed_over.0.as_raw_fd();
        while (&passed_over.0).write(&[0; 4096]).is_ok() {}
        scene.hub.listen_fd(fd, Interest::Read, Probe::new("reader"), false).unwrap();
        scene.hub.listen_fd(fd, Interest::Write, Probe::new("writer"), false).unwrap();
        (&passed_over.1).write_all(b"x").unwrap();
        assert_eq!(scene.turn(), ["reader"]);
        let before = watched();
        assert_eq!(before.is_empty(), backend == Backend::Poll);
        in_a_child(|| {
            begin(&mut scene);
            assert!(scene.turn().contains(&"expected"), "it has noticed that it is a child");
        });
        assert_eq!(watched(), before);
        scene.send_to_all();
        while (&passed_over.1).read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
        assert_eq!(scene.turn(), ["attached", "foreign", "writer"]);
    }
}

fn child_takes_no_report(backend: Backend) {
    let mut scene = Scene::new(backend);
    scene.turn();
    scene.send_to_all();
    scene.hub.queue(Probe::new("busy"));
    scene.hub.prepare();
    // The child goes on in the middle of its parent's turn.
    in_a_child(|| assert_eq!(scene.wait(), ["attached", "expected", "foreign"]));
    assert_eq!(scene.wait(), ["attached", "foreign"]);
}

fn child_only_looks(backend: Backend) {
    let mut scene = Scene::new(backend);
    scene.turn();
    scene.send_to_all();
    in_a_child(|| {
        scene.hub.look().expect("a look never fails");
        assert!(!scene.hub.is_idle());
    });
    assert_eq!(scene.turn(), ["attached", "foreign"]);
}

fn child_closes(backend: Backend) {
    let mut scene = Scene::new(backend);
    scene.turn();
    // The child's hub opens fds of its own, which get the numbers of those that were closed.
    for attached_first in [false, true] {
        in_a_child(|| {
            let unused = (pair(), pair());
            if attached_first {
                scene.attached = unused.0;
                assert_eq!(scene.turn(), ["attached", "expected"]);
                scene.foreign = unused.1;
                scene.turn();
            } else {
                scene.foreign = unused.1;
                assert_eq!(scene.turn(), ["expected", "foreign"]);
                scene.send_to_all();
                assert_eq!(scene.turn(), ["attached"]);
                scene.drain_all();
            }
            hears_its_own_threads(&mut scene.hub);
        });
    }
    in_a_child(|| {
        (scene.attached, scene.foreign) = (pair(), pair());
        assert_eq!(scene.turn(), ["attached", "expected", "foreign"]);
    });
    scene.send_to_all();
    assert_eq!(scene.turn(), ["attached", "foreign"]);
}

fn hears_its_own_threads(hub: &mut Hub<Probe>) {
    let late = Probe::new("late");
    let id = hub.expect(late.clone());
    let mailbox = hub.mailbox();
    let caller = thread::spawn(move || mailbox.wake(id));
    let start = hub.clock().now();
    while late.wakes().is_empty() {
        hub.prepare();
        assert_eq!(hub.wait().expect("a sleep never fails"), Outcome::Continue);
        assert!(hub.clock().now() - start < SLEPT_THROUGH, "the call did not end the sleep");
        hub.extend_turn();
        while hub.pop().is_some() {}
    }
    assert_eq!(late.wakes(), [Wake::Called]);
    caller.join().expect("a call never fails");
}

fn child_has_threads(backend: Backend) {
    let mut scene = Scene::new(backend);
    scene.turn();
    let inherited = scene.hub.mailbox();
    // So that there is a free place among the waits that the child forgets.
    let over = scene.hub.expect(Probe::new("over"));
    scene.hub.unexpect(over);
    in_a_child(|| {
        // The first thing the child does with its hub: even then the mailbox must be its own.
        hears_its_own_threads(&mut scene.hub);
        // Its lock may have been held by a thread that is not here, so nobody looks into it.
        let unheard = Probe::new("unheard");
        let id = scene.hub.expect(unheard.clone());
        inherited.wake(id);
        assert!(scene.turn().is_empty());
        assert!(unheard.is_waiting());
    });
    assert!(scene.turn().is_empty());
    assert_eq!(scene.hub.stats().expected, 1);
}

fn grandchild(backend: Backend) {
    let mut scene = Scene::new(backend);
    scene.turn();
    in_a_child(|| {
        assert_eq!(scene.turn(), ["expected"]);
        let before = watched();
        scene.hub.expect(Probe::new("expected by the child"));
        in_a_child(|| {
            assert_eq!(scene.turn(), ["expected by the child"]);
            scene.hub.detach(scene.source);
            assert_eq!(scene.turn(), ["attached"]);
        });
        assert_eq!(watched(), before);
        scene.send_to_all();
        assert_eq!(scene.turn(), ["attached", "foreign"]);
        scene.drain_all();
    });
    scene.send_to_all();
    assert_eq!(scene.turn(), ["attached", "foreign"]);
}

fn child_drops_hub(backend: Backend) {
    let mut scene = Scene::new(backend);
    scene.turn();
    let before = watched();
    let scene = RefCell::new(Some(scene));
    in_a_child(|| drop(scene.take()));
    let mut scene = scene.into_inner().expect("the child took only its own copy");
    assert_eq!(watched(), before);
    scene.send_to_all();
    assert_eq!(scene.turn(), ["attached", "foreign"]);
}

fn child_makes_hub(backend: Backend) {
    let mut scene = Scene::new(backend);
    scene.turn();
    in_a_child(|| {
        let mut fresh = Scene::new(backend);
        assert_eq!(fresh.turn(), ["timer"]);
        assert_eq!(scene.turn(), ["expected"], "the inherited hub has not noticed before");
        assert!(fresh.turn().is_empty());
        fresh.send_to_all();
        assert_eq!(fresh.turn(), ["attached", "foreign"]);
        assert!(fresh.expected.wakes().is_empty(), "it was not forked");
    });
    scene.send_to_all();
    assert_eq!(scene.turn(), ["attached", "foreign"]);
}

/// The numbers of this process's open files, but for the one by which they are listed.
fn open_fds() -> BTreeSet<RawFd> {
    let listed = fs::read_dir("/proc/self/fd").unwrap().map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.parse().expect("fds are numbers")
    });
    let listed: Vec<RawFd> = listed.collect();
    let is_open = |fd: &RawFd| fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok();
    listed.into_iter().filter(is_open).collect()
}

fn own_fds_are_refused(backend: Backend) {
    let before = open_fds();
    let mut hub = Hub::new(backend, Clock::monotonic()).expect("the kernel has this backend");
    let own: Vec<_> = open_fds().difference(&before).copied().collect();
    assert_eq!(own.len(), if backend == Backend::Epoll { 2 } else { 1 }, "{own:?}");
    for fd in own {
        let refused = hub.listen_fd(fd, Interest::Read, Probe::new("stray"), true);
        assert!(
            matches!(&refused, Err(ListenError::Io(error))
                if error.raw_os_error() == Some(Errno::BADF.raw_os_error())),
            "{refused:?}"
        );
        let error = hub.attach(fd).expect_err("it is the hub's own");
        assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
        assert_eq!(hub.notify_close(fd), 0);
    }
    assert_eq!(hub.stats().listeners, 0);
    hears_its_own_threads(&mut hub);
}

/// Does something while this process may open no file.
fn without_fds(act: impl FnOnce()) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: limit.maximum }).unwrap();
    act();
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn out_of_fds(backend: Backend) {
    let mut scene = Scene::new(backend);
    scene.turn();
    let before = open_fds();
    let (mut made, mut changed) = (None, None);
    without_fds(|| {
        made = Some(Hub::<Probe>::new(backend, Clock::monotonic()));
        changed = Some(scene.hub.change_backend(Backend::Epoll));
    });
    for error in [made.map(Result::err), changed.map(Result::err)] {
        let error = error.flatten().expect("there was no fd for it");
        assert_eq!(error.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
    }
    assert_eq!(open_fds(), before, "what had been made was given back");
    assert_eq!(scene.hub.backend(), backend);
    scene.send_to_all();
    assert_eq!(scene.turn(), ["attached", "foreign"]);
    hears_its_own_threads(&mut scene.hub);
}

fn child_without_fds(backend: Backend) {
    let mut scene = Scene::new(backend);
    scene.turn();
    let before = watched();
    in_a_child(|| {
        std::panic::set_hook(Box::new(|_| ()));
        without_fds(|| {
            for _ in 0..2 {
                // Whoever catches the panic and goes on hears it again.
                catch_unwind(AssertUnwindSafe(|| scene.hub.prepare())).expect_err("no fd is left");
            }
            catch_unwind(AssertUnwindSafe(|| scene.hub.detach(scene.source))).expect_err("nor now");
        });
        assert_eq!(scene.turn(), ["expected"]);
        scene.send_to_all();
        assert_eq!(scene.turn(), ["attached", "foreign"]);
        scene.drain_all();
    });
    assert_eq!(watched(), before);
    scene.send_to_all();
    assert_eq!(scene.turn(), ["attached", "foreign"]);
}

fn fd_zero(backend: Backend) {
    in_a_child(|| {
        let (here, mut there) = pair();
        // SAFETY: nobody in this child has a use for standard input.
        assert_eq!(unsafe { libc::dup2(here.as_raw_fd(), 0) }, 0);
        let mut hub = Hub::new(backend, Clock::monotonic()).expect("the kernel has this backend");
        for attached in [false, true] {
            if attached {
                let source = hub.attach(0).unwrap();
                hub.exhaust(source, Interest::Read);
                hub.listen(source, Interest::Read, Probe::new("zero")).unwrap();
            } else {
                hub.listen_fd(0, Interest::Read, Probe::new("zero"), false).unwrap();
            }
            for other in Backend::ALL {
                hub.change_backend(other).expect("the kernel has this backend");
            }
            there.write_all(b"x").unwrap();
            hub.prepare();
            hub.wait().expect("a sleep never fails");
            assert_eq!(hub.pop().expect("it can be read").name(), "zero");
            assert_eq!((&here).read(&mut [0; 2]).unwrap(), 1);
        }
    });
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_signal: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

fn signal_during_sleep(backend: Backend) {
    let handler = count_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler only counts, in an atomic.
    unsafe { libc::signal(libc::SIGUSR1, handler) };
    let mut scene = Scene::new(backend);
    scene.turn();
    let far = scene.hub.clock().now() + Duration::from_secs(60);
    scene.hub.arm(far, Probe::new("in a minute"));
    let before = SIGNALS.load(Ordering::Relaxed);
    let child = fork(|| {
        let parent = getppid().expect("the parent lives");
        until_asleep(&format!("/proc/{}", parent.as_raw_nonzero()));
        kill_process(parent, Signal::USR1).expect("our parent may be sent signals");
    });
    scene.hub.prepare();
    assert!(scene.hub.is_idle());
    assert_eq!(scene.hub.wait().expect("a signal is no error"), Outcome::Continue);
    assert_eq!(SIGNALS.load(Ordering::Relaxed), before + 1);
    assert!(scene.hub.clock().now() < far, "the sleep ended early");
    assert!(scene.hub.is_idle(), "but no wait has");
    assert!(ended_well(child));
    scene.send_to_all();
    assert_eq!(scene.turn(), ["attached", "foreign"]);
    assert_eq!(scene.hub.stats().timers, 1);
}
