//! Selects: what is chosen, what becomes of the rest, and every two sources that speak in one turn.
//!
//! What they have in common with others is in `handed_on`.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    rc::Rc,
    time::Duration,
};

use greenroom::{
    Elapsed, Instant, JoinHandle, hub,
    io::is_closed,
    sleep, spawn,
    sync::{
        Event, Select,
        channel::{self, Receiver, RecvError, SendError, Sender},
    },
    testing::{run, run_on, run_seeded, wait_all_parked},
    with_timeout,
};

use crate::scenes::{SECOND, assert_nothing_left, in_a_callback, in_a_panic, panic_of};

fn playing<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let thread = spawn(f);
    wait_all_parked();
    thread
}

/// Everything that can be waited for, in a state in which nothing of it can be had.
struct Things {
    receiver: Receiver<u8>,
    into_receiver: Sender<u8>,
    sender: Sender<u8>,
    from_sender: Receiver<u8>,
    unsent: Option<u8>,
    here: UnixStream,
    there: UnixStream,
    full: UnixStream,
    drain: UnixStream,
    handle: Option<JoinHandle<u8>>,
    end: Sender<()>,
    event: Rc<Event<u8>>,
}

/// A thing's name, and what is done so that it can be had.
type Giver = (&'static str, Box<dyn Fn()>);

/// The things, by name, in the order in which they are added.
const NAMES: [&str; 6] = ["recv", "send", "readable", "writable", "join", "event"];

impl Things {
    fn new(capacity: usize) -> Things {
        let (into_receiver, receiver) = channel::bounded(capacity);
        let (sender, from_sender) = channel::bounded(capacity);
        (0..capacity).for_each(|_| sender.send(0).unwrap());
        let (here, there) = UnixStream::pair().unwrap();
        let (mut full, drain) = UnixStream::pair().unwrap();
        full.set_nonblocking(true).unwrap();
        drain.set_nonblocking(true).unwrap();
        while full.write(&[0; 4096]).is_ok() {}
        let (end, ends) = channel::bounded(1);
        let handle = Some(playing(move || ends.recv().map_or(0, |()| 7)));
        let (unsent, event) = (Some(1), Rc::new(Event::new()));
        Things {
            receiver,
            into_receiver,
            sender,
            from_sender,
            unsent,
            here,
            there,
            full,
            drain,
            handle,
            end,
            event,
        }
    }

    /// What can be done so that each of them can be had.
    fn givers(&self) -> [Giver; 6] {
        let into_receiver = self.into_receiver.clone();
        let from_sender = self.from_sender.clone();
        let (there, drain) = (self.there.try_clone().unwrap(), self.drain.try_clone().unwrap());
        let (end, event) = (self.end.clone(), Rc::clone(&self.event));
        let givers: [Box<dyn Fn()>; 6] = [
            Box::new(move || into_receiver.try_send(1).unwrap()),
            Box::new(move || assert_eq!(from_sender.try_recv(), Ok(0))),
            Box::new(move || (&there).write_all(b"!").unwrap()),
            Box::new(move || while (&drain).read(&mut [0; 4096]).is_ok() {}),
            Box::new(move || end.try_send(()).unwrap()),
            Box::new(move || event.send(7).unwrap()),
        ];
        let mut givers = givers.into_iter();
        NAMES.map(|name| (name, givers.next().expect("there is one for each")))
    }

    fn select(&mut self) -> Select<'_, &'static str> {
        Select::new()
            .recv(&self.receiver, |item| {
                assert_eq!(item, Ok(1));
                "recv"
            })
            .send(&self.sender, &mut self.unsent, |sent| {
                assert_eq!(sent, Ok(()));
                "send"
            })
            .readable(&self.here, |ready| {
                ready.unwrap();
                "readable"
            })
            .writable(&self.full, |ready| {
                ready.unwrap();
                "writable"
            })
            .join(&mut self.handle, |value| {
                assert_eq!(value.unwrap(), 7);
                "join"
            })
            .event(&self.event, |&value| {
                assert_eq!(value, 7);
                "event"
            })
    }

    /// Checks that what was chosen was had, and that `given` can still be had if it was not chosen.
    #[track_caller]
    fn check(mut self, chosen: &str, given: &[&str]) {
        let is_there = |name| given.contains(&name) && chosen != name;
        assert_eq!(self.unsent.is_none(), chosen == "send", "the item is sent or has come back");
        assert_eq!(self.handle.is_none(), chosen == "join", "it is joined or has come back");
        assert_eq!(self.receiver.try_recv().is_ok(), is_there("recv"));
        assert!(self.receiver.try_recv().is_err(), "it was received twice");
        let put = self.sender.try_send(9).is_ok();
        assert!(put == is_there("send") || self.sender.capacity() == Some(0));
        if is_there("join") {
            assert_eq!(self.handle.take().map(|handle| handle.join().unwrap()), Some(7));
        }
        drop(self.end);
        assert!(self.handle.is_none_or(|handle| handle.join().unwrap() == 0));
        assert_nothing_left();
    }
}

#[test]
fn each_thing_is_had_whether_it_was_there_before_or_comes() {
    for waits in [true, false] {
        for n in 0..NAMES.len() {
            run(|| {
                let mut things = Things::new(1);
                let (name, give) = things.givers().into_iter().nth(n).unwrap();
                if waits {
                    drop(spawn(move || {
                        sleep(SECOND);
                        give();
                    }));
                } else {
                    give();
                    wait_all_parked();
                }
                let begin = Instant::now();
                let chosen = things.select().wait();
                assert_eq!(chosen, name);
                let time = if waits { SECOND } else { Duration::ZERO };
                assert_eq!(begin.elapsed(), time);
                things.check(chosen, &[name]);
            });
        }
    }
}

#[test]
fn of_two_that_speak_in_one_turn_one_is_had_and_the_other_stays() {
    for first in 0..NAMES.len() {
        for second in (0..NAMES.len()).filter(|&second| second != first) {
            run(|| {
                let things = RefCell::new(Things::new(1));
                let mut givers: Vec<_> = things.borrow().givers().into_iter().map(Some).collect();
                let (first, give_first) = givers[first].take().unwrap();
                let (second, give_second) = givers[second].take().unwrap();
                drop(givers);
                drop(spawn(move || {
                    sleep(SECOND);
                    give_first();
                    give_second();
                }));
                let mut things = things.into_inner();
                let chosen = things.select().wait();
                assert!([first, second].contains(&chosen), "{chosen} of {first} and {second}");
                wait_all_parked();
                things.check(chosen, &[first, second]);
            });
        }
    }
}

#[test]
fn what_comes_as_the_time_is_over_is_had_or_stays() {
    for giver_comes_first in [true, false] {
        for n in 0..NAMES.len() {
            run(|| {
                let mut things = Things::new(1);
                let (name, give) = things.givers().into_iter().nth(n).unwrap();
                let giver = move || {
                    drop(spawn(move || {
                        sleep(SECOND);
                        give();
                    }));
                };
                let outcome = if giver_comes_first {
                    giver();
                    wait_all_parked();
                    things.select().wait_timeout(SECOND)
                } else {
                    let deadline = Instant::now() + SECOND;
                    hub::call_after_global(Duration::ZERO, giver);
                    things.select().wait_deadline(deadline)
                };
                wait_all_parked();
                match outcome {
                    Ok(chosen) => things.check(chosen, &[name]),
                    Err(Elapsed) => {
                        // A thread that may end has yet to run.
                        assert!(!giver_comes_first || name == "join", "{name} was there");
                        things.check("nothing", &[name]);
                    }
                }
            });
        }
    }
}

/// Throws whoever selects out of the wait, before, while and after something was given to it.
#[test]
fn who_is_thrown_out_leaves_everything_as_it_was() {
    for n in 0..=NAMES.len() {
        for kills_first in [true, false] {
            run(|| {
                let things = Rc::new(RefCell::new(Some(Things::new(1))));
                let give = things.borrow().as_ref().unwrap().givers().into_iter().nth(n);
                let theirs = Rc::clone(&things);
                let victim = playing(move || {
                    /// Brings the things back, however this ends.
                    struct Return<'a>(&'a RefCell<Option<Things>>, Option<Things>);
                    impl Drop for Return<'_> {
                        fn drop(&mut self) {
                            self.0.replace(self.1.take());
                        }
                    }
                    let things = theirs.take();
                    let mut things = Return(&theirs, things);
                    things.1.as_mut().unwrap().select().wait()
                });
                if kills_first {
                    victim.kill();
                }
                if let Some((_, give)) = &give {
                    give();
                }
                if !kills_first {
                    // Those that are no wait queues speak when the loop looks at them, so they
                    // come too late.
                    victim.kill();
                }
                assert!(victim.join().unwrap_err().is_killed());
                wait_all_parked();
                let name = give.map_or("nothing", |(name, _)| name);
                let mut things = things.take().unwrap();
                if name == "send" && things.unsent.is_none() {
                    // It had been let in before the kill, and is sent.
                    assert!(!kills_first);
                    assert!(things.sender.try_send(9).is_err());
                    things.unsent = Some(1);
                    things.from_sender.try_recv().unwrap();
                }
                things.check("nothing", &[name]);
            });
        }
    }
}

