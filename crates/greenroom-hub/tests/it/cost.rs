//! What waits cost: how often the kernel is asked to change what it watches.
//!
//! Counted by a simulated kernel, which is asked as an epoll set is.

use greenroom_hub::{
    Changes, Clock, Faults, Hub, Interest, ListenerKey, Readiness, Sim, SourceKey,
};

use crate::stage::Probe;

const ROUNDS: u64 = 100;

/// A hub over a simulated kernel without whims.
struct Counter {
    hub: Hub<Probe>,
    sim: Sim,
    clock: Clock,
}

impl Counter {
    fn new() -> Counter {
        let clock = Clock::manual();
        let sim = Sim::new(clock.clone(), 0, Faults::default());
        let hub = Hub::simulated(sim.clone(), clock.clone()).expect("the kernel has an eventfd");
        Counter { hub, sim, clock }
    }

    fn wait_at(&mut self, source: SourceKey) -> ListenerKey {
        let listened = self.hub.listen(source, Interest::Read, Probe::new("reader"));
        listened.expect("the source is attached and the place is free")
    }

    fn wait_for(&mut self, fd: i32, lasting: bool) -> ListenerKey {
        let listened = self.hub.listen_fd(fd, Interest::Read, Probe::new("reader"), lasting);
        listened.expect("the fd is open and the place is free")
    }

    /// Lets something come, and the reader read it up.
    #[track_caller]
    fn serve(&mut self, fd: i32) -> Probe {
        self.sim.make_ready(fd, Readiness::READ, self.clock.now());
        self.hub.prepare();
        self.hub.wait().expect("a simulated wait never fails");
        let reader = self.hub.pop().expect("the reader is woken");
        assert!(self.hub.pop().is_none());
        assert!(self.sim.take(fd, Readiness::READ));
        reader
    }

    #[track_caller]
    fn assert_asked(&self, added: u64, modified: u64, removed: u64) {
        assert_eq!(self.sim.changes(), Changes { added, modified, removed });
    }
}

#[test]
fn an_attached_fd_is_registered_once_however_often_it_is_waited_for() {
    let mut counter = Counter::new();
    let fd = counter.sim.open();
    let source = counter.hub.attach(fd).unwrap();
    for _ in 0..ROUNDS {
        counter.hub.exhaust(source, Interest::Read);
        counter.wait_at(source);
        counter.serve(fd);
    }
    counter.hub.exhaust(source, Interest::Read);
    for _ in 0..ROUNDS {
        let given_up = counter.wait_at(source);
        counter.hub.unlisten(given_up);
    }
    counter.assert_asked(1, 0, 0);
    counter.hub.detach(source);
    counter.assert_asked(1, 0, 1);
}

#[test]
fn who_waits_at_an_attached_fd_without_having_tried_asks_once() {
    let mut counter = Counter::new();
    let fd = counter.sim.open();
    let source = counter.hub.attach(fd).unwrap();
    for asked in 1..=ROUNDS {
        counter.wait_at(source);
        counter.serve(fd);
        counter.assert_asked(1, asked, 0);
    }
}

#[test]
fn a_foreign_fd_is_added_once_and_armed_once_a_wait() {
    let mut counter = Counter::new();
    let fd = counter.sim.open();
    for waits in 1..=ROUNDS {
        counter.wait_for(fd, false);
        counter.serve(fd);
        counter.assert_asked(1, waits - 1, 0);
    }
    let given_up = counter.wait_for(fd, false);
    counter.hub.unlisten(given_up);
    counter.assert_asked(1, ROUNDS, 0);
}

#[test]
fn a_lasting_listener_asks_once_each_time_it_is_woken() {
    let mut counter = Counter::new();
    let fd = counter.sim.open();
    let key = counter.wait_for(fd, true);
    for woken in 1..=ROUNDS {
        counter.serve(fd).wait_again();
        // Quiet turns, the first of which arms it again.
        for _ in 0..3 {
            counter.hub.prepare();
            counter.hub.look().expect("a simulated look never fails");
        }
        counter.assert_asked(1, woken, 0);
    }
    counter.hub.unlisten(key);
    counter.assert_asked(1, ROUNDS, 0);
}

#[test]
fn who_was_passed_over_and_gave_up_is_not_asked_for_again() {
    let mut counter = Counter::new();
    let fd = counter.sim.open();
    counter.wait_for(fd, false);
    let writer = counter.hub.listen_fd(fd, Interest::Write, Probe::new("writer"), false).unwrap();
    counter.serve(fd);
    let before = counter.sim.changes();
    counter.hub.unlisten(writer);
    counter.hub.prepare();
    assert_eq!(counter.sim.changes(), before);
    assert!(counter.hub.is_idle());
}

#[test]
fn a_number_that_means_another_file_is_asked_for_in_vain_once_and_added_afresh() {
    let mut counter = Counter::new();
    let fd = counter.sim.open();
    counter.wait_for(fd, false);
    counter.serve(fd);
    for reused in 1..=ROUNDS {
        counter.sim.close(fd);
        assert_eq!(counter.sim.open(), fd, "the lowest number is used again");
        counter.wait_for(fd, false);
        counter.serve(fd);
        counter.assert_asked(1 + reused, reused, 0);
    }
}

#[test]
fn what_nobody_waits_for_costs_nothing() {
    let mut counter = Counter::new();
    let fds = [(); 10].map(|()| counter.sim.open());
    let sources = fds.map(|fd| counter.hub.attach(fd).unwrap());
    counter.wait_at(sources[0]);
    counter.serve(fds[0]);
    let before = counter.sim.changes();
    for fd in fds {
        counter.sim.make_ready(fd, Readiness::READ, counter.clock.now());
    }
    for _ in 0..ROUNDS {
        counter.hub.prepare();
        counter.hub.look().expect("a simulated look never fails");
        assert!(counter.hub.is_idle());
    }
    assert_eq!(counter.sim.changes(), before);
}
