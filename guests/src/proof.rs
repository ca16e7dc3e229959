//! What every guest has to show, on one OS thread: its waits overlap, its answers and errors are those
//! of a plain OS thread byte for byte, its own timeouts and ours end its calls, a server that dies ends them
//! too, and who waits can be killed.
//!
//! Knows no guest by name.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use greenroom::{Elapsed, with_timeout};

use crate::{limit::Limit, need::tell, server::Server};

/// Calls at once.
pub const CALLS: usize = 50;

/// How long the server takes for each.
pub const WAIT: Duration = Duration::from_millis(100);

/// A wait that nobody sees the end of.
const LONG: Duration = Duration::from_secs(600);

/// Short enough to wait for, and longer than a call takes to get on its way.
const SHORT: Duration = Duration::from_millis(200);

/// Whatever takes longer was not ended by what should have ended it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A test of one guest takes less.
const TIME: Duration = Duration::from_secs(100);

/// What came of a call: the answer, or the text of the guest's error.
pub type Answer = Result<Vec<u8>, String>;

/// A crate or C program of others, as a client.
pub trait Guest: Send + Sync + 'static {
    /// The crate and its version, as the table has it.
    const NAME: &'static str;

    /// Whether it can give up by itself.
    const HAS_TIMEOUT: bool = true;

    /// A connection. It need not be `Send`.
    type Client;

    /// Connects. `timeout` is one of the guest's own, on each call.
    fn connect(&self, timeout: Option<Duration>) -> Self::Client;

    /// Has the server wait, and give the answer of this number.
    fn call(&self, client: &mut Self::Client, number: usize, wait: Duration) -> Answer;

    /// Whom it calls.
    fn server(&self) -> &Server;
}

/// Shows all of it.
///
/// # Panics
///
/// If the guest fails in any of it.
pub fn prove<G: Guest>(guest: G) {
    let limit = Limit::start(G::NAME, TIME);
    let guest = Arc::new(guest);
    overlap(&guest);
    if G::HAS_TIMEOUT {
        end_alike("its own timeout", &guest, Some(SHORT), || {});
    }
    time_is_over(&guest);
    killed(&guest);
    let after = greenly(1, {
        let guest = guest.clone();
        move |number| guest.call(&mut guest.connect(None), number, Duration::ZERO)
    });
    let before = guest.call(&mut guest.connect(None), 0, Duration::ZERO);
    assert!(before.is_ok(), "{}: after all that, calls are answered: {before:?}", G::NAME);
    assert_eq!(after, [before], "{}: and as on an OS thread", G::NAME);
    end_alike("the death of its server", &guest, None, || guest.server().kill());
    drop(limit);
}

/// Many calls on green threads take little more time than one, and give what they give one after the
/// other on a plain OS thread.
fn overlap<G: Guest>(guest: &Arc<G>) {
    let call = {
        let guest = guest.clone();
        move |number| {
            let mut client = guest.connect(None);
            guest.call(&mut client, number, WAIT)
        }
    };
    measure(G::NAME, call);
}

/// Makes calls on a plain OS thread and on green threads, prints a row of the table, and compares.
///
/// # Panics
///
/// If the answers are not the same, or the calls on green threads do not overlap.
pub fn measure<T, F>(name: &str, call: F)
where
    T: Send + PartialEq + std::fmt::Debug + 'static,
    F: Fn(usize) -> T + Clone + Send + 'static,
{
    let begin = Instant::now();
    let plain = {
        let call = call.clone();
        thread::spawn(move || (0..CALLS).map(call).collect::<Vec<T>>())
    };
    let plain = plain.join().expect("calls on a plain OS thread do not panic");
    let plain_time = begin.elapsed();

    let begin = Instant::now();
    let green = greenly(CALLS, call);
    let green_time = begin.elapsed();
    tell(format_args!(
        "row: {name} | {CALLS} x {} ms | {:.2} s | {:.2} s",
        WAIT.as_millis(),
        plain_time.as_secs_f64(),
        green_time.as_secs_f64()
    ));
    for (number, (plain, green)) in plain.iter().zip(&green).enumerate() {
        assert_eq!(plain, green, "{name}: answer {number} is another one on a green thread");
    }
    assert!(
        green_time < WAIT * CALLS as u32 / 2,
        "{name}: the waits do not overlap: {green_time:?} for {CALLS} of {WAIT:?}"
    );
}

