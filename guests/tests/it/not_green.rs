//! What does not go green: waits that tell one waiter from another by the OS thread, and calls that do not go
//! through libc.
//!
//! Each of them waits for what a sibling on the same OS thread is about to do. Where the wait is not green the OS
//! thread is held up, the sibling cannot run, and time runs out.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, mpsc},
    thread,
    time::Instant,
};

use greenroom_guests::WAIT;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A way to wait for a sibling; true if the sibling came in time.
type Way = (&'static str, fn() -> bool);

const GREEN: [Way; 2] =
    [("a channel of greenroom", greenroom_channel), ("a socket of std", std_socket)];

const NOT_GREEN: [Way; 8] = [
    ("a channel of std", std_channel),
    ("a condition variable of std", std_condvar),
    ("`thread::park`", std_park),
    ("`parking_lot`, a mutex", parking_lot_mutex),
    ("`parking_lot`, a condition variable", parking_lot_condvar),
    ("`crossbeam-channel`", crossbeam_channel),
    ("`flume`", flume_channel),
    ("`rustix`, which calls the kernel by itself", rustix_poll),
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
