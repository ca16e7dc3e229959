//! One suite for every backend: the contract of `poller`, case by case.
//!
//! Each case is played on a bench, which opens files, makes them ready and closes them: sockets for
//! the real backends, simulated files for the simulated one. Knows pollers and tokens, never a hub.

#[path = "../../tests/it/fds.rs"]
mod fds;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, eventfd},
    io::Errno,
};

use super::{BELL, Backend, Bell, EVENTS_PER_TURN_MAX, Event, Poller, Readiness, Token};
use crate::{
    Clock, Faults, Sim,
    poller::{descriptor, sim::SimPoller},
};

const READ: Readiness = Readiness::READ;
const WRITE: Readiness = Readiness::WRITE;
const READ_CLOSED: Readiness = Readiness::READ_CLOSED;
const BOTH: Readiness = READ.union(WRITE);
const HANG_UP: Readiness = BOTH.union(READ_CLOSED);

/// A poller and the files it is asked about.
struct Bench {
    poller: Poller,
    kernel: Kernel,
}

enum Kernel {
    /// Each file is one end of a socket pair; the other end is the peer, until it hangs up.
    Real(BTreeMap<RawFd, (OwnedFd, Option<UnixStream>)>),
    Simulated(Sim, Clock),
}

impl Bench {
    fn real(backend: Backend) -> Bench {
        let poller = Poller::new(backend).expect("the kernel has this backend");
        Bench { poller, kernel: Kernel::Real(BTreeMap::new()) }
    }

    fn simulated() -> Bench {
        let clock = Clock::manual();
        let sim = Sim::new(clock.clone(), 0, Faults::default());
        let poller = Poller::Sim(SimPoller::new(sim.clone()));
        Bench { poller, kernel: Kernel::Simulated(sim, clock) }
    }

    /// True if the backend keeps files, so that it can tell one from another.
    fn keeps_files(&self) -> bool {
        self.poller.has_edges()
    }

    /// Opens a file that can be written.
    fn open(&mut self) -> RawFd {
        match &mut self.kernel {
            Kernel::Real(files) => {
                let (here, there) = fds::pair();
                let fd = fds::with_own_number(here);
                let number = fd.as_raw_fd();
                files.insert(number, (fd, Some(there)));
                number
            }
            Kernel::Simulated(sim, clock) => {
                let fd = sim.open();
                sim.make_ready(fd, WRITE, clock.now());
                fd
            }
        }
    }

    fn close(&mut self, fd: RawFd) {
        match &mut self.kernel {
            Kernel::Real(files) => drop(files.remove(&fd)),
            Kernel::Simulated(sim, _) => sim.close(fd),
        }
    }

    /// Closes the file and opens another, which can be written, under the same number.
    fn reopen(&mut self, fd: RawFd) {
        match &mut self.kernel {
            Kernel::Real(files) => {
                let (here, there) = fds::pair();
                let (number, peer) = files.get_mut(&fd).expect("only an open file is reopened");
                fds::reopen(number, here);
                *peer = Some(there);
            }
            Kernel::Simulated(sim, clock) => {
                sim.close(fd);
                assert_eq!(sim.open(), fd, "a case reopens its lowest number");
                sim.make_ready(fd, WRITE, clock.now());
            }
        }
    }

    /// Makes a file readable.
    fn send(&mut self, fd: RawFd) {
        match &mut self.kernel {
            Kernel::Real(files) => {
                let peer = files.get_mut(&fd).and_then(|(_, peer)| peer.as_mut());
                peer.expect("who sends has not hung up").write_all(b"x").expect("there is room");
            }
            Kernel::Simulated(sim, clock) => sim.make_ready(fd, READ, clock.now()),
        }
    }

    /// Reads until a read would block.
    fn drain(&mut self, fd: RawFd) {
        match &mut self.kernel {
            Kernel::Real(files) => {
                let mut bytes = [0; 4096];
                while rustix::io::read(&files[&fd].0, &mut bytes).is_ok_and(|count| count > 0) {}
            }
            Kernel::Simulated(sim, _) => drop(sim.take(fd, READ)),
        }
    }

