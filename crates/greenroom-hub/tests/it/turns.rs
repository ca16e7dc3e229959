//! Turns: who runs when, and that nobody keeps the others from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Write,
    os::fd::AsRawFd,
    sync::atomic::Ordering,
    time::Duration,
};

use greenroom_hub::{Backend, Chance, Clock, Faults, Hub, Interest, Readiness, Sim, Waiter, Wake};

use crate::{
    fds::{pair, with_own_number},
    seeds::with_seeds,
    stage::{Probe, Stage, on_every_backend},
};

/// The bounds of a turn, as the crate's documentation of it has them.
const RUNS_MIN: usize = 64;
const RUNS_MAX: usize = 1024;

#[test]
fn who_is_queued_runs_in_that_order() {
    on_every_backend(|stage| {
        for name in ["a", "b", "c"] {
            stage.hub.queue(Probe::new(name));
        }
        let ready: Vec<_> = stage.hub.ready().map(Probe::name).collect();
        assert_eq!(ready, ["a", "b", "c"]);
        assert_eq!(stage.names(), ["a", "b", "c"]);
    });
}

#[test]
fn other_os_threads_can_see_that_somebody_was_queued() {
    on_every_backend(|stage| {
        let queued = stage.hub.queued_flag();
        for how in [Hub::queue, |hub: &mut Hub<Probe>, probe| assert!(hub.call(probe))] {
            queued.store(false, Ordering::Relaxed);
            let probe = Probe::new("a");
            assert!(!queued.load(Ordering::Relaxed));
            how(&mut stage.hub, probe);
            assert!(queued.load(Ordering::Relaxed));
            assert_eq!(stage.names(), ["a"]);
        }
    });
}

#[test]
fn whoever_is_called_twice_runs_once() {
    on_every_backend(|stage| {
        let probe = Probe::new("a");
        stage.hub.call(probe.clone());
        stage.hub.call(probe.clone());
        assert_eq!(stage.names(), ["a"]);
        assert_eq!(probe.wakes(), [Wake::Called]);
        probe.wait_again();
        stage.hub.call(probe.clone());
        assert_eq!(stage.names(), ["a"]);
    });
}

#[test]
fn nobody_is_handed_out_before_the_first_wait() {
    on_every_backend(|stage| {
        stage.hub.queue(Probe::new("a"));
        assert!(stage.hub.pop().is_none());
        stage.hub.prepare();
        assert!(stage.hub.pop().is_none());
        stage.hub.wait().expect("a look never fails");
        assert!(stage.hub.pop().is_some());
    });
}

#[test]
fn what_comes_in_one_turn_runs_in_the_order_of_its_steps() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let file = File::open("/proc/self/exe").unwrap();
        stage.hub.listen_fd(here.as_raw_fd(), Interest::Read, Probe::new("fd"), false).unwrap();
        there.write_all(b"x").unwrap();
        stage.hub.arm(stage.at(10), Probe::new("timer"));
        stage.advance_to(10);
        if stage.hub.backend() == Backend::Epoll {
            // Only there it needs no kernel to be ready.
            let waiter = Probe::new("regular file");
            stage.hub.listen_fd(file.as_raw_fd(), Interest::Read, waiter, false).unwrap();
        }
        let id = stage.hub.expect(Probe::new("letter"));
        stage.hub.mailbox().wake(id);
        stage.hub.queue(Probe::new("ready before"));
        let mut expected = vec!["ready before", "letter", "regular file", "timer", "fd"];
        if stage.hub.backend() == Backend::Poll {
            expected.remove(2);
        }
        stage.hub.prepare();
        let collected: Vec<_> = stage.hub.ready().map(Probe::name).collect();
        assert_eq!(collected, expected[..expected.len() - 1], "the kernel has not been asked");
        stage.hub.wait().expect("a look never fails");
        let handed_out: Vec<_> = stage.pop_all().iter().map(Probe::name).collect();
        assert_eq!(handed_out, expected);
    });
}

