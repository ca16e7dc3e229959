//! What destructors leave behind while everything ends: it ends as well.

use std::{
    cell::Cell,
    rc::Rc,
    sync::mpsc::{Sender, channel},
    thread::spawn as os_thread,
    time::Duration,
};

use greenroom::{hub, sleep, spawn, testing::run, yield_now};

const SECOND: Duration = Duration::from_secs(1);

/// As it is dropped it leaves an heir to a timer, to a thread or to a sleeping thread, who does the
/// same, so many times.
struct LeavesAnHeir<D: Fn(u32) + Clone + 'static> {
    generations: u32,
    on_drop: D,
}

impl<D: Fn(u32) + Clone + 'static> Drop for LeavesAnHeir<D> {
    fn drop(&mut self) {
        (self.on_drop)(self.generations);
        let Some(generations) = self.generations.checked_sub(1) else { return };
        let heir = LeavesAnHeir { generations, on_drop: self.on_drop.clone() };
        match generations % 3 {
            0 => drop(hub::call_after_global(SECOND, move || drop(heir))),
            1 => drop(spawn(move || drop(heir))),
            _ => drop(hub::Timer::new_local(SECOND, move || {
                let _heir = &heir;
            })),
        }
    }
}

#[test]
fn heirs_of_heirs_end_when_a_hub_is_aborted() {
    run(|| {
        let dropped = Rc::new(Cell::new(0));
        let count = Rc::clone(&dropped);
        let on_drop = move |_| count.set(count.get() + 1);
        let first = LeavesAnHeir { generations: 30, on_drop };
        hub::call_after_global(SECOND, move || drop(first));
        hub::abort();
        assert_eq!(dropped.get(), 31);
        let stats = hub::stats();
        assert_eq!((stats.threads, stats.timers, stats.ready), (0, 0, 0));
        assert_eq!(spawn(|| 7).join().unwrap(), 7);
    });
}

#[test]
fn heirs_of_heirs_end_with_their_os_thread() {
    let (sender, receiver) = channel();
    let life = move || {
        let on_drop = move |generations| sender.send(generations).unwrap();
        let first = LeavesAnHeir { generations: 30, on_drop };
        drop(spawn(move || {
            let _first = first;
            sleep(Duration::MAX);
        }));
        yield_now();
    };
    os_thread(life).join().unwrap();
    assert_eq!(receiver.iter().collect::<Vec<_>>(), (0..=30).rev().collect::<Vec<_>>());
}

/// Never the last of its kind.
struct Undying(Sender<()>);

impl Drop for Undying {
    fn drop(&mut self) {
        // The test may have failed and listen no more.
        let _ = self.0.send(());
        let heir = Undying(self.0.clone());
        hub::call_after_global(SECOND, move || drop(heir));
    }
}

#[test]
fn heirs_without_end_are_left_alone_when_a_hub_is_aborted() {
    let (sender, receiver) = channel();
    run(move || {
        let first = Undying(sender);
        hub::call_after_global(SECOND, move || drop(first));
        hub::abort();
        assert_eq!(hub::stats().timers, 1);
        assert_eq!(spawn(|| 7).join().unwrap(), 7);
    });
    // The last was left alone, and so was its sender.
    assert!(receiver.try_iter().count() > 1);
}
