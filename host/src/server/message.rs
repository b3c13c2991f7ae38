//! Finds the end of a client's message in the bytes of an HTTP/1.1 connection (RFC 9112 sections 2.1
//! and 7.1).
//!
//! hyper reads one message after the other from one buffer, and does not say where each began. With
//! this the connection's I/O gives it one message at a time, so that facts about a head's bytes belong
//! to that head. For bytes that hyper accepts, the end is the same as hyper's; bytes that it refuses
//! end the connection. hyper decides whether a message is well-formed.

/// How much of the beginning of a line is kept until the rest arrives: the name of a field that matters, and
/// the byte after it.
const LINE_START_LENGTH: usize = 15;
const LENGTH: &[u8] = b"content-length";
/// The first line of HTTP/2's preface, which hyper wants to see whole.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r";

/// The position in a client's message.
#[derive(Debug)]
pub(super) enum MessagePosition {
    Head(HeadScan),
    /// After its head; hyper has not reported the framing of its body yet.
    AfterHead,
    /// In a body with this many bytes left.
    Length(u64),
    /// In a body in chunks.
    Chunks(ChunkScan),
    /// At its end.
    End,
    /// These are frames of HTTP/2.
    Frames,
}

impl MessagePosition {
    /// Begin a body of this length, or in chunks if none.
    pub(super) fn body(length: Option<u64>) -> Self {
        match length {
            Some(0) => Self::End,
            Some(length) => Self::Length(length),
            None => Self::Chunks(ChunkScan::default()),
        }
    }

    /// How many of these bytes belong to the present message. Calls `ended` when its head ends, with whether
    /// the head has a `Content-Length`.
    pub(super) fn count_own(&mut self, bytes: &[u8], ended: impl FnOnce(bool)) -> usize {
        let end = match self {
            Self::Head(scan) => {
                let end = scan.pass(bytes);
                if scan.is_preface {
                    *self = Self::Frames;
                }
                end
            }
            Self::Length(left) => {
                let count = bytes.len() as u64;
                match left.checked_sub(count).filter(|left| *left > 0) {
                    Some(rest) => {
                        *left = rest;
                        None
                    }
                    None => usize::try_from(*left).ok(),
                }
            }
            Self::Chunks(scan) => scan.pass(bytes),
            Self::Frames => None,
            Self::AfterHead | Self::End => Some(0),
        };
        let Some(end) = end else {
            return bytes.len();
        };
        *self = match self {
            Self::Head(scan) => {
                ended(scan.names_length);
                Self::AfterHead
            }
            _ => Self::End,
        };
        end
    }
}

impl Default for MessagePosition {
    fn default() -> Self {
        Self::Head(HeadScan::default())
    }
}

/// The beginning of a line whose end has not arrived.
#[derive(Debug, Default, Clone, Copy)]
struct LineStart {
    bytes: [u8; LINE_START_LENGTH],
    length: usize,
}

impl LineStart {
    fn add(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.length.min(LINE_START_LENGTH)..);
        for (to, from) in room.into_iter().flatten().zip(bytes) {
            *to = *from;
        }
        self.length = self.length.saturating_add(bytes.len());
    }

    /// The kept part of the line. It is long enough to differ from every name that is searched for.
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

/// Whether this line is `Content-Length`, by its first [`LINE_START_LENGTH`] bytes.
fn names_length(line: &[u8]) -> bool {
    line.split_at_checked(LENGTH.len())
        .is_some_and(|(name, rest)| {
            matches!(rest, [b':' | b' ' | b'\t', ..]) && name.eq_ignore_ascii_case(LENGTH)
        })
}

/// A head, line by line.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    line: LineStart,
    /// Whether the request line was read. Empty lines before it are ignored.
    has_begun: bool,
    is_preface: bool,
    /// Whether a line of it is `Content-Length`.
    names_length: bool,
}

impl HeadScan {
    /// The end of the head, if it is in these bytes.
    fn pass(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let rest = bytes.get(begin..end).unwrap_or_default();
            // Most lines arrive whole.
            let is_last = match self.line.length {
                0 => self.end_line(rest, rest.len()),
                _ => {
                    let mut line = std::mem::take(&mut self.line);
                    line.add(rest);
                    self.end_line(line.as_bytes(), line.length)
                }
            };
            if is_last {
                return Some(end + 1);
            }
            if self.is_preface {
                return None;
            }
            begin = end + 1;
        }
        self.line.add(bytes.get(begin..).unwrap_or_default());
        None
    }

    /// Whether the head ends with this line, of this length.
    fn end_line(&mut self, line: &[u8], length: usize) -> bool {
        if length == 0 || line == b"\r" {
            return self.has_begun;
        }
        if self.has_begun {
            self.names_length = self.names_length || names_length(line);
        } else {
            self.has_begun = true;
            self.is_preface = length == PREFACE.len() && line == PREFACE;
        }
        false
    }
}

/// The position in a body in chunks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ChunkPosition {
    #[default]
    Size,
    Extension,
    Data,
    DataEnd,
    /// The beginning of a trailer, or of the empty line at the end.
    Line,
    LastLineEnd,
    Trailer,
    TrailerEnd,
}

