//! Waiting for several things at once, of which the first is taken and the others stay as they were.
//!
//! Knows sources by what they can be asked; what they are is theirs. Decides which is taken if several could
//! be.

mod answering;
mod receiving_shared;
mod source;

use std::{fmt, io, os::fd::AsFd, process::ExitStatus, time::Duration};

use greenroom_hub::{Instant as HubInstant, Wake};

use self::{
    answering::Asked,
    receiving_shared::ReceivingShared,
    source::{Ending, Fd, Happening, Receiving, Sending, Source},
};
use super::{
    Event, after,
    channel::{Receiver, RecvError, SendError, Sender},
    refuse_unwinding,
    shared::{self, refuse_orphaned},
};
use crate::{
    Elapsed, JoinError, JoinHandle,
    hub::local::{Local, local},
    io::Interest,
    process::Child,
    signal::{Signal, Signals},
    thread::{
        Blocked, control,
        park::{self, Unwinding},
    },
    time::Instant,
};

const SEVERAL: &str = "the first of several things";
const FOR_ANY: Blocked = Blocked::Call(&SEVERAL);

/// Nobody has called.
const NO_SOURCE: u32 = u32::MAX;

/// Waits for several things at once, takes the first that can be had, and returns what its closure
/// makes of it.
///
/// ```
/// use std::time::Duration;
/// use greenroom::{sleep, spawn, sync::{Select, channel}};
///
/// let (sender, requests) = channel::unbounded();
/// let (stop, stopped) = channel::bounded::<()>(0);
/// let server = spawn(move || {
///     let mut served = 0;
///     loop {
///         let request = Select::new()
///             .recv(&requests, |request| request.ok())
///             .recv(&stopped, |_| None)
///             .wait();
///         match request {
///             Some(n) => served += n,
///             None => return served,
///         }
///     }
/// });
/// sender.send(1).unwrap();
/// sender.send(2).unwrap();
/// sleep(Duration::from_millis(1));
/// drop(stop);
/// assert_eq!(server.join()?, 3);
/// # Ok::<(), greenroom::JoinError>(())
/// ```
///
/// Closures that must change the same thing cannot borrow it at the same time. Let them return what
/// happened, and `match` that, as above.
///
/// # What is chosen
///
/// If several things can be had at once, one of them is drawn, so that none of them can keep the
/// others waiting for ever; with [`biased`](Select::biased) the one that was added first. The draw
/// repeats from run to run, and under [`testing::run_seeded`](crate::testing::run_seeded) from the
/// seed.
///
/// If none can be had, this waits in the queue of each. The first to speak is chosen, and all others are left:
/// what another had for it in the same moment is for the next who waits there. So an item is received by this
/// or stays in its channel, and is sent or comes back. Each queue is FIFO, whoever waits in it. A select never
/// meets itself: it cannot receive what it sends.
///
/// *What is lent.* A send takes its item out of an `Option`, and a join its handle. What is not chosen is in
/// there again when the wait is over, also if it ends by unwinding. `None` is never chosen.
///
/// # How it ends
///
/// Whoever is killed or out of time while it waits leaves all queues; if it had been chosen, what it
/// was chosen for goes to the next, and an item that had been let in is sent.
///
/// # Cost
///
/// An allocation for each thing, and two switches if it waits. Whoever selects 128 times in a row without having
/// to wait gives way to the others once. An fd costs a system call to be asked, and
/// two or three more if there is something to wait for.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::Select<()>>();
/// ```
#[must_use = "nothing is waited for until `wait` or one of its kin is called"]
pub struct Select<'a, R> {
    sources: Vec<Box<dyn Source<R> + 'a>>,
    biased: bool,
}

