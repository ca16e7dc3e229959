//! Child processes: started, waited for, killed, read; and left alone where that is asked.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    os::unix::process::ExitStatusExt,
    process,
    rc::Rc,
    sync::mpsc::channel,
    time::Duration,
};

use greenroom::{
    Elapsed,
    io::{PipeReader, PipeWriter, pipe},
    offload,
    process::{Child, Command, ExitStatus, Stdio},
    signal::Signal,
    spawn,
    testing::wait_all_parked,
    with_timeout, yield_now,
};
use rustix::{
    io::Errno,
    process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid},
};

use crate::{
    case::{Case, Ends, PLAIN},
    raw,
    stage::{
        LONG, again, assert_refused_in_callback, in_callback, in_destructor, in_virtual_time,
        on_each_backend, open_fds, os_threads,
    },
};

/// A child that ends when its standard input does, and says all it reads.
fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Ends when it is killed.
fn stays() -> Child {
    Command::new("sleep").arg("1000").spawn().unwrap()
}

fn killed(child: &mut Child) -> ExitStatus {
    child.kill().unwrap();
    child.wait().unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap()).unwrap()
}

/// The letter by which the kernel says what a process does; `None` if there is none.
fn state(pid: Pid) -> Option<char> {
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    status.rsplit_once(") ")?.1.chars().next()
}

/// The same, and it must not outlive its handle.
fn falls() -> Child {
    Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap()
}

/// Waits with the OS thread until the child has ended, and leaves it to be waited for, if it is.
fn until_ended(child: Pid) {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(child), look) {
        Ok(status) => {
            let signal = status.and_then(|status| status.terminating_signal());
            assert_eq!(signal, Some(libc::SIGKILL));
        }
        Err(errno) => assert_eq!(errno, Errno::CHILD),
    }
}

fn assert_no_children() {
    assert_eq!(waitpid(None, WaitOptions::NOHANG).unwrap_err(), Errno::CHILD);
}

/// What programs say and how they end, as std's `Command` sees it.
const SCRIPTS: [&str; 8] = [
    "exit 0",
    "exit 42",
    "echo out; echo err >&2",
    "kill -TERM $$",
    "kill -KILL $$",
    "cat; echo $?",
    "head -c 1000000 /dev/zero",
    "exec >&- 2>&-; exit 7",
];

/// The flags that a child finds at each of its standard streams; it tells by its error stream.
const TELLS_FLAGS: &str = "for fd in 0 1; do grep flags /proc/self/fdinfo/$fd; done >&2 0<&0";

