//! Standard output and error of a guest, as log lines.

use std::borrow::Cow;
use std::sync::Arc;

use crate::model::request_id::RequestId;

/// The longest line; beyond it, it is cut.
const MAX_LINE: usize = 8 * 1024;

/// The most lines of one phase, as for `windlass:host/log`; those beyond are dropped.
const MAX_LINES: u32 = 64;

/// The most that is kept of the beginning, and of the end, of what a guest wrote in one call. Bytes.
const MAX_SAID: usize = 512;

/// Rust's hint about a variable that no guest has.
const NO_HINT: &str = "note: run with `RUST_BACKTRACE=1`";

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
    /// What it wrote in the running call, for the line about a failure.
    said: String,
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
            said: String::new(),
        }
    }

    /// A phase begins, with a new allowance of lines.
    pub(crate) fn begin(&mut self) {
        self.lines = 0;
        self.said.clear();
    }

    /// Write bytes; each finished line is logged, with the request that is in hand.
    pub(crate) fn write(&mut self, kind: StreamKind, bytes: &[u8], request: Option<&RequestId>) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = self.unfinished(kind);
            let room = MAX_LINE.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room).unwrap_or(part));
            if part.ends_with(b"\n") {
                self.finish(kind, request);
            }
        }
    }

    /// Log the unfinished lines: the instance or a call ends.
    #[inline]
    pub(crate) fn flush(&mut self, request: Option<&RequestId>) {
        for kind in [StreamKind::Out, StreamKind::Err] {
            if !self.unfinished(kind).is_empty() {
                self.finish(kind, request);
            }
        }
    }

    fn unfinished(&mut self, kind: StreamKind) -> &mut Vec<u8> {
        match kind {
            StreamKind::Out => &mut self.out,
            StreamKind::Err => &mut self.err,
        }
    }

    fn finish(&mut self, kind: StreamKind, request: Option<&RequestId>) {
        let line = std::mem::take(self.unfinished(kind));
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        self.keep_said(line);
        if self.lines < MAX_LINES {
            self.lines += 1;
            log(&self.filter, kind, line, request);
        }
    }

    /// Keep a line for the one about a failure: the first lines, and the last ones.
    pub(crate) fn keep_said(&mut self, line: &str) {
        if line.starts_with(NO_HINT) {
            return;
        }
        if !self.said.is_empty() {
            // `panicked at src/lib.rs:3:5:` goes on with its message.
            let between = if self.said.ends_with(':') { " " } else { " | " };
            self.said.push_str(between);
        }
        let line = line.trim();
        self.said.push_str(
            line.get(..line.floor_char_boundary(2 * MAX_SAID))
                .unwrap_or_default(),
        );
        if self.said.len() > 2 * MAX_SAID {
            let head = self.said.floor_char_boundary(MAX_SAID);
            let tail = self.said.ceil_char_boundary(self.said.len() - MAX_SAID + 3);
            self.said.replace_range(head..tail, "...");
        }
    }

    /// What it wrote in this call, as a part of a log line.
    pub(crate) fn take_said(&mut self) -> Option<String> {
        let said = std::mem::take(&mut self.said);
        (!said.is_empty()).then(|| message_text(&said).into_owned())
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

fn log(filter: &str, kind: StreamKind, line: &str, request: Option<&RequestId>) {
    let text = message_text(line);
    let request = request.map(tracing::field::display);
    match kind {
        StreamKind::Out => tracing::info!(filter, request, stream = "stdout", "{text}"),
        StreamKind::Err => tracing::warn!(filter, request, stream = "stderr", "{text}"),
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
    fn the_beginning_and_the_end_of_what_a_guest_wrote_are_kept() {
        let mut output = Output::new("f".into());
        let panic = "thread '<unnamed>' panicked at src/lib.rs:3:5:\nno such tier\nnote: run with `RUST_BACKTRACE=1` to see\n";
        output.write(StreamKind::Err, panic.as_bytes(), None);
        let said = output.take_said();
        let wanted = "thread '<unnamed>' panicked at src/lib.rs:3:5: no such tier";
        assert_eq!(said.as_deref(), Some(wanted));
        assert_eq!(output.take_said(), None);
        for line in 0..1_000 {
            output.keep_said(&format!("line {line} of é"));
        }
        let said = output.take_said().unwrap();
        assert!(said.len() <= 2 * MAX_SAID + 16, "{}", said.len());
        assert!(said.starts_with("line 0 of é | line 1") && said.ends_with("line 999 of é"));
    }

    #[test]
    fn fields_of_a_guest_are_in_quotes_and_braces() {
        let fields = |name: &str, value: &str| fields_text(&[(name.into(), value.into())]);
        assert_eq!(fields("filter", "other"), "{\"filter\": \"other\"}");
        assert_eq!(fields("a\" b=", "}\n"), "{\"a\\\" b=\": \"}\\n\"}");
        assert_eq!(fields_text(&[]), "");
    }
}
