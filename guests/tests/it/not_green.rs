//! What does not go green: waits that tell one waiter from another by the OS thread, and calls that do not go
//! through libc.
//!
//! Each of them waits for what a sibling on the same OS thread is about to do. Where the wait is not green the OS
//! thread is held up, the sibling cannot run, and time runs out.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, mpsc},
    task::{Poll, Waker},
    thread,
    time::Instant,
};

use greenroom_guests::WAIT;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A way to wait for a sibling; true if the sibling came in time.
type Way = (&'static str, fn() -> bool);

const GREEN: [Way; 2] =
    [("a channel of greenroom", greenroom_channel), ("a socket of std", std_socket)];

/// By what the documents say of them.
const NOT_GREEN: [Way; 11] = [
    ("`std::sync::mpsc`", std_channel),
    ("`std::sync::Condvar`, and `Mutex` held across a wait", std_condvar),
    ("`thread::park`, and so `block_on` of `futures`", std_park),
    ("`thread::park`, and so `block_on` of `futures`", futures_block_on),
    ("`Handle::block_on` of a tokio runtime with workers", tokio_handle),
    ("`parking_lot`", parking_lot_mutex),
    ("`parking_lot`", parking_lot_condvar),
    ("`crossbeam-channel`, `flume`", crossbeam_channel),
    ("`crossbeam-channel`, `flume`", flume_channel),
    ("`r2d2`, a pool that is empty", r2d2_pool),
    ("`rustix`, and what is built on it (`polling`, `async-io`, `smol`)", rustix_poll),
];

/// Has a sibling do it in a little while: some of these waits give a few turns away before they hold
/// up the OS thread.
fn by_sibling<T: 'static>(act: impl FnOnce() -> T + 'static) {
    greenroom::spawn_after(WAIT / 4, act);
}

fn greenroom_channel() -> bool {
    let (sender, receiver) = greenroom::sync::channel::bounded(1);
    by_sibling(move || sender.send(()));
    receiver.recv_timeout(WAIT).is_ok()
}

fn std_socket() -> bool {
    let (mut reader, mut writer) = UnixStream::pair().expect("sockets");
    reader.set_read_timeout(Some(WAIT)).expect("a timeout can be set");
    by_sibling(move || writer.write_all(b"!"));
    reader.read_exact(&mut [0]).is_ok()
}

fn std_channel() -> bool {
    let (sender, receiver) = mpsc::channel();
    by_sibling(move || sender.send(()));
    receiver.recv_timeout(WAIT).is_ok()
}

fn std_condvar() -> bool {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let (mutex, condvar) = &*pair;
    let locked = mutex.lock().expect("nobody panics");
    let sibling = pair.clone();
    by_sibling(move || {
        *sibling.0.lock().expect("nobody panics") = true;
        sibling.1.notify_one();
    });
    let waited = condvar.wait_timeout_while(locked, WAIT, |came| !*came);
    !waited.expect("nobody panics").1.timed_out()
}

fn std_park() -> bool {
    let waiter = thread::current();
    by_sibling(move || waiter.unpark());
    let begin = Instant::now();
    thread::park_timeout(WAIT);
    begin.elapsed() < WAIT
}

/// Who came first, and who is to be told of it.
#[derive(Default)]
struct First {
    is_sibling: Option<bool>,
    waiter: Option<Waker>,
}

fn futures_block_on() -> bool {
    let first = Arc::new(Mutex::new(First::default()));
    let came = {
        let first = Arc::clone(&first);
        move |is_sibling| {
            let mut first = first.lock().expect("nobody panics");
            first.is_sibling.get_or_insert(is_sibling);
            if let Some(waiter) = first.waiter.take() {
                waiter.wake();
            }
        }
    };
    let in_vain = came.clone();
    by_sibling(move || came(true));
    // It has no time limit of its own.
    let late = thread::spawn(move || {
        thread::sleep(WAIT);
        in_vain(false);
    });
    let is_sibling = futures_executor::block_on(poll_fn(|context| {
        let mut first = first.lock().expect("nobody panics");
        first.waiter = Some(context.waker().clone());
        first.is_sibling.map_or(Poll::Pending, Poll::Ready)
    }));
    late.join().expect("no panic");
    is_sibling
}

