//! Every interleaving of those who close an fd and of a hub that begins to wait for it.
//!
//! Compiles words of closing and the mailbox they ring themselves. What the kernel knows is one number's file; a
//! hub that watches a file which that number does not mean any more never hears from the kernel.

use loom::thread;

use crate::{
    mailbox::{Inbox, Mailbox},
    poller::Bell,
    sync::Arc,
};

mod shared {
    pub(super) use loom::sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering, fence},
    };

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }
}

#[path = "../../src/foreign/closing/word.rs"]
mod word;

use shared::{AtomicBool, AtomicU32, Mutex, Ordering, lock};
use word::{Closings, Heard, Hearer, Ring, Told, is_awaited};

impl Ring for Mailbox {
    fn ring(&self) {
        Mailbox::ring(self);
    }
}

const FD: i32 = 5;
const SET: i32 = 7;

/// A file, by its name in the model.
type File = char;

/// What all OS threads know.
struct World {
    waits: [AtomicU32; 2],
    /// What the kernel makes of the number.
    file: Mutex<Option<File>>,
    hubs: Vec<Arc<Closings<Mailbox>>>,
}

impl World {
    /// With the own sides of so many hubs.
    fn new<const HUBS: usize>() -> (Arc<World>, [Hearer<Mailbox>; HUBS]) {
        let hearers = [(); HUBS].map(|()| Hearer::new());
        let world = World {
            waits: [AtomicU32::new(0), AtomicU32::new(0)],
            file: Mutex::new(Some('a')),
            hubs: hearers.iter().map(Hearer::closings).cloned().collect(),
        };
        (Arc::new(world), hearers)
    }

    fn tell(&self, fd: i32, told: Told) {
        if is_awaited(&self.waits, &(fd..=fd)) {
            self.hubs.iter().for_each(|hub| hub.tell(&(fd..=fd), told));
        }
    }

    /// As `close` does, or `dup2`: the number means the file `next` then, if any.
    fn close(&self, next: Option<File>) {
        self.tell(FD, Told::Before);
        *lock(&self.file) = next;
        self.tell(FD, Told::After);
    }
}

/// One hub, on its OS thread, and its wait for the number.
struct Hub {
    world: Arc<World>,
    hearer: Hearer<Mailbox>,
    inbox: Inbox,
    /// What the kernel watches for it, if it waits.
    watched: Option<File>,
}

impl Hub {
    fn new(world: &Arc<World>, hearer: Hearer<Mailbox>) -> Hub {
        Hub { world: Arc::clone(world), hearer, inbox: Inbox::new(Bell::new()), watched: None }
    }

    fn begin(&mut self) {
        self.hear();
        let mailbox = || self.inbox.mailbox();
        self.hearer.begin(&self.world.waits, FD, mailbox);
        self.watched = *lock(&self.world.file);
    }

    fn end(&mut self) {
        self.hearer.end(&self.world.waits, FD);
    }

    /// What word there is ends the wait, or has the kernel asked.
    fn hear(&mut self) {
        if !self.hearer.has_news() {
            return;
        }
        let Heard { closed, sets } = self.hearer.take_news();
        assert_eq!(sets, [], "nobody waits for a set");
        for (_, told) in closed {
            if told == Told::Before || *lock(&self.world.file) != self.watched {
                self.watched = None;
            }
        }
    }

    /// Turns until the wait has ended. If it never does, loom finds a deadlock.
    fn run(&mut self) {
        while self.watched.is_some() {
            open_letters(&mut self.inbox);
            self.hear();
            if self.watched.is_some() {
                sleep(&self.inbox);
            }
        }
    }
}

// One turn, in the order of the loop's own. To open the letters takes back the ring that came with a word, so who
// hears of it before that, and not after, sleeps through the word.

fn open_letters(inbox: &mut Inbox) {
    if inbox.has_letters() {
        inbox.take(&mut Vec::new());
    }
}

fn sleep(inbox: &Inbox) {
    if inbox.fall_asleep() {
        inbox.bell().wait();
        inbox.wake_up();
    }
}