impl<'a, R> Select<'a, R> {
    /// Nothing to wait for yet.
    pub fn new() -> Select<'a, R> {
        Select { sources: Vec::new(), biased: false }
    }

    fn with(mut self, source: impl Source<R> + 'a) -> Select<'a, R> {
        self.sources.push(Box::new(source));
        self
    }

    /// If several things can be had at once, takes the one that was added first.
    ///
    /// One that can always be had then keeps all after it waiting for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::{Select, channel};
    ///
    /// let (first, urgent) = channel::unbounded();
    /// let (second, other) = channel::unbounded();
    /// first.send("urgent")?;
    /// second.send("other")?;
    /// let taken = Select::new().biased().recv(&urgent, Result::unwrap).recv(&other, Result::unwrap);
    /// assert_eq!((taken.wait(), other.len()), ("urgent", 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn biased(mut self) -> Select<'a, R> {
        self.biased = true;
        self
    }

    // Things to wait for.

    /// Receives an item, or hears that all senders are gone.
    ///
    /// # Examples
    ///
    /// The first of several channels:
    ///
    /// ```
    /// use greenroom::sync::{Select, channel};
    ///
    /// let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| channel::bounded(1)).unzip();
    /// senders[2].send("hello").unwrap();
    /// let mut select = Select::new();
    /// for (n, receiver) in receivers.iter().enumerate() {
    ///     select = select.recv(receiver, move |item| (n, item));
    /// }
    /// assert_eq!(select.wait(), (2, Ok("hello")));
    /// ```
    pub fn recv<T: 'a>(
        self,
        receiver: &'a Receiver<T>,
        f: impl FnOnce(Result<T, RecvError>) -> R + 'a,
    ) -> Select<'a, R> {
        self.with(Receiving::new(receiver, f))
    }

    /// Receives an item that another OS thread may have sent, or hears that all senders are gone: from a
    /// [`shared::channel`](super::shared::channel).
    ///
    /// While it waits, [forks and deadlocks](super::shared) are as with all that OS threads share.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use greenroom::sync::{Event, Select, shared};
    ///
    /// let (sender, receiver) = shared::channel::bounded(1);
    /// let stop = Event::<()>::new();
    /// let os_thread = thread::spawn(move || sender.send("from afar"));
    /// let first = Select::new()
    ///     .recv_shared(&receiver, |item| item.ok())
    ///     .event(&stop, |_| None)
    ///     .wait();
    /// assert_eq!(first, Some("from afar"));
    /// os_thread.join().unwrap().unwrap();
    /// ```
    pub fn recv_shared<T: 'a>(
        self,
        receiver: &'a shared::channel::Receiver<T>,
        f: impl FnOnce(Result<T, RecvError>) -> R + 'a,
    ) -> Select<'a, R> {
        self.with(ReceivingShared::new(receiver, f))
    }

    /// Sends an item, or hears that all receivers are gone and gets it back.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::sync::{Select, channel};
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// let mut item = Some("a");
    /// Select::new().send(&sender, &mut item, Result::unwrap).wait();
    /// assert_eq!((item, receiver.len()), (None, 1));
    ///
    /// let mut item = Some("b");
    /// let select = Select::new().send(&sender, &mut item, Result::unwrap);
    /// assert!(select.wait_timeout(Duration::from_millis(1)).is_err());
    /// assert_eq!((item, receiver.len()), (Some("b"), 1));
    /// ```
    pub fn send<T: 'a>(
        self,
        sender: &'a Sender<T>,
        item: &'a mut Option<T>,
        f: impl FnOnce(Result<(), SendError<T>>) -> R + 'a,
    ) -> Select<'a, R> {
        self.with(Sending::new(sender, item, f))
    }

    /// Waits for a green thread to end, and joins it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{sleep, spawn, sync::Select};
    ///
    /// let nap = |ms| Some(spawn(move || sleep(Duration::from_millis(ms))));
    /// let (mut short, mut long) = (nap(1), nap(20));
    /// let first = Select::new()
    ///     .join(&mut short, |_| "short")
    ///     .join(&mut long, |_| "long")
    ///     .wait();
    /// assert_eq!(first, "short");
    /// long.expect("it was not chosen").join()?;
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    pub fn join<T: 'a>(
        self,
        handle: &'a mut Option<JoinHandle<T>>,
        f: impl FnOnce(Result<T, JoinError>) -> R + 'a,
    ) -> Select<'a, R> {
        self.with(Ending::new(handle, f))
    }

    /// Waits until an event has happened, and lends its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::{Event, Select, channel};
    ///
    /// let (_sender, receiver) = channel::bounded::<u8>(1);
    /// let stop = Event::new();
    /// stop.send("enough").unwrap();
    /// let end = Select::new().recv(&receiver, |_| 0).event(&stop, |why: &&str| why.len()).wait();
    /// assert_eq!(end, 6);
    /// ```
    pub fn event<T: 'a>(self, event: &'a Event<T>, f: impl FnOnce(&T) -> R + 'a) -> Select<'a, R> {
        self.with(Happening::new(event, f))
    }

    /// Waits until an fd is ready to read, as [`io::trampoline`](crate::io::trampoline) does, and fails as it does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::Write, os::unix::net::UnixStream};
    /// use greenroom::sync::{Select, channel};
    ///
    /// let (here, mut there) = UnixStream::pair()?;
    /// let (_sender, receiver) = channel::bounded::<u8>(1);
    /// greenroom::spawn(move || there.write_all(b"!").unwrap());
    /// let first = Select::new()
    ///     .readable(&here, |ready| ready.map(|()| "the socket"))
    ///     .recv(&receiver, |_| Ok("the channel"))
    ///     .wait();
    /// assert_eq!(first?, "the socket");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn readable(
        self,
        fd: &'a impl AsFd,
        f: impl FnOnce(io::Result<()>) -> R + 'a,
    ) -> Select<'a, R> {
        self.with(Fd::new(fd.as_fd(), Interest::Read, f))
    }

    /// Waits until an fd is ready to write, as [`readable`](Select::readable) does for reading.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{os::unix::net::UnixStream, time::Duration};
    /// use greenroom::{Elapsed, Instant, sync::Select};
    ///
    /// let (here, _there) = UnixStream::pair()?;
    /// assert!(Select::new().writable(&here, |ready| ready.is_ok()).wait());
    /// let silent = || Select::new().readable(&here, |_| ());
    /// assert_eq!(silent().wait_timeout(Duration::from_millis(1)), Err(Elapsed));
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert_eq!(silent().wait_deadline(deadline), Err(Elapsed));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn writable(
        self,
        fd: &'a impl AsFd,
        f: impl FnOnce(io::Result<()>) -> R + 'a,
    ) -> Select<'a, R> {
        self.with(Fd::new(fd.as_fd(), Interest::Write, f))
    }

    /// Waits for a child process to end, as [`Child::wait`](crate::process::Child::wait) does and with its errors,
    /// but leaves its standard input open.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{process::Command, sync::Select};
    ///
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// let select = Select::new().child(&mut child, |status| status.map(|status| status.code()));
    /// assert!(select.wait_timeout(Duration::from_millis(1)).is_err());
    /// child.kill()?;
    /// assert_eq!(Select::new().child(&mut child, Result::unwrap).wait().code(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn child(
        self,
        child: &'a mut Child,
        f: impl FnOnce(io::Result<ExitStatus>) -> R + 'a,
    ) -> Select<'a, R> {
        self.with(Asked::new(child, f))
    }

    /// Waits for the next signal, as [`Signals::wait`](crate::signal::Signals::wait) does and with its errors.
    ///
    /// If a signal comes and somebody else takes it first, by [`try_next`](crate::signal::Signals::try_next), this waits
    /// on, at the end of the other queues.
    ///
    /// # Examples
    ///
    /// A server that stops when it is told to:
    ///
    /// ```
    /// use greenroom::{signal::{Signal, Signals}, sync::{Select, channel}};
    /// use rustix::process::{Signal as ToSend, getpid, kill_process};
    ///
    /// let signals = Signals::new([Signal::TERM])?;
    /// let (_sender, requests) = channel::unbounded::<u8>();
    /// kill_process(getpid(), ToSend::TERM)?;
    /// let request = Select::new()
    ///     .recv(&requests, |request| request.ok())
    ///     .signal(&signals, |signal| {
    ///         assert_eq!(signal.ok(), Some(Signal::TERM));
    ///         None
    ///     })
    ///     .wait();
    /// assert_eq!(request, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal(
        self,
        signals: &'a Signals,
        f: impl FnOnce(io::Result<Signal>) -> R + 'a,
    ) -> Select<'a, R> {
        self.with(Asked::new(signals, f))
    }

    // The wait.

    /// Waits for the first that can be had.
    ///
    /// # Panics
    ///
    /// If there is nothing to wait for: no source, or only `None`s. If it would have to wait in a hub
    /// callback, or in a destructor that runs because of a panic or a kill;
    /// [`try_wait`](Select::try_wait) works there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{sleep, spawn, sync::Select};
    ///
    /// let mut slow = Some(spawn(|| sleep(Duration::from_secs(60))));
    /// let mut fast = Some(spawn(|| ()));
    /// let first = Select::new().join(&mut slow, |_| "slow").join(&mut fast, |_| "fast").wait();
    /// assert_eq!((first, slow.is_some(), fast.is_some()), ("fast", true, false));
    /// ```
    #[track_caller]
    pub fn wait(self) -> R {
        assert!(
            self.sources.iter().any(|source| source.is_there()),
            "a select of nothing would never end; add something that can be chosen"
        );
        match self.choose(Some(None)) {
            Some(value) => value,
            None => refuse_unwinding(SEVERAL),
        }
    }

    /// Waits for the first that can be had, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if the time is over; at once in a destructor that runs because of a panic or a
    /// kill. What can be had in the same moment is taken.
    ///
    /// # Panics
    ///
    /// In a hub callback, if it would have to wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Elapsed, sync::{Select, channel}};
    ///
    /// let (sender, receiver) = channel::unbounded();
    /// let soon = Duration::from_millis(1);
    /// assert_eq!(Select::new().recv(&receiver, Result::unwrap).wait_timeout(soon), Err(Elapsed));
    /// sender.send(1)?;
    /// assert_eq!(Select::new().recv(&receiver, Result::unwrap).wait_timeout(soon), Ok(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_timeout(self, timeout: Duration) -> Result<R, Elapsed> {
        self.choose(Some(Some(after(timeout)))).ok_or(Elapsed)
    }

    /// Waits for the first that can be had, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Select::wait_timeout).
    ///
    /// # Panics
    ///
    /// As [`wait_timeout`](Select::wait_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Elapsed, Instant, sync::{Select, channel}};
    ///
    /// let (_sender, receiver) = channel::unbounded::<u8>();
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert_eq!(Select::new().recv(&receiver, |_| ()).wait_deadline(deadline), Err(Elapsed));
    /// ```
    pub fn wait_deadline(self, deadline: Instant) -> Result<R, Elapsed> {
        self.choose(Some(Some(deadline.on_hub()))).ok_or(Elapsed)
    }

    /// Takes what can be had now; `None` if that is nothing. Never waits, and works everywhere.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::{Select, channel};
    ///
    /// let (sender, receiver) = channel::unbounded();
    /// assert_eq!(Select::new().recv(&receiver, Result::unwrap).try_wait(), None);
    /// sender.send(1).unwrap();
    /// assert_eq!(Select::new().recv(&receiver, Result::unwrap).try_wait(), Some(1));
    /// ```
    pub fn try_wait(self) -> Option<R> {
        self.choose(None)
    }

    /// `may_wait` is a deadline, or none.
    fn choose(mut self, may_wait: Option<Option<HubInstant>>) -> Option<R> {
        let local = local();
        if may_wait.is_some() {
            // What others send from outside of this hub may never end.
            park::count_call(local);
        }
        let mut chosen = self.find_ready(local).map(|index| (index, Chosen::Ready));
        if let Some(deadline) = may_wait {
            let mut may_wait = true;
            // Somebody may have called in vain, as a signal does that was heard already.
            while chosen.is_none() && may_wait {
                (chosen, may_wait) = self.park(local, deadline);
            }
        }
        let (index, how) = chosen?;
        // The others go when the closure is done, for dropping theirs is code we do not know.
        let source = self.sources.swap_remove(index);
        Some(source.take(how))
    }

    /// One that can be had now.
    fn find_ready(&mut self, local: &Local) -> Option<usize> {
        let count = self.sources.len();
        let first =
            if self.biased || count < 2 { 0 } else { local.draws.borrow_mut().below(count) };
        (first..count).chain(0..first).find(|&index| self.sources[index].is_ready())
    }

    /// Waits at all sources, and leaves them again. What can be had then, and whether one may wait again for it.
    fn park(
        &mut self,
        local: &Local,
        deadline: Option<HubInstant>,
    ) -> (Option<(usize, Chosen)>, bool) {
        control::with_current(local, |control| control.source.set(NO_SOURCE));
        let mut waiting = Waiting { sources: &mut self.sources, entered: 0, called: None };
        let waited = park::until_any(FOR_ANY, deadline, |waiter| {
            waiting.sources.iter_mut().zip(0..).all(|(source, index)| {
                waiting.entered += 1;
                source.enter(waiter, index)
            })
        });
        let end = match waited {
            Ok(Wake::Orphaned) => waiting.refuse_orphaned(),
            Ok(_) => waiting.end(local),
            Err(Unwinding) => None,
        };
        drop(waiting);
        // What can be had since the deadline passed.
        let end = end.or_else(|| self.find_ready(local).map(|index| (index, Chosen::Ready)));
        (end, !matches!(waited, Ok(Wake::Expired) | Err(Unwinding)))
    }
}

