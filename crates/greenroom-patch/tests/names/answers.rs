//! What is answered: the same as on an OS thread, byte for byte.

use std::{
    ffi::{CStr, c_int},
    panic::{AssertUnwindSafe, catch_unwind},
};

use greenroom::spawn;

use crate::{
    alike::alike,
    case::{Case, PLAIN},
    libc_calls::{
        BEFORE, Hints, Question, addresses, ask, entry, errno, filled, look_at, names, storage,
    },
    raw::forget_call,
};

/// From now on no name server can be reached: what one says may be different the next time.
fn ask_no_server() {
    forget_call(libc::SYS_connect);
}

const HOSTS: [Option<&CStr>; 15] = [
    None,
    Some(c"localhost"),
    Some(c"localhost."),
    Some(c"LOCALHOST"),
    Some(c"127.0.0.1"),
    Some(c"127.1"),
    Some(c"0x7f.1"),
    Some(c"127.0.0.1 "),
    Some(c"::1"),
    Some(c"::ffff:127.0.0.1"),
    Some(c"fe80::1%lo"),
    Some(c""),
    Some(c"a b"),
    Some(c"no..such"),
    Some(c"*"),
];

const SERVICES: [Option<&CStr>; 9] = [
    None,
    Some(c"http"),
    Some(c"80"),
    Some(c"070"),
    Some(c"70000"),
    Some(c"-1"),
    Some(c""),
    Some(c"no such service"),
    Some(c"*"),
];

const fn hints(flags: c_int, family: c_int, kind: c_int, protocol: c_int) -> Option<Hints> {
    Some(Hints { flags, family, kind, protocol })
}

const HINTS: [Option<Hints>; 17] = [
    None,
    hints(0, 0, libc::SOCK_STREAM, 0),
    hints(0, 0, libc::SOCK_DGRAM, libc::IPPROTO_TCP),
    hints(0, 0, libc::SOCK_RAW, 0),
    hints(0, 0, 99, 0),
    hints(0, libc::AF_INET, 0, 0),
    hints(0, libc::AF_INET6, 0, 0),
    hints(0, 99, 0, 0),
    hints(libc::AI_PASSIVE, 0, libc::SOCK_STREAM, 0),
    hints(libc::AI_CANONNAME, 0, libc::SOCK_STREAM, 0),
    hints(libc::AI_NUMERICHOST, 0, libc::SOCK_STREAM, 0),
    hints(libc::AI_NUMERICSERV, 0, libc::SOCK_STREAM, 0),
    hints(libc::AI_NUMERICHOST | libc::AI_NUMERICSERV, 0, 0, 0),
    hints(libc::AI_ADDRCONFIG, 0, libc::SOCK_STREAM, 0),
    hints(libc::AI_V4MAPPED | libc::AI_ALL, libc::AF_INET6, libc::SOCK_STREAM, 0),
    hints(1 << 20, 0, 0, 0),
    hints(-1, 0, 0, 0),
];