#[test]
fn who_keeps_yielding_starves_neither_fds_nor_timers() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let (reader, sleeper) = (Probe::new("reader"), Probe::new("sleeper"));
        stage.hub.listen_fd(here.as_raw_fd(), Interest::Read, reader.clone(), false).unwrap();
        stage.hub.arm(stage.at(10), sleeper.clone());
        stage.hub.queue(Probe::new("yielder"));
        there.write_all(b"x").unwrap();
        stage.advance_to(10);
        stage.hub.prepare();
        stage.hub.wait().expect("a look never fails");
        let mut runs = 0;
        while let Some(probe) = stage.hub.pop() {
            runs += 1;
            assert!(runs <= RUNS_MAX, "a turn ends");
            if probe.name() == "yielder" {
                stage.hub.queue(probe);
            }
        }
        assert!(runs >= RUNS_MIN, "a look at the kernel is worth so many switches, not {runs}");
        assert_eq!(reader.wakes(), [Wake::Ready(Readiness::READ)]);
        assert_eq!(sleeper.wakes(), [Wake::Expired]);
    });
}

#[test]
fn a_yielder_does_not_delay_what_comes_up_during_its_turn() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let (reader, sleeper) = (Probe::new("reader"), Probe::new("sleeper"));
        stage.hub.listen_fd(here.as_raw_fd(), Interest::Read, reader.clone(), false).unwrap();
        stage.hub.arm(stage.at(10), sleeper.clone());
        stage.hub.queue(Probe::new("yielder"));
        for turn in 0..2 {
            stage.hub.prepare();
            stage.hub.wait().expect("a look never fails");
            while let Some(probe) = stage.hub.pop() {
                if probe.name() == "yielder" {
                    stage.hub.queue(probe);
                }
            }
            if turn == 0 {
                assert!(reader.is_waiting() && sleeper.is_waiting());
                there.write_all(b"x").unwrap();
                stage.advance_to(10);
            }
        }
        assert!(!reader.is_waiting() && !sleeper.is_waiting());
    });
}

#[test]
fn a_yielder_that_runs_for_long_delays_the_others_by_few_of_its_runs() {
    const RUN: Duration = Duration::from_millis(20);
    let clock = Clock::manual();
    let sim = Sim::new(clock.clone(), 0, Faults::default());
    let mut hub = Hub::simulated(sim, clock.clone()).expect("the kernel has an eventfd");
    hub.queue(Probe::new("yielder"));
    // One turn, and how often the yielder ran in it, for so long each time.
    let mut turn = |run: Duration| {
        hub.prepare();
        hub.wait().expect("a simulated wait never fails");
        let mut runs = 0;
        while let Some(probe) = hub.pop() {
            runs += 1;
            clock.advance_to(clock.now() + run);
            hub.queue(probe);
        }
        runs
    };
    assert_eq!(turn(RUN), RUNS_MIN, "nobody knows yet");
    assert_eq!([turn(RUN), turn(RUN)], [1, 1]);
    let short = [(); 8].map(|()| turn(Duration::ZERO));
    assert_eq!(short, [1, 2, 4, 8, 16, 32, RUNS_MIN, RUNS_MIN], "and it is forgotten");
}

#[test]
fn a_crowd_is_handed_out_in_bounded_turns() {
    on_every_backend(|stage| {
        for _ in 0..3 * RUNS_MAX {
            stage.hub.queue(Probe::new("one of many"));
        }
        for _ in 0..3 {
            assert!(stage.hub.stats().ready >= RUNS_MAX);
            stage.hub.prepare();
            stage.hub.wait().expect("a look never fails");
            assert_eq!(stage.pop_all().len(), RUNS_MAX);
        }
        assert_eq!(stage.hub.stats().ready, 0);
    });
}

#[test]
fn a_turn_can_be_extended_to_everyone_who_is_ready() {
    on_every_backend(|stage| {
        for _ in 0..3 * RUNS_MAX {
            stage.hub.queue(Probe::new("one of many"));
        }
        assert!(stage.hub.pop().is_none());
        stage.hub.extend_turn();
        assert_eq!(stage.pop_all().len(), 3 * RUNS_MAX);
    });
}

#[test]
fn when_fd_and_timer_come_in_one_turn_the_wait_ends_once() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        let probe = Probe::new("a");
        let listener =
            stage.hub.listen_fd(here.as_raw_fd(), Interest::Read, probe.clone(), false).unwrap();
        let timer = stage.hub.arm(stage.at(10), probe.clone());
        there.write_all(b"x").unwrap();
        stage.advance_to(10);
        assert_eq!(stage.names(), ["a"]);
        assert_eq!(probe.wakes(), [Wake::Expired], "timers are looked at before fds");
        assert!(stage.hub.cancel(timer).is_none());
        assert!(stage.hub.unlisten(listener).is_none(), "the fd's report was spent on it");
        let stats = stage.hub.stats();
        assert_eq!((stats.expired, stats.fd_ready), (1, 0), "one wait, one count");
        assert_eq!(probe.holders(), 1);
    });
}

