//! Stack traces in a dump: of those that are parked, too.

use std::time::Duration;

use greenroom::{
    debug::{Dump, dump},
    hub,
    io::{Interest, trampoline},
    offload, sleep, spawn,
    testing::{run, wait_all_parked},
    thread::Builder,
    yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

#[inline(never)]
fn outermost_of_mine() {
    innermost_of_mine();
    std::hint::black_box(());
}

#[inline(never)]
fn innermost_of_mine() {
    sleep(SECOND);
    std::hint::black_box(());
}

/// The trace of the thread with this name, in words.
fn trace_of(dump: &Dump, name: &str) -> String {
    let found = dump.threads.iter().find(|thread| thread.name.as_deref() == Some(name));
    found.unwrap().trace.as_ref().map_or_else(String::new, ToString::to_string)
}

#[test]
fn a_parked_thread_shows_where_it_waits_and_who_called_that() {
    run(|| {
        let thread = Builder::new().name("sleeper").spawn(outermost_of_mine).unwrap();
        yield_now();
        let text = dump().to_string();
        let inner = text.find("innermost_of_mine").expect(&text);
        let outer = text.find("outermost_of_mine").expect(&text);
        assert!(inner < outer, "{text}");
        assert!(text.contains("tests/core/traces.rs"), "{text}");
        // Neither how it stopped nor what is below its function.
        for machinery in ["corosensei", "park::", "be_looked_at", "spawn::body", "backtrace"] {
            assert!(!text.contains(machinery), "{machinery} in:\n{text}");
        }
        thread.join().unwrap();
    });
}

#[test]
fn whatever_a_thread_waits_for_its_trace_says_so() {
    let waits: [(&str, fn()); 5] = [
        ("sleep", || sleep(SECOND)),
        ("yield_now", yield_now),
        ("join", || spawn(|| sleep(SECOND)).join().unwrap()),
        ("trampoline", || {
            let (here, _there) = std::os::unix::net::UnixStream::pair().unwrap();
            let _ = trampoline(&here, Interest::Read, None);
        }),
        ("offload", || {
            let (sender, receiver) = std::sync::mpsc::channel::<()>();
            hub::call_after_global(SECOND, move || drop(sender));
            let _ = offload(move || receiver.recv());
        }),
    ];
    for (name, wait) in waits {
        run(move || {
            let thread = Builder::new().name(name).spawn(wait).unwrap();
            yield_now();
            let trace = trace_of(&dump(), name);
            assert!(trace.contains(name), "{name} is not in:\n{trace}");
            thread.kill();
            drop(thread.join());
        });
    }
}

#[test]
fn looking_changes_nothing_for_those_who_are_looked_at() {
    run(|| {
        let trace = Trace::new();
        let naps: Vec<_> = (1..=3)
            .map(|n| {
                let trace = trace.clone();
                spawn(move || {
                    sleep(n * SECOND);
                    trace.tell(n);
                })
            })
            .collect();
        wait_all_parked();
        let before = hub::stats();
        for _ in 0..10 {
            assert!(dump().threads.iter().all(|thread| thread.trace.is_some()));
        }
        let after = hub::stats();
        assert_eq!((before.called, before.expired), (after.called, after.expired));
        assert_eq!((before.parked, before.switches), (after.parked, after.switches));
        assert!(trace.take().is_empty());
        naps.into_iter().for_each(|nap| nap.join().unwrap());
        assert_eq!(trace.take(), [1, 2, 3]);
    });
}

#[test]
fn one_that_looks_shows_its_own_stack_and_one_that_has_not_started_none() {
    run(|| {
        #[inline(never)]
        fn looks() -> Dump {
            std::hint::black_box(dump())
        }
        let looker = Builder::new().name("looker").spawn(looks).unwrap();
        let unborn = Builder::new().name("unborn").spawn(|| ()).unwrap();
        let dump = looker.join().unwrap();
        assert!(trace_of(&dump, "looker").contains("looks"), "{dump}");
        assert_eq!(trace_of(&dump, "unborn"), "");
        unborn.join().unwrap();
    });
}

#[test]
fn a_callback_and_a_destructor_during_a_panic_may_look() {
    struct Looks(Trace<usize>);
    impl Drop for Looks {
        fn drop(&mut self) {
            let dump = dump();
            self.0.tell(dump.threads.iter().filter(|thread| thread.trace.is_some()).count());
        }
    }
    run(|| {
        let sleeper = spawn(|| sleep(5 * SECOND));
        let trace = Trace::new();
        let looks = Looks(trace.clone());
        hub::call_after_global(SECOND, move || drop(looks));
        sleep(2 * SECOND);
        assert_eq!(trace.take(), [1]);
        let looks = Looks(trace.clone());
        let panics = spawn(move || {
            let _looks = looks;
            panic!("the destructor looks");
        });
        assert!(panics.join().unwrap_err().is_panic());
        // Itself, and the sleeper.
        assert_eq!(trace.take(), [2]);
        sleeper.join().unwrap();
    });
}

#[test]
fn one_near_the_end_of_its_stack_is_left_alone() {
    const KIB: usize = 1024;
    /// Waits so many bytes further down.
    #[inline(never)]
    fn deep(bytes: usize, begin: usize) {
        let here = [0_u8; 64];
        let is_deep = begin.saturating_sub(here.as_ptr().addr()) >= bytes;
        if is_deep {
            yield_now();
        } else {
            deep(bytes, begin);
        }
        std::hint::black_box(&here);
    }
    run(|| {
        // From one with plenty left down to one with hardly any, in steps smaller than what looking needs, and
        // larger than what stacks differ by anyway: a frame, and up to a kilobyte by where they begin.
        // Under the address sanitizer waiting alone takes several kilobytes.
        let is_sanitized = std::env::var_os("ASAN_OPTIONS").is_some();
        let deepest = if is_sanitized { 23 * KIB } else { 26 * KIB };
        let depths: Vec<_> = (16 * KIB..=deepest).step_by(KIB + 256).collect();
        let threads: Vec<_> = depths
            .iter()
            .map(|&depth| {
                let small = Builder::new().stack_size(32 * KIB).name(depth.to_string());
                let body = move || {
                    let begin = [depth];
                    deep(depth, begin.as_ptr().addr());
                };
                small.spawn(body).unwrap()
            })
            .collect();
        yield_now();
        let dump = dump();
        let is_seen = |depth: &usize| trace_of(&dump, &depth.to_string()).contains("deep");
        let seen = depths.iter().take_while(|depth| is_seen(depth)).count();
        assert!((1..depths.len()).contains(&seen), "{seen} of {}", depths.len());
        assert!(!depths[seen..].iter().any(is_seen), "{seen} of {}", depths.len());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_hub_that_is_full_of_threads_is_listed_whole() {
    run(|| {
        let threads: Vec<_> = (0..1000).map(|_| spawn(|| sleep(SECOND))).collect();
        wait_all_parked();
        let dump = dump();
        assert_eq!(dump.threads.iter().filter(|thread| thread.trace.is_some()).count(), 1000);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