#[test]
fn a_limit_of_time_ends_a_select() {
    run(|| {
        let mut things = Things::new(1);
        let begin = Instant::now();
        assert_eq!(with_timeout(SECOND, || things.select().wait()), Err(Elapsed));
        assert_eq!(begin.elapsed(), SECOND);
        things.check("nothing", &[]);
    });
}

#[test]
fn a_select_that_may_not_wait_takes_what_is_there() {
    run(|| {
        let mut things = Things::new(1);
        let turns = hub::stats().turns;
        assert_eq!(things.select().try_wait(), None);
        let (name, give) = things.givers().into_iter().next().unwrap();
        give();
        assert_eq!(things.select().try_wait(), Some(name));
        assert_eq!(hub::stats().turns, turns);
        things.check(name, &[name]);
    });
}

#[test]
fn two_selects_meet_in_a_rendezvous() {
    for crossed in [false, true] {
        run(|| {
            let (to_left, left) = channel::bounded(0);
            let (to_right, right) = channel::bounded(0);
            let (sends, receives) = if crossed { (&to_left, &left) } else { (&to_right, &right) };
            let (sends, receives) = (sends.clone(), receives.clone());
            // Each could send or receive in both; it never has both ends of one item.
            let meets = |name: &'static str, sends: Sender<&'static str>, receives: Receiver<_>| {
                playing(move || {
                    let mut item = Some(name);
                    let got = Select::new()
                        .send(&sends, &mut item, |sent| sent.map(|()| "sent").ok())
                        .recv(&receives, Result::ok)
                        .wait();
                    (got, item)
                })
            };
            let (other_sends, other_receives) = (sends.clone(), receives.clone());
            let one = meets("one", sends, receives);
            assert!(!one.is_finished(), "it cannot send to itself");
            let other = meets("other", other_sends, other_receives);
            let (one, other) = (one.join().unwrap(), other.join().unwrap());
            let one_sent = ((Some("sent"), None), (Some("one"), Some("other")));
            let other_sent = ((Some("other"), Some("one")), (Some("sent"), None));
            assert!([one_sent, other_sent].contains(&(one, other)), "{one:?} {other:?}");
            drop((to_left, left, to_right, right));
            assert_nothing_left();
        });
    }
}

