//! Barriers: nobody goes on before all have come, and who leaves has not come.

use std::{rc::Rc, time::Duration};

use greenroom::{
    Elapsed, Instant, JoinHandle, sleep, spawn,
    sync::Barrier,
    testing::{run, wait_all_parked},
    with_timeout,
};

use crate::{
    scenes::{
        SECOND, assert_nothing_left, in_a_callback, in_a_kill, in_a_panic, join_all, panic_of,
    },
    trace::Trace,
};

/// Has `name` come to the barrier.
fn comer(barrier: &Rc<Barrier>, trace: &Trace, name: &'static str) -> JoinHandle<bool> {
    let (barrier, trace) = (Rc::clone(barrier), trace.clone());
    let comer = spawn(move || {
        let result = barrier.wait();
        trace.tell(name);
        result.is_leader()
    });
    wait_all_parked();
    comer
}

#[test]
fn all_go_on_when_the_last_has_come_and_it_leads() {
    run(|| {
        let (barrier, trace) = (Rc::new(Barrier::new(3)), Trace::new());
        for _ in 0..3 {
            let first = ["a", "b"].map(|name| comer(&barrier, &trace, name));
            assert_eq!(trace.take(), [""; 0]);
            let last = comer(&barrier, &trace, "c");
            assert_eq!(trace.take(), ["c", "a", "b"]);
            assert_eq!(first.map(|comer| comer.join().unwrap()), [false, false]);
            assert!(last.join().unwrap());
        }
        assert_nothing_left();
    });
}

#[test]
fn who_is_killed_before_all_have_come_has_not_come() {
    for kills_before_the_next_comes in [true, false] {
        run(|| {
            let (barrier, trace) = (Rc::new(Barrier::new(3)), Trace::new());
            let [victim, other] = ["victim", "other"].map(|name| comer(&barrier, &trace, name));
            victim.kill();
            if kills_before_the_next_comes {
                wait_all_parked();
            }
            // What follows on this stack comes before the victim is unwound.
            assert_eq!(barrier.wait_timeout(Duration::ZERO), Err(Elapsed));
            assert_eq!(trace.take(), [""; 0]);
            let next = comer(&barrier, &trace, "next");
            assert_eq!(trace.take(), [""; 0]);
            assert!(barrier.wait().is_leader());
            assert_eq!([other, next].map(|comer| comer.join().unwrap()), [false, false]);
            assert!(victim.join().unwrap_err().is_killed());
            assert_eq!(trace.take(), ["other", "next"]);
            assert_nothing_left();
        });
    }
}

#[test]
fn who_is_killed_after_all_have_come_is_missed_by_nobody() {
    run(|| {
        let (barrier, trace) = (Rc::new(Barrier::new(3)), Trace::new());
        let [victim, other] = ["victim", "other"].map(|name| comer(&barrier, &trace, name));
        assert!(barrier.wait().is_leader());
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
        assert!(!other.join().unwrap());
        // The next round is whole.
        let next = ["a", "b"].map(|name| comer(&barrier, &trace, name));
        assert_eq!(trace.take(), ["other"]);
        assert!(barrier.wait().is_leader());
        join_all(next);
    });
}

#[test]
fn whose_time_is_over_has_not_come() {
    run(|| {
        let (barrier, trace) = (Rc::new(Barrier::new(2)), Trace::new());
        let begin = Instant::now();
        assert_eq!(barrier.wait_timeout(SECOND), Err(Elapsed));
        assert_eq!(with_timeout(SECOND, || barrier.wait()), Err(Elapsed));
        assert_eq!(begin.elapsed(), 2 * SECOND);
        let other = comer(&barrier, &trace, "other");
        assert!(barrier.wait_timeout(SECOND).unwrap().is_leader());
        assert!(!other.join().unwrap());
        assert_nothing_left();
    });
}

#[test]
fn who_comes_in_the_moment_in_which_the_others_time_is_over_is_alone() {
    run(|| {
        let barrier = Rc::new(Barrier::new(2));
        let theirs = Rc::clone(&barrier);
        let late = spawn(move || theirs.wait_timeout(SECOND));
        wait_all_parked();
        sleep(SECOND);
        assert_eq!(barrier.wait_timeout(SECOND), Err(Elapsed));
        assert_eq!(late.join().unwrap(), Err(Elapsed));
    });
}

#[test]
fn for_one_or_none_there_is_no_wait() {
    run(|| {
        for parties in [0, 1] {
            let barrier = Barrier::new(parties);
            assert!(barrier.wait().is_leader() && barrier.wait().is_leader());
            assert!(in_a_callback(move || barrier.wait().is_leader()));
        }
    });
}

#[test]
fn a_callback_may_be_the_last_to_come_but_not_wait() {
    run(|| {
        let (barrier, trace) = (Rc::new(Barrier::new(2)), Trace::new());
        let theirs = Rc::clone(&barrier);
        let message = in_a_callback(move || panic_of(|| theirs.wait()));
        assert!(message.contains("a hub callback may not block"), "{message}");
        let other = comer(&barrier, &trace, "other");
        assert!(in_a_callback(move || barrier.wait().is_leader()));
        assert!(!other.join().unwrap());
    });
}

#[test]
fn in_a_destructor_during_a_panic_only_the_last_can_come() {
    let play = |barrier: &Barrier| {
        let message = panic_of(|| barrier.wait());
        assert!(message.starts_with("a barrier would have to be waited for"), "{message}");
        barrier.wait_timeout(SECOND)
    };
    run(|| {
        assert_eq!(in_a_panic(|| play(&Barrier::new(2))), Err(Elapsed));
        assert_eq!(in_a_kill(move || play(&Barrier::new(2))), Err(Elapsed));
        let (barrier, trace) = (Rc::new(Barrier::new(2)), Trace::new());
        let other = comer(&barrier, &trace, "other");
        assert!(in_a_panic(|| barrier.wait()).is_leader());
        assert!(!other.join().unwrap());
    });
}

#[test]
fn a_root_that_waits_for_ever_is_told_and_has_not_come() {
    run(|| {
        let (barrier, trace) = (Rc::new(Barrier::new(2)), Trace::new());
        for _ in 0..2 {
            assert!(panic_of(|| barrier.wait()).contains("the root waits for a barrier"));
        }
        let other = comer(&barrier, &trace, "other");
        assert_eq!(trace.take(), [""; 0]);
        assert!(barrier.wait().is_leader());
        other.join().unwrap();
    });
}
