//! Standard output and error of a guest, as log lines.

use std::borrow::Cow;
use std::sync::Arc;

/// The longest line; beyond it, it is cut.
const MAX_LINE: usize = 8 * 1024;

/// The most lines of one phase, as for `windlass:host/log`; those beyond are dropped.
const MAX_LINES: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// Standard output: logged as `info`.
    Out,
    /// Standard error: logged as `warn`.
    Err,
}

/// The unfinished lines of one instance.
#[derive(Debug)]
pub(crate) struct Output {
    filter: Arc<str>,
    out: Vec<u8>,
    err: Vec<u8>,
    /// Lines of the running phase.
    lines: u32,
}

impl Output {
    /// Nothing written so far.
    #[must_use]
    pub(crate) fn new(filter: Arc<str>) -> Self {
        Self {
            filter,
            out: Vec::new(),
            err: Vec::new(),
            lines: 0,
        }
    }

    /// A phase begins, with a new allowance of lines.
    pub(crate) fn begin(&mut self) {
        self.lines = 0;
    }

    /// Write bytes; each finished line is logged.
    pub(crate) fn write(&mut self, kind: StreamKind, bytes: &[u8]) {
        let line = match kind {
            StreamKind::Out => &mut self.out,
            StreamKind::Err => &mut self.err,
        };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room).unwrap_or(part));
            if part.ends_with(b"\n") {
                log(&self.filter, kind, line, &mut self.lines);
                line.clear();
            }
        }
    }

    /// Log the unfinished lines: the instance or a call ends.
    pub(crate) fn flush(&mut self) {
        for (kind, line) in [
            (StreamKind::Out, &mut self.out),
            (StreamKind::Err, &mut self.err),
        ] {
            if !line.is_empty() {
                log(&self.filter, kind, line, &mut self.lines);
                line.clear();
            }
        }
    }
}

/// A guest's text as one line of the log. Characters that could forge a line or control a terminal are
/// escaped.
#[must_use]
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unprintable(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// A guest's message as the message of a log line. If it holds something that could be read as a field
/// of the gateway, or could control a terminal, it is quoted and escaped.
#[must_use]
pub(crate) fn message_text(text: &str) -> Cow<'_, str> {
    let is_plain = |character: char| !matches!(character, '=' | '\\') && !is_unprintable(character);
    let has_pairs = text
        .bytes()
        .filter(|byte| *byte == b'"')
        .count()
        .is_multiple_of(2);
    if has_pairs && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{text:?}"))
}

/// A guest's fields as one field of a log line: every name and value in quotes, within braces.
#[must_use]
pub(crate) fn fields_text(fields: &[(String, String)]) -> String {
    struct Fields<'a>(&'a [(String, String)]);
    impl std::fmt::Debug for Fields<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let fields = self.0.iter().map(|(name, value)| (name, value));
            f.debug_map().entries(fields).finish()
        }
    }
    if fields.is_empty() {
        return String::new();
    }
    format!("{:?}", Fields(fields))
}

/// Control characters, line separators, and characters that change the direction of text.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn log(filter: &str, kind: StreamKind, line: &[u8], lines: &mut u32) {
    let text = String::from_utf8_lossy(line);
    let text = message_text(text.trim_end());
    if text.is_empty() || *lines >= MAX_LINES {
        return;
    }
    *lines += 1;
    match kind {
        StreamKind::Out => tracing::info!(filter, stream = "stdout", "{text}"),
        StreamKind::Err => tracing::warn!(filter, stream = "stderr", "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_could_be_read_as_fields_is_in_quotes() {
        for plain in ["a plain line: 3 of 4", "gave [\"one\", 2]"] {
            assert_eq!(message_text(plain), plain);
        }
        for (text, shown) in [
            ("a request=forged", "\"a request=forged\""),
            ("a\nERROR b", "\"a\\nERROR b\""),
            ("\"", "\"\\\"\""),
            ("\u{1b}[31mred", "\"\\u{1b}[31mred\""),
            ("\u{9b}31mred", "\"\\u{9b}31mred\""),
            ("\u{202e}txt", "\"\\u{202e}txt\""),
        ] {
            assert_eq!(message_text(text), shown);
        }
    }

    #[test]
    fn fields_of_a_guest_are_in_quotes_and_braces() {
        let fields = |name: &str, value: &str| fields_text(&[(name.into(), value.into())]);
        assert_eq!(fields("filter", "other"), "{\"filter\": \"other\"}");
        assert_eq!(fields("a\" b=", "}\n"), "{\"a\\\" b=\": \"}\\n\"}");
        assert_eq!(fields_text(&[]), "");
    }
}
