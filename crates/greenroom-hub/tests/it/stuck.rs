//! Whether a hub with nobody ready has anything left to wait for.

use std::os::fd::AsRawFd;

use greenroom_hub::{Interest, Outcome};

use crate::{
    fds::pair,
    stage::{Probe, Stage, on_every_backend},
};

/// Plays a scene and says whether the hub is stuck after it. What would sleep is made not to: a
/// letter that nobody waits for ends the sleep at once, and counts for nothing.
fn is_stuck(stage: &mut Stage) -> bool {
    stage.hub.prepare();
    assert!(stage.hub.is_idle());
    let id = stage.hub.expect(Probe::new("nobody"));
    let mailbox = stage.hub.mailbox();
    stage.hub.unexpect(id);
    mailbox.wake(id);
    drop(mailbox);
    stage.hub.wait().expect("a look never fails") == Outcome::Stuck
}

#[test]
fn a_hub_without_anything_to_wait_for_is_stuck() {
    on_every_backend(|stage| {
        assert!(is_stuck(stage));
        assert!(is_stuck(stage), "asking changes nothing");
        assert_eq!(stage.hub.stats().sleeps, 0);
    });
}

#[test]
fn a_hub_with_somebody_ready_is_neither_idle_nor_stuck() {
    on_every_backend(|stage| {
        stage.hub.queue(Probe::new("a"));
        assert!(!stage.hub.is_idle());
        stage.hub.prepare();
        assert_eq!(stage.hub.wait().expect("a look never fails"), Outcome::Continue);
        assert!(stage.hub.pop().is_some());
        assert!(is_stuck(stage));
    });
}

#[test]
fn each_thing_to_wait_for_keeps_it_going_until_it_is_gone() {
    on_every_backend(|stage| {
        let timer = stage.hub.arm(stage.at(10), Probe::new("timer"));
        assert!(!is_stuck(stage));
        stage.hub.cancel(timer);
        assert!(is_stuck(stage));

        let (here, _there) = pair();
        let fd = here.as_raw_fd();
        for lasting in [false, true] {
            let listener =
                stage.hub.listen_fd(fd, Interest::Read, Probe::new("reader"), lasting).unwrap();
            assert!(!is_stuck(stage));
            stage.hub.unlisten(listener);
            assert!(is_stuck(stage));
        }

        let remote = stage.hub.expect(Probe::new("remote"));
        assert!(!is_stuck(stage));
        stage.hub.unexpect(remote);
        assert!(is_stuck(stage));

        let mailbox = stage.hub.mailbox();
        assert!(!is_stuck(stage), "who holds it may call");
        drop(mailbox);
        assert!(is_stuck(stage));
    });
}

#[test]
fn an_attached_fd_nobody_waits_for_does_not_keep_it_going() {
    on_every_backend(|stage| {
        let (here, _there) = pair();
        let source = stage.hub.attach(here.as_raw_fd()).unwrap();
        assert!(is_stuck(stage));
        stage.hub.exhaust(source, Interest::Read);
        let reader = Probe::new("reader");
        stage.hub.listen(source, Interest::Read, reader).unwrap();
        assert!(!is_stuck(stage));
        stage.hub.detach(source);
        assert_eq!(stage.names(), ["reader"]);
        assert!(is_stuck(stage));
    });
}

#[test]
fn a_stuck_hub_works_again() {
    on_every_backend(|stage| {
        assert!(is_stuck(stage));
        stage.hub.arm(stage.at(10), Probe::new("sleeper"));
        assert_eq!(stage.sleep(), Outcome::Continue);
        assert_eq!(stage.names(), ["sleeper"]);
    });
}
