//! No address space is left for another stack: what was to run fails with the reason, and no slot
//! goes with it.

use greenroom::{
    GreenPool, JoinHandle, pool::DagPool, sleep, spawn, testing::run, thread::Builder, yield_now,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    child::said_by_child,
    scenes::{SECOND, assert_nothing_left, panic_of},
};

#[test]
fn without_a_stack_nothing_starts_and_no_slot_is_lost() {
    let test = "no_stack::without_a_stack_nothing_starts_and_no_slot_is_lost";
    drop(said_by_child(test, has_no_stack));
}

/// Allows this process so many bytes of address space more than it has.
fn limit_address_space(more: u64) {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("the kernel tells it");
    let pages = statm.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    let bytes = pages.expect("it is a number of pages") * 4096 + more;
    let limit = Rlimit { current: Some(bytes), ..getrlimit(Resource::As) };
    setrlimit(Resource::As, limit).expect("a limit may be lowered");
}

/// Spawns sleepers until that fails.
fn fill() -> Vec<JoinHandle<()>> {
    let mut sleepers = Vec::with_capacity(100_000);
    while let Ok(sleeper) = Builder::new().spawn(|| sleep(60 * SECOND)) {
        sleepers.push(sleeper);
    }
    sleepers
}

fn has_no_stack() {
    run(|| {
        spawn(|| ()).join().unwrap();
        let (pool, full) = (GreenPool::new(1), GreenPool::new(1));
        let inner = full.clone();
        let member = full.spawn(move || {
            sleep(SECOND);
            let text = panic_of(|| inner.spawn(|| ()));
            (text, inner.running())
        });
        yield_now();
        limit_address_space(64 << 20);
        let sleepers = fill();

        let says = "failed to spawn a green thread: ";
        let text = panic_of(|| pool.spawn(|| ()));
        assert!(text.starts_with(says), "{text}");
        assert_eq!(pool.running(), 0);

        // One pool has a slot and no stack, the other not even a stack for whoever waits for a slot.
        for below in [&pool, &full] {
            let tasks = DagPool::over(below);
            for n in 1..100 {
                tasks.spawn(n, [n - 1], |_| Ok(())).unwrap();
            }
            tasks.spawn(0, [], |_| Ok(())).unwrap();
            tasks.spawn(100, [], |_| Ok(())).unwrap();
            let error = tasks.wait([99]).unwrap_err();
            assert_eq!(*error.key(), 0);
            let text = error.to_string();
            assert!(text.contains("the green thread was not spawned"), "{text}");
            assert_eq!(*tasks.wait([100]).unwrap_err().key(), 100);
        }
        assert_eq!((pool.running(), full.running()), (0, 1));

        // Its slot stays its own, although the child to which it was lent never was.
        let (text, running) = member.join().unwrap();
        assert!(text.starts_with(says), "{text}");
        assert_eq!((running, full.running()), (1, 0));
        for sleeper in sleepers {
            sleeper.kill();
        }
        assert_eq!(pool.spawn(|| 7).join().unwrap(), 7);
        yield_now();
        assert_nothing_left();
    });
}
