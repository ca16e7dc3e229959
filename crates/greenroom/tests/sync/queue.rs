//! Queues: their three orders, what is done and what is not, and changes of size.
//!
//! What they have in common with others is in `handed_on`.

use std::{cell::Cell, cmp::Ordering, rc::Rc};

use greenroom::{
    Elapsed, Instant, JoinHandle, hub, sleep, spawn,
    sync::{
        Empty, Fifo, Full, Lifo, LifoQueue, Priority, PriorityQueue, Queue, QueueBy, Store,
        TooManyDone,
    },
    testing::{run, wait_all_parked},
};

use crate::scenes::{SECOND, assert_nothing_left, in_a_callback, in_a_panic, join_all, panic_of};

fn playing<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let thread = spawn(f);
    wait_all_parked();
    thread
}

fn putting<S: Store + 'static>(queue: &Rc<QueueBy<S>>, item: S::Item) -> JoinHandle<()>
where
    S::Item: 'static,
{
    let queue = Rc::clone(queue);
    playing(move || queue.put(item))
}

fn getting<S: Store + 'static>(queue: &Rc<QueueBy<S>>) -> JoinHandle<S::Item>
where
    S::Item: 'static,
{
    let queue = Rc::clone(queue);
    playing(move || queue.get())
}

/// What comes out, without waiting.
fn drain<S: Store>(queue: &QueueBy<S>) -> Vec<S::Item> {
    std::iter::from_fn(|| queue.try_get().ok()).collect()
}

#[test]
fn items_come_out_in_the_queues_own_order() {
    fn order<S: Store<Item = u32>>() -> Vec<u32> {
        let queue = QueueBy::<S>::unbounded();
        [3, 1, 4, 1, 5].into_iter().for_each(|n| queue.put(n));
        let first = queue.get();
        queue.put(2);
        [&[first], &drain(&queue)[..]].concat()
    }
    run(|| {
        assert_eq!(order::<Fifo<u32>>(), [3, 1, 4, 1, 5, 2]);
        assert_eq!(order::<Lifo<u32>>(), [5, 2, 1, 4, 1, 3]);
        assert_eq!(order::<Priority<u32>>(), [1, 1, 2, 3, 4, 5]);
    });
}

/// Is compared by its rank alone.
#[derive(Debug)]
struct Job(u8, &'static str);

impl Ord for Job {
    fn cmp(&self, other: &Job) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Job) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Job) -> bool {
        self.0 == other.0
    }
}

impl Eq for Job {}

#[test]
fn of_equal_items_the_one_that_was_put_first_comes_out_first() {
    run(|| {
        let queue = PriorityQueue::unbounded();
        for job in [Job(1, "a"), Job(0, "b"), Job(1, "c"), Job(0, "d"), Job(1, "e"), Job(0, "f")] {
            queue.put(job);
        }
        let names: Vec<_> = drain(&queue).into_iter().map(|job| job.1).collect();
        assert_eq!(names, ["b", "d", "f", "a", "c", "e"]);
    });
}

#[test]
fn those_who_wait_to_put_are_let_in_in_their_own_order() {
    fn scene<S: Store<Item = u32> + 'static>(expected: [u32; 4]) {
        let queue = Rc::new(QueueBy::<S>::bounded(2));
        let threads = [2, 3, 1, 0].map(|n| putting(&queue, n));
        assert_eq!((queue.len(), queue.putting(), queue.is_full()), (2, 2, true));
        assert_eq!(drain(&queue), expected);
        assert_eq!((queue.len(), queue.putting()), (0, 0));
        join_all(threads);
    }
    run(|| {
        scene::<Fifo<u32>>([2, 3, 1, 0]);
        // 1 is let in when 3 has gone, and 0 when 1 has.
        scene::<Lifo<u32>>([3, 1, 0, 2]);
        scene::<Priority<u32>>([2, 1, 0, 3]);
        assert_nothing_left();
    });
}

#[test]
fn getters_are_served_in_the_order_they_came_with_the_best_there_is() {
    run(|| {
        let queue = Rc::new(PriorityQueue::unbounded());
        let threads = [getting(&queue), getting(&queue)];
        assert_eq!(queue.getting(), 2);
        [3, 1, 2].into_iter().for_each(|n| queue.put(n));
        assert_eq!((queue.getting(), queue.len()), (0, 1));
        assert_eq!(threads.map(|thread| thread.join().unwrap()), [1, 2]);
        assert_eq!(drain(&queue), [3]);
    });
}

