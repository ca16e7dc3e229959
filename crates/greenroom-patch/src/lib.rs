//! Blocking code goes green, unchanged.
//!
//! One line, in any crate of a program, makes libc's blocking calls cooperative on green threads: while one
//! waits in `recv`, others run. On every other OS thread, and where there is no hub, each call is libc's own.
//!
//! ```
//! use std::{io::{Read, Write}, net::{TcpListener, TcpStream}, thread, time::Duration};
//!
//! use greenroom_patch as _;
//!
//! /// Knows nothing of green threads, and could be anybody's.
//! fn ask(server: std::net::SocketAddr) -> std::io::Result<String> {
//!     let mut stream = TcpStream::connect(server)?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer)?;
//!     Ok(answer)
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! greenroom::spawn(move || {
//!     while let Ok((mut stream, _)) = listener.accept() {
//!         greenroom::spawn(move || {
//!             thread::sleep(Duration::from_millis(20));
//!             stream.write_all(b"hello").unwrap();
//!         });
//!     }
//! });
//! // A hundred at once, all of them and the server on one OS thread: some 20 ms, not 2 s.
//! let asked: Vec<_> = (0..100).map(|_| greenroom::spawn(move || ask(address))).collect();
//! for answer in asked {
//!     assert_eq!(answer.join().unwrap()?, "hello");
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! So the standard library goes green, and what is built on it (`ureq`, `redis`, `mysql`, `tungstenite`); and
//! C libraries that the program links (OpenSSL, libcurl, libpq), for they call the same functions. Which crates were
//! tried, and what came of it, is in [`guests`]; what each call does on a green thread, in [`calls`].
//!
//! # What is kept
//!
//! A blocking call stays one, to the letter: a send to a stream takes all bytes, `MSG_WAITALL` fills, `SO_RCVTIMEO` and
//! `SO_SNDTIMEO` are honoured, `errno` is touched only by a failure, and who made an fd non-blocking hears "would
//! block" at once. The mode of a file is not touched by calls that move data. Standard input, output and error,
//! regular files and terminals never let others run, nor do reads and writes of other devices: std and others hold locks of
//! the OS thread, or worse, while they use them. A `poll` or `select` that asks about something else besides waits as for that.
//!
//! What differs by design, with the reason for each, stands at the end of [`calls`].
//!
//! # How a thread is stopped
//!
//! A frame of C cannot be unwound. So if a thread is killed, or its [`with_timeout`](greenroom::with_timeout) is over, while it
//! waits in one of these calls, the call fails: with `ECANCELED` or `ETIMEDOUT`. Each later call that would have to wait
//! fails in the same way, and the thread is unwound at the next wait of greenroom's own. A sleep ends early and says
//! that it slept. Not `EINTR`: callers take that as a wish to be called again.
//!
//! ```
//! use std::{io::{ErrorKind, Read}, os::unix::net::UnixStream, time::Duration};
//!
//! use greenroom_patch as _;
//!
//! let thread = greenroom::spawn(|| {
//!     let (mut here, _there) = UnixStream::pair().unwrap();
//!     let read = greenroom::with_timeout(Duration::from_millis(1), || here.read(&mut [0]));
//!     assert_eq!(read.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
//! });
//! thread.join().unwrap();
//! ```
//!
//! # What does not work
//!
//! Whatever is owned by an OS thread cannot tell its green threads apart, and no patch can teach it.
//!
//! | not between green threads of one hub | for | use instead |
//! |---|---|---|
//! | `std::sync::Mutex`, `RwLock`, `Once…`, held across a wait | a sibling that wants it keeps the OS thread, and the holder cannot run | [`greenroom::sync`]; or hold it inside of [`no_switch`] |
//! | `std::sync::Condvar`, `mpsc`, `Barrier`; `crossbeam`'s and `flume`'s receivers; `thread::park`, `futures`' `block_on` | they park the OS thread | `greenroom::sync`'s, and those of [`sync::shared`](greenroom::sync::shared) between OS threads, such as `sync::shared::channel::bounded` |
//! | `parking_lot` | keeps one queue entry for each OS thread | as above |
//! | recursive locks (`ReentrantLock`, `PTHREAD_MUTEX_RECURSIVE`) held across a wait | let a sibling in: it is the same owner to them | do not wait meanwhile: `no_switch` |
//! | a `RefCell` in a thread-local, borrowed across a wait | is met borrowed by a sibling, and panics | end the borrow first |
//! | an interpreter of Python that a thread is attached to across a wait (`pyo3`) | lets a sibling in, and they share the interpreter's state of the OS thread | detach around waits, or `no_switch` |
//! | system calls made without libc (`rustix`, and `polling`, `async-io`, `tempfile` on it) | are not seen: there is nothing to stand in front of | `std`'s calls, or [`greenroom::offload`] |
//!
//! A lock or signal that a green thread has waited for in vain for a second is told of on standard error: who
//! waits, in what call, which green threads wait meanwhile and so may hold it, and what to do. So such a deadlock
//! is not silent.
//!
//! ```
//! use std::{sync::Mutex, thread, time::Duration};
//!
//! use greenroom_patch::no_switch;
//!
//! static LOG: Mutex<Vec<u32>> = Mutex::new(Vec::new());
//!
//! let writers: Vec<_> = (0..3)
//!     .map(|n| greenroom::spawn(move || no_switch(|| {
//!         let mut log = LOG.lock().unwrap();
//!         thread::sleep(Duration::from_millis(1)); // With the whole OS thread.
//!         log.push(n);
//!     })))
//!     .collect();
//! writers.into_iter().for_each(|writer| writer.join().unwrap());
//! assert_eq!(*LOG.lock().unwrap(), [0, 1, 2]);
//! ```
//!
//! # How it binds
//!
//! The linker takes the first definition of a name, and a program comes before its libraries. So the functions
//! defined here stand in front of libc's for all that is linked into the program, C libraries included, with any linker and with
//! link-time optimisation. The crate must be *named* in code: listed in `Cargo.toml` alone it is not linked. Not seen are libc's
//! calls of its own functions (`fread` reads, `system` waits). In a library that a program opens by itself, such as an extension module of
//! Python, libc comes first; link that with `-Wl,-Bsymbolic`. [`builds`] says more.
//!
//! A forked child is left alone: there each call is libc's own, until the child waits by a call of greenroom's.
//!
//! # What it costs
//!
//! On an OS thread without green threads, a look at a thread-local: two or three nanoseconds a call. On a green thread, nothing more as long as there is
//! nothing to wait for, but for files that are no sockets, of which the kernel is asked for their kind; a wait costs
//! some system calls: for the file's mode, its timeout, and to arm the poller.

#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
compile_error!("greenroom-patch builds for Linux with glibc");

pub mod builds;
pub mod calls;
pub mod guests;

#[macro_use]
mod raw;
#[macro_use]
mod hook;
mod next;

mod wait;

mod receive;
mod send;

mod accept;
mod close;
mod messages;
mod transfer;

mod poll;
mod select;

mod epoll;

mod alarm;
mod multiplex;
mod set;

mod sleep;

#[cfg(not(target_feature = "crt-static"))]
mod names;

mod children;
mod fork;

mod context;
mod exceptions;
mod exchange;
mod lock;

mod file;
mod mask;
mod memory;
mod parts;

pub use greenroom::foreign::no_switch;
