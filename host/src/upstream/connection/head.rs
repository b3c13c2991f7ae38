//! Response heads with more fields than hyper's client accepts.
//!
//! hyper reads a hundred fields of a response over HTTP/1.1, and fails at the next. So the connection's
//! I/O looks at each head before hyper does. If a head has more fields, hyper gets its status and the
//! fields that frame the body, and the other fields are put back after hyper has read those
//! ([`HeadOverflow`]). A head within hyper's limit passes unchanged, and so do bytes that are not HTTP.

use std::sync::{Arc, LazyLock};

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem::Finder;
use parking_lot::Mutex;

use super::head_record::HeadRecord;
use super::interim::{InterimResponses, end_of_head};
use crate::http::watch::SharedFlag;

/// The most fields that hyper takes.
const HYPER_MAX_FIELDS: usize = 100;
/// A head's lines beside its fields: the status line and the empty one.
const OTHER_LINES: usize = 2;

/// A head of so many bytes has no more fields than hyper takes: a line has three bytes at least.
const SHORT: usize = 3 * HYPER_MAX_FIELDS;
static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// The heads of the present request and its response. Shared by a connection and its I/O.
#[derive(Debug, Default)]
pub(super) struct ExchangeHeads {
    pub(super) record: HeadRecord,
    pub(super) interims: InterimResponses,
    pub(super) overflow: HeadOverflow,
}

/// The fields of the present response's head that hyper does not get.
#[derive(Debug, Default)]
pub(super) struct HeadOverflow {
    /// Whether a head is to come.
    pub(super) is_expected: SharedFlag,
    has_fields: SharedFlag,
    /// Whether the head has more fields than it may.
    pub(super) is_too_large: SharedFlag,
    fields: Mutex<HeaderMap>,
}

impl HeadOverflow {
    /// Put the fields that hyper did not get to those that it did.
    pub(crate) fn restore_fields(&self, headers: &mut HeaderMap) {
        if self.has_fields.get() && self.has_fields.take() {
            // None of them is among those that hyper got.
            headers.extend(std::mem::take(&mut *self.fields.lock()));
        }
    }

    fn keep_fields(&self, fields: HeaderMap) {
        *self.fields.lock() = fields;
        self.has_fields.set(true);
    }
}

/// Reads heads before hyper does.
#[derive(Debug)]
pub(super) struct HeadReader {
    pub(super) shared: Arc<ExchangeHeads>,
    max_head: usize,
    max_fields: usize,
    /// The part that was read of an incomplete head.
    buffered: Vec<u8>,
    /// How much of it was looked at as HTTP. Bytes.
    parsed: usize,
}

/// The action for bytes that were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadAction {
    /// They go to hyper as they are.
    Pass,
    /// These go to hyper instead.
    Replace(Vec<u8>),
    /// Nothing goes to hyper before more was read.
    Wait,
}

/// The heads in some bytes.
enum HeadSearch {
    /// Heads, all of them complete and within hyper's bound.
    Plain,
    /// The same, and then the beginning of another, here.
    Incomplete(usize),
    /// A head with more fields, from here to there.
    Large(usize, usize),
}

impl HeadReader {
    /// For heads of up to so many bytes and fields.
    #[must_use]
    pub(crate) fn new(shared: Arc<ExchangeHeads>, max_head: usize, max_fields: usize) -> Self {
        Self {
            shared,
            max_head,
            max_fields,
            buffered: Vec::new(),
            parsed: 0,
        }
    }

