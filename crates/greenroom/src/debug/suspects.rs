//! Those who were seen to hold the loop: each is asked for its stack, one after the other.
//!
//! Never waits: what is not known yet is asked again at the next look. Knows neither limits nor
//! words.

use std::{
    collections::VecDeque,
    sync::{
        Weak,
        mpsc::{SyncSender, TrySendError},
    },
    time::Duration,
};

use greenroom_hub::Instant;

use crate::debug::{
    Pulse,
    report::{REPORTS_MAX, Report, Seen},
    sample::{self, Question},
};

/// How long an OS thread is given to answer: it may be stopped, or in a system call that nothing
/// interrupts.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Somebody who has held the loop of an OS thread for longer than may be.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) tid: i32,
    pub(super) held: Duration,
    pub(super) pulse: Weak<Pulse>,
    /// The pulse as long as it is the same one who holds it.
    pub(super) moves: u64,
}

impl Suspect {
    fn still_runs(&self) -> bool {
        self.pulse.upgrade().is_some_and(|pulse| pulse.look().moves == self.moves)
    }
}

#[derive(Debug)]
pub(super) struct Suspects {
    waiting: VecDeque<Suspect>,
    /// One at a time, for there is one place for the answer.
    asked: Option<(Suspect, Question, Instant)>,
    teller: SyncSender<Report>,
    /// Those of whom nothing could be told, for too many were waiting.
    untold: u64,
}

impl Suspects {
    pub(super) fn new(teller: SyncSender<Report>) -> Suspects {
        Suspects { waiting: VecDeque::new(), asked: None, teller, untold: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_none()
    }

    pub(super) fn add(&mut self, suspect: Suspect) {
        if self.waiting.len() < REPORTS_MAX {
            self.waiting.push_back(suspect);
        } else {
            self.untold += 1;
        }
    }

    /// Takes an answer, if one has come, and asks whoever is next.
    pub(super) fn question(&mut self, now: Instant) {
        loop {
            if let Some((suspect, question, since)) = self.asked.take() {
                let patient = now.saturating_since(since) < ANSWER_MAX;
                match question.answer(patient) {
                    // It may have given way meanwhile, and another have answered.
                    Ok(Some(sample)) if sample.moves == Some(suspect.moves) => {
                        self.tell(suspect, Seen::Stack(sample));
                    }
                    Ok(Some(_)) => self.tell(suspect, Seen::GaveWay),
                    Ok(None) => self.tell(suspect, Seen::Silent),
                    Err(question) => {
                        self.asked = Some((suspect, question, since));
                        return;
                    }
                }
            }
            let Some(suspect) = self.waiting.pop_front() else { return };
            if !suspect.still_runs() {
                self.tell(suspect, Seen::GaveWay);
                continue;
            }
            match sample::ask(suspect.tid) {
                Some(question) => self.asked = Some((suspect, question, now)),
                None => self.tell(suspect, Seen::Silent),
            }
        }
    }

    fn tell(&mut self, suspect: Suspect, seen: Seen) {
        let Suspect { tid, held, .. } = suspect;
        match self.teller.try_send(Report { tid, held, seen, untold: self.untold }) {
            Ok(()) => self.untold = 0,
            Err(TrySendError::Full(_)) => self.untold += 1,
            Err(TrySendError::Disconnected(_)) => {
                unreachable!("reports are told until the process ends")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug::report::channel;

    fn suspect() -> Suspect {
        Suspect { tid: 7, held: Duration::from_millis(20), pulse: Weak::new(), moves: 1 }
    }

    /// Everybody here has a hub that is gone, so nobody is asked.
    #[test]
    fn those_who_are_too_many_are_counted_and_told_of_with_the_next() {
        let (teller, reports) = channel();
        let mut suspects = Suspects::new(teller);
        for _ in 0..REPORTS_MAX + 2 {
            suspects.add(suspect());
        }
        suspects.question(Instant::from_nanos(0));
        assert!(suspects.is_empty());
        suspects.add(suspect());
        suspects.question(Instant::from_nanos(0));
        let untold: Vec<_> = reports.try_iter().map(|report| report.untold).collect();
        assert_eq!(untold.len(), REPORTS_MAX);
        assert_eq!((untold[0], untold.iter().sum::<u64>()), (2, 2));
        // The one there was no room for.
        for expected in [1, 0] {
            suspects.add(suspect());
            suspects.question(Instant::from_nanos(0));
            assert_eq!(reports.try_recv().unwrap().untold, expected);
        }
    }
}
