//! Many hubs with many green threads, and plain OS threads among them: every item is accounted for.

use std::thread;

use greenroom::{
    scope,
    sync::shared::{Mutex, Semaphore, channel},
    yield_now,
};

const HUBS: usize = 4;
const THREADS: usize = 50;
const ITEMS: usize = 20;

#[test]
fn every_item_arrives_once_whatever_there_is_room_for() {
    for capacity in [0, 1, 64] {
        let (sender, receiver) = channel::bounded(capacity);
        let received = Mutex::new(Vec::new());
        let at_once = Semaphore::new(10);
        thread::scope(|os_threads| {
            for hub in 0..HUBS {
                let (sender, receiver) = (sender.clone(), receiver.clone());
                let (received, at_once) = (&received, &at_once);
                os_threads.spawn(move || {
                    scope(|green| {
                        for thread in 0..THREADS {
                            let (sender, receiver) = (sender.clone(), receiver.clone());
                            green.spawn(move || {
                                for n in 0..ITEMS {
                                    let _permit = at_once.acquire();
                                    sender.send((hub, thread, n)).unwrap();
                                    if n % 7 == 0 {
                                        yield_now();
                                    }
                                }
                            });
                            green.spawn(move || {
                                for _ in 0..ITEMS {
                                    let item = receiver.recv().unwrap();
                                    received.lock().unwrap().push(item);
                                }
                            });
                        }
                    });
                });
            }
            let sends = sender.clone();
            os_threads.spawn(move || (0..ITEMS).for_each(|n| sends.send((HUBS, 0, n)).unwrap()));
            let (receives, received) = (receiver.clone(), &received);
            os_threads.spawn(move || {
                let items: Vec<_> = receives.iter().take(ITEMS).collect();
                received.lock().unwrap().extend(items);
            });
        });
        let mut received = received.into_inner().unwrap();
        received.sort_unstable();
        let green = (0..HUBS).flat_map(|hub| {
            (0..THREADS).flat_map(move |thread| (0..ITEMS).map(move |n| (hub, thread, n)))
        });
        assert!(received.into_iter().eq(green.chain((0..ITEMS).map(|n| (HUBS, 0, n)))));
        assert_eq!((at_once.available(), at_once.waiting(), receiver.len()), (10, 0, 0));
    }
}
