//! libpq, by a client in C.
//!
//! Knows no hub: it calls C, and C calls libc.
//!
//! # Safety
//!
//! The functions of `libpq.c` are declared here once more. A connection is used by its owner alone, and
//! finished once.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_int},
    ptr::NonNull,
    time::Duration,
};

#[repr(C)]
struct PgConn {
    opaque: [u8; 0],
}

unsafe extern "C" {
    fn guest_connect(target: *const c_char) -> *mut PgConn;
    fn guest_is_connected(connection: *const PgConn) -> c_int;
    fn guest_finish(connection: *mut PgConn);
    fn guest_ask(
        connection: *mut PgConn,
        question: *const c_char,
        timeout_ms: c_int,
        answer: *mut c_char,
        room: usize,
    ) -> c_int;
}

/// The longest answer, its zero included.
const ROOM: usize = 4096;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    pointer: NonNull<PgConn>,
    timeout_ms: c_int,
}

impl Connection {
    /// Connects. `timeout` is for each question.
    ///
    /// # Panics
    ///
    /// If nobody takes the connection.
    pub fn open(target: &str, timeout: Option<Duration>) -> Connection {
        let target = CString::new(target).expect("no zero in it");
        // SAFETY: a C string.
        let connection = unsafe { guest_connect(target.as_ptr()) };
        let pointer = NonNull::new(connection).expect("memory for a connection");
        let timeout_ms = timeout.map_or(-1, |time| time.as_millis() as c_int);
        let connection = Connection { pointer, timeout_ms };
        // SAFETY: made above.
        let is_connected = unsafe { guest_is_connected(pointer.as_ptr()) } != 0;
        assert!(is_connected, "PostgreSQL takes connections");
        connection
    }

    /// Asks for one row, and gives its last value.
    ///
    /// # Errors
    ///
    /// The text that libpq has.
    pub fn ask(&mut self, question: &str) -> Result<Vec<u8>, String> {
        let question = CString::new(question).expect("no zero in it");
        let mut answer: Vec<c_char> = vec![0; ROOM];
        // SAFETY: a connection of ours, a C string, and a buffer of that length.
        let failed = unsafe {
            guest_ask(
                self.pointer.as_ptr(),
                question.as_ptr(),
                self.timeout_ms,
                answer.as_mut_ptr(),
                ROOM,
            )
        };
        // SAFETY: `snprintf` ends what it writes with a zero, within the buffer.
        let answer = unsafe { CStr::from_ptr(answer.as_ptr()) };
        match failed {
            0 => Ok(answer.to_bytes().to_vec()),
            _ => Err(answer.to_string_lossy().into_owned()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: made by `guest_connect`, and nobody has it any more.
        unsafe { guest_finish(self.pointer.as_ptr()) };
    }
}
