//! A process started for one measurement: its hard time limit, its answer or its last words.
//!
//! Must never know what is measured. Children are killed by the handle they were started with, never by name.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::Fallible;

/// How long the pipes of an ended child may stay open (a child of its own may hold them).
const PIPE_GRACE: Duration = Duration::from_secs(5);
/// As much of a child's output as is kept.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// This very binary, about to be started with other arguments.
pub(crate) fn myself() -> Fallible<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

/// Called in the child: it must not outlive a parent that was killed, and must go first when memory runs out.
pub(crate) fn die_with_parent() {
    // Both are courtesies to the machine; where they are refused, the measurement is still sound.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// Runs `command` to its end and returns what it printed; the error is fit for a table cell.
pub(crate) fn answer(mut command: Command, limit: Duration) -> Result<String, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot start: {error}"))?;
    let stdout = collect(child.stdout.take().expect("stdout is piped"));
    let stderr = collect(child.stderr.take().expect("stderr is piped"));
    let answered = stdout.recv_timeout(limit);
    if answered == Err(RecvTimeoutError::Timeout) {
        kill(&mut child)?;
        return Err(format!("killed: not done after {} s", limit.as_secs()));
    }
    let status = child.wait().map_err(|error| format!("cannot wait: {error}"))?;
    if status.success() {
        return answered.map_err(|error| format!("no answer: {error}"));
    }
    Err(last_words(status, &stderr.recv_timeout(PIPE_GRACE).unwrap_or_default()))
}

fn kill(child: &mut Child) -> Result<(), String> {
    child.kill().map_err(|error| format!("cannot kill: {error}"))?;
    child.wait().map_err(|error| format!("cannot wait: {error}"))?;
    Ok(())
}

/// Sends all that `pipe` brings, once it is closed.
fn collect(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A broken pipe ends the text like a closed one.
        let _ = pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
        // Nobody listens any more after a time-out.
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

/// One line about a child that failed: the line that tells most, or else how it ended.
fn last_words(status: ExitStatus, stderr: &str) -> String {
    let telling =
        stderr.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("note: "));
    match telling {
        Some(line) if status.code() == Some(1) => {
            line.strip_prefix("greenroom-bench: ").unwrap_or(line).to_owned()
        }
        Some(line) => format!("{line} ({status})"),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<String, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        answer(command, limit)
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn what_a_child_prints_is_its_answer() {
        assert_eq!(shell("echo 42", LIMIT), Ok("42\n".to_owned()));
    }

    #[test]
    fn a_failing_child_leaves_its_last_words() {
        let script = "echo first >&2; echo 'greenroom-bench: second' >&2; exit 1";
        assert_eq!(shell(script, LIMIT), Err("second".to_owned()));
    }

    #[test]
    fn a_killed_child_is_told_by_its_signal() {
        let error = shell("kill -9 $$", LIMIT).unwrap_err();
        assert!(error.contains("signal: 9"), "{error}");
    }

    #[test]
    fn a_child_that_takes_too_long_is_killed() {
        let error = shell("exec sleep 60", Duration::from_millis(100)).unwrap_err();
        assert!(error.starts_with("killed"), "{error}");
    }
}