    /// These bytes were read while a head was to come.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> HeadAction {
        if self.buffered.is_empty() && is_within_bound(bytes) {
            self.stop_expecting();
            return HeadAction::Pass;
        }
        if !self.buffered.is_empty() {
            self.buffered.extend_from_slice(bytes);
            let all = std::mem::take(&mut self.buffered);
            return match self.inspect(&all) {
                HeadAction::Pass => HeadAction::Replace(all),
                other => other,
            };
        }
        self.inspect(bytes)
    }

    /// Nothing more comes. Gives the bytes that hyper has not got.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        self.stop_expecting();
        std::mem::take(&mut self.buffered)
    }

    fn stop_expecting(&mut self) {
        self.shared.overflow.is_expected.set(false);
        self.parsed = 0;
    }

    fn inspect(&mut self, all: &[u8]) -> HeadAction {
        match self.find_heads(all) {
            HeadSearch::Plain => HeadAction::Pass,
            HeadSearch::Large(begin, end) => {
                self.stop_expecting();
                let (before, rest) = all.split_at(begin);
                let (head, after) = rest.split_at(end - begin);
                match self.split_head(head) {
                    Some(head) => HeadAction::Replace([before, &head, after].concat()),
                    None => HeadAction::Pass,
                }
            }
            HeadSearch::Incomplete(begin) => {
                let (before, head) = all.split_at(begin);
                if !self.may_become_a_head(head) {
                    self.stop_expecting();
                    return HeadAction::Pass;
                }
                self.buffered = head.to_vec();
                if before.is_empty() {
                    HeadAction::Wait
                } else {
                    HeadAction::Replace(before.to_vec())
                }
            }
        }
    }

    fn find_heads(&mut self, all: &[u8]) -> HeadSearch {
        let mut begin = 0;
        loop {
            let head = all.get(begin..).unwrap_or_default();
            if head.is_empty() {
                return HeadSearch::Plain;
            }
            let Some((length, lines)) = end_of_head(head) else {
                return HeadSearch::Incomplete(begin);
            };
            if lines > HYPER_MAX_FIELDS + OTHER_LINES {
                return HeadSearch::Large(begin, begin + length);
            }
            if !is_interim(head) {
                self.stop_expecting();
                return HeadSearch::Plain;
            }
            begin += length;
        }
    }

    /// Whether this can be the beginning of a head. It is parsed again when it has twice the length, so that a
    /// head that comes in small pieces costs little.
    fn may_become_a_head(&mut self, begun: &[u8]) -> bool {
        if begun.len() >= self.max_head {
            return false;
        }
        if begun.len() < self.parsed.saturating_mul(2) {
            return true;
        }
        self.parsed = begun.len();
        let mut fields = vec![httparse::EMPTY_HEADER; self.max_fields];
        let parsed = httparse::Response::new(&mut fields).parse(begun);
        // One that has too many fields already is reported when it is complete.
        matches!(parsed, Ok(_) | Err(httparse::Error::TooManyHeaders))
    }

    /// A head with what hyper needs of this one; the other fields are kept. None: it is for hyper to
    /// refuse.
    fn split_head(&self, head: &[u8]) -> Option<Vec<u8>> {
        if head.len() > self.max_head {
            return None;
        }
        let mut fields = vec![httparse::EMPTY_HEADER; self.max_fields];
        let mut parsed = httparse::Response::new(&mut fields);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => {
                self.shared.overflow.is_too_large.set(true);
                return None;
            }
            Ok(httparse::Status::Partial) | Err(_) => return None,
        }
        let status_line = memchr::memchr(b'\n', head)? + 1;
        let mut lines = head.get(..status_line)?.to_vec();
        let mut rest = HeaderMap::with_capacity(parsed.headers.len());
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            if name == CONTENT_LENGTH || name == TRANSFER_ENCODING || name == CONNECTION {
                lines.extend_from_slice(field.name.as_bytes());
                lines.extend_from_slice(b": ");
                lines.extend_from_slice(field.value);
                lines.extend_from_slice(b"\r\n");
            } else {
                rest.append(name, HeaderValue::from_bytes(field.value).ok()?);
            }
        }
        lines.extend_from_slice(b"\r\n");
        self.shared.overflow.keep_fields(rest);
        Some(lines)
    }
}

/// Whether a final answer's head is whole in these bytes, and within hyper's bound: so are nearly all.
fn is_within_bound(bytes: &[u8]) -> bool {
    if is_interim(bytes) {
        return false;
    }
    // Few short answers have a line break in their body: the last one is the head's end.
    let start = bytes.get(..SHORT).unwrap_or(bytes);
    let last = memchr::memrchr(b'\n', start).and_then(|at| start.get(..at));
    if let Some([.., b'\n', b'\r']) = last {
        return true;
    }
    let head = END.find(bytes).and_then(|end| bytes.get(..end));
    head.is_some_and(|head| {
        head.len() < SHORT || memchr::memchr_iter(b'\n', head).count() <= HYPER_MAX_FIELDS
    })
}