#[test]
fn a_queue_without_room_passes_items_from_hand_to_hand() {
    fn scene<S: Store<Item = u32> + 'static>() {
        let queue = Rc::new(QueueBy::<S>::bounded(0));
        assert_eq!((queue.is_empty(), queue.is_full(), queue.capacity()), (true, true, Some(0)));
        assert_eq!((queue.try_put(9), queue.try_get()), (Err(Full(9)), Err(Empty)));
        let puts = [putting(&queue, 1), putting(&queue, 0)];
        assert_eq!((queue.unfinished(), queue.putting()), (0, 2));
        assert_eq!((queue.get(), queue.get(), queue.unfinished()), (1, 0, 2));
        join_all(puts);
        let gets = getting(&queue);
        assert_eq!((queue.try_put(3), queue.try_put(4)), (Ok(()), Err(Full(4))));
        assert_eq!((gets.join().unwrap(), queue.unfinished()), (3, 3));
    }
    run(|| {
        scene::<Fifo<u32>>();
        scene::<Lifo<u32>>();
        scene::<Priority<u32>>();
        assert_nothing_left();
    });
}

#[test]
fn timeouts_give_items_back() {
    run(|| {
        let queue = LifoQueue::bounded(1);
        let begin = Instant::now();
        assert_eq!((queue.get_timeout(SECOND), begin.elapsed()), (Err(Empty), SECOND));
        assert_eq!(queue.put_timeout('a', SECOND), Ok(()));
        assert_eq!((queue.put_timeout('b', SECOND), begin.elapsed()), (Err(Full('b')), 2 * SECOND));
        assert_eq!((queue.get_timeout(SECOND), queue.try_get()), (Ok('a'), Err(Empty)));
        assert_eq!(queue.unfinished(), 1, "what did not come in does not count");
        assert_nothing_left();
    });
}

#[test]
fn a_join_waits_until_all_that_was_put_is_done() {
    run(|| {
        let queue = Rc::new(Queue::bounded(1));
        queue.join();
        let puts = spawn({
            let queue = Rc::clone(&queue);
            move || (0..3).for_each(|n| queue.put(n))
        });
        wait_all_parked();
        assert_eq!(queue.unfinished(), 1, "one is in, one waits");
        let theirs = Rc::clone(&queue);
        let joins = [(); 2].map(|()| {
            let queue = Rc::clone(&queue);
            playing(move || queue.join())
        });
        let works = spawn(move || {
            for expected in 0..3 {
                assert_eq!(theirs.get(), expected);
                sleep(SECOND);
                theirs.task_done().unwrap();
            }
        });
        let begin = Instant::now();
        assert_eq!(queue.join_timeout(SECOND / 2), Err(Elapsed));
        join_all(joins);
        assert_eq!((begin.elapsed(), queue.unfinished()), (3 * SECOND, 0));
        assert_eq!(queue.join_timeout(SECOND), Ok(()));
        join_all([puts, works]);
        assert_nothing_left();
    });
}

#[test]
fn done_too_often_is_an_error_and_changes_nothing() {
    run(|| {
        let queue = Queue::unbounded();
        assert_eq!(queue.task_done(), Err(TooManyDone));
        queue.put(1);
        assert_eq!((queue.task_done(), queue.task_done()), (Ok(()), Err(TooManyDone)));
        assert_eq!((queue.unfinished(), queue.len()), (0, 1));
        queue.put(2);
        assert_eq!(queue.unfinished(), 1);
        let said = "task_done was called more often than items were put in";
        assert_eq!(TooManyDone.to_string(), said);
    });
}

#[test]
fn a_join_ends_in_the_moment_in_which_its_time_does_if_all_is_done_then() {
    run(|| {
        let queue = Rc::new(Queue::unbounded());
        queue.put(1);
        let theirs = Rc::clone(&queue);
        let done = playing(move || {
            sleep(SECOND);
            theirs.task_done()
        });
        assert_eq!(queue.join_timeout(SECOND), Ok(()));
        done.join().unwrap().unwrap();
    });
}

#[test]
fn who_joins_and_is_killed_leaves_nothing_behind() {
    run(|| {
        let queue = Rc::new(Queue::unbounded());
        queue.put(1);
        let [victim, other] = [(); 2].map(|()| {
            let queue = Rc::clone(&queue);
            playing(move || queue.join())
        });
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
        in_a_callback({
            let queue = Rc::clone(&queue);
            move || queue.task_done().unwrap()
        });
        other.join().unwrap();
        assert_nothing_left();
    });
}

#[test]
fn more_room_lets_those_in_who_wait_and_less_drops_nothing() {
    run(|| {
        let queue = Rc::new(Queue::bounded(1));
        let threads = [0, 1, 2, 3].map(|n| putting(&queue, n));
        assert_eq!((queue.len(), queue.putting()), (1, 3));
        queue.resize(Some(3));
        assert_eq!((queue.len(), queue.putting(), queue.capacity()), (3, 1, Some(3)));
        queue.resize(Some(1));
        assert_eq!((queue.len(), queue.putting(), queue.is_full()), (3, 1, true));
        assert_eq!((queue.get(), queue.get(), queue.putting()), (0, 1, 1));
        queue.resize(None);
        assert_eq!((queue.putting(), queue.capacity()), (0, None));
        assert_eq!(drain(&queue), [2, 3]);
        join_all(threads);

        queue.resize(Some(0));
        let waits = putting(&queue, 4);
        queue.resize(Some(1));
        waits.join().unwrap();
        assert_eq!((queue.get(), queue.unfinished()), (4, 5));
        assert_nothing_left();
    });
}

