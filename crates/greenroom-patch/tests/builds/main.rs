//! Where the patch is in a program, however that is built and linked, the calls of std and of C code
//! are ours; where it is not, none is.
//!
//! How a program is built belongs to the whole of it, so these tests build their own.

mod guest;

use std::{
    path::Path,
    process::{Command, Output},
};

use guest::{Build, folder};

const STD: &[&str] = &["std sleep", "std sleep lets others run", "std read", "std net"];
const C: &[&str] = &["recv", "__recv_chk", "usleep"];

/// What a program has to print.
fn lines(of_std: &str, of_c: &str, who: &[&str]) -> String {
    let std = STD.iter().map(|call| format!("{call}: {of_std}\n"));
    let c = who.iter().flat_map(|who| {
        let early = [format!("{who} before main: went well\n")];
        early.into_iter().chain(C.iter().map(move |call| format!("{who} {call}: {of_c}\n")))
    });
    std.chain(c).collect()
}

#[track_caller]
fn assert_prints(command: &mut Command, expected: &str) {
    let output: Output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{stderr}");
}

#[track_caller]
fn assert_green(program: &Path) {
    let expected = lines("green", "green", &["object", "library"]);
    assert_prints(&mut Command::new(program), &expected);
}

/// The linker leaves its name in what it links.
fn is_linked_by_lld(program: &Path) -> bool {
    let bytes = std::fs::read(program).unwrap();
    bytes.windows(12).any(|window| window == b"Linker: LLD ")
}

const NAMED: [&str; 2] = ["--bin", "named"];

#[test]
fn one_use_line_is_enough_with_each_linker() {
    assert_green(&Build::of(NAMED).run("default"));
    for (linker, link) in [("bfd", "-Clink-arg=-fuse-ld=bfd"), ("lld", "-Clink-arg=-fuse-ld=lld")] {
        let program = Build { link, ..Build::of(NAMED) }.run(linker);
        assert_eq!(is_linked_by_lld(&program), linker == "lld");
        assert_green(&program);
    }
}

#[test]
fn one_use_line_in_a_crate_in_between_is_enough() {
    assert_green(&Build::of(["--bin", "through_middle"]).run("middle_only"));
}

#[test]
fn without_the_use_line_nothing_is_linked_and_nothing_is_green() {
    let program = Build::of(["--bin", "unnamed"]).run("without");
    let expected = lines("blocks", "blocks", &["object", "library"]);
    assert_prints(&mut Command::new(program), &expected);
}

#[test]
fn optimising_the_whole_program_and_stripping_it_leaves_the_names() {
    assert_green(&Build { release: true, ..Build::of(NAMED) }.run("fat"));
}

#[test]
fn a_static_program_is_green_too() {
    let program = Build { flags: "-Ctarget-feature=+crt-static", ..Build::of(NAMED) }.run("static");
    assert_prints(&mut Command::new(program), &lines("green", "green", &["object"]));
}

const EXTENSION: [&str; 2] = ["--example", "extension"];
const BSYMBOLIC: &str = "-Clink-arg=-Wl,-Bsymbolic";

/// A C program that loads an extension, and another library that makes calls.
fn host(extension: &Path) -> Command {
    let mut host = Command::new(folder().join("host"));
    host.arg(extension).arg(folder().join("libloaded.so"));
    host
}

/// What the host prints, if the extension's own calls and those of the other library end up there.
fn lines_of_host(of_std: &str, of_other: &str) -> String {
    format!("host: went well\n{}", lines(of_std, of_other, &["other library"]))
}

#[test]
fn a_library_that_is_loaded_later_has_its_own_calls_green_only_if_linked_with_bsymbolic() {
    // The loader looks for names in the program and what that was linked with first, and so finds libc's.
    let plain = Build::of(EXTENSION).run("plain.so");
    assert_prints(&mut host(&plain), &lines_of_host("blocks", "blocks"));
    let symbolic = Build { link: BSYMBOLIC, ..Build::of(EXTENSION) }.run("symbolic.so");
    assert_prints(&mut host(&symbolic), &lines_of_host("green", "blocks"));
}

#[test]
fn a_library_that_is_preloaded_has_the_calls_of_the_whole_process_green() {
    for (name, link) in [("preloaded.so", ""), ("preloaded-symbolic.so", BSYMBOLIC)] {
        let extension = Build { link, ..Build::of(EXTENSION) }.run(name);
        let mut host = host(&extension);
        assert_prints(host.env("LD_PRELOAD", &extension), &lines_of_host("green", "green"));
    }
}

#[test]
fn a_program_that_knows_nothing_of_green_threads_is_not_changed_by_preloading_the_patch() {
    let extension = Build::of(EXTENSION).run("stranger.so");
    let mut alone = Command::new(folder().join("host"));
    assert_prints(alone.env("LD_PRELOAD", &extension), "host: went well\n");
    // Its green threads are not those that the preloaded copy knows.
    let without = Build::of(["--bin", "unnamed"]).run("stranger");
    let expected = lines("blocks", "blocks", &["object", "library"]);
    assert_prints(Command::new(without).env("LD_PRELOAD", &extension), &expected);
}
