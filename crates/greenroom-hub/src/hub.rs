//! The hub itself: owns its parts and lends them to the embedder by name.
//!
//! Decides nothing: what happens when is in `turn.rs`, and each part knows its own rules.

use std::{
    io,
    ops::RangeInclusive,
    os::fd::RawFd,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use rustix::io::Errno;

#[cfg(any(test, feature = "testing"))]
use crate::poller::sim::{Sim, SimPoller};
use crate::{
    Backend, Chance, Clock, Instant, Interest, ListenError, ListenerKey, Mailbox, Readiness,
    SourceKey, TimerKey, Waiter, WakeId,
    fork::ForkWatch,
    listeners::{Listeners, Manner},
    mailbox::{Expected, Inbox},
    poller::{Bell, Event, Poller},
    ready::Ready,
    timers::Timers,
    turn::RUNS_PER_TURN_MIN,
};

/// One event loop's state: timers, listeners, ready queue, mailbox and poller.
///
/// Belongs to one OS thread; only its [`Mailbox`] may be shared. See the crate's page for how an
/// embedder drives it.
///
/// ```compile_fail,E0277
/// #[derive(Clone)]
/// struct Nobody;
///
/// impl greenroom_hub::Waiter for Nobody {
///     fn settle(&self, _wake: greenroom_hub::Wake) -> bool {
///         false
///     }
/// }
///
/// fn is_send<T: Send>() {}
/// is_send::<Nobody>();
/// is_send::<greenroom_hub::Hub<Nobody>>();
/// ```
#[derive(Debug)]
pub struct Hub<W: Waiter> {
    pub(crate) clock: Clock,
    pub(crate) now: Instant,
    pub(crate) timers: Timers<W>,
    /// Waiters whose timers are just being fired; empty between turns.
    pub(crate) due: Vec<W>,
    pub(crate) listeners: Listeners<W>,
    pub(crate) ready: Ready<W>,
    /// How many more waiters `pop` hands out before the next look at timers and fds.
    pub(crate) left: usize,
    /// How many it hands out at least, if so many come up.
    pub(crate) runs_min: usize,
    pub(crate) expected: Expected<W>,
    pub(crate) inbox: Inbox,
    pub(crate) letters: Vec<WakeId>,
    pub(crate) backend: Backend,
    pub(crate) poller: Poller,
    pub(crate) events: Vec<Event>,
    pub(crate) fork: ForkWatch,
    pub(crate) turns: u64,
    pub(crate) sleeps: u64,
    /// When the turn began, without the time that it slept.
    pub(crate) began: Instant,
    pub(crate) longest_turn: Duration,
}

/// Counts since the hub was made, and how much it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the loop.
    pub turns: u64,
    /// Turns in which it slept, or would have if the kernel had not had something at once.
    pub sleeps: u64,
    /// The longest that a turn has taken so far, without the time it slept: for so long nobody looked
    /// at timers and fds. The turn that goes on now does not count yet.
    pub longest_turn: Duration,
    /// Waits that ended because a deadline passed.
    pub expired: u64,
    /// Waits that ended because an fd was ready.
    pub fd_ready: u64,
    /// Waits that ended because their fd was closed.
    pub closed: u64,
    /// Waits that ended because somebody called: on this hub, or from another OS thread.
    pub called: u64,
    /// Waiters that may run now.
    pub ready: usize,
    /// Timers armed now.
    pub timers: usize,
    /// Listeners waiting now.
    pub listeners: usize,
    /// Waits that only another OS thread can end.
    pub expected: usize,
}

impl<W: Waiter> Hub<W> {
    /// A hub that waits with `backend` and reads `clock`.
    ///
    /// # Errors
    ///
    /// If the kernel gives no epoll set or no eventfd: out of fds (`EMFILE`, `ENFILE`), or a
    /// sandbox forbids it.
    pub fn new(backend: Backend, clock: Clock) -> io::Result<Hub<W>> {
        Hub::with_poller(backend, Poller::new(backend)?, clock)
    }