#[test]
fn a_wait_for_a_file_that_is_closed_ends_whenever_it_began() {
    for next in [None, Some('b')] {
        loom::model(move || {
            let (world, [hearer]) = World::new();
            let closed = Arc::clone(&world);
            let closer = thread::spawn(move || closed.close(next));
            let mut hub = Hub::new(&world, hearer);
            hub.begin();
            if hub.watched == Some('a') {
                hub.run();
            }
            hub.end();
            closer.join().unwrap();
            assert!(!is_awaited(&world.waits, &(FD..=FD)));
        });
    }
}

#[test]
fn a_wait_that_begins_after_the_closing_hears_nothing_of_it() {
    super::model_bounded(|| {
        let (world, [hearer]) = World::new();
        let is_closed = Arc::new(AtomicBool::new(false));
        let (closed, done) = (Arc::clone(&world), Arc::clone(&is_closed));
        let closer = thread::spawn(move || {
            closed.close(Some('b'));
            done.store(true, Ordering::Release);
        });
        let mut hub = Hub::new(&world, hearer);
        hub.begin();
        if hub.watched == Some('a') {
            hub.run();
        }
        hub.end();
        if is_closed.load(Ordering::Acquire) {
            hub.begin();
            assert_eq!(hub.watched, Some('b'));
            closer.join().unwrap();
            hub.hear();
            assert_eq!(hub.watched, Some('b'), "it waits for another file");
            hub.end();
        } else {
            closer.join().unwrap();
        }
    });
}

#[test]
fn a_wait_that_is_taken_up_again_at_once_ends_if_it_is_for_the_same_file_and_only_then() {
    super::model_bounded(|| {
        let (world, [hearer]) = World::new();
        let closed = Arc::clone(&world);
        let closer = thread::spawn(move || closed.close(Some('b')));
        let mut hub = Hub::new(&world, hearer);
        hub.begin();
        let was_ended = hub.watched == Some('a');
        if was_ended {
            hub.run();
        }
        hub.end();
        hub.begin();
        if hub.watched == Some('a') {
            hub.run();
        } else {
            closer.join().unwrap();
            hub.hear();
            // A first word that is still under way is for this wait as well.
            assert!(!was_ended || hub.watched == Some('b'), "it waits for another file");
        }
        hub.end();
    });
}

#[test]
fn two_hubs_hear_of_one_closing() {
    super::model_bounded(|| {
        let (world, hearers) = World::new::<2>();
        let hubs = hearers.map(|hearer| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut hub = Hub::new(&world, hearer);
                hub.begin();
                hub.run();
                hub.end();
            })
        });
        world.close(None);
        hubs.into_iter().for_each(|hub| hub.join().unwrap());
    });
}

#[test]
fn no_word_is_lost_when_another_is_taken() {
    super::model_bounded(|| {
        let (world, [hearer]) = World::new();
        let mut hub = Hub::new(&world, hearer);
        hub.begin();
        let tells = [FD, SET].map(|fd| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.hubs[0].tell(&(fd..=fd), Told::Before))
        });
        let mut heard = Vec::new();
        while heard.len() < 2 {
            open_letters(&mut hub.inbox);
            if hub.hearer.has_news() {
                heard.extend(hub.hearer.take_news().closed);
            } else {
                sleep(&hub.inbox);
            }
        }
        tells.into_iter().for_each(|tell| tell.join().unwrap());
        hub.end();
    });
}

#[test]
fn who_waits_for_a_set_hears_that_a_member_is_closed() {
    loom::model(|| {
        let (world, [mut hub]) = World::new();
        let mut inbox = Inbox::new(Bell::new());
        hub.begin(&world.waits, SET, || inbox.mailbox());
        hub.begin_members(&world.waits, SET, &[FD]);
        let closed = Arc::clone(&world);
        let closer = thread::spawn(move || closed.close(None));
        loop {
            open_letters(&mut inbox);
            if hub.has_news() {
                break;
            }
            sleep(&inbox);
        }
        assert_eq!(hub.take_news().sets.first(), Some(&SET));
        closer.join().unwrap();
        hub.end_members(&world.waits, SET, &[FD]);
        hub.end(&world.waits, SET);
        assert!(!is_awaited(&world.waits, &(0..=SET)));
    });
}