const V4: [u8; 16] = [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const V6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

const QUESTIONS: [Question; 17] = [
    Question::Name(c"localhost"),
    Question::Name(c"127.0.0.1"),
    Question::Name(c"127.1"),
    Question::Name(c"::1"),
    Question::Name(c""),
    Question::Name(c"a b"),
    Question::Name(c"no..such"),
    Question::NameIn(c"localhost", libc::AF_INET),
    Question::NameIn(c"127.0.0.1", libc::AF_INET),
    Question::NameIn(c"::1", libc::AF_INET6),
    Question::NameIn(c"localhost", 99),
    Question::Address(V4, 4, libc::AF_INET),
    Question::Address(V4, 3, libc::AF_INET),
    Question::Address(V4, 16, libc::AF_INET),
    Question::Address(V4, 0, libc::AF_INET),
    Question::Address(V6, 16, libc::AF_INET6),
    Question::Address(V4, 4, 99),
];

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "answers::getaddrinfo_of_each_host_with_each_hint_and_each_service",
        play: || {
            ask_no_server();
            let found = alike(|| {
                let with_hints = HOSTS.iter().flat_map(|host| {
                    HINTS.map(|hints| (*host, hints, addresses(*host, Some(c"http"), hints)))
                });
                let with_services = HOSTS.iter().flat_map(|host| {
                    SERVICES.map(|service| (*host, None, addresses(*host, service, None)))
                });
                with_hints
                    .chain(with_services)
                    .map(|(host, hints, found)| (host, format!("{hints:?}"), found))
                    .collect::<Vec<_>>()
            });
            // Not all of it is a failure.
            assert!(found.iter().filter(|(_, _, found)| found.is_ok()).count() > 50);
        },
        ..PLAIN
    },
    Case {
        name: "answers::getaddrinfo_of_a_name_that_nobody_has",
        play: || {
            ask_no_server();
            let answer = alike(|| addresses(Some(c"nobody-has.invalid"), None, None));
            assert!(answer.is_err());
        },
        ..PLAIN
    },
    Case {
        name: "answers::what_goes_well_leaves_errno_alone",
        play: || {
            spawn(|| {
                addresses(Some(c"localhost"), Some(c"http"), None).unwrap();
                assert_eq!(errno(), BEFORE);
                entry(Question::Name(c"localhost")).unwrap();
                assert_eq!(errno(), BEFORE);
            })
            .join()
            .unwrap();
        },
        ..PLAIN
    },
    Case {
        name: "answers::getnameinfo_of_each_address_at_each_length_to_each_room",
        play: || {
            ask_no_server();
            let all = alike(|| {
                let v4 = storage(libc::AF_INET, &[0, 80, 127, 0, 0, 1]);
                let mut six = vec![0, 80, 0, 0, 0, 0];
                six.extend(V6);
                let v6 = storage(libc::AF_INET6, &six);
                let mapped =
                    [0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1];
                let mapped = storage(libc::AF_INET6, &mapped);
                let path = storage(libc::AF_UNIX, b"/tmp/socket");
                let none = storage(99, &[1; 30]);
                let mut all = Vec::new();
                for address in [v4, v6, mapped, path, none] {
                    for length in [0, 1, 2, 8, 15, 16, 17, 27, 28, 29, 110, 128] {
                        all.push(names(&address, length, Some(64), Some(64), 0));
                    }
                    let rooms = [None, Some(0), Some(1), Some(3), Some(5), Some(10), Some(8192)];
                    for host in rooms {
                        for service in rooms {
                            all.push(names(&address, 110, host, service, 0));
                        }
                    }
                    for flag in [
                        libc::NI_NUMERICHOST,
                        libc::NI_NUMERICSERV,
                        libc::NI_NUMERICHOST | libc::NI_NUMERICSERV,
                        libc::NI_NAMEREQD,
                        libc::NI_NAMEREQD | libc::NI_NUMERICHOST,
                        libc::NI_NOFQDN,
                        libc::NI_DGRAM,
                        1 << 20,
                    ] {
                        all.push(names(&address, 110, Some(64), Some(64), flag));
                    }
                }
                all
            });
            assert!(all.iter().any(|named| named.2.starts_with(b"localhost\0")));
            assert!(all.iter().any(|named| named.0 == libc::EAI_OVERFLOW));
        },
        ..PLAIN
    },
    Case {
        name: "answers::entries_in_libcs_own_place",
        play: || {
            ask_no_server();
            let entries = alike(|| QUESTIONS.map(entry));
            assert_eq!(entries[0].as_ref().unwrap().addresses, [[127, 0, 0, 1]]);
        },
        ..PLAIN
    },
    Case {
        name: "answers::entries_in_the_callers_buffer_of_any_room_at_any_address",
        play: || {
            ask_no_server();
            for question in QUESTIONS {
                alike(move || {
                    let mut all = Vec::new();
                    for remainder in [0, 1, 2, 3, 4, 7, 8, 9, 15] {
                        for room in [0, 1, 8, 16, 31, 32, 33, 40, 48, 56, 63, 64, 72, 80, 96, 128] {
                            all.push(filled(question, remainder, room));
                        }
                        for room in [200, 300, 1000, 1024, 1025, 1100, 5000, 100_000] {
                            all.push(filled(question, remainder, room));
                        }
                    }
                    all
                });
            }
        },
        ..PLAIN
    },
    Case {
        name: "answers::an_entry_stays_what_it_is_while_other_green_threads_look_up_others",
        play: || {
            let threads = [c"127.0.0.1", c"127.0.0.2", c"localhost"].map(|name| {
                spawn(move || {
                    let place = ask(Question::Name(name)).unwrap();
                    let before = look_at(place);
                    for _ in 0..3 {
                        greenroom::sleep(std::time::Duration::from_millis(1));
                        assert_eq!(look_at(place), before);
                    }
                    // Each function has a place of its own, in which it stays.
                    ask(Question::NameIn(c"127.0.0.3", libc::AF_INET)).unwrap();
                    ask(Question::Address(V4, 4, libc::AF_INET)).unwrap();
                    assert_eq!(look_at(place), before);
                    assert_eq!(ask(Question::Name(c"127.0.0.4")).unwrap(), place);
                    assert_eq!(look_at(place).addresses, [[127, 0, 0, 4]]);
                })
            });
            for thread in threads {
                thread.join().unwrap();
            }
        },
        ..PLAIN
    },
    Case {
        name: "answers::without_helpers_it_may_go_well_another_time",
        play: || {
            spawn(|| {
                assert_eq!(addresses(Some(c"localhost"), None, None), Err((libc::EAI_AGAIN, 0)));
                assert_eq!(errno(), libc::EAGAIN);
                // TRY_AGAIN
                assert_eq!(entry(Question::Name(c"localhost")), Err((2, 0)));
                let filled = filled(Question::Name(c"localhost"), 0, 1024);
                assert_eq!((filled.answer, filled.h_errno), (libc::EAGAIN, 2));
                // Numbers need none.
                addresses(Some(c"127.0.0.1"), Some(c"80"), None).unwrap();
                entry(Question::Name(c"127.0.0.1")).unwrap();
            })
            .join()
            .unwrap();
        },
        env: &[("GREENROOM_OFFLOAD_THREADS", "none")],
        ..PLAIN
    },
    Case {
        name: "answers::a_destructor_that_runs_because_of_a_panic_is_answered",
        play: || {
            struct Asks;
            impl Drop for Asks {
                fn drop(&mut self) {
                    assert!(
                        !addresses(Some(c"localhost"), Some(c"http"), None).unwrap().is_empty()
                    );
                    entry(Question::Name(c"localhost")).unwrap();
                    assert_eq!(filled(Question::Name(c"localhost"), 3, 1024).answer, 0);
                }
            }
            spawn(|| {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    let _asks = Asks;
                    panic!("on purpose");
                }));
                assert!(caught.is_err());
            })
            .join()
            .unwrap();
        },
        says: &["on purpose"],
        ..PLAIN
    },
];
