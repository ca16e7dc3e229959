//! Exceptions of C++ that are in flight while a green thread waits are its own.
//!
//! The code in C++ is compiled here and loaded at the start of a process of its own, as a library is that a program is
//! linked with.
//!
//! # Safety
//!
//! A function of C++ that lets no exception out is called by its type.

#![allow(unsafe_code)]

use std::{
    env,
    ffi::{c_int, c_uint, c_void},
    fs, mem,
    path::PathBuf,
    process::Command,
};

use greenroom_patch as _;

const SOURCE: &str = r#"
#include <exception>
#include <unistd.h>

struct Waits {
    int *inside;
    ~Waits() { usleep(1000); *inside = std::uncaught_exceptions(); }
};

/// The number, if all that is caught here was thrown here.
extern "C" int throw_and_wait(int number, unsigned micros) {
    int inside = 0;
    try {
        Waits waits{&inside};
        throw number;
    } catch (int &first) {
        usleep(micros);
        try {
            throw;
        } catch (int &again) {
            usleep(micros);
            return inside == 1 && std::uncaught_exceptions() == 0 && &first == &again ? again : -1;
        }
    }
}
"#;

/// Set where this is the process that the library is loaded into.
const LOADED: &str = "GREENROOM_EXCEPTIONS";

#[test]
fn who_waits_in_a_catch_block_catches_its_own() {
    if env::var_os(LOADED).is_some() {
        return throw_side_by_side();
    }
    let folder = env::temp_dir().join(format!("greenroom-exceptions-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let library = compile(&folder);
    let test = ["--exact", "who_waits_in_a_catch_block_catches_its_own", "--nocapture"];
    let program = env::current_exe().unwrap();
    let run = |library| {
        Command::new(&program).args(test).env(LOADED, "1").env("LD_PRELOAD", library).output()
    };
    let output = library.map(run);
    fs::remove_dir_all(&folder).unwrap();
    match output {
        Some(output) => {
            let output = output.unwrap();
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {complaint}", output.status);
        }
        None => {
            assert!(
                env::var_os("CI").is_none(),
                "no C++ compiler, and under CI nothing is skipped"
            );
            eprintln!("skipped: exceptions of C++: there is no `c++` on the path");
        }
    }
}

fn compile(folder: &std::path::Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("throws.cpp"), folder.join("libthrows.so"));
    fs::write(&source, SOURCE).unwrap();
    let compiler = Command::new("c++")
        .args(["-std=c++17", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .output()
        .ok()?;
    assert!(compiler.status.success(), "{}", String::from_utf8_lossy(&compiler.stderr));
    Some(library)
}

fn throw_side_by_side() {
    // SAFETY: a name as C has it; what is found is only looked at so far.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"throw_and_wait".as_ptr()) };
    assert!(!found.is_null(), "the library is loaded");
    type ThrowAndWait = unsafe extern "C" fn(c_int, c_uint) -> c_int;
    // SAFETY: this is its type.
    let throw_and_wait = unsafe { mem::transmute::<*mut c_void, ThrowAndWait>(found) };
    let threads: Vec<_> = (0..20)
        .map(|number| {
            // SAFETY: any numbers will do, and it throws nothing at us.
            greenroom::spawn(move || unsafe {
                throw_and_wait(number, 1000 + number as c_uint * 77 % 1300)
            })
        })
        .collect();
    for (number, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), number as c_int);
    }
}
