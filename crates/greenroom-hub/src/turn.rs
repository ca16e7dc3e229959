//! One turn of the loop.
//!
//! The order is fixed, and it is this:
//!
//! 1. *Fork.* In a child that has just been forked, make a poller of its own.
//! 2. *Letters.* Waits ended by other OS threads go to the ready queue.
//! 3. *Rearm.* Listeners that stay, and those that were passed over, are asked for again.
//! 4. *Fire.* The clock is read; timers due by then go to the ready queue, earliest first.
//! 5. *Decide.* If anybody is ready, do not sleep; else sleep until the first timer, for a minute
//!    at most.
//! 6. *Wait.* Ask the kernel what is ready, and put those who waited for it into the ready queue.
//! 7. *Run.* The embedder takes waiters from the ready queue, and runs them.
//!
//! Steps 1 to 4 are [`Hub::prepare`], 5 and 6 [`Hub::wait`], and 7 is up to [`Hub::pop`], which
//! ends the turn after so many waiters. A waiter that is queued while others run may still run in
//! this turn; but the count is bounded, and small after a long turn, so nobody who keeps yielding can keep
//! timers and fds from being looked at. A timer armed in step 7 fires in a later turn, however short it is.

use std::{io, time::Duration};

use crate::{
    Backend, Hub, Instant, Waiter, Wake,
    mailbox::Inbox,
    poller::{BELL, Bell, EVENTS_PER_TURN_MAX, Poller},
};

/// The longest sleep. Nothing depends on it: it bounds the harm of a lost wake-up.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// A turn runs at least so many waiters before the next look at the kernel, if there are that many:
/// a look costs as much as some dozens of switches. Fewer after a turn that was long.
pub(crate) const RUNS_PER_TURN_MIN: usize = 64;

/// After a turn that took longer, nobody who is not ready yet when the next begins runs in that: waiters that run for
/// long would be too many before the next look. Beside such a time a look costs nothing.
const TURN_LONG: Duration = Duration::from_millis(1);

/// A turn runs at most so many.
const RUNS_PER_TURN_MAX: usize = 1024;

/// A turn fires at most so many timers, and the others in the next, which does not sleep before. So
/// those woken are still in the cache when they run.
const TIMERS_PER_TURN_MAX: usize = 256;

/// So many waiters are asked for at once when they are not in the cache. The misses, of the cache
/// and of the tables of pages, then overlap; asked for one by one they add up.
const PREFETCHED_AT_ONCE: usize = 8;

/// So many waiters, of those that ran last, are taken to be in the cache.
const CACHED_MAX: usize = 64;

const _: () = assert!(RUNS_PER_TURN_MIN <= RUNS_PER_TURN_MAX);
const _: () = assert!(EVENTS_PER_TURN_MAX <= RUNS_PER_TURN_MAX);

/// What a wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on: run whoever is ready, then take the next turn.
    Continue,
    /// Nobody is ready and nothing is left that could make anyone: no timer, no listener, no other
    /// OS thread that is expected to call or could.
    Stuck,
}

impl<W: Waiter> Hub<W> {
    /// Begins a turn: moves whoever is due into the ready queue, without asking the kernel. News for which the
    /// mailbox was [rung](crate::Mailbox::ring) are to be looked for after it.
    pub fn prepare(&mut self) {
        self.turns += 1;
        self.notice_fork();
        if self.inbox.has_letters() {
            self.open_letters();
        }
        self.listeners.rearm(&mut self.poller, &mut self.ready);
        self.now = self.clock.now();
        let turn = self.now.saturating_since(self.began);
        self.longest_turn = self.longest_turn.max(turn);
        // Of a turn that ended before, the count says nothing; and before the first there was none.
        if self.left == 0 && self.turns > 1 {
            let more = (self.runs_min * 2).min(RUNS_PER_TURN_MIN);
            self.runs_min = if turn > TURN_LONG { 1 } else { more };
        }
        self.began = self.now;
        self.fire();
    }

    /// True if [`wait`](Hub::wait) would sleep: nobody is ready. The moment for chores.
    pub fn is_idle(&self) -> bool {
        self.ready.len() == 0 && !self.listeners.is_pending()
    }

    /// Asks the kernel what is ready, and sleeps if nobody could run otherwise.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to wait: a bug, or memory is out. Nothing is lost; the next call
    /// tries again.
    pub fn wait(&mut self) -> io::Result<Outcome> {
        // Chores may have forked, and the child must not take what the kernel has for its parent.
        self.notice_fork();
        let outcome = if self.is_idle() {
            let slept = self.sleep();
            // Only whoever has slept pays for a second look at the clock.
            self.began = self.clock.now();
            slept?
        } else {
            if self.listeners.len() > 0 {
                self.poll(Some(Duration::ZERO))?;
            }
            Outcome::Continue
        };
        self.left = self.ready.len().clamp(self.runs_min, RUNS_PER_TURN_MAX);
        Ok(outcome)
    }

    /// The next waiter to run; `None` at the turn's end.
    #[inline]
    pub fn pop(&mut self) -> Option<W> {
        self.left = self.left.checked_sub(1)?;
        if self.left.is_multiple_of(PREFETCHED_AT_ONCE) && self.ready.len() > CACHED_MAX {
            self.ready.prefetch(PREFETCHED_AT_ONCE);
        }
        self.ready.pop()
    }