fn assert_blocking(flags: &[u8]) {
    let flags = std::str::from_utf8(flags).unwrap();
    let flags: Vec<_> = flags.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(flags.len(), 2, "{flags:?}");
    for flags in flags {
        let flags = i32::from_str_radix(flags, 8).unwrap();
        assert_eq!(flags & libc::O_NONBLOCK, 0, "{flags:o}");
    }
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "processes::output_and_status_are_those_of_std",
        play: || {
            on_each_backend(|| {
                for script in SCRIPTS {
                    let green = Command::new("sh").args(["-c", script]).output().unwrap();
                    let std = process::Command::new("sh").args(["-c", script]).output().unwrap();
                    assert_eq!(green, std, "{script}");
                    let mut quiet = Command::new("sh");
                    quiet.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null());
                    assert_eq!(quiet.stderr(Stdio::null()).status().unwrap(), std.status);
                }
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::others_run_while_one_waits_for_a_child",
        play: || {
            on_each_backend(|| {
                let mut child = cat();
                let mut input = child.stdin.take().unwrap();
                let mut output = child.stdout.take().unwrap();
                let waiter = spawn(move || child.wait().unwrap());
                let mut bytes = [0; 5];
                for _ in 0..10 {
                    input.write_all(b"hello").unwrap();
                    output.read_exact(&mut bytes).unwrap();
                    assert_eq!(&bytes, b"hello");
                    assert!(!waiter.is_finished());
                }
                drop(input);
                assert!(waiter.join().unwrap().success());
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::the_root_waits_too",
        play: || {
            let mut child = stays();
            let pid = pid(&child);
            let killer =
                spawn(move || rustix::process::kill_process(pid, rustix::process::Signal::INT));
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGINT));
            killer.join().unwrap().unwrap();
        },
        ..PLAIN
    },
    Case {
        name: "processes::much_output_on_both_sides_is_read_at_once",
        play: || {
            on_each_backend(|| {
                let script = "head -c 3000000 /dev/zero >&2 & head -c 2000000 /dev/zero; wait";
                let output = Command::new("sh").args(["-c", script]).output().unwrap();
                assert_eq!((output.stdout.len(), output.stderr.len()), (2_000_000, 3_000_000));
                let script = "head -c 500000 /dev/zero >&2; head -c 500000 /dev/zero";
                let output = Command::new("sh").args(["-c", script]).output().unwrap();
                assert_eq!((output.stdout.len(), output.stderr.len()), (500_000, 500_000));
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::many_children_are_waited_for_by_one_os_thread",
        play: || {
            on_each_backend(|| {
                drop(cat());
                let threads = os_threads();
                let mut inputs = Vec::new();
                let waiters: Vec<_> = (0..30)
                    .map(|_| {
                        let mut child = cat();
                        inputs.push(child.stdin.take());
                        spawn(move || child.wait().unwrap())
                    })
                    .collect();
                yield_now();
                assert_eq!(os_threads(), threads, "helpers wait for the children");
                inputs.clear();
                for waiter in waiters {
                    assert!(waiter.join().unwrap().success());
                }
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::who_was_thrown_out_can_wait_again",
        play: || {
            in_virtual_time(|| {
                let mut child = cat();
                assert_eq!(child.wait_timeout(LONG).unwrap(), None);
                assert_eq!(child.wait_timeout(Duration::ZERO).unwrap(), None);
                assert!(child.stdin.is_some(), "a wait for a time leaves the child's input open");
                let input = child.stdin.take();
                assert_eq!(with_timeout(LONG, || child.wait().unwrap()), Err(Elapsed));
                greenroom::scope(|scope| {
                    let waiter = scope.spawn(|| child.wait().map(drop));
                    wait_all_parked();
                    waiter.kill();
                });
                assert_eq!(child.try_wait().unwrap(), None);
                drop(input);
                assert!(child.wait().unwrap().success());
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::the_end_is_told_again_and_killing_the_dead_is_fine",
        play: || {
            on_each_backend(|| {
                let mut child = stays();
                assert_eq!(child.try_wait().unwrap(), None);
                child.kill().unwrap();
                let status = child.wait().unwrap();
                assert_eq!(status.signal(), Some(libc::SIGKILL));
                assert_eq!(child.wait().unwrap(), status);
                assert_eq!(child.try_wait().unwrap(), Some(status));
                assert_eq!(child.wait_timeout(Duration::ZERO).unwrap(), Some(status));
                child.kill().unwrap();
                assert_eq!(child.wait_with_output().unwrap().status, status);
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::a_child_that_is_dropped_lives_on_and_a_waited_one_is_gone",
        play: || {
            let mut child = cat();
            let dropped = pid(&child);
            let (mut input, mut output) =
                (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            drop(child);
            input.write_all(b"still here").unwrap();
            drop(input);
            let mut text = String::new();
            output.read_to_string(&mut text).unwrap();
            assert_eq!(text, "still here");
            let (_, status) = waitpid(Some(dropped), WaitOptions::empty()).unwrap().unwrap();
            assert_eq!(
                status.exit_status(),
                Some(0),
                "std would have left it to be waited for, too"
            );

            let mut child = stays();
            let waited = pid(&child);
            assert!(state(waited).is_some());
            killed(&mut child);
            assert_eq!(state(waited), None);
        },
        ..PLAIN
    },
    Case {
        name: "processes::a_child_gets_the_signal_that_is_sent",
        play: || {
            on_each_backend(|| {
                for signal in [Signal::TERM, Signal::HUP, Signal::USR1, Signal::KILL] {
                    let mut child = stays();
                    child.signal(signal).unwrap();
                    assert_eq!(child.wait().unwrap().signal(), Some(signal.as_raw()));
                }
                let script = "trap 'exit 3' USR2; echo ready; while :; do :; done";
                let mut asked = Command::new("sh");
                let mut asked = asked.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
                let mut ready = [0; 6];
                asked.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
                assert_eq!(asked.wait_timeout(Duration::ZERO).unwrap(), None);
                asked.signal(Signal::USR2).unwrap();
                assert_eq!(asked.wait().unwrap().code(), Some(3));
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::a_stopped_child_goes_on_when_it_is_told",
        play: || {
            let mut child = cat();
            let number = pid(&child);
            child.signal(Signal::STOP).unwrap();
            waitid(WaitId::Pid(number), WaitIdOptions::STOPPED).unwrap();
            assert_eq!(state(number), Some('T'));
            child.signal(Signal::CONT).unwrap();
            child.stdin.take().unwrap().write_all(b"on").unwrap();
            assert_eq!(child.wait_with_output().unwrap().stdout, b"on");
        },
        ..PLAIN
    },
    Case {
        name: "processes::a_signal_to_one_that_has_ended_is_fine_and_its_end_is_kept",
        play: || {
            on_each_backend(|| {
                let fds = open_fds();
                for signalled_before in [false, true] {
                    let mut child = stays();
                    if signalled_before {
                        child.signal(Signal::CONT).unwrap();
                    }
                    child.kill().unwrap();
                    until_ended(pid(&child));
                    child.signal(Signal::TERM).unwrap();
                    let status = child.wait().unwrap();
                    assert_eq!(status.signal(), Some(libc::SIGKILL));
                    child.signal(Signal::TERM).unwrap();
                    assert_eq!(open_fds(), fds + usize::from(signalled_before));
                }
                assert_eq!(open_fds(), fds);
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::signals_that_cannot_be_sent_are_errors",
        play: || {
            let mut child = cat();
            let refused = child.signal(Signal::from_raw(40).unwrap()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            assert!(refused.to_string().contains("signal 40 cannot be sent"), "{refused}");
            assert_eq!(child.try_wait().unwrap(), None);
            child.signal(Signal::CONT).unwrap();
            raw::forget_call(libc::SYS_pidfd_send_signal);
            let unknown = child.signal(Signal::TERM).unwrap_err();
            assert_eq!(unknown.raw_os_error(), Some(libc::ENOSYS));
            drop(child.stdin.take());
            waitpid(Some(pid(&child)), WaitOptions::empty()).unwrap();
            let forgotten = child.signal(Signal::TERM).unwrap_err();
            assert_eq!(forgotten.raw_os_error(), Some(libc::ECHILD));
        },
        ..PLAIN
    },
    Case {
        name: "processes::a_child_is_killed_with_its_handle_and_is_no_zombie_after_the_next_start",
        play: || {
            on_each_backend(|| {
                let mut command = Command::new("sh");
                command.args(["-c", "echo ready; read all; echo done"]).kill_on_drop(true);
                let mut child =
                    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                let number = pid(&child);
                let mut output = child.stdout.take().unwrap();
                let mut ready = [0; 6];
                output.read_exact(&mut ready).unwrap();
                drop(child);
                assert_eq!(std::io::read_to_string(output).unwrap(), "");
                until_ended(number);
                assert!(Command::new("true").status().unwrap().success());
                assert_no_children();
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::only_one_that_was_not_waited_for_is_killed_with_its_handle",
        play: || {
            let mut command = Command::new("echo");
            command.arg("unharmed").stdout(Stdio::piped()).kill_on_drop(true);
            let child = command.spawn().unwrap();
            assert_eq!(child.wait_with_output().unwrap().stdout, b"unharmed\n");
            assert!(command.output().unwrap().status.success());

            let ended = command.spawn().unwrap();
            let number = pid(&ended);
            waitid(WaitId::Pid(number), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
            assert_eq!(state(number), Some('Z'));
            drop(ended);
            assert_eq!(state(number), None);

            let mut again = Command::new("cat");
            again.stdin(Stdio::piped()).kill_on_drop(true).kill_on_drop(false);
            let mut child = again.spawn().unwrap();
            let (number, input) = (pid(&child), child.stdin.take());
            drop(child);
            drop(input);
            let (_, status) = waitpid(Some(number), WaitOptions::empty()).unwrap().unwrap();
            assert_eq!(status.exit_status(), Some(0));
        },
        ..PLAIN
    },
    Case {
        name: "processes::output_and_status_kill_when_their_waiter_is_thrown_out",
        play: || {
            in_virtual_time(|| {
                let calls: [fn(Command); 2] = [
                    |mut command| assert!(command.status().is_err()),
                    |mut command| assert!(command.output().is_err()),
                ];
                for call in calls {
                    for by_kill in [false, true] {
                        let (reader, writer) = pipe().unwrap();
                        let mut command = Command::new("sleep");
                        command.arg("1000").stderr(writer).kill_on_drop(true);
                        if by_kill {
                            let waiter = spawn(move || call(command));
                            wait_all_parked();
                            waiter.kill();
                            assert!(waiter.join().is_err());
                        } else {
                            assert_eq!(with_timeout(LONG, move || call(command)), Err(Elapsed));
                        }
                        // Ends when nobody can write any more: neither we nor the child.
                        assert_eq!(std::io::read_to_string(reader).unwrap(), "");
                    }
                }
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::callbacks_and_destructors_kill_with_the_handle_too",
        play: || {
            on_each_backend(|| {
                let numbers = [
                    in_callback(|| pid(&falls())).unwrap(),
                    in_destructor(|| pid(&falls())),
                    std::thread::spawn(|| pid(&falls())).join().unwrap(),
                ];
                numbers.into_iter().for_each(until_ended);
                assert!(cat().wait().unwrap().success());
                assert_no_children();
                let mut child = stays();
                let sent = in_callback(move || (child.signal(Signal::INT), child)).unwrap();
                sent.0.unwrap();
                let mut child = sent.1;
                assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGINT));
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::of_many_killed_at_once_none_stays_a_zombie",
        play: || {
            let children: Vec<_> = (0..40).map(|_| falls()).collect();
            let numbers: Vec<_> = children.iter().map(pid).collect();
            drop(children);
            numbers.into_iter().for_each(until_ended);
            // Each start looks at sixteen.
            for _ in 0..3 {
                assert!(Command::new("true").status().unwrap().success());
            }
            assert_no_children();
        },
        ..PLAIN
    },
    Case {
        name: "processes::no_children_to_wait_for_is_an_error",
        play: || {
            on_each_backend(|| {
                let mut child = cat();
                drop(child.stdin.take());
                waitpid(Some(pid(&child)), WaitOptions::empty()).unwrap();
                for _ in 0..2 {
                    assert_eq!(child.wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
                    assert_eq!(child.try_wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
                }
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::where_sigchld_is_ignored_a_wait_lasts_until_the_end",
        play: || {
            raw::ignore_sigchld();
            on_each_backend(|| {
                let mut child = cat();
                let (input, number) = (child.stdin.take(), pid(&child));
                let waiter = spawn(move || {
                    let forgotten = child.wait().unwrap_err();
                    (forgotten.raw_os_error(), child.wait().unwrap_err().raw_os_error())
                });
                yield_now();
                assert!(!waiter.is_finished() && state(number).is_some());
                drop(input);
                assert_eq!(waiter.join().unwrap(), (Some(libc::ECHILD), Some(libc::ECHILD)));
                assert_eq!(state(number), None);
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::a_kernel_that_cannot_tell_their_end_says_so",
        play: || {
            raw::forget_call(libc::SYS_pidfd_open);
            let mut child = cat();
            let signalled = child.signal(Signal::KILL);
            for refused in [signalled, child.wait_timeout(LONG).map(drop), child.wait().map(drop)] {
                let refused = refused.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Unsupported);
                assert!(refused.to_string().contains("since Linux 5.3"), "{refused}");
            }
            // Its input is closed by now.
            while child.try_wait().unwrap().is_none() {
                yield_now();
            }
            assert!(child.wait().unwrap().success());
        },
        ..PLAIN
    },
    Case {
        name: "processes::a_callback_starts_and_looks_but_does_not_wait",
        play: || {
            on_each_backend(|| {
                let mut child = in_callback(stays).unwrap();
                let looked = in_callback(move || (child.try_wait().unwrap(), child)).unwrap();
                let mut child = looked.1;
                assert_eq!(looked.0, None);
                let number = pid(&child);
                assert_refused_in_callback(move || child.wait());
                rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
                let end = waitpid(Some(number), WaitOptions::empty()).unwrap();
                assert!(end.is_some());
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::a_destructor_has_the_end_that_is_there_and_waits_briefly",
        play: || {
            on_each_backend(|| {
                let mut child = stays();
                let (late, none, mut child) =
                    in_destructor(move || (child.wait(), child.wait_timeout(LONG), child));
                assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
                assert_eq!(none.unwrap(), None);
                child.kill().unwrap();
                let status = in_destructor(move || child.wait());
                assert_eq!(status.unwrap().signal(), Some(libc::SIGKILL));
                let output = in_destructor(|| Command::new("echo").arg("last words").output());
                assert_eq!(output.unwrap().stdout, b"last words\n");
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::the_childs_ends_of_pipes_stay_blocking",
        play: || {
            let tells = |input: Stdio, output: Stdio| {
                let mut command = Command::new("sh");
                command.args(["-c", TELLS_FLAGS]).stdin(input).stdout(output);
                let child = command.stderr(Stdio::piped()).spawn().unwrap();
                assert_blocking(&child.wait_with_output().unwrap().stderr);
            };
            tells(Stdio::piped(), Stdio::piped());
            let (reader, writer) = pipe().unwrap();
            let (other_reader, other_writer) = pipe().unwrap();
            tells(reader.into(), other_writer.into());
            drop((other_reader, writer));
            let (reader, writer) = pipe().unwrap();
            let clone = writer.try_clone().unwrap();
            let reader = PipeReader::from_std(reader.into_std()).unwrap();
            tells(reader.into(), writer.into());
            drop(PipeWriter::from_std(clone.into_std()).unwrap());
        },
        ..PLAIN
    },
    Case {
        name: "processes::nothing_is_left_of_children_and_none_inherits_our_fds",
        play: || {
            on_each_backend(|| {
                // Its streams, the directory that it lists, and what was open before we were.
                let list = || Command::new("ls").arg("/proc/self/fd").output().unwrap().stdout;
                let inherited = list();
                let before = open_fds();
                let mut alive = stays();
                assert_eq!(alive.wait_timeout(Duration::ZERO).unwrap(), None);
                let (_reader, _writer) = pipe().unwrap();
                let listed = list();
                alive.kill().unwrap();
                assert_eq!(listed, inherited);
                killed(&mut alive);
                drop((alive, _reader, _writer));
                assert_eq!(open_fds(), before);
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::what_cannot_be_started_is_an_error_and_no_child",
        play: || {
            let mut missing = Command::new("/no/such/program");
            assert_eq!(missing.spawn().unwrap_err().kind(), ErrorKind::NotFound);
            assert_eq!(missing.output().unwrap_err().kind(), ErrorKind::NotFound);
            assert_eq!(missing.status().unwrap_err().kind(), ErrorKind::NotFound);
            let mut nowhere = Command::new("true");
            assert!(nowhere.current_dir("/no/such/folder").spawn().is_err());
            let mut refused = Command::new("/");
            assert_eq!(refused.spawn().unwrap_err().kind(), ErrorKind::PermissionDenied);
            let none = waitpid(None, WaitOptions::NOHANG).unwrap_err();
            assert_eq!(none, Errno::CHILD);
        },
        ..PLAIN
    },
    Case {
        name: "processes::the_builder_is_that_of_std",
        play: || {
            let mut command = Command::new("sh");
            command.arg0("a shell").arg("-c").args(["echo $0 $A-$B-$C $(pwd)"]);
            command.env_clear().env("A", "1").envs([("B", "2"), ("C", "3")]).env_remove("C");
            command.current_dir("/proc").process_group(0);
            assert_eq!(command.get_program(), "sh");
            assert_eq!(command.get_args().count(), 2);
            assert_eq!(command.get_envs().count(), 2);
            assert_eq!(command.get_current_dir().unwrap().to_str(), Some("/proc"));
            assert_eq!(command.output().unwrap().stdout, b"a shell 1-2- /proc\n");
            let output = Command::from(command.into_std()).output().unwrap();
            assert_eq!(output.stdout, b"a shell 1-2- /proc\n");

            let mut user = Command::new("id");
            let own = rustix::process::getuid().as_raw();
            user.arg("-u").uid(own).gid(rustix::process::getgid().as_raw());
            assert_eq!(user.output().unwrap().stdout, format!("{own}\n").as_bytes());

            let mut grouped = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
            let group = rustix::process::getpgid(Some(pid(&grouped))).unwrap();
            assert_eq!(group, pid(&grouped));
            killed(&mut grouped);
        },
        ..PLAIN
    },
    Case {
        name: "processes::output_reads_what_was_not_set_and_changes_nothing",
        play: || {
            let mut command = Command::new("sh");
            command.args(["-c", "echo to out; echo to err >&2"]).stdout(Stdio::null());
            for _ in 0..2 {
                let output = command.output().unwrap();
                assert_eq!((&*output.stdout, &*output.stderr), (&b""[..], &b"to err\n"[..]));
            }
            let mut child = command.spawn().unwrap();
            assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
            assert!(child.wait().unwrap().success());
        },
        says: &["to err\n"],
        ..PLAIN
    },
    Case {
        name: "processes::a_child_of_std_becomes_a_green_one",
        play: || {
            on_each_backend(|| {
                let started = offload(|| {
                    let mut command = process::Command::new("cat");
                    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
                });
                let mut child = Child::try_from(started).unwrap();
                let output = child.stdout.take().unwrap();
                let reader = spawn(move || std::io::read_to_string(output).unwrap());
                child.stdin.as_ref().unwrap().write_all(b"hello").unwrap();
                yield_now();
                assert!(!reader.is_finished());
                assert!(child.wait().unwrap().success());
                assert_eq!(reader.join().unwrap(), "hello");
            });
        },
        ..PLAIN
    },
    Case {
        name: "processes::commands_go_to_other_os_threads",
        play: || {
            let mut command = Command::new("echo");
            command.arg("elsewhere");
            let (tell, told) = channel();
            std::thread::spawn(move || tell.send(command.output().unwrap().stdout).unwrap());
            assert_eq!(told.recv().unwrap(), b"elsewhere\n");
        },
        ..PLAIN
    },
    Case {
        name: "processes::exec_becomes_the_program",
        play: || {
            let output = again("processes::becomes_another").output().unwrap();
            assert_eq!((output.status.code(), &*output.stdout), (Some(5), &b"another\n"[..]));
        },
        ..PLAIN
    },
    Case {
        name: "processes::becomes_another",
        play: || {
            let alive = Rc::new(());
            let other = Rc::clone(&alive);
            let sleeper = spawn(move || {
                greenroom::sleep(LONG);
                drop(other);
            });
            yield_now();
            let error = Command::new("sh").args(["-c", "echo another; exit 5"]).exec();
            unreachable!("{error}, {sleeper:?}");
        },
        ends: Ends::Code(5),
        ..PLAIN
    },
];