#[test]
fn in_a_destructor_a_put_makes_room_for_itself_and_nothing_waits() {
    run(|| {
        let queue = Queue::bounded(1);
        queue.put(0);
        in_a_panic(|| {
            queue.put(1);
            queue.join();
        });
        assert_eq!((queue.len(), queue.is_full(), queue.unfinished()), (2, true, 2));
        assert_eq!(in_a_panic(|| queue.join_timeout(SECOND)), Err(Elapsed));
        assert_eq!(drain(&queue), [0, 1]);
        assert_nothing_left();
    });
}

/// Runs something whenever it is compared.
#[derive(Clone)]
struct Meddler(Rc<dyn Fn()>);

impl Ord for Meddler {
    fn cmp(&self, _other: &Meddler) -> Ordering {
        (self.0)();
        Ordering::Equal
    }
}

impl PartialOrd for Meddler {
    fn partial_cmp(&self, other: &Meddler) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Meddler {
    fn eq(&self, other: &Meddler) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Meddler {}

#[test]
fn a_comparison_that_panics_loses_nobodys_wake_up() {
    run(|| {
        let queue = Rc::new(PriorityQueue::bounded(3));
        let panics = Rc::new(Cell::new(false));
        let theirs = Rc::clone(&panics);
        let item = Meddler(Rc::new(move || assert!(!theirs.get(), "no comparing today")));
        queue.put(item.clone());
        queue.put(item.clone());
        panics.set(true);
        assert_eq!(panic_of(|| queue.put(item.clone())), "no comparing today");
        assert_eq!((queue.len(), queue.unfinished(), queue.is_full()), (3, 3, true));
        let waits = putting(&queue, item.clone());
        // The item that is taken falls victim to the panic; whoever waits is let in by the next.
        assert_eq!(panic_of(|| drop(queue.get())), "no comparing today");
        panics.set(false);
        assert_eq!((queue.len(), queue.putting()), (2, 1));
        queue.get();
        assert_eq!((queue.len(), queue.putting()), (2, 0));
        waits.join().unwrap();
        assert_eq!(drain(&queue).len(), 2);

        // One who was called for an item, and for whom comparing panics.
        let panicked = getting(&queue);
        (0..3).for_each(|_| queue.put(item.clone()));
        panics.set(true);
        assert!(panicked.join().err().is_some_and(|error| error.is_panic()));
        panics.set(false);
        assert_eq!((queue.len(), drain(&queue).len()), (2, 2));
        assert_nothing_left();
    });
}

#[test]
fn a_comparison_that_uses_the_queue_is_told_and_changes_nothing() {
    run(|| {
        let queue = Rc::new(PriorityQueue::<Meddler>::unbounded());
        let theirs = Rc::downgrade(&queue);
        let uses = Meddler(Rc::new(move || {
            let Some(queue) = theirs.upgrade() else { return };
            drop(queue.try_get());
        }));
        queue.put(uses.clone());
        let message = panic_of(|| queue.put(uses.clone()));
        let rule = "may neither use that queue nor wait";
        assert!(message.contains(rule), "{message}");
        assert_eq!((queue.len(), queue.unfinished()), (2, 2));
        let theirs = Rc::downgrade(&queue);
        let other = Meddler(Rc::new(|| {}));
        let puts = Meddler(Rc::new(move || {
            let Some(queue) = theirs.upgrade() else { return };
            queue.put(Meddler(Rc::new(|| {})));
        }));
        let waits = Rc::new(PriorityQueue::unbounded());
        waits.put(other);
        drop(panic_of(|| queue.put(puts)));
        assert_eq!((queue.len(), queue.unfinished()), (3, 3), "the inner one was refused");
        assert_nothing_left();
    });
}

#[test]
fn items_may_use_the_queue_as_they_are_dropped() {
    struct Returns(Rc<Queue<Option<Returns>>>);
    impl Drop for Returns {
        fn drop(&mut self) {
            self.0.put(None);
        }
    }
    run(|| {
        let queue = Rc::new(Queue::bounded(1));
        queue.put(None);
        let theirs = Rc::clone(&queue);
        let victim = playing(move || theirs.put(Some(Returns(Rc::clone(&theirs)))));
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
        assert_eq!(queue.len(), 2, "put in a destructor, where nothing waits");
        let left = drain(&queue);
        assert!(left.iter().all(Option::is_none));
        assert_eq!(hub::stats().threads, 0);
    });
}

#[test]
fn queues_are_printed_with_their_counts() {
    let queue = Queue::bounded(2);
    queue.put(1);
    assert_eq!(
        format!("{queue:?}"),
        "QueueBy { len: 1, capacity: Some(2), unfinished: 1, putting: 0, getting: 0 }"
    );
    assert_eq!(format!("{:?} {}", Full(1), Full(1)), "Full(..) putting into a full queue");
    assert_eq!(Empty.to_string(), "getting from an empty queue");
    assert_eq!(Full(7).into_inner(), 7);
}
