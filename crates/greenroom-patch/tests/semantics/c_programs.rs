//! Actors that are written in C, compiled plainly and with the checks that distributions build by.
//!
//! # Safety
//!
//! A library that is built here is loaded; its functions are called by the types that stand in its source.

#![allow(unsafe_code)]

use std::{
    ffi::{CString, c_char, c_int},
    os::fd::{IntoRawFd, RawFd},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{
    files::{Kind, STREAMS, narrow_pair, pair},
    stage::{Actor, equal, equal_for},
};

#[repr(C)]
struct Notes {
    text: *mut c_char,
    room: usize,
    length: usize,
}

type Part = unsafe extern "C" fn(c_int, *mut Notes);

/// A library of actors.
struct Library {
    path: PathBuf,
    handle: usize,
}

const CHECKED: &[&str] = &["-O2", "-D_FORTIFY_SOURCE=2"];
const PLAIN: &[&str] = &["-O0", "-U_FORTIFY_SOURCE"];

/// Compiles the actors, once for each set of flags.
fn library(flags: &'static [&'static str]) -> &'static Library {
    static PLAINLY: OnceLock<Library> = OnceLock::new();
    static CHECKEDLY: OnceLock<Library> = OnceLock::new();
    let (place, name) =
        if flags == CHECKED { (&CHECKEDLY, "checked") } else { (&PLAINLY, "plain") };
    place.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/semantics/actors.c");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("libactors-{name}.so"));
        // Another run may be loading it.
        let fresh = folder.join(format!("libactors-{name}-{}.so", std::process::id()));
        let done = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-Wno-unused-result"])
            .args(flags)
            .arg("-o")
            .args([&fresh, &source])
            .status();
        let done = done.expect("the compiler that links Rust programs is there");
        assert!(done.success(), "the actors compile");
        std::fs::rename(fresh, &path).expect("the folder is ours");
        let name = CString::new(path.as_os_str().as_encoded_bytes()).expect("a path has no zero");
        // SAFETY: it has no constructors.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "it was built a moment ago");
        Library { path, handle: handle.addr() }
    })
}

/// Plays a part that is written in C.
fn play(it: &mut Actor, flags: &'static [&'static str], part: &str, fd: RawFd) {
    let name = CString::new(part).expect("a name has no zero");
    // SAFETY: the handle is that of a library that stays loaded, and its functions of these names are of this type.
    let function = unsafe {
        let address = libc::dlsym(library(flags).handle as *mut _, name.as_ptr());
        assert!(!address.is_null(), "{part} is in the source");
        std::mem::transmute::<*mut libc::c_void, Part>(address)
    };
    let mut text = vec![0_u8; 16 << 10];
    let mut notes = Notes { text: text.as_mut_ptr().cast(), room: text.len(), length: 0 };
    // SAFETY: the notes have so much room.
    unsafe { function(fd, &mut notes) };
    text.truncate(notes.length);
    for line in String::from_utf8(text).expect("notes are text").lines() {
        it.note(line);
    }
}

#[test]
fn the_checked_library_calls_the_checked_functions() {
    let symbols = Command::new("nm")
        .args(["-D", "--undefined-only"])
        .arg(&library(CHECKED).path)
        .output()
        .expect("whoever links has this program");
    let symbols = String::from_utf8(symbols.stdout).expect("names are text");
    for name in ["__read_chk", "__recv_chk", "__recvfrom_chk"] {
        assert!(symbols.contains(name), "{name} is not in {symbols}");
    }
}

#[test]
fn actors_in_c_talk_to_each_other() {
    for flags in [PLAIN, CHECKED] {
        equal_for(&STREAMS, |stage, kind| {
            let (one, other) = pair(kind);
            let (one, other) = (stage.keep(one), stage.keep(other));
            stage.actor("client", move |it| play(it, flags, "client", one));
            stage.actor("server", move |it| play(it, flags, "server", other));
        });
    }
}

#[test]
fn actors_in_c_use_a_pipe() {
    for flags in [PLAIN, CHECKED] {
        equal(|stage| {
            let (reader, writer) = narrow_pair(Kind::Pipe);
            let (reader, writer) = (stage.keep(reader), writer.into_raw_fd());
            stage.actor("taker", move |it| play(it, flags, "taker", reader));
            stage.actor("giver", move |it| play(it, flags, "giver", writer));
        });
    }
}

#[test]
fn actors_in_c_have_children() {
    for flags in [PLAIN, CHECKED] {
        equal(|stage| {
            stage.actor("one", move |it| play(it, flags, "parent", -1));
            stage.actor("other", move |it| play(it, flags, "parent", -1));
        });
    }
}
