//! The table of calls, which is part of the documentation, names all that libc has and all that ours
//! stand in front of.
//!
//! The names are those that the loader sees, as `nm` lists them. Knows nothing of what a call does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use greenroom_patch as _;

const TABLE: &str = include_str!("../CALLS.md");

/// What begins the heading of the part in which calls are libc's own.
const PASSING: &str = "## Calls that pass through";

/// The names of a part of the table.
fn names_of(part: &str) -> BTreeSet<&str> {
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    let firsts = rows.filter_map(|row| row.split('|').nth(1));
    firsts.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

fn ours() -> BTreeSet<&'static str> {
    names_of(TABLE.split(PASSING).next().unwrap())
}

fn passing() -> BTreeSet<&'static str> {
    let part = TABLE.split(PASSING).nth(1).expect("the heading of those that pass through");
    names_of(part.split("\n## ").next().unwrap())
}

/// Functions that a file has for others, with their addresses.
fn functions(file: &Path) -> BTreeMap<String, String> {
    let nm = Command::new("nm").args(["-D", "--defined-only"]).arg(file).output();
    let nm = nm.expect("nm lists names; it comes with the linker");
    assert!(nm.status.success(), "{nm:?}");
    let text = String::from_utf8(nm.stdout).unwrap();
    let mut functions = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        // What glibc keeps for its other parts, and what it keeps for programs that were linked long ago,
        // nobody can be linked with.
        let (plain, version) = name.split_once('@').unwrap_or((name, "@"));
        let is_for_all = version.starts_with('@') && version != "@GLIBC_PRIVATE";
        if matches!(kind, "T" | "W" | "i") && is_for_all {
            functions.insert(plain.to_owned(), address.to_owned());
        }
    }
    functions
}

fn this_program() -> BTreeMap<String, String> {
    functions(&std::env::current_exe().unwrap())
}

fn libc() -> BTreeMap<String, String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().find_map(|line| {
        let path = PathBuf::from(line.split_whitespace().nth(5)?);
        (path.file_name()? == "libc.so.6").then_some(path)
    });
    let all = functions(&path.expect("the C library is loaded"));
    assert!(all.len() > 1000, "{} functions are not a C library", all.len());
    all
}

/// Without what marks variants of one call: `__recv_chk` is a `recv`.
fn plain(name: &str) -> &str {
    let mut plain = name.trim_start_matches("_IO_").trim_start_matches('_');
    for end in ["_chk", "_time64", "64v2", "_unlocked", "_nocancel", "64", "_2"] {
        plain = plain.strip_suffix(end).unwrap_or(plain);
    }
    plain
}

#[test]
fn every_blocking_name_is_accounted_for() {
    let defined = this_program();
    let defines = |name: &&&str| defined.contains_key(**name);
    let (ours, passing) = (ours(), passing());
    assert!(ours.len() > 30 && passing.len() > 100, "{} and {}", ours.len(), passing.len());
    let missing: Vec<_> = ours.iter().filter(|name| !defines(name)).collect();
    assert!(missing.is_empty(), "in the table of ours, and not defined: {missing:?}");
    let hooked: Vec<_> = passing.iter().filter(defines).collect();
    assert!(hooked.is_empty(), "said to pass through, and defined: {hooked:?}");
    let twice: Vec<_> = ours.intersection(&passing).collect();
    assert!(twice.is_empty(), "in both parts: {twice:?}");
}

#[test]
fn no_name_is_defined_that_the_table_does_not_have() {
    let libc = libc();
    let (ours, defined) = (ours(), this_program());
    let unlisted: Vec<_> = defined
        .keys()
        .filter(|name| libc.contains_key(*name) && !ours.contains(name.as_str()))
        .collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
}

#[test]
fn a_call_is_in_the_table_under_all_its_names() {
    let libc = libc();
    let table: BTreeSet<_> = ours().union(&passing()).copied().collect();
    let addresses: BTreeSet<_> = table.iter().filter_map(|name| libc.get(*name)).collect();
    let bases: BTreeSet<_> = table.iter().map(|name| plain(name)).collect();
    let absent: Vec<_> = libc
        .iter()
        .filter(|(name, address)| addresses.contains(address) || bases.contains(plain(name)))
        .filter(|(name, _)| !table.contains(name.as_str()))
        .map(|(name, _)| name)
        .collect();
    assert!(absent.is_empty(), "further names of calls in the table: {absent:?}");
}

/// One side of an alias would be of no use: a library calls either.
#[test]
fn what_is_one_function_in_libc_is_ours_under_all_its_names_or_none() {
    let libc = libc();
    let (ours, passing) = (ours(), passing());
    let address = |name: &str| libc.get(name);
    let torn: Vec<_> = ours
        .iter()
        .flat_map(|mine| passing.iter().map(move |theirs| (mine, theirs)))
        .filter(|(mine, theirs)| address(mine).is_some() && address(mine) == address(theirs))
        .collect();
    assert!(torn.is_empty(), "{torn:?}");
}