#[test]
fn a_look_collects_without_a_turn() {
    on_every_backend(|stage| {
        let (here, mut there) = pair();
        stage.hub.listen_fd(here.as_raw_fd(), Interest::Read, Probe::new("reader"), false).unwrap();
        stage.hub.prepare();
        stage.hub.look().expect("a look never fails");
        assert!(stage.hub.is_idle());
        there.write_all(b"x").unwrap();
        stage.hub.look().expect("a look never fails");
        assert!(!stage.hub.is_idle());
        assert_eq!(stage.names(), ["reader"]);
    });
}

#[test]
fn stats_count_what_ended_each_wait_and_what_is_held() {
    on_every_backend(|stage| {
        let fresh = stage.hub.stats();
        assert_eq!((fresh.turns, fresh.sleeps, fresh.ready, fresh.timers), (0, 0, 0, 0));
        let (here, mut there) = pair();
        let fd = here.as_raw_fd();
        stage.hub.listen_fd(fd, Interest::Read, Probe::new("reader"), false).unwrap();
        stage.hub.listen_fd(fd, Interest::Write, Probe::new("writer"), false).unwrap();
        stage.hub.arm(stage.at(10), Probe::new("sleeper"));
        stage.hub.arm(stage.at(20), Probe::new("late sleeper"));
        stage.hub.expect(Probe::new("remote"));
        stage.hub.call(Probe::new("called"));
        let held = stage.hub.stats();
        assert_eq!((held.ready, held.timers, held.listeners, held.expected), (1, 2, 2, 1));
        there.write_all(b"x").unwrap();
        stage.advance_to(10);
        stage.turn();
        stage.hub.listen_fd(fd, Interest::Read, Probe::new("reader"), false).unwrap();
        assert_eq!(stage.hub.notify_close(fd), 1);
        stage.turn();
        let stats = stage.hub.stats();
        assert_eq!((stats.turns, stats.sleeps), (2, 0));
        assert_eq!((stats.expired, stats.fd_ready, stats.closed, stats.called), (1, 2, 1, 1));
        assert_eq!((stats.ready, stats.timers, stats.listeners, stats.expected), (0, 1, 0, 1));
    });
}

#[test]
fn the_backend_can_be_changed_under_those_who_wait() {
    for (from, to) in [(Backend::Epoll, Backend::Poll), (Backend::Poll, Backend::Epoll)] {
        let stage = &mut Stage::new(from);
        let (ours, mut our_peer) = pair();
        let (foreign, mut foreign_peer) = pair();
        let (idle, mut idle_peer) = pair();
        let source = stage.hub.attach(ours.as_raw_fd()).unwrap();
        let unwaited = stage.hub.attach(idle.as_raw_fd()).unwrap();
        for source in [source, unwaited] {
            stage.hub.exhaust(source, Interest::Read);
        }
        stage.hub.listen(source, Interest::Read, Probe::new("attached")).unwrap();
        let fd = foreign.as_raw_fd();
        stage.hub.listen_fd(fd, Interest::Read, Probe::new("foreign"), false).unwrap();
        assert!(stage.names().is_empty());
        stage.hub.change_backend(to).expect("the kernel has this backend");
        assert_eq!(stage.hub.backend(), to);
        assert!(stage.names().is_empty());
        our_peer.write_all(b"x").unwrap();
        foreign_peer.write_all(b"x").unwrap();
        let names: BTreeSet<_> = stage.names().into_iter().collect();
        assert_eq!(names, BTreeSet::from(["attached", "foreign"]), "from {from} to {to}");
        stage.hub.exhaust(unwaited, Interest::Read);
        stage.hub.listen(unwaited, Interest::Read, Probe::new("later")).unwrap();
        assert!(stage.names().is_empty());
        idle_peer.write_all(b"x").unwrap();
        assert_eq!(stage.names(), ["later"], "from {from} to {to}");
    }
}

