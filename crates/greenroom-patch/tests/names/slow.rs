//! Lookups that take long: they overlap, on one OS thread, and whoever waits for one can be stopped.

use std::{
    cell::RefCell,
    net::ToSocketAddrs,
    panic, process,
    rc::Rc,
    time::{Duration, Instant},
};

use greenroom::{JoinHandle, sleep, spawn, with_timeout, yield_now};

use crate::{
    SLOW,
    alike::alike,
    case::{Case, PLAIN},
    libc_calls::{
        BEFORE, Question, addresses, alive_lists, asked_with_own_locale, entry, errno, filled,
        names, storage, take_own_locale,
    },
    raw::forget_call,
};

/// As long as each lookup takes.
const LOOKUP: Duration = Duration::from_millis(600);

/// What `h_errno` says then.
const TRY_AGAIN: i32 = 2;

const MOMENT: Duration = Duration::from_millis(20);

const SLOWLY: Case = Case { env: &[("LD_PRELOAD", SLOW)], ..PLAIN };

/// The lookups that take long; what is left in `errno` when they fail.
const LOOKUPS: [fn() -> i32; 4] = [
    || {
        let code = addresses(Some(c"slow"), None, None).map_or_else(|(code, _)| code, |_| 0);
        if code == libc::EAI_SYSTEM { errno() } else { code }
    },
    || {
        let (code, errno, host, service) =
            names(&storage(libc::AF_INET, &[0, 80, 127, 0, 0, 1]), 16, Some(64), Some(64), 0);
        assert!(code == 0 || host == [0xaa; 64] && service == [0xaa; 64]);
        if code == libc::EAI_SYSTEM { errno } else { code }
    },
    || entry(Question::Name(c"slow")).map_or_else(|(_, errno)| errno, |_| 0),
    || {
        let filled = filled(Question::Name(c"slow"), 3, 1024);
        assert_eq!(filled.entry.is_some(), filled.answer == 0);
        filled.answer
    },
];

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "slow::lookups_of_all_kinds_overlap",
        play: || {
            let begin = Instant::now();
            let threads = (0..16).map(|n| spawn(LOOKUPS[n % LOOKUPS.len()])).collect::<Vec<_>>();
            let codes = threads.into_iter().map(|thread| thread.join().unwrap());
            assert_eq!(codes.collect::<Vec<_>>(), [0; 16]);
            let time = begin.elapsed();
            assert!((LOOKUP..LOOKUP * 5).contains(&time), "{time:?}");
        },
        ..SLOWLY
    },
    Case {
        name: "slow::lookups_of_std_overlap",
        play: || {
            let begin = Instant::now();
            let threads = (0..16).map(|n| {
                spawn(move || format!("slow{n}:80").to_socket_addrs().unwrap().next().unwrap())
            });
            for thread in threads.collect::<Vec<_>>() {
                assert_eq!(thread.join().unwrap(), ([127, 0, 0, 7], 80).into());
            }
            let time = begin.elapsed();
            assert!((LOOKUP..LOOKUP * 5).contains(&time), "{time:?}");
            assert_eq!(alive_lists(), 0);
        },
        ..SLOWLY
    },
    Case {
        name: "slow::on_an_os_thread_a_lookup_blocks_as_ever",
        play: || {
            let begin = Instant::now();
            assert_eq!(LOOKUPS[0](), 0);
            assert!(begin.elapsed() >= LOOKUP);
        },
        ..SLOWLY
    },
    Case {
        name: "slow::failures_come_through_as_they_are",
        play: || {
            let found = alike(|| {
                let again = addresses(Some(c"again"), None, None);
                let system = addresses(Some(c"system"), None, None);
                (again, system, filled(Question::Name(c"system"), 0, 1024))
            });
            assert_eq!(found.0, Err((libc::EAI_AGAIN, 0)));
            assert_eq!(found.1, Err((libc::EAI_SYSTEM, libc::EMFILE)));
            assert_eq!(found.2.answer, libc::EMFILE);
        },
        ..SLOWLY
    },
    Case {
        name: "slow::a_killed_waiter_goes_on_at_once_and_what_is_found_is_freed",
        play: || {
            let seen = Rc::new(RefCell::new(Vec::new()));
            let waiters = LOOKUPS.map(|look_up| {
                let seen = Rc::clone(&seen);
                spawn(move || {
                    // Asked again it refuses to wait; and then it is thrown out.
                    for _ in 0..2 {
                        let errno = look_up();
                        seen.borrow_mut().push(errno);
                    }
                    yield_now();
                })
            });
            sleep(MOMENT);
            let begin = Instant::now();
            assert!(waiters.iter().all(JoinHandle::kill));
            for waiter in waiters {
                assert!(waiter.join().unwrap_err().is_killed());
            }
            assert!(begin.elapsed() < LOOKUP - MOMENT * 5, "{:?}", begin.elapsed());
            assert_eq!(*seen.borrow(), [libc::ECANCELED; 8]);
            while begin.elapsed() < LOOKUP * 2 {
                sleep(MOMENT);
            }
            assert_eq!(alive_lists(), 0);
            addresses(Some(c"slow"), None, None).unwrap();
        },
        ..SLOWLY
    },
    Case {
        name: "slow::what_an_os_thread_has_set_for_itself_does_not_count_for_its_green_threads",
        play: || {
            take_own_locale();
            addresses(Some(c"localhost"), None, None).unwrap();
            assert!(asked_with_own_locale());
            spawn(|| addresses(Some(c"localhost"), None, None).unwrap()).join().unwrap();
            assert!(!asked_with_own_locale());
            // Numbers are not looked up.
            spawn(|| addresses(Some(c"127.0.0.1"), None, None).unwrap()).join().unwrap();
            assert!(asked_with_own_locale());
        },
        ..SLOWLY
    },
    Case {
        name: "slow::a_limit_of_time_ends_a_lookup",
        play: || {
            for look_up in LOOKUPS {
                let waiter = spawn(move || {
                    let mut seen = BEFORE;
                    let begin = Instant::now();
                    let ended = with_timeout(MOMENT, || {
                        seen = look_up();
                        yield_now();
                    });
                    assert!(ended.is_err() && begin.elapsed() < LOOKUP);
                    seen
                });
                assert_eq!(waiter.join().unwrap(), libc::ETIMEDOUT);
            }
        },
        ..SLOWLY
    },
    Case {
        name: "slow::without_a_helper_os_thread_a_lookup_may_go_well_another_time",
        play: || {
            // Whatever panics ends the process, as in a program that is built with `panic=abort`.
            panic::set_hook(Box::new(|_| process::abort()));
            greenroom::hub::get();
            forget_call(libc::SYS_clone3);
            forget_call(libc::SYS_clone);
            let asked = spawn(|| {
                let host = addresses(Some(c"slow"), None, None);
                (host, entry(Question::Name(c"slow")), filled(Question::Name(c"slow"), 0, 1024))
            });
            let (host, entry, filled) = asked.join().unwrap();
            assert_eq!(host, Err((libc::EAI_AGAIN, 0)));
            assert_eq!(entry, Err((TRY_AGAIN, 0)));
            assert_eq!((filled.answer, filled.h_errno), (libc::EAGAIN, TRY_AGAIN));
        },
        ..SLOWLY
    },
];
