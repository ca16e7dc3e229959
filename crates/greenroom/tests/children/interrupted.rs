//! Signals that interrupt whatever waits: nobody who waits notices.

use std::{
    io::{Read, Write, read_to_string},
    net::Ipv4Addr,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use greenroom::{
    Instant, hub,
    io::{GreenFd, Interest, trampoline},
    net::{TcpListener, TcpStream},
    offload, sleep, spawn,
};
use rustix::{process::Signal, thread::gettid};

use crate::{
    case::{Case, PLAIN},
    kernel::{count_signals, interrupt, signals},
};

/// Signals that an OS thread has handled before the wait it is in may end.
const SIGNALS: u32 = 50;

/// Sends signals to the caller's OS thread, one after the other was handled, until dropped.
struct Storm {
    over: Arc<AtomicBool>,
    sender: Option<thread::JoinHandle<()>>,
}

impl Storm {
    fn begin() -> Storm {
        count_signals(Signal::USR1);
        let (over, target) = (Arc::new(AtomicBool::new(false)), gettid());
        let ends = Arc::clone(&over);
        let sender = thread::spawn(move || {
            while !ends.load(Ordering::Acquire) {
                let before = signals();
                interrupt(target, Signal::USR1);
                while signals() == before && !ends.load(Ordering::Acquire) {
                    thread::yield_now();
                }
            }
        });
        Storm { over, sender: Some(sender) }
    }

    /// Calls `end` on another OS thread after the storm has raged for a while.
    fn then(&self, end: impl FnOnce() + Send + 'static) {
        let enough = signals() + SIGNALS;
        thread::spawn(move || {
            while signals() < enough {
                thread::yield_now();
            }
            end();
        });
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.sender.take().unwrap().join().unwrap();
        assert!(signals() >= SIGNALS, "it was no storm");
    }
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "interrupted::a_wait_for_an_fd",
        play: || {
            let storm = Storm::begin();
            let (here, mut there) = UnixStream::pair().unwrap();
            storm.then(move || there.write_all(b"!").unwrap());
            trampoline(&here, Interest::Read, None).unwrap();
        },
        ..PLAIN
    },
    Case {
        name: "interrupted::a_wait_for_an_fd_on_the_other_backend",
        play: || {
            let storm = Storm::begin();
            let (here, mut there) = UnixStream::pair().unwrap();
            storm.then(move || there.write_all(b"!").unwrap());
            let waiter = spawn(move || trampoline(&here, Interest::Read, None));
            waiter.join().unwrap().unwrap();
        },
        env: &[("GREENROOM_HUB", "poll")],
        ..PLAIN
    },
    Case {
        name: "interrupted::reads_and_writes",
        play: || {
            let storm = Storm::begin();
            let (here, there) = UnixStream::pair().unwrap();
            storm.then(move || {
                let text = read_to_string(&there).unwrap();
                assert_eq!(text.len(), 10_000_000);
                (&there).write_all(b"thanks").unwrap();
            });
            let mut here = GreenFd::new(here).unwrap();
            here.write_all(&vec![b'x'; 10_000_000]).unwrap();
            here.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
            let mut text = String::new();
            here.read_to_string(&mut text).unwrap();
            assert_eq!(text, "thanks");
        },
        ..PLAIN
    },
    Case {
        name: "interrupted::accepting_and_connecting",
        play: || {
            let storm = Storm::begin();
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            let server = spawn(move || {
                for _ in 0..50 {
                    listener.accept().unwrap().0.write_all(b"hello").unwrap();
                }
            });
            for _ in 0..50 {
                let mut text = String::new();
                TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
                assert_eq!(text, "hello");
            }
            server.join().unwrap();
            let (here, there) = UnixStream::pair().unwrap();
            storm.then(move || drop(there));
            trampoline(&here, Interest::Read, None).unwrap();
        },
        ..PLAIN
    },
    Case {
        name: "interrupted::sleeping_is_never_cut_short",
        play: || {
            let _storm = Storm::begin();
            let nap = Duration::from_millis(1);
            let slept = move || {
                let begin = Instant::now();
                sleep(nap);
                begin.elapsed() >= nap
            };
            while signals() < SIGNALS {
                let naps: Vec<_> = (0..20).map(|_| spawn(slept)).collect();
                assert!(slept());
                assert!(naps.into_iter().all(|thread| thread.join().unwrap()));
            }
        },
        ..PLAIN
    },
    Case {
        name: "interrupted::timers_fire_and_offloaded_work_is_done",
        play: || {
            let storm = Storm::begin();
            let fired = std::rc::Rc::new(std::cell::Cell::new(false));
            let theirs = std::rc::Rc::clone(&fired);
            hub::call_after_global(Duration::from_millis(1), move || theirs.set(true));
            let (done, doing) = std::sync::mpsc::channel();
            storm.then(move || done.send(7).unwrap());
            assert_eq!(offload(move || doing.recv().unwrap()), 7);
            sleep(Duration::from_millis(2));
            assert!(fired.get());
        },
        ..PLAIN
    },
];