#[test]
fn who_waits_for_a_regular_file_does_not_notice_the_change_either() {
    for (from, to) in [(Backend::Epoll, Backend::Poll), (Backend::Poll, Backend::Epoll)] {
        let stage = &mut Stage::new(from);
        let file = File::open("/proc/self/exe").unwrap();
        let fd = file.as_raw_fd();
        let lasting = Probe::new("lasting");
        let key = stage.hub.listen_fd(fd, Interest::Read, lasting.clone(), true).unwrap();
        for backend in [from, to, from, to] {
            stage.hub.change_backend(backend).expect("the kernel has this backend");
            stage.hub.listen_fd(fd, Interest::Write, Probe::new("writer"), false).unwrap();
            assert_eq!(stage.names(), ["lasting", "writer"], "on {backend}");
            lasting.wait_again();
        }
        assert!(lasting.wakes().iter().all(|wake| matches!(wake, Wake::Ready(_))));
        assert!(stage.hub.unlisten(key).is_some());
        assert!(stage.names().is_empty());
        assert!(stage.hub.is_idle());
    }
}

#[test]
fn what_is_closed_when_the_backend_changes_is_closed_for_its_waiters() {
    for (from, to) in [(Backend::Epoll, Backend::Poll), (Backend::Poll, Backend::Epoll)] {
        let stage = &mut Stage::new(from);
        let numbers = [(); 2].map(|()| with_own_number(pair().0));
        let regular = with_own_number(File::open("/proc/self/exe").unwrap());
        let source = stage.hub.attach(numbers[0].as_raw_fd()).unwrap();
        stage.hub.exhaust(source, Interest::Read);
        stage.hub.listen(source, Interest::Read, Probe::new("attached")).unwrap();
        for (number, name) in [(&numbers[1], "foreign"), (&regular, "regular")] {
            let fd = number.as_raw_fd();
            stage.hub.listen_fd(fd, Interest::Read, Probe::new(name), false).unwrap();
        }
        drop((numbers, regular));
        stage.hub.change_backend(to).expect("the kernel has this backend");
        let woken: BTreeMap<_, _> =
            stage.turn().iter().map(|probe| (probe.name(), probe.wakes())).collect();
        let closed = ["attached", "foreign", "regular"].map(|name| (name, vec![Wake::Closed]));
        assert_eq!(woken, BTreeMap::from(closed), "from {from} to {to}");
        assert_eq!(stage.hub.stats().listeners, 0);
    }
}

#[test]
fn a_seeded_shuffle_runs_everyone_once_and_repeats() {
    #[derive(Clone)]
    struct Number(u32);

    impl Waiter for Number {
        fn settle(&self, _wake: Wake) -> bool {
            true
        }
    }

    fn order(seed: u64) -> Vec<u32> {
        let mut hub = Hub::new(Backend::default(), Clock::manual()).expect("epoll is there");
        hub.shuffle(Chance::from_seed(seed));
        for number in 0..50 {
            hub.queue(Number(number));
        }
        hub.prepare();
        hub.wait().expect("a look never fails");
        std::iter::from_fn(|| hub.pop()).map(|number| number.0).collect()
    }

    with_seeds(20, |seed| {
        let drawn = order(seed);
        assert_eq!(drawn, order(seed));
        assert_ne!(drawn, order(seed + 1), "fifty waiters hardly ever come in one order twice");
        let everyone: BTreeSet<_> = drawn.iter().copied().collect();
        assert_eq!((drawn.len(), everyone.len()), (50, 50));
    });
}

#[test]
fn the_longest_turn_is_kept_and_sleep_is_no_part_of_it() {
    let ms = Duration::from_millis;
    let clock = Clock::manual();
    let sim = Sim::new(clock.clone(), 0, Faults::default());
    let mut hub = Hub::simulated(sim, clock.clone()).expect("the kernel has an eventfd");
    let mut turn = |sleeps: u64, runs: u64| {
        if sleeps > 0 {
            hub.arm(clock.now() + ms(sleeps), Probe::new("sleeper"));
        } else {
            hub.queue(Probe::new("runner"));
        }
        hub.prepare();
        hub.wait().expect("a simulated wait never fails");
        while hub.pop().is_some() {}
        clock.advance_to(clock.now() + ms(runs));
        hub.prepare();
        hub.stats().longest_turn
    };
    let longest = [(0, 1), (100, 0), (0, 7), (100, 5), (100, 9)].map(|(s, r)| turn(s, r));
    assert_eq!(longest, [1, 1, 7, 7, 9].map(ms));
}
