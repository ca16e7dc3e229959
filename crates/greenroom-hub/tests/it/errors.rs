//! What the crate says when something is wrong, and how its values print.

use std::{error::Error, io, time::Duration};

use greenroom_hub::{
    Backend, Clock, Hub, Instant, Interest, ListenError, Readiness, UnknownBackend,
};

use crate::stage::{Probe, on_every_backend};

#[test]
fn an_unknown_backend_is_refused_with_the_list_of_the_known() {
    for name in ["kqueue", "", "Epoll", "epoll ", "epolls"] {
        let error: UnknownBackend = name.parse::<Backend>().expect_err("nothing is called that");
        assert_eq!(error.to_string(), format!("unknown hub {name:?}; known are: epoll poll"));
    }
}

#[test]
fn backends_are_known_by_their_names() {
    for backend in Backend::ALL {
        assert_eq!(backend.name().parse(), Ok(backend));
        assert_eq!(backend.to_string(), backend.name());
        assert_eq!(Hub::<Probe>::new(backend, Clock::manual()).unwrap().backend(), backend);
    }
    assert_eq!(Backend::default(), Backend::Epoll);
    assert_eq!(Backend::ALL[0], Backend::default(), "the preferred one comes first");
}

#[test]
fn a_refused_listener_says_why() {
    let busy = ListenError::Busy { fd: 7, interest: Interest::Write, holder: Probe::new("a") };
    assert_eq!(busy.to_string(), "another waiter already waits to write fd 7");
    let closed = ListenError::<Probe>::Closed;
    assert_eq!(closed.to_string(), "the fd was closed");
    let refused = ListenError::<Probe>::from(io::Error::from_raw_os_error(9));
    assert_eq!(
        refused.to_string(),
        "the kernel refused to watch the fd: Bad file descriptor (os error 9)"
    );
    let _: &dyn Error = &refused;
}

#[test]
fn readiness_prints_what_is_in_it() {
    let both = Readiness::READ.union(Readiness::WRITE);
    assert_eq!(format!("{both:?}"), r#"{"read", "write"}"#);
    assert_eq!(format!("{:?}", Readiness::NONE), "{}");
    let rest = Readiness::READ_CLOSED.union(Readiness::URGENT).union(Readiness::INVALID);
    assert_eq!(format!("{rest:?}"), r#"{"read closed", "urgent", "invalid"}"#);
}

#[test]
fn readiness_is_a_set() {
    let both = Readiness::READ.union(Readiness::WRITE);
    assert!(both.satisfies(Interest::Read) && both.satisfies(Interest::Write));
    assert!(!Readiness::READ.satisfies(Interest::Write));
    assert!(!Readiness::READ_CLOSED.satisfies(Interest::Read), "backends report both");
    assert!(both.contains(Readiness::READ) && !Readiness::READ.contains(both));
    assert_eq!(both.without(Readiness::READ), Readiness::WRITE);
    assert!(Readiness::NONE.is_none() && Readiness::default().is_none() && !both.is_none());
    for interest in [Interest::Read, Interest::Write] {
        assert!(Readiness::from(interest).satisfies(interest));
    }
}

#[test]
fn instants_saturate() {
    let start = Instant::from_nanos(1_000);
    assert_eq!(start + Duration::MAX, Instant::NEVER);
    assert_eq!(Instant::NEVER + Duration::from_nanos(1), Instant::NEVER);
    assert_eq!((start + Duration::from_micros(1)).as_nanos(), 2_000);
    assert_eq!((start + Duration::from_micros(1)) - start, Duration::from_micros(1));
    assert_eq!(start - (start + Duration::from_micros(1)), Duration::ZERO);
}

#[test]
fn a_virtual_clock_moves_forward_only_and_for_all_its_clones() {
    let clock = Clock::manual();
    let start = clock.now();
    let twin = clock.clone();
    twin.advance_to(start + Duration::from_secs(1));
    assert_eq!(clock.now(), start + Duration::from_secs(1));
    twin.advance_to(start);
    assert_eq!(clock.now(), start + Duration::from_secs(1));
    assert!(clock.is_virtual() && !Clock::monotonic().is_virtual());
    let monotonic = Clock::monotonic();
    assert!(monotonic.now() <= monotonic.now());
}

#[test]
#[should_panic(expected = "the monotonic clock cannot be advanced by hand")]
fn the_monotonic_clock_cannot_be_advanced() {
    Clock::monotonic().advance_to(Instant::NEVER);
}

#[test]
fn a_hub_prints() {
    on_every_backend(|stage| {
        stage.hub.arm(stage.at(1), Probe::new("some sleeper"));
        assert!(format!("{:?}", stage.hub).contains("some sleeper"));
    });
}
