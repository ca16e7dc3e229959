//! The measure of everything here: what something comes to on an OS thread, it comes to on a green thread.

use std::{fmt::Debug, thread};

/// What `play` comes to on both.
#[track_caller]
pub(crate) fn alike<T: PartialEq + Debug + Send + 'static>(
    play: impl FnOnce() -> T + Clone + Send + 'static,
) -> T {
    let natively = thread::spawn(play.clone()).join().expect("it ends well on an OS thread");
    let greenly = greenroom::spawn(play).join().expect("it ends well on a green thread");
    if greenly != natively {
        let (greenly, natively) = (format!("{greenly:#?}"), format!("{natively:#?}"));
        let pairs = greenly.lines().zip(natively.lines()).enumerate();
        for (line, (greenly, natively)) in pairs.filter(|(_, (a, b))| a != b).take(9) {
            eprintln!("{line}: {greenly} on a green thread, {natively} on an OS thread");
        }
        panic!("it is not the same");
    }
    greenly
}
