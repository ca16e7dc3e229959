//! `with_deadline`: the same by a point in time.

use std::time::Duration;

use greenroom::{Elapsed, Instant, sleep, testing::run, time::with_deadline};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn it_ends_at_its_time_and_not_later() {
    run(|| {
        let begin = Instant::now();
        let deadline = begin + SECOND;
        assert_eq!(with_deadline(deadline, || sleep(Duration::MAX)), Err(Elapsed));
        assert_eq!(begin.elapsed(), SECOND);
    });
}

#[test]
fn one_that_has_passed_throws_at_the_first_wait() {
    run(|| {
        let deadline = Instant::now();
        sleep(SECOND);
        assert_eq!(with_deadline(deadline, || 1), Ok(1));
        assert_eq!(with_deadline(deadline, || sleep(SECOND)), Err(Elapsed));
    });
}
