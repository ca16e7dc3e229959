//! Actors that are written in C, compiled plainly and with the checks that distributions build by; and tables of calls in C.
//!
//! # Safety
//!
//! A library that is built here is loaded; its functions are called by the types that stand in its source.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_int},
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
    place.get_or_init(|| Library::new(&format!("actors-{name}"), flags, &["actors.c"]))
}

impl Library {
    /// From sources that lie beside this file.
    fn new(name: &str, flags: &[&str], sources: &[&str]) -> Library {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/semantics");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("lib{name}.so"));
        // Another run may be loading it.
        let fresh = folder.join(format!("lib{name}-{}.so", std::process::id()));
        let done = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-Wno-unused-result"])
            .args(flags)
            .arg("-o")
            .arg(&fresh)
            .args(sources.iter().map(|source| beside.join(source)))
            .status();
        let done = done.expect("the compiler that links Rust programs is there");
        assert!(done.success(), "the sources compile");
        std::fs::rename(fresh, &path).expect("the folder is ours");
        let name = CString::new(path.as_os_str().as_encoded_bytes()).expect("a path has no zero");
        // SAFETY: it has no constructors.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "it was built a moment ago");
        Library { path, handle: handle.addr() }
    }

    /// # Safety
    ///
    /// The function of this name is of this type.
    unsafe fn function<F: Copy>(&self, name: &str) -> F {
        assert_eq!(size_of::<F>(), size_of::<*mut libc::c_void>(), "a pointer to a function");
        let c_name = CString::new(name).expect("a name has no zero");
        // SAFETY: the handle is that of a library that stays loaded; the type is the caller's promise.
        unsafe {
            let address = libc::dlsym(self.handle as *mut _, c_name.as_ptr());
            assert!(!address.is_null(), "{name} is in the source");
            std::mem::transmute_copy(&address)
        }
    }
}

/// Plays a part that is written in C.
fn play(it: &mut Actor, flags: &'static [&'static str], part: &str, fd: RawFd) {
    // SAFETY: parts are of this type.
    let function = unsafe { library(flags).function::<Part>(part) };
    let mut text = vec![0_u8; 16 << 10];
    let mut notes = Notes { text: text.as_mut_ptr().cast(), room: text.len(), length: 0 };
    // SAFETY: the notes have so much room.
    unsafe { function(fd, &mut notes) };
    text.truncate(notes.length);
    for line in String::from_utf8(text).expect("notes are text").lines() {
        it.note(line);
    }
}

/// Which table of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Waits,
    Passes,
    Faults,
}

/// A row of a table of calls in C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row(Table, c_int);

/// A row with all that is needed to call.
pub(crate) struct Scene {
    row: Row,
    stage: usize,
}

type Place = *mut libc::c_void;

fn scenes() -> &'static Library {
    static SCENES: OnceLock<Library> = OnceLock::new();
    let sources = ["scenes/scene.c", "scenes/waits.c", "scenes/passes.c", "scenes/faults.c"];
    SCENES.get_or_init(|| Library::new("scenes", PLAIN, &sources))
}

impl Table {
    pub(crate) fn rows(self) -> Vec<(String, Row)> {
        // SAFETY: of this type; and gives a string that stays, or null behind the last row.
        let name = unsafe {
            scenes().function::<extern "C" fn(c_int, c_int) -> *const c_char>("scene_name")
        };
        let row = |at| {
            let name = name(self as c_int, at);
            // SAFETY: as above.
            let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })?;
            Some((name.to_str().expect("names are text").to_owned(), Row(self, at)))
        };
        (0..).map_while(row).collect()
    }
}

impl Row {
    /// On the OS thread that is to call.
    pub(crate) fn set_up(self) -> Scene {
        // SAFETY: of this type, and gives a scene that is freed when ours is dropped.
        let set_up =
            unsafe { scenes().function::<extern "C" fn(c_int, c_int) -> Place>("scene_set_up") };
        Scene { row: self, stage: set_up(self.0 as c_int, self.1).addr() }
    }
}

impl Scene {
    fn stage(&self) -> Place {
        self.stage as Place
    }

    /// Makes the call. What is wrong with what came of it.
    pub(crate) fn call(&self) -> Result<(), &'static str> {
        let Row(table, at) = self.row;
        // SAFETY: of this type.
        let call = unsafe {
            scenes().function::<extern "C" fn(c_int, c_int, Place) -> c_int>("scene_call")
        };
        match call(table as c_int, at, self.stage()) {
            0 => Ok(()),
            1 => Err("the answer is another"),
            _ => Err("errno was touched"),
        }
    }

    /// Does what ends the call, on another OS thread.
    pub(crate) fn end(&self) {
        let Row(table, at) = self.row;
        // SAFETY: of this type.
        let end = unsafe { scenes().function::<extern "C" fn(c_int, c_int, Place)>("scene_end") };
        end(table as c_int, at, self.stage());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // SAFETY: of this type, and a scene that nobody uses any more.
        let tear_down = unsafe { scenes().function::<extern "C" fn(Place)>("scene_tear_down") };
        tear_down(self.stage());
    }
}

/// Sets `errno` as one who runs while another waits.
pub(crate) fn scribble() {
    // SAFETY: of this type.
    let scribble = unsafe { scenes().function::<extern "C" fn()>("scene_scribble") };
    scribble();
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
