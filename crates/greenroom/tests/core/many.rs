//! A hundred thousand green threads, alive at once on one OS thread.

use std::{cell::Cell, rc::Rc, time::Duration};

use greenroom::{JoinHandle, hub, sleep, spawn, testing::run};

const MANY: usize = 100_000;

/// Where the kernel can guard stacks without a mapping for each (Linux 6.13); before that the number
/// of mappings is the limit, at about a quarter.
fn as_many_as_the_kernel_allows() -> usize {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version >= (6, 13) { MANY } else { MANY / 4 }
}

#[test]
fn they_all_live_at_once_and_all_finish() {
    let many = as_many_as_the_kernel_allows();
    run(|| {
        let alive = Rc::new(Cell::new(0));
        let threads: Vec<JoinHandle<usize>> = (0..many)
            .map(|n| {
                let alive = Rc::clone(&alive);
                spawn(move || {
                    alive.set(alive.get() + 1);
                    sleep(Duration::from_millis((n * 7919 % 10_000) as u64 + 1));
                    alive.set(alive.get() - 1);
                    n
                })
            })
            .collect();
        greenroom::yield_now();
        assert_eq!((alive.get(), hub::stats().threads, hub::stats().timers), (many, many, many));
        for (n, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), n);
        }
        let stats = hub::stats();
        assert_eq!((alive.get(), stats.threads, stats.timers), (0, 0, 0));
        assert_eq!((stats.threads_peak, stats.stacks_idle), (many, many));
    });
}
