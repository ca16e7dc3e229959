//! Semaphores between hubs: what is theirs beside handing on: many permits at once, and guards.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use greenroom::{
    Elapsed, hubs, scope,
    sync::shared::{Permit, Semaphore},
    testing::{advance, run},
    yield_now,
};

use crate::{
    scenes::panic_of,
    site::{SECOND, Site, on_os_thread, while_time_passes},
};

#[test]
fn it_and_its_permits_may_be_sent_and_shared() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Semaphore>();
    is_shared::<Permit<'static>>();
}

#[test]
fn no_more_are_inside_than_there_are_permits() {
    let (semaphore, inside, most) = (Semaphore::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
    hubs::run(3, |_| {
        scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let _permit = semaphore.acquire();
                    most.fetch_max(inside.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    yield_now();
                    inside.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
    });
    assert!(most.into_inner() <= 3);
    assert_eq!((semaphore.available(), semaphore.waiting()), (3, 0));
}

#[test]
fn who_wants_few_waits_behind_who_wants_many() {
    let sites = [Site::start(), Site::start()];
    let semaphore = Arc::new(Semaphore::new(2));
    let taker = |site: &Site, count| {
        let semaphore = Arc::clone(&semaphore);
        site.waiter(move || semaphore.acquire_many(count).forget())
    };
    let many = taker(&sites[0], 5);
    let few = taker(&sites[1], 1);
    assert_eq!((semaphore.available(), semaphore.waiting()), (2, 2));
    assert!(semaphore.try_acquire().is_none());
    let theirs = Arc::clone(&semaphore);
    let late = run(|| {
        while_time_passes(SECOND, move || theirs.acquire_timeout(SECOND).map(Permit::forget))
    });
    assert_eq!(late, Err(Elapsed));
    assert_eq!(semaphore.try_acquire_many(0).unwrap().count(), 0);
    semaphore.release_many(2);
    sites.iter().for_each(Site::settle);
    assert!(!few.is_finished(), "4 permits are too few for the first");
    semaphore.release();
    many.join().unwrap();
    assert_eq!(semaphore.waiting(), 1);
    semaphore.release();
    few.join().unwrap();
    assert_eq!((semaphore.available(), semaphore.waiting()), (0, 0));
}

#[test]
fn those_behind_one_who_gives_up_go_on() {
    enum GivesUp {
        Killed,
        Late,
    }
    for how in [GivesUp::Killed, GivesUp::Late] {
        let sites = [Site::start(), Site::start()];
        let semaphore = Arc::new(Semaphore::new(1));
        let theirs = Arc::clone(&semaphore);
        let many = sites[0].waiter(move || theirs.acquire_many(2).forget());
        let theirs = Arc::clone(&semaphore);
        let late = sites[0].waiter(move || theirs.acquire_many_timeout(2, SECOND).is_err());
        let theirs = Arc::clone(&semaphore);
        let few = sites[1].waiter(move || theirs.acquire().forget());
        match how {
            GivesUp::Killed => many.kill().unwrap(),
            GivesUp::Late => semaphore.release(),
        }
        if let GivesUp::Late = how {
            many.join().unwrap();
            semaphore.release();
        }
        sites[0].play(|| advance(SECOND));
        assert!(late.join().unwrap());
        few.join().unwrap();
        assert_eq!((semaphore.available(), semaphore.waiting()), (0, 0));
    }
}

#[test]
fn a_permit_is_given_back_by_whoever_drops_it_also_in_a_panic() {
    let semaphore = Semaphore::new(2);
    let permit = semaphore.acquire_many(2);
    on_os_thread(move || drop(permit));
    assert_eq!(semaphore.available(), 2);
    let said = panic_of(|| {
        let _permit = semaphore.acquire();
        panic!("with a permit");
    });
    assert_eq!((said.as_str(), semaphore.available()), ("with a permit", 2));
}

#[test]
fn a_permit_that_was_not_had_is_not_given_back() {
    let semaphore = Semaphore::new(0);
    assert!(semaphore.try_acquire().is_none());
    assert!(semaphore.acquire_timeout(Duration::ZERO).is_err());
    assert_eq!(semaphore.available(), 0);
}

#[test]
fn more_permits_than_can_be_counted_are_refused_and_nothing_is_changed() {
    let semaphore = Semaphore::new(usize::MAX - 1);
    let permit = semaphore.acquire();
    let said = panic_of(|| semaphore.release_many(2));
    assert!(said.starts_with("2 permits more cannot be counted"), "{said}");
    semaphore.release();
    drop(permit);
    assert_eq!(semaphore.available(), usize::MAX);
}

#[test]
fn it_can_be_a_static() {
    static DONE: Semaphore = Semaphore::new(0);
    let other = thread::spawn(|| DONE.release());
    DONE.acquire().forget();
    other.join().unwrap();
}
