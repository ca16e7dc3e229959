//! Thread-locals by which a library notes that its OS thread is taken, exchanged while a call waits.
//!
//! tokio notes in one that a runtime runs on the OS thread, and refuses to start a second. But what runs is a green thread:
//! while it waits, others of its OS thread may start runtimes of their own. So the variable is kept with whoever
//! waits in foreign code, and with the root that waits anywhere, and the others find one that is unused. Knows the
//! variable by its name in the program's table of symbols alone; a program that was stripped of it is left as it is, and
//! told of.
//!
//! # Safety
//!
//! Bytes of a thread-local are moved away and back. Nobody looks at them meanwhile but through the variable, and finds one
//! that is whole: as the program was loaded with, or as somebody has left it whose call was over. References to it that
//! lie on the stack of whoever waits are used only when it runs again, and by then what they refer to is back. To be
//! unused is to own nothing: so it does no harm that its destructor is registered once for each of the images that
//! take turns, and runs as often on the last one.

#![allow(unsafe_code)]
#![cfg(not(target_feature = "crt-static"))]

use std::{
    cell::{Cell, RefCell},
    ffi::{c_int, c_void},
    fs::File,
    hint::black_box,
    io::{self, Read, Write},
    ptr, slice,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use libc::{dl_phdr_info, size_t};
use object::{
    Endianness,
    elf::{FileHeader64, PT_TLS, STT_TLS},
    read::{
        ReadCache,
        elf::{FileHeader, ProgramHeader, Sym},
    },
};

/// In each way of writing a path of Rust's as a symbol.
const NAMES: [&[u8]; 1] = [b"5tokio7runtime7context7CONTEXT"];

const PROGRAM: &str = "/proc/self/exe";

/// Larger is no flag; it is left alone.
const BYTES_MAX: usize = 4096;

thread_local! {
    /// Where this OS thread's thread-locals of the program begin.
    static BEGIN: Cell<*mut u8> = const { Cell::new(ptr::null_mut()) };
    /// Images that are unused, of all variables.
    static UNUSED: RefCell<Vec<Images>> = const { RefCell::new(Vec::new()) };
}

/// One image of each variable.
type Images = Vec<Box<[u8]>>;

/// A thread-local of the program.
struct Variable {
    offset: usize,
    /// What an OS thread has at first.
    image: Box<[u8]>,
}

/// Images that are away.
pub(crate) struct Taken {
    variables: &'static [Variable],
    images: Images,
}

/// Those of this program; `None` if that has no table of symbols.
fn variables() -> Option<&'static [Variable]> {
    static VARIABLES: OnceLock<Option<Vec<Variable>>> = OnceLock::new();
    // Whoever is second finds them as well, rather than wait for the first, who may not be in this forked child.
    let variables = VARIABLES.get().unwrap_or_else(|| {
        let found = find();
        VARIABLES.get_or_init(|| found)
    });
    variables.as_deref()
}

/// Takes the variables away, if one of them is in use.
pub(crate) fn take() -> Option<Taken> {
    let variables = variables().filter(|variables| !variables.is_empty())?;
    let begin = begin()?;
    let is_unused = |variable: &Variable| {
        *bytes(begin, variable.offset, variable.image.len()) == *variable.image
    };
    if variables.iter().all(is_unused) {
        return None;
    }
    let unused = UNUSED.try_with(|unused| unused.borrow_mut().pop()).ok().flatten();
    let mut images =
        unused.unwrap_or_else(|| variables.iter().map(|variable| variable.image.clone()).collect());
    exchange(begin, variables, &mut images);
    Some(Taken { variables, images })
}

/// Puts them back, after the same wait.
pub(crate) fn put_back(Taken { variables, mut images }: Taken) {
    let Some(begin) = begin() else { return };
    exchange(begin, variables, &mut images);
    // At the end of the OS thread they are not kept any more.
    let _ = UNUSED.try_with(|unused| unused.borrow_mut().push(images));
}

fn exchange(begin: *mut u8, variables: &[Variable], images: &mut Images) {
    for (variable, image) in variables.iter().zip(images) {
        bytes(begin, variable.offset, image.len()).swap_with_slice(image);
    }
}

/// The variable of this OS thread.
fn bytes<'a>(begin: *mut u8, offset: usize, length: usize) -> &'a mut [u8] {
    // SAFETY: the table of symbols says that so many bytes there are a thread-local of the program, which this OS
    // thread has from its first moment on; see the head of this file for who else looks at them.
    unsafe { slice::from_raw_parts_mut(begin.wrapping_add(offset), length) }
}

