//! The file's text, and places in it.
//!
//! Promises: every place that can be asked for has an answer (a span past the end is taken as
//! the end, one inside a character as that character's start), so that a report never fails.
//! Deliberately not here: what is wrong at a place ([`super::problem`]).

/// A file: what it is called in reports, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, as the operator gave it.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A byte range of a [`Source`]. The default, empty at 0, stands for the file as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Of the first byte.
    pub start: usize,
    /// After the last byte.
    pub(crate) end: usize,
}

/// A place for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Counted from 1.
    pub(crate) line: usize,
    /// In characters, counted from 1.
    pub(crate) column: usize,
}

impl Span {
    /// The bytes from `start` up to, and without, `end`.
    #[must_use]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Whether it stands for the file as a whole.
    #[must_use]
    pub(crate) fn is_whole_file(self) -> bool {
        self == Self::default()
    }

    /// Whether the two have a byte in common.
    #[must_use]
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self::new(range.start, range.end)
    }
}

impl Source {
    /// A file by its name and text.
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Line and column of a byte. A byte order mark counts for nothing.
    #[must_use]
    pub(crate) fn position(&self, byte: usize) -> Position {
        let byte = self.floor(byte);
        let before = self.text.get(..byte).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        Position {
            line: before.matches('\n').count() + 1,
            column: in_line.trim_start_matches('\u{feff}').chars().count() + 1,
        }
    }

    /// The line that holds a byte, without its end.
    #[must_use]
    pub(crate) fn line(&self, byte: usize) -> Span {
        let byte = self.floor(byte);
        let (before, after) = self.text.split_at_checked(byte).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let end = after
            .find('\n')
            .map_or(self.text.len(), |length| byte + length);
        let carriage_return = self.slice(Span::new(start, end)).ends_with('\r');
        Span::new(start, end - usize::from(carriage_return))
    }

    /// The text of a span; empty where it does not lie in the text.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The nearest start of a character at or before a byte.
    fn floor(&self, byte: usize) -> usize {
        self.text.floor_char_boundary(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let source = Source::new("t", "a\nöß = 1\r\n\tx");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(6), Position { line: 2, column: 3 });
        assert_eq!(
            source.position(3),
            Position { line: 2, column: 1 },
            "inside `ö`"
        );
        assert_eq!(source.position(13), Position { line: 3, column: 2 });
        assert_eq!(source.position(999), Position { line: 3, column: 3 });
    }

    #[test]
    fn lines_come_without_their_end() {
        let source = Source::new("t", "a\nöß = 1\r\n\tx");
        assert_eq!(source.slice(source.line(5)), "öß = 1");
        assert_eq!(source.slice(source.line(0)), "a");
        assert_eq!(
            source.slice(source.line(1)),
            "a",
            "the line end belongs to its line"
        );
        assert_eq!(source.slice(source.line(999)), "\tx");
    }

    #[test]
    fn an_empty_text_has_one_line() {
        let source = Source::new("t", "");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.slice(source.line(0)), "");
    }
}