    /// Writes until a write would block.
    fn fill(&mut self, fd: RawFd) {
        match &mut self.kernel {
            Kernel::Real(files) => while rustix::io::write(&files[&fd].0, &[0; 4096]).is_ok() {},
            Kernel::Simulated(sim, _) => drop(sim.take(fd, WRITE)),
        }
    }

    /// Makes a full file writable.
    fn make_room(&mut self, fd: RawFd) {
        match &mut self.kernel {
            Kernel::Real(files) => {
                let peer = files.get_mut(&fd).and_then(|(_, peer)| peer.as_mut());
                let peer = peer.expect("who reads has not hung up");
                let mut bytes = [0; 4096];
                while peer.read(&mut bytes).is_ok_and(|count| count > 0) {}
            }
            Kernel::Simulated(sim, clock) => sim.make_ready(fd, WRITE, clock.now()),
        }
    }

    /// The peer sends no more, but still reads.
    fn end_of_stream(&mut self, fd: RawFd) {
        match &mut self.kernel {
            Kernel::Real(files) => {
                let peer = files[&fd].1.as_ref().expect("the peer ends once");
                peer.shutdown(Shutdown::Write).expect("a connected socket can be shut down");
            }
            Kernel::Simulated(sim, clock) => sim.make_ready(fd, READ_CLOSED, clock.now()),
        }
    }

    /// The peer is gone.
    fn hang_up(&mut self, fd: RawFd) {
        match &mut self.kernel {
            Kernel::Real(files) => {
                files.get_mut(&fd).expect("the file is open").1 = None;
            }
            Kernel::Simulated(sim, clock) => sim.make_ready(fd, HANG_UP, clock.now()),
        }
    }

    fn arm(&mut self, fd: RawFd, token: u64, interest: Readiness, known: bool) {
        self.poller.arm(fd, Token(token), interest, known).expect("an open socket can be armed");
    }

    /// What is reported without waiting.
    #[track_caller]
    fn reports(&mut self) -> Vec<(u64, Readiness)> {
        let mut events = Vec::new();
        self.poller.wait(Some(Duration::ZERO), &mut events).expect("a look never fails");
        events.into_iter().map(|event| (event.token.0, event.readiness)).collect()
    }
}

