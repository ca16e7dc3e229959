//! Items that OS threads send, among other things that are waited for at once.

use std::{rc::Rc, thread, time::Duration};

use greenroom::{
    Elapsed, JoinHandle, hub, spawn,
    sync::{
        Event, Select,
        shared::channel::{self, Receiver, RecvError},
    },
    testing::{run, wait_all_parked},
    yield_now,
};

const MOMENT: Duration = Duration::from_millis(1);

/// What a select came to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    Item(Result<u32, RecvError>),
    Stopped,
}

fn first(receiver: &Receiver<u32>, stop: &Event<()>) -> First {
    Select::new().recv_shared(receiver, First::Item).event(stop, |()| First::Stopped).wait()
}

/// Waits for an item or to be stopped.
fn selects(receiver: &Receiver<u32>, stop: &Rc<Event<()>>) -> JoinHandle<First> {
    let (receiver, stop) = (receiver.clone(), Rc::clone(stop));
    let selects = spawn(move || first(&receiver, &stop));
    wait_all_parked();
    selects
}

/// Waits for an item, behind those who wait already.
fn receives(receiver: &Receiver<u32>) -> JoinHandle<Result<u32, RecvError>> {
    let receiver = receiver.clone();
    let receives = spawn(move || receiver.recv());
    wait_all_parked();
    receives
}

fn assert_nothing_left() {
    let stats = hub::stats();
    assert_eq!((stats.threads, stats.timers, stats.expected, stats.ready), (0, 0, 0, 0));
}

#[test]
fn what_is_there_or_comes_or_ends_is_chosen() {
    run(|| {
        for capacity in [0, 1] {
            let (sender, receiver) = channel::bounded(capacity);
            let stop = Rc::new(Event::new());
            let waits = selects(&receiver, &stop);
            sender.send(1).unwrap();
            assert_eq!(waits.join().unwrap(), First::Item(Ok(1)));
            let theirs = sender.clone();
            let sends = spawn(move || theirs.send(2));
            wait_all_parked();
            assert_eq!(first(&receiver, &stop), First::Item(Ok(2)));
            sends.join().unwrap().unwrap();
            let waits = selects(&receiver, &stop);
            drop(sender);
            assert_eq!(waits.join().unwrap(), First::Item(Err(RecvError)));
            assert_eq!(first(&receiver, &stop), First::Item(Err(RecvError)));
        }
        assert_nothing_left();
    });
}

#[test]
fn what_comes_from_another_os_thread_is_chosen() {
    let (sender, receiver) = channel::unbounded();
    let (asks, asked) = channel::bounded(0);
    let os_thread = thread::spawn(move || asked.iter().for_each(|n| sender.send(n).unwrap()));
    let stop = Event::new();
    for n in 0..1000 {
        asks.send(n).unwrap();
        assert_eq!(first(&receiver, &stop), First::Item(Ok(n)));
    }
    drop(asks);
    assert_eq!(first(&receiver, &stop), First::Item(Err(RecvError)));
    os_thread.join().unwrap();
    assert_nothing_left();
}

#[test]
fn an_item_for_whoever_chose_something_else_in_the_same_moment_is_for_the_next() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let stop = Rc::new(Event::new());
        let stopped = selects(&receiver, &stop);
        let next = receives(&receiver);
        stop.send(()).unwrap();
        sender.send(1).unwrap();
        assert_eq!(stopped.join().unwrap(), First::Stopped);
        assert_eq!(next.join().unwrap(), Ok(1));
        assert_nothing_left();
    });
}

#[test]
fn an_item_for_whoever_is_killed_in_the_same_moment_is_for_the_next() {
    run(|| {
        let (sender, receiver) = channel::unbounded();
        let stop = Rc::new(Event::new());
        let killed = selects(&receiver, &stop);
        let next = receives(&receiver);
        sender.send(1).unwrap();
        killed.kill();
        assert!(killed.join().unwrap_err().is_killed());
        assert_eq!(next.join().unwrap(), Ok(1));
        assert_nothing_left();
    });
}

#[test]
fn a_wait_that_is_over_leaves_its_place() {
    let (sender, receiver) = channel::unbounded::<u32>();
    for _ in 0..3 {
        let late = Select::new().recv_shared(&receiver, |_| ()).wait_timeout(MOMENT);
        assert_eq!(late, Err(Elapsed));
        assert_eq!(Select::new().recv_shared(&receiver, |_| ()).try_wait(), None);
        assert_nothing_left();
    }
    sender.send(1).unwrap();
    assert_eq!((receiver.len(), receiver.try_recv()), (1, Ok(1)));
}

#[test]
fn no_item_is_lost_or_had_twice_among_many_who_select() {
    const EACH: u32 = 500;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| channel::bounded(2)).unzip();
    let os_threads: Vec<_> = senders
        .into_iter()
        .map(|sender| thread::spawn(move || (0..EACH).try_for_each(|n| sender.send(n))))
        .collect();
    let receivers = Rc::new(receivers);
    let selecting: Vec<_> = (0..4)
        .map(|_| {
            let receivers = Rc::clone(&receivers);
            spawn(move || {
                let mut items = Vec::new();
                let mut open = vec![true; receivers.len()];
                while open.contains(&true) {
                    let mut select = Select::new();
                    for (at, receiver) in receivers.iter().enumerate().filter(|(at, _)| open[*at]) {
                        select = select.recv_shared(receiver, move |item| (at, item));
                    }
                    match select.wait_timeout(Duration::from_micros(20)) {
                        Ok((_, Ok(item))) => items.push(item),
                        Ok((at, Err(RecvError))) => open[at] = false,
                        Err(Elapsed) => yield_now(),
                    }
                }
                items
            })
        })
        .collect();
    let mut items: Vec<_> = selecting.into_iter().flat_map(|one| one.join().unwrap()).collect();
    items.sort_unstable();
    assert!(items.into_iter().eq((0..EACH).flat_map(|n| [n; 3])));
    os_threads.into_iter().for_each(|one| one.join().unwrap().unwrap());
    assert_nothing_left();
}