fn tokio_handle() -> bool {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_time().build().expect("a runtime");
    let (sender, receiver) = tokio::sync::oneshot::channel();
    by_sibling(move || sender.send(()));
    let waited = runtime.handle().block_on(async { tokio::time::timeout(WAIT, receiver).await });
    waited.is_ok()
}

fn parking_lot_mutex() -> bool {
    let mutex = Arc::new(parking_lot::Mutex::new(()));
    let holder = mutex.clone();
    greenroom::spawn(move || {
        let _locked = holder.lock();
        greenroom::sleep(WAIT / 4);
    });
    greenroom::yield_now();
    mutex.try_lock_for(WAIT).is_some()
}

fn parking_lot_condvar() -> bool {
    let pair = Arc::new((parking_lot::Mutex::new(()), parking_lot::Condvar::new()));
    let mut locked = pair.0.lock();
    let sibling = pair.clone();
    by_sibling(move || sibling.1.notify_one());
    !pair.1.wait_for(&mut locked, WAIT).timed_out()
}

fn crossbeam_channel() -> bool {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    by_sibling(move || sender.send(()));
    receiver.recv_timeout(WAIT).is_ok()
}

fn flume_channel() -> bool {
    let (sender, receiver) = flume::bounded(1);
    by_sibling(move || sender.send(()));
    receiver.recv_timeout(WAIT).is_ok()
}

fn r2d2_pool() -> bool {
    /// Things that cost nothing, and are never broken.
    struct Things;
    impl r2d2::ManageConnection for Things {
        type Connection = ();
        type Error = io::Error;
        fn connect(&self) -> io::Result<()> {
            Ok(())
        }
        fn is_valid(&self, _: &mut ()) -> io::Result<()> {
            Ok(())
        }
        fn has_broken(&self, _: &mut ()) -> bool {
            false
        }
    }
    let pool = r2d2::Pool::builder().max_size(1).build(Things).expect("a pool");
    let thing = pool.get().expect("there is one");
    by_sibling(move || drop(thing));
    pool.get_timeout(WAIT).is_ok()
}

fn rustix_poll() -> bool {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    by_sibling(move || writer.write_all(b"!"));
    let mut files = [PollFd::new(&reader, PollFlags::IN)];
    let time = Timespec::try_from(WAIT).expect("a short time");
    poll(&mut files, Some(&time)).expect("it can be asked") == 1
}

#[track_caller]
fn assert_ways(ways: &[Way], is_green: bool) {
    for &(name, way) in ways {
        let waiter = greenroom::spawn(way);
        assert_eq!(waiter.join().expect("no panic"), is_green, "{name}");
    }
}

#[test]
fn waits_that_are_green_let_a_sibling_end_them() {
    assert_ways(&GREEN, true);
}

#[test]
fn waits_by_os_thread_or_without_libc_keep_the_sibling_from_ending_them() {
    assert_ways(&NOT_GREEN, false);
}

#[test]
fn each_row_of_the_documents_that_names_this_file_is_shown_here() {
    let text = include_str!("../../../crates/greenroom-patch/GUESTS.md");
    let (_, table) = text.split_once("## What does not go green").expect("the heading");
    let table = table.split("\n## ").next().expect("a part has a text");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let told: BTreeSet<_> = rows
        .filter(|(_, rest)| rest.contains("`not_green.rs`"))
        .map(|(what, _)| format!("`{what}"))
        .collect();
    let shown: BTreeSet<_> = NOT_GREEN.iter().map(|(what, _)| what.to_string()).collect();
    assert_eq!(told, shown);
}