/// Whether another head follows this one (RFC 9110 section 15.2).
fn is_interim(head: &[u8]) -> bool {
    let status = head.get(9..12);
    status.is_some_and(|status| status.starts_with(b"1") && status != b"101")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: usize) -> Vec<u8> {
        let fields = (0..fields).map(|n| format!("set-cookie: c{n}=1\r\n"));
        let fields: String = fields.collect();
        format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\n").into_bytes()
    }

    fn reader() -> HeadReader {
        let shared = Arc::<ExchangeHeads>::default();
        shared.overflow.is_expected.set(true);
        HeadReader::new(shared, 64 * 1024, 500)
    }

    /// The bytes of these chunks that hyper gets, and the fields that it does not get.
    fn read(pieces: &[&[u8]]) -> (Vec<u8>, HeaderMap) {
        let mut reader = reader();
        let mut given = Vec::new();
        for piece in pieces {
            if reader.shared.overflow.is_expected.get() {
                match reader.read(piece) {
                    HeadAction::Pass => given.extend_from_slice(piece),
                    HeadAction::Replace(bytes) => given.extend(bytes),
                    HeadAction::Wait => {}
                }
            } else {
                given.extend_from_slice(piece);
            }
        }
        given.extend(reader.end());
        let mut fields = HeaderMap::new();
        reader.shared.overflow.restore_fields(&mut fields);
        (given, fields)
    }

    #[test]
    fn a_head_within_the_bound_passes_as_it_came() {
        for fields in [0, 1, 99] {
            let message = [&*head(fields), b"ok"].concat();
            assert_eq!(reader().read(&message), HeadAction::Pass, "{fields}");
            assert_eq!(read(&[&message]), (message, HeaderMap::new()));
        }
    }

    #[test]
    fn the_fields_of_a_larger_one_are_kept_in_order_wherever_it_is_cut() {
        let message = [&*head(300), b"ok"].concat();
        let whole = read(&[&message]);
        assert_eq!(whole.0, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        let cookies: Vec<_> = whole.1.get_all("set-cookie").iter().collect();
        assert_eq!(
            (cookies.len(), cookies[299]),
            (300, &HeaderValue::from_static("c299=1"))
        );
        for cut in 1..message.len() {
            let (before, after) = message.split_at(cut);
            assert_eq!(read(&[before, after]), whole, "{cut}");
        }
        let bytes: Vec<_> = message.chunks(1).collect();
        assert_eq!(read(&bytes), whole);
    }

    #[test]
    fn a_head_after_interim_ones_is_found() {
        let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let message = [interim, &*head(150)].concat();
        let whole = read(&[&message]);
        let expected = [
            interim,
            &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"[..],
        ]
        .concat();
        assert_eq!((&whole.0, whole.1.len()), (&expected, 150));
        for cut in 1..message.len() {
            let (before, after) = message.split_at(cut);
            assert_eq!(read(&[before, after]), whole, "{cut}");
        }
        // The interim one passes at once.
        let mut reader = reader();
        assert_eq!(
            reader.read(&message[..60]),
            HeadAction::Replace(interim.to_vec())
        );
    }

    #[test]
    fn more_than_the_bound_and_nonsense_are_for_hyper_to_refuse() {
        let mut reader = reader();
        assert_eq!(reader.read(&head(501)), HeadAction::Pass);
        assert!(reader.shared.overflow.is_too_large.get());
        for nonsense in [
            "SSH-2.0-OpenSSH_9.9\r\n",
            "\x15\x03\x01",
            "HTTP/1.1 200 OK\r\nno colon\r\n",
        ] {
            assert_eq!(
                self::reader().read(nonsense.as_bytes()),
                HeadAction::Pass,
                "{nonsense:?}"
            );
        }
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(64 * 1024));
        assert_eq!(self::reader().read(endless.as_bytes()), HeadAction::Pass);
    }

    #[test]
    fn bare_line_feeds_end_lines_too() {
        let message = b"HTTP/1.1 200 OK\nx: 1\n\nbody\r\n\r\n";
        assert_eq!(end_of_head(message), Some((22, 3)));
        assert_eq!(reader().read(message), HeadAction::Pass);
    }
}