/// A body in chunks.
#[derive(Debug, Default)]
pub(super) struct ChunkScan {
    position: ChunkPosition,
    size: u64,
}

impl ChunkScan {
    /// The end of the body, if it is in these bytes.
    fn pass(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            match self.position {
                ChunkPosition::Size => match (*byte as char).to_digit(16) {
                    Some(digit) => {
                        self.size = self.size.saturating_mul(16).saturating_add(digit.into());
                        rest = after;
                    }
                    None => self.position = ChunkPosition::Extension,
                },
                ChunkPosition::Extension => {
                    rest = self.skip(
                        rest,
                        b'\n',
                        match self.size {
                            0 => ChunkPosition::Line,
                            _ => ChunkPosition::Data,
                        },
                    );
                }
                ChunkPosition::Data => {
                    let size = usize::try_from(self.size).unwrap_or(usize::MAX);
                    let count = size.min(rest.len());
                    self.size -= count as u64;
                    rest = rest.get(count..).unwrap_or_default();
                    if self.size == 0 {
                        self.position = ChunkPosition::DataEnd;
                    }
                }
                ChunkPosition::DataEnd => rest = self.skip(rest, b'\n', ChunkPosition::Size),
                ChunkPosition::Line if *byte == b'\r' => {
                    self.position = ChunkPosition::LastLineEnd;
                    rest = after;
                }
                ChunkPosition::Line => self.position = ChunkPosition::Trailer,
                ChunkPosition::LastLineEnd => return Some(bytes.len() - after.len()),
                // hyper reads a trailer up to its carriage return, and the byte after it.
                ChunkPosition::Trailer => rest = self.skip(rest, b'\r', ChunkPosition::TrailerEnd),
                ChunkPosition::TrailerEnd => {
                    self.position = ChunkPosition::Line;
                    rest = after;
                }
            }
        }
        None
    }

    /// The state after this byte.
    fn skip<'a>(&mut self, bytes: &'a [u8], to: u8, next: ChunkPosition) -> &'a [u8] {
        match memchr::memchr(to, bytes) {
            Some(index) => {
                self.position = next;
                bytes.get(index + 1..).unwrap_or_default()
            }
            None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a head ends that comes in pieces of this size, and whether it has a length.
    fn head(text: &str, size: usize) -> Option<(usize, bool)> {
        let mut reading = MessagePosition::default();
        let mut read = 0;
        for piece in text.as_bytes().chunks(size) {
            let mut named = None;
            read += reading.count_own(piece, |length| named = Some(length));
            if let Some(named) = named {
                return Some((read, named));
            }
        }
        None
    }

    #[test]
    fn a_head_ends_with_its_empty_line_however_it_comes() {
        for (whole, named) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", false),
            ("\r\n\nGET / HTTP/1.1\nhost: a\n\n", false),
            (
                "POST / HTTP/1.1\r\nhost: a\r\nCONTENT-length : 3\r\n\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\ncontent-length:3\r\nhost: a\r\n\r\n",
                true,
            ),
            ("POST / HTTP/1.1\r\ncontent-length2: 3\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nx: content-length: 3\r\n\r\n", false),
            ("content-length: 3\r\nhost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\n\n", false),
        ] {
            let text = format!("{whole}content-length: 3\r\n\r\n");
            for size in 1..=text.len() {
                assert_eq!(
                    head(&text, size),
                    Some((whole.len(), named)),
                    "{text:?} {size}"
                );
            }
            let part = &whole[..whole.len() - 1];
            assert_eq!(head(part, part.len()), None, "{part:?}");
        }
    }

    #[test]
    fn the_preface_of_http2_is_no_head() {
        let mut reading = MessagePosition::default();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0";
        assert_eq!(
            reading.count_own(preface, |_| panic!("a head")),
            preface.len()
        );
        assert!(matches!(reading, MessagePosition::Frames));
        assert_eq!(
            head("PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", 100),
            Some((18, false))
        );
    }

    fn body(length: Option<u64>, text: &str, size: usize) -> Option<usize> {
        let mut reading = MessagePosition::body(length);
        let mut read = 0;
        for piece in text.as_bytes().chunks(size) {
            read += reading.count_own(piece, |_| panic!("a head"));
            if matches!(reading, MessagePosition::End) {
                return Some(read);
            }
        }
        None
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        for (length, whole) in [
            (Some(3), "abc"),
            (None, "0\r\n\r\n"),
            (None, "3\r\nabc\r\n0\r\n\r\n"),
            (None, "00a ;x=\"0\"\r\n0\r\n\r\n12345\r\n000\r\n\r\n"),
            (None, "1;0\r\n\n\r\n0;last\r\na: 0\r\nb: c\nd: e\r\n\r\n"),
            (None, "0\r\na: b\n\r\n\r\n"),
        ] {
            let text = format!("{whole}0\r\n\r\n");
            for size in 1..=text.len() {
                assert_eq!(
                    body(length, &text, size),
                    Some(whole.len()),
                    "{text:?} {size}"
                );
            }
            let part = &whole[..whole.len() - 1];
            assert_eq!(body(length, part, part.len()), None, "{part:?}");
        }
    }
}