type Case = (&'static str, fn(&mut Bench));

/// The contract, for every backend.
const CASES: &[Case] = &[
    ("arming counts what is ready at that moment", |bench| {
        let fd = bench.open();
        bench.send(fd);
        bench.arm(fd, 7, READ, false);
        assert_eq!(bench.reports(), [(7, READ)]);
        bench.arm(fd, 8, READ, true);
        assert_eq!(bench.reports(), [(8, READ)], "it was not read, so it is ready still");
    }),
    ("arming counts what becomes ready later", |bench| {
        let fd = bench.open();
        bench.arm(fd, 7, READ, false);
        assert_eq!(bench.reports(), []);
        bench.send(fd);
        assert_eq!(bench.reports(), [(7, READ)]);
    }),
    ("an arm brings one report", |bench| {
        let fd = bench.open();
        bench.arm(fd, 7, READ, false);
        bench.send(fd);
        assert_eq!(bench.reports(), [(7, READ)]);
        assert_eq!(bench.reports(), []);
        bench.send(fd);
        assert_eq!(bench.reports(), []);
    }),
    ("one report disarms both directions", |bench| {
        let fd = bench.open();
        bench.fill(fd);
        bench.arm(fd, 7, BOTH, false);
        bench.send(fd);
        assert_eq!(bench.reports(), [(7, READ)]);
        bench.make_room(fd);
        assert_eq!(bench.reports(), []);
        bench.arm(fd, 7, BOTH, true);
        assert_eq!(bench.reports(), [(7, BOTH)]);
    }),
    ("what was not asked for is not reported", |bench| {
        let fd = bench.open();
        bench.arm(fd, 7, READ, false);
        assert_eq!(bench.reports(), [], "it can be written, but nobody asked");
        bench.send(fd);
        bench.arm(fd, 7, WRITE, true);
        assert_eq!(bench.reports(), [(7, WRITE)], "it can be read, but nobody asks any more");
    }),
    ("the last arm decides on token and directions", |bench| {
        let fd = bench.open();
        bench.send(fd);
        bench.arm(fd, 7, BOTH, false);
        bench.arm(fd, 8, READ, true);
        assert_eq!(bench.reports(), [(8, READ)]);
    }),
    ("files are told apart", |bench| {
        let fds = [bench.open(), bench.open(), bench.open()];
        for (fd, token) in fds.into_iter().zip(0..) {
            bench.arm(fd, token, READ, false);
        }
        bench.send(fds[2]);
        bench.send(fds[0]);
        let mut reports = bench.reports();
        reports.sort_by_key(|report| report.0);
        assert_eq!(reports, [(0, READ), (2, READ)]);
        bench.send(fds[1]);
        assert_eq!(bench.reports(), [(1, READ)]);
    }),
    ("the end of a stream is for readers", |bench| {
        let fd = bench.open();
        bench.fill(fd);
        bench.arm(fd, 7, BOTH, false);
        bench.end_of_stream(fd);
        assert_eq!(bench.reports(), [(7, READ.union(READ_CLOSED))]);
        bench.arm(fd, 7, WRITE, true);
        assert_eq!(bench.reports(), [], "there is no room for a write still");
    }),
    ("a hang-up ends the wait of a reader, in both directions", |bench| {
        let fd = bench.open();
        bench.arm(fd, 7, READ, false);
        bench.hang_up(fd);
        assert_eq!(bench.reports(), [(7, HANG_UP)]);
    }),
    ("a hang-up ends the wait of a writer, in both directions", |bench| {
        let fd = bench.open();
        bench.fill(fd);
        bench.arm(fd, 7, WRITE, false);
        assert_eq!(bench.reports(), []);
        bench.hang_up(fd);
        assert_eq!(bench.reports(), [(7, HANG_UP)]);
    }),
    ("a detached file is not reported, and detaching twice is no error", |bench| {
        let fd = bench.open();
        bench.arm(fd, 7, READ, false);
        bench.poller.detach(fd);
        bench.poller.detach(fd);
        bench.send(fd);
        assert_eq!(bench.reports(), []);
        bench.arm(fd, 8, READ, false);
        assert_eq!(bench.reports(), [(8, READ)]);
    }),
    ("disarming costs at most one stale report", |bench| {
        let fd = bench.open();
        bench.arm(fd, 7, READ, false);
        bench.poller.disarm(fd);
        bench.poller.disarm(fd);
        bench.send(fd);
        let stale = bench.reports();
        assert!(stale.is_empty() || stale == [(7, READ)], "{stale:?}");
        assert_eq!(bench.reports(), []);
    }),
    ("a closed fd is refused or reported as invalid, once", |bench| {
        let fd = bench.open();
        bench.close(fd);
        assert!(!bench.poller.is_open(fd));
        match bench.poller.arm(fd, Token(7), READ, false) {
            Ok(()) => {
                let reports = bench.reports();
                assert_eq!(reports.len(), 1);
                assert!(reports[0].1.contains(Readiness::INVALID.union(BOTH)), "{reports:?}");
            }
            Err(error) => assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error())),
        }
        assert_eq!(bench.reports(), []);
        bench.poller.detach(fd);
    }),
    ("a closed fd cannot be attached", |bench| {
        let fd = bench.open();
        bench.close(fd);
        let error = bench.poller.attach(fd, Token(7)).expect_err("nothing is open there");
        assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
    }),
    ("a number that was reused is not taken for the file it meant", |bench| {
        let fd = bench.open();
        bench.arm(fd, 7, READ, false);
        bench.reopen(fd);
        let outcome = bench.poller.arm(fd, Token(8), READ, true);
        if bench.keeps_files() {
            let error = outcome.expect_err("this file was never armed");
            assert_eq!(error.raw_os_error(), Some(Errno::NOENT.raw_os_error()));
            bench.arm(fd, 8, READ, false);
        }
        bench.send(fd);
        assert_eq!(bench.reports(), [(8, READ)]);
    }),
    ("who is not known may be armed as new, also twice", |bench| {
        let fd = bench.open();
        bench.send(fd);
        bench.arm(fd, 7, READ, false);
        bench.arm(fd, 8, READ, false);
        assert_eq!(bench.reports(), [(8, READ)]);
    }),
];