#[test]
fn an_item_for_two_selects_goes_to_the_one_who_can_take_it() {
    run(|| {
        let (first, first_items) = channel::bounded(0);
        let (second, second_items) = channel::bounded(0);
        let selects = [0, 1].map(|_| {
            let (first_items, second_items) = (first_items.clone(), second_items.clone());
            playing(move || {
                Select::new()
                    .recv(&first_items, Result::unwrap)
                    .recv(&second_items, Result::unwrap)
                    .wait()
            })
        });
        // The first is chosen by one channel; the other channel must pass it over.
        assert_eq!(first.try_send(1), Ok(()));
        assert_eq!(second.try_send(2), Ok(()));
        assert!(second.try_send(3).is_err() && first.try_send(3).is_err());
        assert_eq!(selects.map(|select| select.join().unwrap()), [1, 2]);
        assert_nothing_left();
    });
}

#[test]
fn an_offer_whose_select_was_chosen_elsewhere_is_passed_over() {
    run(|| {
        let (sender, receiver) = channel::bounded(0);
        let (wakes, woken) = channel::bounded(1);
        let theirs = sender.clone();
        let select = playing(move || {
            let mut item = Some("offered");
            let got = Select::new()
                .send(&theirs, &mut item, |_| "sent")
                .recv(&woken, Result::unwrap)
                .wait();
            (got, item)
        });
        let plain = playing(move || sender.send("plain"));
        wakes.send("woken").unwrap();
        assert_eq!(receiver.try_recv(), Ok("plain"));
        assert!(receiver.try_recv().is_err());
        assert_eq!(select.join().unwrap(), ("woken", Some("offered")));
        plain.join().unwrap().unwrap();
        assert_nothing_left();
    });
}