impl<R> Default for Select<'_, R> {
    fn default() -> Self {
        Select::new()
    }
}

impl<R> fmt::Debug for Select<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("sources", &self.sources.len())
            .field("biased", &self.biased)
            .finish()
    }
}

/// Why a source was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    /// It could be had when it was asked.
    Ready,
    /// It ended the wait.
    Called,
}

/// A wait at several sources, which are left when it is over or thrown out of.
struct Waiting<'w, 'a, R> {
    sources: &'w mut Vec<Box<dyn Source<R> + 'a>>,
    /// So many have been entered.
    entered: usize,
    /// What this one has for us will be taken.
    called: Option<usize>,
}

impl<R> Waiting<'_, '_, R> {
    /// Which source has ended the wait; `None` if that was the deadline.
    fn end(&mut self, local: &Local) -> Option<(usize, Chosen)> {
        self.called = match called_by(local) {
            Some(index) => Some(index),
            // Sources that are no wait queues cannot say who they are.
            None => self.sources[..self.entered].iter_mut().position(|source| source.has_spoken()),
        };
        self.called.map(|index| (index, Chosen::Called))
    }

    #[cold]
    fn refuse_orphaned(&mut self) -> ! {
        self.sources[..self.entered].iter_mut().for_each(|source| source.orphaned());
        refuse_orphaned(SEVERAL);
    }
}

impl<R> Drop for Waiting<'_, '_, R> {
    fn drop(&mut self) {
        let taken = self.called;
        let called = called_by(local());
        for (index, source) in self.sources[..self.entered].iter_mut().enumerate() {
            if taken == Some(index) {
            } else if called == Some(index) {
                source.give_back();
            } else {
                source.leave();
            }
        }
    }
}

/// The wait queue that called whoever runs now, if one did.
fn called_by(local: &Local) -> Option<usize> {
    let source = control::with_current(local, |control| control.source.get());
    (source != NO_SOURCE).then_some(source as usize)
}