/// What only backends with edges owe.
const EDGE_CASES: &[Case] = &[
    ("an attached file reports every edge once", |bench| {
        let fd = bench.open();
        bench.poller.attach(fd, Token(7)).expect("an open socket can be attached");
        assert_eq!(bench.reports(), [(7, WRITE)], "what is ready when it is attached counts");
        bench.send(fd);
        let reports = bench.reports();
        assert!(reports.len() == 1 && reports[0].1.contains(READ), "{reports:?}");
        assert_eq!(bench.reports(), []);
        bench.drain(fd);
        assert_eq!(bench.reports(), []);
        bench.send(fd);
        let reports = bench.reports();
        assert!(reports.len() == 1 && reports[0].1.contains(READ), "{reports:?}");
    }),
    ("an attached file reports the end of its stream, and a hang-up", |bench| {
        let fd = bench.open();
        bench.fill(fd);
        bench.poller.attach(fd, Token(7)).expect("an open socket can be attached");
        assert_eq!(bench.reports(), []);
        bench.end_of_stream(fd);
        assert_eq!(bench.reports(), [(7, READ.union(READ_CLOSED))]);
        bench.hang_up(fd);
        assert_eq!(bench.reports(), [(7, HANG_UP)]);
    }),
    ("attaching again what is ready reports it anew", |bench| {
        let fd = bench.open();
        bench.poller.attach(fd, Token(7)).expect("an open socket can be attached");
        bench.send(fd);
        assert_eq!(bench.reports(), [(7, BOTH)]);
        bench.poller.reattach(fd, Token(8)).expect("it is attached");
        assert_eq!(bench.reports(), [(8, BOTH)]);
    }),
    ("a file is attached once, armed or not", |bench| {
        let fd = bench.open();
        bench.arm(fd, 7, READ, false);
        let error = bench.poller.attach(fd, Token(8)).expect_err("the file is known");
        assert_eq!(error.raw_os_error(), Some(Errno::EXIST.raw_os_error()));
        bench.poller.reattach(fd, Token(8)).expect("the file is known");
        assert_eq!(bench.reports(), [(8, WRITE)]);
        bench.send(fd);
        assert_eq!(bench.reports(), [(8, BOTH)]);
        bench.send(fd);
        assert_eq!(bench.reports(), [(8, BOTH)], "from here on it reports edges");
    }),
    ("what was never attached cannot be attached again", |bench| {
        let fd = bench.open();
        let error = bench.poller.reattach(fd, Token(8)).expect_err("the file is not known");
        assert_eq!(error.raw_os_error(), Some(Errno::NOENT.raw_os_error()));
        bench.poller.attach(fd, Token(7)).expect("an open socket can be attached");
        bench.reopen(fd);
        let error = bench.poller.reattach(fd, Token(8)).expect_err("this file is not known");
        assert_eq!(error.raw_os_error(), Some(Errno::NOENT.raw_os_error()));
    }),
    ("a closed file reports nothing more", |bench| {
        let (attached, armed) = (bench.open(), bench.open());
        bench.poller.attach(attached, Token(7)).expect("an open socket can be attached");
        bench.arm(armed, 8, BOTH, false);
        bench.close(attached);
        bench.close(armed);
        assert_eq!(bench.reports(), []);
    }),
];