#[test]
fn the_end_of_a_channel_is_had() {
    run(|| {
        let (into, items) = channel::bounded::<u8>(1);
        let (sender, receiver) = channel::bounded(0);
        let (mut one, mut other) = (Some("one"), Some("other"));
        drop(spawn(move || {
            sleep(SECOND);
            drop(into);
            sleep(SECOND);
            drop(receiver);
        }));
        let begin = Instant::now();
        let first = Select::new()
            .recv(&items, |item| item.err().is_some_and(|error| error == RecvError))
            .send(&sender, &mut one, |_| false);
        assert!(first.wait());
        assert_eq!((begin.elapsed(), one), (SECOND, Some("one")));
        let second = Select::new().send(&sender, &mut other, Result::unwrap_err);
        assert_eq!(second.wait(), SendError("other"));
        assert_eq!((begin.elapsed(), other), (2 * SECOND, None));
        let third = Select::new().send(&sender, &mut one, Result::unwrap_err);
        assert_eq!(third.try_wait(), Some(SendError("one")));
        assert_nothing_left();
    });
}

#[test]
fn a_thread_that_panicked_or_was_killed_is_joined() {
    run(|| {
        let mut panics = Some(spawn(|| panic!("no")));
        let mut sleeps = Some(playing(|| sleep(Duration::MAX)));
        let error = Select::new()
            .join(&mut panics, Result::unwrap_err)
            .join(&mut sleeps, Result::unwrap_err)
            .wait();
        assert!(error.is_panic());
        sleeps.as_ref().unwrap().kill();
        let error = Select::new().join(&mut sleeps, Result::unwrap_err).wait();
        assert!(error.is_killed() && sleeps.is_none());
        assert_nothing_left();
    });
}

#[test]
fn a_thread_that_is_left_wakes_nobody_at_its_end() {
    run(|| {
        let mut handle = Some(spawn(|| sleep(2 * SECOND)));
        let late = Select::new().join(&mut handle, Result::unwrap).wait_timeout(SECOND);
        assert_eq!(late, Err(Elapsed));
        let begin = Instant::now();
        sleep(3 * SECOND);
        assert_eq!(begin.elapsed(), 3 * SECOND);
        assert!(handle.is_some_and(|handle| handle.is_finished()));
        assert_nothing_left();
    });
}

#[test]
fn a_thread_that_is_left_can_be_waited_for_again_and_by_join() {
    run(|| {
        let mut handle = Some(spawn(|| {
            sleep(3 * SECOND);
            7
        }));
        let late = Select::new().join(&mut handle, Result::unwrap).wait_timeout(SECOND);
        assert_eq!(late, Err(Elapsed));
        let late = Select::new().join(&mut handle, Result::unwrap).wait_timeout(SECOND);
        assert_eq!(late, Err(Elapsed));
        assert_eq!(handle.unwrap().join().unwrap(), 7);
        assert_nothing_left();
    });
}