    /// A hub whose kernel is simulated. `clock` must be the one `sim` was made with.
    ///
    /// # Errors
    ///
    /// As [`Hub::new`].
    #[cfg(any(test, feature = "testing"))]
    pub fn simulated(sim: Sim, clock: Clock) -> io::Result<Hub<W>> {
        Hub::with_poller(Backend::default(), Poller::Sim(SimPoller::new(sim)), clock)
    }

    fn with_poller(backend: Backend, mut poller: Poller, clock: Clock) -> io::Result<Hub<W>> {
        let inbox = Inbox::new(Bell::new()?);
        poller.watch_bell(inbox.bell())?;
        Ok(Hub {
            now: clock.now(),
            began: clock.now(),
            clock,
            timers: Timers::new(),
            due: Vec::new(),
            listeners: Listeners::new(poller.has_edges()),
            ready: Ready::new(),
            left: 0,
            runs_min: RUNS_PER_TURN_MIN,
            expected: Expected::new(),
            inbox,
            letters: Vec::new(),
            backend,
            poller,
            events: Vec::new(),
            fork: ForkWatch::new()?,
            turns: 0,
            sleeps: 0,
            longest_turn: Duration::ZERO,
        })
    }

    /// The clock this hub reads.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time as this turn read it. Older than [`Clock::now`] by what ran since, and free.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The system call this hub waits with.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    // The ready queue.

    /// Queues a waiter that waits for nothing: one that yields, or starts.
    #[inline]
    pub fn queue(&mut self, waiter: W) {
        self.ready.push(waiter);
    }

    /// Ends a waiter's wait and queues it. False if something else has ended it already.
    #[inline]
    pub fn call(&mut self, waiter: W) -> bool {
        self.ready.wake(waiter, crate::Wake::Called)
    }

    // Timers.

    /// Arms a timer: at `deadline` the waiter's wait ends with [`Wake::Expired`](crate::Wake).
    ///
    /// Costs O(1) on average, and O(log n) of those due within 65 µs. A deadline that has passed fires in the next turn.
    pub fn arm(&mut self, deadline: Instant, waiter: W) -> TimerKey {
        self.timers.arm(deadline, waiter)
    }

