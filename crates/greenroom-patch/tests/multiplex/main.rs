//! Calls that wait for the first of several fds: the same answers on green threads as on OS threads, while others
//! run.

mod both;
mod raw;
mod terminal;

mod closed;
mod epoll;
mod event_loops;
mod fairness;
mod overlap;
mod poll;
mod runtime;
mod select;
mod signals;
mod stops;

use greenroom_patch as _;
