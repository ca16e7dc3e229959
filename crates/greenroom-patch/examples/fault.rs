//! Faulty on purpose: a green thread that waited in a call of libc's reads past a block of memory.
//!
//! `cargo xtask asan` expects the sanitizer to catch it. Run without one, it prints a byte that is nobody's.
//!
//! # Safety
//!
//! None: one byte is read that is not there.

#![allow(unsafe_code)]

use std::{
    hint::black_box,
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use greenroom_patch as _;

fn main() {
    let (mut reads, mut writes) = UnixStream::pair().expect("the kernel makes sockets");
    let reader = greenroom::spawn(move || {
        let mut bytes = vec![0u8; 8];
        reads.read_exact(&mut bytes).expect("somebody writes");
        let past = black_box(bytes.len());
        // SAFETY: none; this is the fault.
        unsafe { *bytes.as_ptr().add(past) }
    });
    greenroom::yield_now();
    writes.write_all(b"8 bytes.").expect("somebody reads");
    println!("{}", reader.join().expect("it does not panic"));
}
