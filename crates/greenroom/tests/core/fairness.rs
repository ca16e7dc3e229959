//! Nobody keeps the loop from looking at fds and timers, however busy they keep it.

use std::{
    cell::Cell,
    io::{Read, Write},
    os::unix::net::UnixStream,
    rc::Rc,
    time::Duration,
};

use greenroom::{
    hub::{self, Backend, call_after_global},
    io::{Interest, trampoline},
    net, spawn, spawn_after,
    testing::{run, run_on},
    yield_now,
};

/// A waiter is looked after within so many rounds of somebody busy; a turn allows for some hundreds.
const ROUNDS_MAX: u32 = 100_000;

/// Lets somebody be busy until an fd that is ready from the beginning has woken its waiter.
fn wakes_its_waiter(busy: impl Fn(Rc<Cell<bool>>) + Sync) {
    for backend in Backend::ALL {
        run_on(backend, || {
            let (here, mut there) = UnixStream::pair().unwrap();
            let woken = Rc::new(Cell::new(false));
            let theirs = Rc::clone(&woken);
            let waiter = spawn(move || {
                trampoline(&here, Interest::Read, None).unwrap();
                theirs.set(true);
            });
            yield_now();
            there.write_all(b"!").unwrap();
            busy(Rc::clone(&woken));
            waiter.join().unwrap();
            assert!(woken.get());
        });
    }
}

/// Counts a round; panics if there were too many.
fn count(rounds: &Cell<u32>) {
    rounds.set(rounds.get() + 1);
    assert!(rounds.get() < ROUNDS_MAX, "the waiter starves");
}

#[test]
fn a_thread_that_keeps_yielding_starves_no_fd() {
    wakes_its_waiter(|woken| {
        let yielder = spawn(move || {
            let rounds = Cell::new(0);
            while !woken.get() {
                count(&rounds);
                yield_now();
            }
        });
        yielder.join().unwrap();
    });
}

#[test]
fn a_root_that_keeps_yielding_starves_no_fd() {
    wakes_its_waiter(|woken| {
        let rounds = Cell::new(0);
        while !woken.get() {
            count(&rounds);
            yield_now();
        }
    });
}

#[test]
fn a_timer_that_keeps_arming_itself_starves_no_fd() {
    fn again(woken: Rc<Cell<bool>>, rounds: Rc<Cell<u32>>) {
        if !woken.get() {
            count(&rounds);
            call_after_global(Duration::ZERO, move || again(woken, rounds));
        }
    }
    wakes_its_waiter(|woken| again(woken, Rc::default()));
}

#[test]
fn threads_that_keep_spawning_starve_no_fd() {
    fn again(woken: Rc<Cell<bool>>, rounds: Rc<Cell<u32>>) {
        if !woken.get() {
            count(&rounds);
            drop(spawn(move || again(woken, rounds)));
        }
    }
    wakes_its_waiter(|woken| again(woken, Rc::default()));
}

#[test]
fn threads_that_keep_spawning_without_delay_starve_no_fd() {
    fn again(woken: Rc<Cell<bool>>, rounds: Rc<Cell<u32>>) {
        if !woken.get() {
            count(&rounds);
            drop(spawn_after(Duration::ZERO, move || again(woken, rounds)));
        }
    }
    wakes_its_waiter(|woken| again(woken, Rc::default()));
}

#[test]
fn a_thread_that_keeps_yielding_starves_no_timer() {
    for backend in Backend::ALL {
        run_on(backend, || {
            let fired = Rc::new(Cell::new(false));
            let theirs = Rc::clone(&fired);
            call_after_global(Duration::ZERO, move || theirs.set(true));
            let rounds = Cell::new(0);
            while !fired.get() {
                count(&rounds);
                yield_now();
            }
            assert_eq!(hub::stats().timers, 0);
        });
    }
}

#[test]
fn an_fd_that_is_always_ready_starves_no_other() {
    for backend in Backend::ALL {
        run_on(backend, || {
            let (noisy, mut there) = UnixStream::pair().unwrap();
            there.write_all(b"never read").unwrap();
            let rounds = Rc::new(Cell::new(0));
            let listener = hub::add(&noisy, Interest::Read, move |_| count(&rounds)).unwrap();
            let (here, mut there) = UnixStream::pair().unwrap();
            let waiter = spawn(move || trampoline(&here, Interest::Read, None));
            yield_now();
            there.write_all(b"!").unwrap();
            waiter.join().unwrap().unwrap();
            assert!(listener.remove());
        });
    }
}

#[test]
fn a_thread_whose_calls_never_have_to_wait_gives_way() {
    run(|| {
        let seen = Rc::new(Cell::new(false));
        let flag = Rc::clone(&seen);
        let busy = spawn(move || {
            let (here, there) = net::UnixStream::pair().unwrap();
            // What is written can be read at once, so neither call ever waits.
            let rounds = (0..10_000).take_while(|_| {
                (&here).write_all(b"!").unwrap();
                (&there).read_exact(&mut [0]).unwrap();
                !flag.get()
            });
            rounds.count()
        });
        let other = spawn(move || seen.set(true));
        other.join().unwrap();
        assert!(busy.join().unwrap() < 200, "the other thread had to wait for its end");
    });
}