    /// Takes a timer out and gives its waiter back; `None` if it fired or was cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<W> {
        self.timers.cancel(key)
    }

    /// The deadline of the earliest timer; or an earlier one that was cancelled, if many timers lie
    /// close together. Never later.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    // Listeners.

    /// Takes an fd for good: one system call now, none for later waits that follow a "would block".
    /// Its owner must [`detach`](Hub::detach) it before closing it.
    ///
    /// # Errors
    ///
    /// What the kernel says: `EBADF` if it is not open, or is one of the hub's own; from epoll also
    /// `EPERM` if it never makes anyone wait, and `ENOSPC` over the limit of
    /// `/proc/sys/fs/epoll/max_user_watches`.
    pub fn attach(&mut self, fd: RawFd) -> io::Result<SourceKey> {
        self.notice_fork();
        self.refuse_own(fd)?;
        self.listeners.attach(fd, &mut self.poller, &mut self.ready)
    }

    /// Gives an attached fd up. Whoever still waits for it hears [`Wake::Closed`](crate::Wake).
    pub fn detach(&mut self, source: SourceKey) {
        self.notice_fork();
        self.listeners.detach(source, &mut self.poller, &mut self.ready);
    }

    /// False once an attached fd was detached or declared closed, and once it is known that the
    /// number of a foreign one means another file. Whoever was woken because it is ready asks this
    /// before touching it: between the wake-up and the touch others ran.
    #[inline]
    pub fn is_attached(&self, source: SourceKey) -> bool {
        self.listeners.is_attached(source)
    }

    /// What may be ready of an attached fd. What is not in here was exhausted, and nothing else
    /// has been heard since: who can wait should, without trying once more.
    #[inline]
    pub fn readiness(&self, source: SourceKey) -> Readiness {
        self.listeners.readiness(source)
    }

    /// Notes that an attached fd said "would block" in one direction.
    #[inline]
    pub fn exhaust(&mut self, source: SourceKey, interest: Interest) {
        self.listeners.exhaust(source, interest);
    }

    /// Lets a waiter wait for an attached fd. What is ready now counts.
    ///
    /// Costs no system call if the last call in this direction said "would block" and the hub was
    /// told ([`exhaust`](Hub::exhaust)).
    ///
    /// # Errors
    ///
    /// [`ListenError::Busy`] if another waits already and several are not allowed;
    /// [`ListenError::Closed`] if the source is gone.
    pub fn listen(
        &mut self,
        source: SourceKey,
        interest: Interest,
        waiter: W,
    ) -> Result<ListenerKey, ListenError<W>> {
        self.notice_fork();
        let (poller, ready) = (&mut self.poller, &mut self.ready);
        self.listeners.listen(source, interest, waiter, poller, ready)
    }

    /// Lets a waiter wait for any fd. What is ready now counts. A `lasting` listener stays until
    /// removed and is woken once a turn while the fd is ready.
    ///
    /// # Errors
    ///
    /// [`ListenError::Busy`] as above; [`ListenError::Io`] if the fd is not open, is one of the hub's
    /// own, or is refused by the kernel. Where the backend learns only when it waits that an fd is
    /// not open, the wait ends with [`Wake::Closed`](crate::Wake) instead.
    pub fn listen_fd(
        &mut self,
        fd: RawFd,
        interest: Interest,
        waiter: W,
        lasting: bool,
    ) -> Result<ListenerKey, ListenError<W>> {
        self.listen_fd_as(
            fd,
            interest,
            waiter,
            if lasting { Manner::Lasting } else { Manner::Once },
        )
    }

    /// As [`listen_fd`](Hub::listen_fd) for one wake-up, but behind others who wait for the same fd
    /// and direction, whether or not that is
    /// [allowed](Hub::allow_multiple_waiters): for those who cannot know of each other.
    ///
    /// # Errors
    ///
    /// [`ListenError::Io`] as above.
    pub fn listen_fd_in_line(
        &mut self,
        fd: RawFd,
        interest: Interest,
        waiter: W,
    ) -> Result<ListenerKey, ListenError<W>> {
        self.listen_fd_as(fd, interest, waiter, Manner::InLine)
    }

    fn listen_fd_as(
        &mut self,
        fd: RawFd,
        interest: Interest,
        waiter: W,
        manner: Manner,
    ) -> Result<ListenerKey, ListenError<W>> {
        self.notice_fork();
        self.refuse_own(fd)?;
        let (poller, ready) = (&mut self.poller, &mut self.ready);
        self.listeners.listen_fd(fd, interest, waiter, manner, poller, ready)
    }

    /// True in a forked child that has not yet made this hub its own: until the next call that
    /// changes what the hub asks of the kernel, it is its parent's.
    pub fn is_parents(&self) -> bool {
        self.fork.forked()
    }

    /// A number that is another one in each process of a family, once the hub was made a process's own.
    pub fn era(&self) -> u32 {
        self.fork.era()
    }

    /// The hub's own fds are nobody else's to wait for. Who asks has the number of a file that was
    /// closed, and being watched anew the bell would not ring for the mailbox any more.
    fn refuse_own(&self, fd: RawFd) -> io::Result<()> {
        let is_own = self.poller.is_own(fd, self.inbox.bell());
        if is_own { Err(Errno::BADF.into()) } else { Ok(()) }
    }

    /// Takes a listener out and gives its waiter back; `None` if it was spent or removed before.
    pub fn unlisten(&mut self, key: ListenerKey) -> Option<W> {
        self.listeners.remove(key, &mut self.poller)
    }

    /// The fd was closed or reopened: ends every wait on it with [`Wake::Closed`](crate::Wake)
    /// and forgets it. Returns how many waited.
    ///
    /// Before the fd is closed is better than after: if a duplicate keeps the file alive, epoll
    /// forgets it only as long as the number still means it.
    pub fn notify_close(&mut self, fd: RawFd) -> usize {
        self.notice_fork();
        self.listeners.close(fd, &mut self.poller, &mut self.ready)
    }

    /// [`notify_close`](Hub::notify_close) for all fds in a range that are waited for.
    pub fn notify_close_all(&mut self, fds: RangeInclusive<RawFd>) -> usize {
        if fds.start() == fds.end() {
            return self.notify_close(*fds.start());
        }
        let listened = self.listeners.iter().map(|(fd, ..)| fd).filter(|fd| fds.contains(fd));
        let listened: Vec<RawFd> = listened.collect();
        listened.into_iter().map(|fd| self.notify_close(fd)).sum()
    }

    /// Some of these fds may have been closed or reopened, by somebody who could not say so
    /// [before](Hub::notify_close): the kernel is asked, before the next sleep, whether those that are waited for
    /// still mean the same file. Where not, the waits end with [`Wake::Closed`](crate::Wake).
    ///
    /// The poll backend cannot tell one file from another: there only waits for a number that means none end.
    pub fn notify_perhaps_closed(&mut self, fds: &RangeInclusive<RawFd>) {
        self.notice_fork();
        if fds.start() == fds.end() {
            self.listeners.doubt(*fds.start());
            return;
        }
        let listened = self.listeners.iter().map(|(fd, ..)| fd).filter(|fd| fds.contains(fd));
        let listened: Vec<RawFd> = listened.collect();
        listened.into_iter().for_each(|fd| self.listeners.doubt(fd));
    }

    /// Whether several waiters may queue for the same fd and direction. Not at first: mostly two
    /// readers of one stream are a bug.
    pub fn allow_multiple_waiters(&mut self, allow: bool) {
        self.listeners.allow_multiple = allow;
    }

    // Other OS threads.

    /// Announces a wait that another OS thread will end through the [`Mailbox`].
    pub fn expect(&mut self, waiter: W) -> WakeId {
        self.notice_fork();
        self.expected.insert(waiter)
    }

    /// Takes such a wait back and gives the waiter back; `None` if it ended before.
    pub fn unexpect(&mut self, id: WakeId) -> Option<W> {
        self.expected.remove(id)
    }

    /// The way in for other OS threads.
    ///
    /// A forked child has none of those threads: its hub has a new mailbox from the first call that
    /// changes the hub there, and the waits that only they could end are over with
    /// [`Wake::Orphaned`](crate::Wake). So [`expect`](Hub::expect) first, and ask for the mailbox
    /// then.
    pub fn mailbox(&self) -> Mailbox {
        self.inbox.mailbox()
    }

    // To look at.

    /// Counts since the beginning, and what is held now.
    pub fn stats(&self) -> Stats {
        Stats {
            turns: self.turns,
            sleeps: self.sleeps,
            longest_turn: self.longest_turn,
            ready: self.ready.len(),
            timers: self.timers.len(),
            listeners: self.listeners.len(),
            expected: self.expected.len(),
            ..self.ready.counts()
        }
    }

    /// All armed timers: deadline and waiter, in no order.
    pub fn timers(&self) -> impl Iterator<Item = (Instant, &W)> {
        self.timers.iter()
    }

    /// All listeners: fd, direction and waiter, in no order.
    pub fn listeners(&self) -> impl Iterator<Item = (RawFd, Interest, &W)> {
        self.listeners.iter()
    }

    /// All waiters that may run, in the order in which they will.
    pub fn ready(&self) -> impl Iterator<Item = &W> {
        self.ready.iter()
    }

    /// Set whenever a waiter is queued, so that another OS thread can see, without a lock, whether
    /// anybody may run: whoever knows how many may ([`ready`](Hub::ready)) sets or clears it anew.
    pub fn queued_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(self.ready.pushed())
    }

    /// From now on, who runs next is drawn by `chance`.
    pub fn shuffle(&mut self, chance: Chance) {
        self.ready.shuffle(chance);
    }
}
