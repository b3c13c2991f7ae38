//! Standard output and error of a guest, as log lines.

use std::borrow::Cow;
use std::sync::Arc;

/// The longest line; beyond it, it is cut.
const MAX_LINE: usize = 8 * 1024;

/// The most lines of one phase, as for `windlass:host/log`; those beyond are dropped.
const MAX_LINES: u32 = 64;

/// Which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Standard output: logged as `info`.
    Out,
    /// Standard error: logged as `warn`.
    Err,
}

/// The unfinished lines of one instance.
#[derive(Debug)]
pub struct Output {
    filter: Arc<str>,
    out: Vec<u8>,
    err: Vec<u8>,
    /// Lines of the running phase.
    lines: u32,
}

impl Output {
    /// Nothing written so far.
    #[must_use]
    pub fn new(filter: Arc<str>) -> Self {
        Self {
            filter,
            out: Vec::new(),
            err: Vec::new(),
            lines: 0,
        }
    }

    /// A phase begins, which has its lines still before it.
    pub fn begin(&mut self) {
        self.lines = 0;
    }

    /// Write bytes; each finished line is logged.
    pub fn write(&mut self, kind: StreamKind, bytes: &[u8]) {
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

    /// Log what has no newline: the instance ends, or a call does.
    pub fn flush(&mut self) {
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

/// Text of a guest's, fit for one line of the log: what could forge a line or steer a terminal is
/// escaped.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

fn log(filter: &str, kind: StreamKind, line: &[u8], lines: &mut u32) {
    let text = String::from_utf8_lossy(line);
    let text = one_line(text.trim_end());
    if text.is_empty() || *lines >= MAX_LINES {
        return;
    }
    *lines += 1;
    match kind {
        StreamKind::Out => tracing::info!(filter, stream = "stdout", "{text}"),
        StreamKind::Err => tracing::warn!(filter, stream = "stderr", "{text}"),
    }
}
