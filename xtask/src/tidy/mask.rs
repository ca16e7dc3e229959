//! Rust text in two halves of the same shape: code without comments and literals, and comments.
//!
//! What does not belong to a half is blank there, newlines stay: line numbers agree everywhere.
//! Knows comments, strings and characters of Rust. Never knows its grammar.

/// The two halves.
#[derive(Debug, Default)]
pub(super) struct Masked {
    pub(super) code: String,
    pub(super) comments: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

pub(super) fn mask(text: &str) -> Masked {
    let mut scan = Scan { rest: text, before: None, halves: Masked::default() };
    while let Some(next) = scan.rest.chars().next() {
        let (kind, length) = scan.token(next);
        scan.take(kind, length);
    }
    scan.halves
}

struct Scan<'a> {
    rest: &'a str,
    /// The character just taken: `r` begins a raw string only where no name ends.
    before: Option<char>,
    halves: Masked,
}

impl Scan<'_> {
    /// The kind and the length in bytes of what comes next.
    fn token(&self, next: char) -> (Kind, usize) {
        if self.rest.starts_with("//") {
            return (Kind::Comment, self.rest.find('\n').unwrap_or(self.rest.len()));
        }
        if self.rest.starts_with("/*") {
            return (Kind::Comment, block_comment(self.rest));
        }
        if next == '"' {
            return (Kind::Literal, quoted(self.rest, '"'));
        }
        if next == '\'' {
            return character(self.rest);
        }
        if !self.before.is_some_and(is_name)
            && let Some(length) = raw_string(self.rest)
        {
            return (Kind::Literal, length);
        }
        (Kind::Code, next.len_utf8())
    }

    fn take(&mut self, kind: Kind, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        for c in taken.chars() {
            let blank = if c == '\n' { '\n' } else { ' ' };
            self.halves.code.push(if kind == Kind::Code { c } else { blank });
            self.halves.comments.push(if kind == Kind::Comment { c } else { blank });
        }
        self.before = taken.chars().last();
        self.rest = rest;
    }
}

pub(super) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// From an opening quote to its closing one; a backslash protects what follows it.
fn quoted(text: &str, quote: char) -> usize {
    let mut protected = false;
    for (at, c) in text.char_indices().skip(1) {
        if protected {
            protected = false;
        } else if c == '\\' {
            protected = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// A character literal, or else the quote of a lifetime.
fn character(text: &str) -> (Kind, usize) {
    let mut following = text.chars().skip(1);
    match (following.next(), following.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => (Kind::Literal, quoted(text, '\'')),
        _ => (Kind::Code, 1),
    }
}

fn raw_string(text: &str) -> Option<usize> {
    let marked = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let opened = marked.trim_start_matches('#');
    let hashes = marked.len() - opened.len();
    let body = opened.strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&closing).map_or(body.len(), |at| at + closing.len());
    Some(text.len() - body.len() + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str, comments: &str) {
        let masked = mask(text);
        let squeezed = |half: &str| half.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&masked.code), code);
        assert_eq!(squeezed(&masked.comments), comments);
        assert_eq!(masked.code.chars().count(), text.chars().count());
        assert_eq!(masked.comments.lines().count(), text.lines().count());
    }

    #[test]
    fn comments_leave_the_code() {
        check("a // b\nc", "a c", "// b");
        check("a /* b /* c */ d */ e", "a e", "/* b /* c */ d */");
        check("//! head\nfn x() {}", "fn x() {}", "//! head");
        check("a /* never closed", "a", "/* never closed");
    }

    #[test]
    fn strings_leave_both() {
        check(r#"f("// no", a)"#, "f( , a)", "");
        check(r#"f("\" // no", a)"#, "f( , a)", "");
        check("g(r#\"one \" two\"#, b)", "g( , b)", "");
        check("g(br\"x\\\", b)", "g( , b)", "");
        check("let r#fn = cr\"x\";", "let r#fn = ;", "");
        check("var\"x\"", "var", "");
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        check("f('\"', 'a, b'x')", "f( , 'a, b )", "");
        check("f('\\'', &'static str) // c", "f( , &'static str)", "// c");
        check("f('ä', \"ö\")", "f( , )", "");
    }
}
