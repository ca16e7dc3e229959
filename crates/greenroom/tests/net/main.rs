//! Green sockets over real ones: std's meaning, on every backend, also where it hurts.
//!
//! One module a topic. Nobody sleeps and hopes: a test waits for an event, and where the time is
//! the matter its deadline is short. Knows nothing of the library's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

mod child;
mod pattern;
mod raw;
mod stage;

mod shape;

mod names;
mod tcp;
mod udp;
mod unix_datagram;
mod unix_stream;

mod clones;
mod conversions;
mod ends;
mod other_calls;
mod timeouts;
mod transfers;

mod closing;
mod waiters;

mod interrupted;
mod signals_of_pipes;
mod thrown_out;
mod unwinding;

mod exhausted;
mod serving;

mod many_threads;
mod ten_thousand_connections;

mod seeded_close_at_random;