#[track_caller]
fn play(cases: &[Case], bench: fn() -> Bench) {
    for (name, case) in cases {
        // Shown only if the case fails.
        eprintln!("case: {name}");
        case(&mut bench());
    }
}

#[test]
fn epoll_keeps_the_contract() {
    play(CASES, || Bench::real(Backend::Epoll));
    play(EDGE_CASES, || Bench::real(Backend::Epoll));
}

#[test]
fn poll_keeps_the_contract() {
    play(CASES, || Bench::real(Backend::Poll));
}

#[test]
fn the_simulated_kernel_keeps_the_contract() {
    play(CASES, Bench::simulated);
    play(EDGE_CASES, Bench::simulated);
}

// What can be asked of real kernels only.

fn on_real_backends(case: impl Fn(&mut Bench)) {
    for backend in Backend::ALL {
        eprintln!("on {backend}");
        case(&mut Bench::real(backend));
    }
}

#[test]
fn a_duplicate_keeps_a_closed_number_reporting() {
    // The trap that generations are for: here it is shown to exist, and to be bounded.
    let mut bench = Bench::real(Backend::Epoll);
    let (here, mut there) = fds::pair();
    let number = fds::with_own_number(&here);
    bench.arm(number.as_raw_fd(), 7, READ, false);
    drop(number);
    there.write_all(b"x").expect("there is room");
    assert_eq!(bench.reports(), [(7, READ)], "the file lives on under another number");
    there.write_all(b"x").expect("there is room");
    assert_eq!(bench.reports(), [], "but an arm brings one report, as ever");
}

#[test]
fn a_file_that_comes_back_to_its_number_is_found_again() {
    let mut bench = Bench::real(Backend::Epoll);
    let (here, mut there) = fds::pair();
    let mut number = fds::with_own_number(&here);
    let (other, _peer) = fds::pair();
    bench.arm(number.as_raw_fd(), 7, READ, false);
    fds::reopen(&mut number, &other);
    fds::reopen(&mut number, &here);
    there.write_all(b"x").expect("there is room");
    bench.arm(number.as_raw_fd(), 8, READ, false);
    assert_eq!(bench.reports(), [(8, READ)]);
}

#[test]
fn a_regular_file_is_refused_or_always_ready() {
    on_real_backends(|bench| {
        let file = File::open("/proc/self/exe").expect("the test is a file");
        match bench.poller.arm(file.as_raw_fd(), Token(7), BOTH, false) {
            Ok(()) => assert_eq!(bench.reports(), [(7, BOTH)]),
            Err(error) => assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error())),
        }
    });
}

#[test]
fn a_simulated_regular_file_is_refused() {
    let mut bench = Bench::simulated();
    let Kernel::Simulated(sim, _) = &bench.kernel else { unreachable!("it is simulated") };
    let fd = sim.open_regular();
    for known in [false, true] {
        let error = bench.poller.arm(fd, Token(7), BOTH, known).expect_err("it is refused");
        assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()));
    }
    let error = bench.poller.attach(fd, Token(7)).expect_err("it is refused");
    assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()));
}

#[test]
fn an_error_ends_waits_in_both_directions() {
    on_real_backends(|bench| {
        for interest in [READ, WRITE] {
            let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
            drop(reader);
            bench.arm(writer.as_raw_fd(), 7, interest, false);
            let reports = bench.reports();
            assert!(reports.len() == 1 && reports[0].1.contains(BOTH), "{reports:?}");
        }
    });
}