#[test]
fn sockets_of_ours_are_read_and_written_when_chosen() {
    for backend in hub::Backend::ALL {
        run_on(backend, || {
            let (mut here, mut there) = greenroom::net::UnixStream::pair().unwrap();
            let (stop, stopped) = channel::bounded::<()>(1);
            let echoes = spawn(move || {
                let mut rounds = 0;
                let mut bytes = [0; 4];
                while Select::new()
                    .recv(&stopped, |_| false)
                    .readable(&there, |ready| ready.map(|()| true).unwrap())
                    .wait()
                {
                    // Less than there is, at times, so that it is readable again at once.
                    let count = there.read(&mut bytes).unwrap();
                    Select::new().writable(&there, Result::unwrap).wait();
                    there.write_all(&bytes[..count]).unwrap();
                    rounds += 1;
                }
                rounds
            });
            for round in 0..20 {
                let sent = vec![round; 1 + usize::from(round) % 7];
                here.write_all(&sent).unwrap();
                let mut received = vec![0; sent.len()];
                here.read_exact(&mut received).unwrap();
                assert_eq!(received, sent);
            }
            stop.send(()).unwrap();
            assert!(echoes.join().unwrap() > 20);
            assert_nothing_left();
        });
    }
}

#[test]
fn an_fd_that_is_closed_refused_or_taken_is_an_error_and_the_rest_is_left() {
    run(|| {
        let (_sender, receiver) = channel::bounded::<u8>(1);
        let (here, _there) = UnixStream::pair().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&here);
        let select = || {
            Select::new()
                .recv(&receiver, |_| Ok(()))
                .readable(&here, |ready| ready)
                .wait()
                .unwrap_err()
        };
        hub::call_after_global(SECOND, move || {
            hub::notify_close(number);
        });
        assert!(is_closed(&select()));
        // In the turn in which something else has chosen already.
        let (event, other) = (Rc::new(Event::new()), here.try_clone().unwrap());
        let theirs = Rc::clone(&event);
        let thread = playing(move || {
            Select::new().event(&theirs, |()| "event").readable(&other, |_| "fd").wait()
        });
        event.send(()).unwrap();
        let closed = hub::notify_close(number + 1);
        assert_eq!((thread.join().unwrap(), closed), ("event", 0));
        // Somebody else waits for the same.
        let other = here.try_clone().unwrap();
        let number = Rc::new(other);
        let theirs = Rc::clone(&number);
        let holder = playing(move || {
            drop(greenroom::io::trampoline(&*theirs, greenroom::io::Interest::Read, None));
        });
        let busy = Select::new().recv(&receiver, |_| Ok(())).readable(&*number, |ready| ready);
        assert_eq!(busy.wait().unwrap_err().kind(), ErrorKind::ResourceBusy);
        holder.kill();
        assert!(holder.join().unwrap_err().is_killed());
        assert_nothing_left();
    });
}

#[test]
fn an_fd_that_is_closed_after_another_source_has_called_takes_nothing_from_it() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let (here, _there) = UnixStream::pair().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&here);
        let thread = playing(move || {
            Select::new().readable(&here, |_| 0).recv(&receiver, Result::unwrap).wait()
        });
        sender.send(1).unwrap();
        assert_eq!(hub::notify_close(number), 1);
        assert_eq!(thread.join().unwrap(), 1);
        assert_nothing_left();
    });
}

#[test]
fn nothing_is_drawn_twice_as_often_as_another_for_ever() {
    let draws = |seed: Option<u64>, biased: bool| {
        let draw = move || {
            let (sender, receiver) = channel::unbounded();
            let (other, others) = channel::unbounded();
            (0..200).for_each(|n| (sender.send(n).unwrap(), other.send(n).unwrap()).0);
            let drawn = (0..100).map(|_| {
                let select = Select::new().recv(&receiver, |_| 'a').recv(&others, |_| 'b');
                if biased { select.biased().wait() } else { select.wait() }
            });
            drawn.collect::<String>()
        };
        match seed {
            Some(seed) => run_seeded(seed, draw),
            None => run(draw),
        }
    };
    for seed in [None, Some(1), Some(2)] {
        let drawn = draws(seed, false);
        let share = drawn.matches('a').count();
        assert!((30..=70).contains(&share), "{drawn}");
        assert_eq!(drawn, draws(seed, false), "it repeats");
        assert_eq!(draws(seed, true), "a".repeat(100));
    }
    assert_ne!(draws(Some(1), false), draws(Some(2), false));
}

