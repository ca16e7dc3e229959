//! Words, lines and braces in masked code.
//!
//! Finds where a word stands and the block that follows it. Never looks at comments or strings.

use std::ops::Range;

use super::mask::is_name;

/// A keyword with the braces after it.
#[derive(Debug)]
pub(super) struct Block {
    /// What stands between the keyword and the opening brace.
    pub(super) header: String,
    pub(super) first_line: usize,
    pub(super) last_line: usize,
    /// The bytes between the braces.
    pub(super) body: Range<usize>,
}

/// Every block that `keyword` opens. A keyword without braces before the next `;` opens none.
pub(super) fn blocks(code: &str, keyword: &str) -> Vec<Block> {
    let mut found = Vec::new();
    for start in occurrences(code, keyword) {
        let after = start + keyword.len();
        let Some(open) = opening_brace(&code[after..]).map(|at| after + at) else {
            continue;
        };
        let close = closing_brace(code, open);
        found.push(Block {
            header: code[after..open].trim().to_owned(),
            first_line: line_of(code, start),
            last_line: line_of(code, close),
            body: open + 1..close,
        });
    }
    found
}

/// Where `needle` stands as whole words: not as a part of a longer name.
pub(super) fn occurrences(code: &str, needle: &str) -> Vec<usize> {
    let joins_left = needle.chars().next().is_some_and(is_name);
    let joins_right = needle.chars().last().is_some_and(is_name);
    let whole = |at: &usize| {
        let before = code[..*at].chars().last();
        let after = code[at + needle.len()..].chars().next();
        let longer_left = joins_left && before.is_some_and(is_name);
        let longer_right = joins_right && after.is_some_and(is_name);
        !(longer_left || longer_right)
    };
    code.match_indices(needle).map(|(at, _)| at).filter(whole).collect()
}

/// The line of a byte, counted from one.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn opening_brace(code: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' if depth == 0 => return None,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b'}' | b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        assert_eq!(occurrences("unsafe_code unsafe {", "unsafe"), [12]);
        assert_eq!(occurrences("std::thread::sleep(x)", "thread::sleep"), [5]);
        assert_eq!(occurrences("a.resume() b.resume_all()", ".resume("), [1]);
        assert!(occurrences("mylibc::read", "libc::").is_empty());
    }

    #[test]
    fn a_block_reaches_to_its_own_brace() {
        let code = "fn a(x: [u8; 3]) -> u8 {\n  if y { 1 } else { 2 }\n}\nfn b();\n";
        let found = blocks(code, "fn");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].first_line, found[0].last_line), (1, 3));
        assert!(found[0].header.starts_with("a(x"), "{}", found[0].header);
        assert!(code[found[0].body.clone()].contains("else"));
    }

    #[test]
    fn function_pointers_open_no_block() {
        assert!(blocks("struct S { f: fn(u8) -> u8, g: u8 }", "fn").is_empty());
        assert!(blocks("call(x as fn())", "fn").is_empty());
    }
}