#[test]
fn out_of_band_data_is_an_edge_of_its_own() {
    let mut bench = Bench::real(Backend::Epoll);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let peer = std::net::TcpStream::connect(address).expect("it listens");
    let (here, _) = listener.accept().expect("the peer connects");
    bench.poller.attach(here.as_raw_fd(), Token(7)).expect("an open socket can be attached");
    assert_eq!(bench.reports(), [(7, WRITE)]);
    rustix::net::send(&peer, b"!", rustix::net::SendFlags::OOB).expect("there is room");
    let mut events = Vec::new();
    bench.poller.wait(Some(Duration::from_secs(10)), &mut events).expect("a wait never fails");
    assert_eq!(events.len(), 1);
    assert!(events[0].readiness.contains(Readiness::URGENT.union(READ)), "{events:?}");
}

#[test]
fn a_timeout_below_a_millisecond_is_not_cut_short() {
    on_real_backends(|bench| {
        let clock = Clock::monotonic();
        let asked = Duration::from_micros(200);
        for _ in 0..20 {
            let start = clock.now();
            bench.poller.wait(Some(asked), &mut Vec::new()).expect("a wait never fails");
            let took = clock.now() - start;
            assert!(took >= asked, "asked for {asked:?}, waited {took:?}");
        }
        let start = clock.now();
        bench.poller.wait(Some(Duration::ZERO), &mut Vec::new()).expect("a look never fails");
        assert!(clock.now() - start < Duration::from_secs(1), "a look does not wait");
    });
}

#[test]
fn a_wait_without_end_ends_when_something_is_ready() {
    on_real_backends(|bench| {
        let fd = bench.open();
        bench.arm(fd, 7, READ, false);
        bench.send(fd);
        let mut events = Vec::new();
        bench.poller.wait(None, &mut events).expect("a wait never fails");
        assert_eq!(events, [Event { token: Token(7), readiness: READ }]);
    });
}

#[test]
fn the_bell_wakes_from_another_thread_until_it_is_muted() {
    on_real_backends(|bench| {
        let bell = Arc::new(Bell::new().expect("the kernel has an eventfd"));
        bench.poller.watch_bell(&bell).expect("an eventfd can be watched");
        assert_eq!(bench.reports(), []);
        let ringer = Arc::clone(&bell);
        let thread = thread::spawn(move || ringer.ring());
        let mut events = Vec::new();
        bench.poller.wait(Some(Duration::from_secs(60)), &mut events).expect("no wait fails");
        assert_eq!(events.iter().map(|event| event.token).collect::<Vec<_>>(), [BELL]);
        thread.join().expect("ringing never fails");
        assert_eq!(bench.reports(), [(BELL.0, READ)], "it rings until it is muted");
        bell.ring();
        bell.mute();
        bell.mute();
        assert_eq!(bench.reports(), [], "and it may be muted when it is silent");
        bell.ring();
        assert_eq!(bench.reports(), [(BELL.0, READ)], "it can ring again");
    });
}

#[test]
fn of_thousands_of_ready_fds_none_is_lost() {
    const COUNT: u64 = 2000;
    const _: () = assert!(COUNT as usize > EVENTS_PER_TURN_MAX);
    fds::open_max();
    on_real_backends(|bench| {
        let ready: Vec<OwnedFd> =
            (0..COUNT).map(|_| eventfd(1, EventfdFlags::CLOEXEC).expect("fds are left")).collect();
        for (fd, token) in ready.iter().zip(0..) {
            bench.arm(fd.as_raw_fd(), token, READ, false);
        }
        let mut seen = Vec::new();
        for _ in 0..4 {
            let reports = bench.reports();
            assert!(reports.len() <= EVENTS_PER_TURN_MAX, "one look's work is bounded");
            seen.extend(reports.into_iter().map(|(token, _)| token));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..COUNT).collect::<Vec<_>>());
    });
}

#[test]
fn numbers_that_are_no_fds_are_not_open() {
    for number in [-1, i32::MIN, i32::MAX] {
        assert!(!descriptor::is_open(number), "{number}");
    }
    let (here, _there) = fds::pair();
    assert!(descriptor::is_open(here.as_raw_fd()));
    let error = rustix::io::read(&here, &mut [0; 1]).expect_err("nothing was sent");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}