/// Runs that many calls at once on green threads of this OS thread.
fn greenly<T: 'static>(calls: usize, call: impl Fn(usize) -> T + Clone + 'static) -> Vec<T> {
    let threads: Vec<_> = (0..calls)
        .map(|number| {
            let call = call.clone();
            greenroom::spawn(move || call(number))
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().expect("no call panics")).collect()
}

/// Calls without an end in sight, on green threads and on a plain OS thread, end with the same
/// error when `event` has happened.
fn end_alike<G: Guest>(
    what: &str,
    guest: &Arc<G>,
    timeout: Option<Duration>,
    event: impl FnOnce(),
) {
    const GREEN: usize = 3;
    let calling = Arc::new(AtomicUsize::new(0));
    let call = {
        let (guest, calling) = (guest.clone(), calling.clone());
        move |number| {
            let mut client = guest.connect(timeout);
            calling.fetch_add(1, Ordering::Relaxed);
            guest.call(&mut client, number, LONG)
        }
    };
    let plain = thread::spawn({
        let call = call.clone();
        move || call(GREEN)
    });
    let green: Vec<_> = (0..GREEN)
        .map(|number| {
            let call = call.clone();
            greenroom::spawn(move || call(number))
        })
        .collect();
    let begin = Instant::now();
    while calling.load(Ordering::Relaxed) <= GREEN {
        greenroom::sleep(Duration::from_millis(1));
        assert!(begin.elapsed() < PATIENCE, "{}: connections are slow", G::NAME);
    }
    // So that the order has left, and the answer is waited for.
    greenroom::sleep(SHORT / 2);
    let begin = Instant::now();
    event();
    let green = green.into_iter().map(|thread| thread.join().expect("no call panics"));
    let green: Vec<Answer> = green.collect();
    let time = begin.elapsed();
    let plain = plain.join().expect("no call panics");
    assert!(time < PATIENCE, "{}: {what} takes {time:?} to end a call", G::NAME);
    assert!(plain.is_err(), "{}: {what} ends a call, but it says {plain:?}", G::NAME);
    for green in green {
        assert_eq!(green, plain, "{}: {what} is another error on a green thread", G::NAME);
    }
}

/// A limit around a call ends it with an error of the guest's, and then the limit is told.
fn time_is_over<G: Guest>(guest: &Arc<G>) {
    let guest = guest.clone();
    let thread = greenroom::spawn(move || {
        let begin = Instant::now();
        let mut answer = None;
        let ended = with_timeout(SHORT, || {
            let mut client = guest.connect(None);
            answer = Some(guest.call(&mut client, 0, LONG));
            drop(client);
            // The first wait that can be unwound.
            greenroom::yield_now();
        });
        assert_eq!(ended, Err(Elapsed), "{}: the limit is told", G::NAME);
        let answer = answer.expect("a limit does not unwind through the guest");
        assert!(answer.is_err(), "{}: the limit ends a call with an error", G::NAME);
        let time = begin.elapsed();
        assert!(time < PATIENCE, "{}: a limit takes {time:?} to end a call", G::NAME);
    });
    thread.join().expect("the limit is for the call alone");
}

/// Who is killed while it waits ends: its call with an error, its destructors run, and nobody else
/// notices.
fn killed<G: Guest>(guest: &Arc<G>) {
    struct Ended(Rc<Cell<bool>>);
    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let (calls, ended) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let answer = Rc::new(RefCell::new(None));
    let thread = greenroom::spawn({
        let (guest, calls, answer) = (guest.clone(), calls.clone(), answer.clone());
        let guard = Ended(ended.clone());
        move || {
            let _guard = guard;
            let mut client = guest.connect(None);
            calls.set(true);
            *answer.borrow_mut() = Some(guest.call(&mut client, 0, LONG));
            drop(client);
            greenroom::yield_now();
        }
    });
    let sibling = greenroom::spawn({
        let guest = guest.clone();
        move || guest.call(&mut guest.connect(None), 1, WAIT * 5)
    });
    let begin = Instant::now();
    while !calls.get() {
        greenroom::sleep(Duration::from_millis(1));
        assert!(begin.elapsed() < PATIENCE, "{}: a connection is slow", G::NAME);
    }
    greenroom::sleep(SHORT / 2);
    let begin = Instant::now();
    thread.kill();
    let killed = thread.join();
    let time = begin.elapsed();
    assert!(killed.is_err_and(|error| error.is_killed()), "{}: the killed thread ends", G::NAME);
    assert!(time < PATIENCE, "{}: a kill takes {time:?}", G::NAME);
    assert!(ended.get(), "{}: destructors run", G::NAME);
    let answer = answer.borrow_mut().take().expect("a kill does not unwind through the guest");
    assert!(answer.is_err(), "{}: a kill ends a call with an error", G::NAME);
    let answered = sibling.join().expect("siblings go on");
    assert!(answered.is_ok(), "{}: siblings are answered: {answered:?}", G::NAME);
}
