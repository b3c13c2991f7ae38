//! Positions in a file: the reader of fields does not report them reliably.

/// Counts lines, whatever ends them. The reader's own count is from before it skipped line ends
/// and empty lines.
pub(crate) struct LineCounter<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> LineCounter<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let (at, line) = (0, 1);
        Self { bytes, at, line }
    }

    /// The line of the row that begins at this byte, or after line ends at this byte. Rows must be
    /// asked in order.
    pub(crate) fn of(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX);
        while let Some(this) = self.bytes.get(self.at)
            && (self.at < byte || matches!(this, b'\r' | b'\n'))
        {
            let next = self.bytes.get(self.at + 1);
            // A carriage return before a line feed ends no line of its own.
            if *this == b'\n' || (*this == b'\r' && next != Some(&b'\n')) {
                self.line += 1;
            }
            self.at += 1;
        }
        self.line
    }
}

/// The reader's state with regard to quotes.
#[derive(Clone, Copy)]
enum QuoteState {
    Begin,
    Bare,
    Quoted,
    /// After a quote within quotes: the end, or the first of two.
    Quote,
}

/// The line and column of an opening quote without an end. Quotes have the reader's meaning: one
/// within a bare field is a character, two within quotes are one.
pub(crate) fn open_quote(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut at = QuoteState::Begin;
    let (mut line, mut column) = (1, 1);
    let mut open = (1, 1);
    let mut before = 0;
    for &byte in bytes {
        if byte == b'\n' && before == b'\r' {
            // The second byte of a line end, which was counted.
            before = byte;
            continue;
        }
        before = byte;
        let ends = matches!(byte, b'\r' | b'\n');
        at = match (at, byte) {
            (QuoteState::Begin, b'"') => {
                open = (line, column);
                QuoteState::Quoted
            }
            (QuoteState::Quoted, b'"') => QuoteState::Quote,
            (QuoteState::Quoted, _) | (QuoteState::Quote, b'"') => QuoteState::Quoted,
            (QuoteState::Begin | QuoteState::Bare | QuoteState::Quote, b',') => {
                column += 1;
                QuoteState::Begin
            }
            (QuoteState::Begin | QuoteState::Bare | QuoteState::Quote, _) if ends => {
                column = 1;
                QuoteState::Begin
            }
            (QuoteState::Begin | QuoteState::Bare | QuoteState::Quote, _) => QuoteState::Bare,
        };
        line += u64::from(ends);
    }
    matches!(at, QuoteState::Quoted).then_some(open)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quote_is_open_where_the_reader_takes_it_for_one() {
        for (text, position) in [
            ("a,b\n\"c,d\n", Some((2, 1))),
            ("a,b\r\n\r\nc,\"d\r\ne,f", Some((3, 2))),
            ("a,\"b\"\"\n", Some((1, 2))),
            ("\"a\nb\",c\n\"", Some((3, 1))),
            ("a,\"b\nc\"\n", None),
            ("a,b\"c\nd, \"e\n", None),
            ("\"a\"b\",c\n", None),
            ("\"\"\"\"", None),
            ("", None),
        ] {
            assert_eq!(open_quote(text.as_bytes()), position, "{text:?}");
        }
    }

    proptest! {
        /// With a closing quote added, the reader sees the same and no open field.
        #[test]
        fn the_reader_agrees(text in "[ab\",\\r\\n ]{0,24}") {
            let fields = |text: &str| -> Vec<String> {
                let mut builder = ::csv::ReaderBuilder::new();
                builder.flexible(true).has_headers(false);
                let mut reader = builder.from_reader(text.as_bytes());
                let records = reader.records().map(Result::unwrap);
                records.flat_map(|record| record.iter().map(str::to_owned).collect::<Vec<_>>()).collect()
            };
            // The addition is part of an open field, or else a row of its own.
            let with = fields(&format!("{text}\nzz"));
            let last = with.last().map(String::as_str).unwrap_or_default();
            prop_assert_eq!(open_quote(text.as_bytes()).is_none(), last == "zz");
        }
    }
}