    /// Lets [`pop`](Hub::pop) hand out everyone who is ready now, without a turn in between.
    pub fn extend_turn(&mut self) {
        self.left = self.left.max(self.ready.len());
    }

    /// Looks at the fds once without sleeping, so that [`is_idle`](Hub::is_idle) means it.
    ///
    /// # Errors
    ///
    /// As [`wait`](Hub::wait).
    pub fn look(&mut self) -> io::Result<()> {
        self.notice_fork();
        self.poll(Some(Duration::ZERO))
    }

    fn sleep(&mut self) -> io::Result<Outcome> {
        let deadline = self.timers.next_deadline();
        // The end of time does not come.
        let deadline = deadline.filter(|&at| at != Instant::NEVER);
        let others = self.expected.len() > 0 || self.inbox.has_senders();
        if deadline.is_none() && self.listeners.len() == 0 && !others {
            return Ok(Outcome::Stuck);
        }
        self.sleeps += 1;
        if self.clock.is_virtual() && !self.poller.is_simulated() {
            self.poll(Some(Duration::ZERO))?;
            let settled = !self.is_idle() || self.inbox.has_letters();
            match deadline {
                _ if settled => {}
                // Time stands still while another OS thread works for us.
                Some(deadline) if self.expected.len() == 0 => self.clock.advance_to(deadline),
                _ => self.sleep_in_poller(SLEEP_MAX)?,
            }
            return Ok(Outcome::Continue);
        }
        // Not since the turn began: chores take time too.
        let until_first = deadline.map(|deadline| deadline.saturating_since(self.clock.now()));
        self.sleep_in_poller(until_first.unwrap_or(SLEEP_MAX).min(SLEEP_MAX))?;
        Ok(Outcome::Continue)
    }

    fn sleep_in_poller(&mut self, time: Duration) -> io::Result<()> {
        if !self.inbox.fall_asleep() {
            return self.poll(Some(Duration::ZERO));
        }
        let outcome = self.poll(Some(time));
        self.inbox.wake_up();
        outcome
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        debug_assert!(self.events.is_empty(), "events are delivered in the turn that took them");
        self.poller.wait(timeout, &mut self.events)?;
        for events in self.events.chunks(PREFETCHED_AT_ONCE) {
            if events.len() == PREFETCHED_AT_ONCE {
                events.iter().for_each(|event| self.listeners.prefetch(event));
            }
            for &event in events {
                if event.token == BELL {
                    self.inbox.bell().mute();
                } else {
                    self.listeners.deliver(event, &mut self.ready);
                }
            }
        }
        self.events.clear();
        Ok(())
    }

    /// Wakes those whose deadline has passed: all are taken out, then all woken, so that the memory
    /// of one is on its way while another's is looked for.
    fn fire(&mut self) {
        while self.due.len() < TIMERS_PER_TURN_MAX
            && let Some(waiter) = self.timers.pop_due(self.now)
        {
            self.due.push(waiter);
        }
        if self.due.len() >= PREFETCHED_AT_ONCE {
            self.due.iter().for_each(W::prefetch);
        }
        for waiter in self.due.drain(..) {
            self.ready.wake(waiter, Wake::Expired);
        }
    }

    #[cold]
    fn open_letters(&mut self) {
        self.inbox.take(&mut self.letters);
        for id in self.letters.drain(..) {
            if let Some(waiter) = self.expected.remove(id) {
                self.ready.wake(waiter, Wake::Called);
            }
        }
    }

    /// In a new child of a fork, replaces what the hub shares with its parent, as each call does that changes what it
    /// asks of the kernel. Elsewhere it costs a load.
    ///
    /// # Panics
    ///
    /// In the child, if the kernel gives no epoll set or no eventfd.
    #[inline]
    pub fn notice_fork(&mut self) {
        if self.fork.forked() {
            self.start_over_in_child();
        }
    }

    #[cold]
    fn start_over_in_child(&mut self) {
        // The old mailbox's lock may have been held by a thread that is not in this child.
        let renewed = Bell::new().and_then(|bell| {
            let poller = self.poller.renew(self.backend)?;
            Ok((Inbox::new(bell), poller))
        });
        let renewed = renewed.and_then(|(inbox, poller)| {
            self.inbox = inbox;
            self.replace_poller(poller)
        });
        if let Err(error) = renewed {
            // Not noticed yet: whoever uses this hub next must not use its parent's epoll set.
            panic!("a forked child's hub needs an epoll set and an eventfd of its own: {error}");
        }
        self.fork.noticed();
        for waiter in self.expected.drain() {
            self.ready.wake(waiter, Wake::Orphaned);
        }
    }

    /// Waits with another backend from now on. Nobody who waits notices.
    ///
    /// # Errors
    ///
    /// If the kernel does not give what it needs; then nothing has changed.
    pub fn change_backend(&mut self, backend: Backend) -> io::Result<()> {
        self.notice_fork();
        self.replace_poller(Poller::new(backend)?)?;
        self.backend = backend;
        Ok(())
    }

    fn replace_poller(&mut self, mut poller: Poller) -> io::Result<()> {
        poller.watch_bell(self.inbox.bell())?;
        self.poller = poller;
        self.listeners.introduce_all(self.inbox.bell(), &mut self.poller, &mut self.ready);
        Ok(())
    }
}