#[test]
fn a_select_of_nothing_is_refused_or_only_sleeps() {
    run(|| {
        let message = panic_of(|| Select::<()>::new().wait());
        assert!(message.contains("a select of nothing"), "{message}");
        let (sender, receiver) = channel::bounded::<u8>(1);
        let (mut item, mut handle) = (None, None::<JoinHandle<()>>);
        let select = Select::new().send(&sender, &mut item, |_| ()).join(&mut handle, |_| ());
        assert!(panic_of(|| select.wait()).contains("a select of nothing"));
        let begin = Instant::now();
        let select = Select::new().send(&sender, &mut item, |_| ());
        assert_eq!((select.wait_timeout(SECOND), begin.elapsed()), (Err(Elapsed), SECOND));
        assert_eq!(Select::<()>::default().try_wait(), None);
        assert!(receiver.is_empty());
        assert_nothing_left();
    });
}

#[test]
fn a_select_of_its_own_end_is_refused() {
    run(|| {
        let handle = Rc::new(Cell::new(None));
        let theirs = Rc::clone(&handle);
        let thread = spawn(move || {
            let mut me: Option<JoinHandle<()>> = theirs.take();
            let message = panic_of(|| Select::new().join(&mut me, |_| ()).wait());
            assert!(message.contains("cannot wait for its own end"), "{message}");
            assert!(me.is_some());
        });
        handle.set(Some(thread));
        wait_all_parked();
        assert_nothing_left();
    });
}

#[test]
fn in_a_callback_a_select_takes_what_is_there_and_cannot_wait() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let theirs = receiver.clone();
        let message =
            in_a_callback(move || panic_of(|| Select::new().recv(&theirs, Result::unwrap).wait()));
        assert!(message.contains("a hub callback may not block"), "{message}");
        sender.send(1).unwrap();
        let select = in_a_callback(move || Select::new().recv(&receiver, Result::unwrap).wait());
        assert_eq!(select, 1);
        assert_nothing_left();
    });
}

#[test]
fn in_a_destructor_a_select_takes_what_is_there() {
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let mut item = Some(1);
        let item = RefCell::new(&mut item);
        let sent = in_a_panic(|| {
            let mut item = item.borrow_mut();
            Select::new().recv(&receiver, |_| false).send(&sender, &mut item, |s| s.is_ok()).wait()
        });
        assert!(sent && item.borrow().is_none());
        assert_eq!(receiver.recv(), Ok(1));
        let late = in_a_panic(|| Select::new().recv(&receiver, |_| ()).wait_timeout(SECOND));
        assert_eq!(late, Err(Elapsed));
        assert_nothing_left();
    });
}

#[test]
fn closures_of_what_was_not_chosen_may_use_everything_as_they_are_dropped() {
    struct Waits(Receiver<u8>, Sender<u8>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.1.send(1).unwrap();
            assert_eq!(self.0.recv(), Ok(1));
            sleep(SECOND);
        }
    }
    run(|| {
        let (sender, receiver) = channel::bounded(1);
        let (other, others) = channel::bounded(1);
        let waits = Waits(receiver.clone(), sender.clone());
        other.send(2).unwrap();
        let begin = Instant::now();
        let chosen = Select::new()
            .recv(&receiver, move |item| {
                drop(waits);
                item.unwrap()
            })
            .recv(&others, Result::unwrap)
            .wait();
        assert_eq!((chosen, begin.elapsed()), (2, SECOND));
        assert_nothing_left();
    });
}