/// What tokio says when it refuses a second runtime, from its end to its begin: so this is not what is found where
/// those words are looked for.
const REFUSAL: &[u8] = b"emitnur a nihtiw morf emitnur a trats tonnaC";

/// For whoever is about to wait in an event loop: tells, once, of a program in which the next loop would be refused for want
/// of a table of symbols.
pub(crate) fn tell_if_blind() {
    static IS_TOLD: AtomicBool = AtomicBool::new(false);
    if variables().is_some() || IS_TOLD.swap(true, Ordering::Relaxed) {
        return;
    }
    // The compiler is not to turn it round.
    let refusal: Vec<u8> = black_box(REFUSAL).iter().rev().copied().collect();
    if File::open(PROGRAM).is_ok_and(|program| has(program, &refusal)) {
        // Of standard error without a reader nobody would hear either.
        let _ = writeln!(
            io::stderr(),
            "greenroom: this program was stripped of its table of symbols, so each OS thread can run one runtime of \
             tokio's at a time; on green threads the next one panics with \"{}\". Build it with strip = \"debuginfo\"",
            refusal.escape_ascii()
        );
    }
}

/// Whether the words stand in a file.
fn has(mut file: impl Read, words: &[u8]) -> bool {
    const PIECE: usize = 1 << 16;
    let mut bytes = Vec::new();
    while (&mut file).take(PIECE as u64).read_to_end(&mut bytes).is_ok_and(|count| count > 0) {
        if bytes.windows(words.len()).any(|window| window == words) {
            return true;
        }
        // They may begin in this piece and end in the next.
        bytes.drain(..bytes.len().saturating_sub(words.len() - 1));
    }
    false
}

/// Looks the variables up. `None` if the program has no table of symbols, or none that can be read.
fn find() -> Option<Vec<Variable>> {
    // Reads what is asked for: a program with its debug information may have a hundred megabytes.
    let file = ReadCache::new(File::open(PROGRAM).ok()?);
    let data = &file;
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    let segment = segments.iter().find(|segment| segment.p_type(endian) == PT_TLS)?;
    let (size, template) = (segment.p_memsz(endian) as usize, segment.data(endian, data).ok()?);
    let sections = header.sections(endian, data).ok()?;
    let symbols = sections.symbols(endian, data, object::elf::SHT_SYMTAB).ok()?;
    if symbols.is_empty() {
        return None;
    }
    // There are few of these, and hundreds of thousands of names.
    let thread_locals = symbols.iter().filter(|symbol| symbol.st_type() == STT_TLS);
    let named = thread_locals.filter(|symbol| {
        let name = symbol.name(endian, symbols.strings()).unwrap_or_default();
        NAMES.iter().any(|wanted| name.windows(wanted.len()).any(|part| part == *wanted))
    });
    let variables = named.filter_map(|symbol| {
        let (offset, length) = (symbol.st_value(endian) as usize, symbol.st_size(endian) as usize);
        let is_whole = (1..=BYTES_MAX).contains(&length) && offset <= size.saturating_sub(length);
        let byte = |at| template.get(at).copied().unwrap_or(0);
        is_whole.then(|| Variable { offset, image: (offset..offset + length).map(byte).collect() })
    });
    // Under two names it is still one, and exchanged twice it would be where it was.
    let mut variables: Vec<_> = variables.collect();
    variables.sort_unstable_by_key(|variable| variable.offset);
    variables.dedup_by_key(|variable| variable.offset);
    Some(variables)
}

/// Where this OS thread's thread-locals of the program begin.
fn begin() -> Option<*mut u8> {
    if BEGIN.get().is_null() {
        // SAFETY: the function is called with what the loader knows of each object, until it returns not zero.
        unsafe { libc::dl_iterate_phdr(Some(of_program), ptr::null_mut()) };
    }
    Some(BEGIN.get()).filter(|begin| !begin.is_null())
}

/// The first object that the loader tells of is the program.
unsafe extern "C" fn of_program(info: *mut dl_phdr_info, _: size_t, _: *mut c_void) -> c_int {
    // SAFETY: valid while this runs.
    BEGIN.set(unsafe { (*info).dlpi_tls_data }.cast());
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_wherever_they_stand_in_a_file() {
        for before in [0, 1, (1 << 16) - 3, 1 << 16, 1 << 18] {
            let mut file = vec![b'-'; before];
            file.extend(b"-w-wo-words-");
            assert!(has(&file[..], b"words"), "after {before}");
            assert!(!has(&file[..], b"wards"));
        }
        assert!(!has(&b"word"[..], b"words"));
    }
}
