//! Interim answers (1xx) on their way from an endpoint to a client (RFC 9110 section 15.2).
//!
//! hyper's server cannot send them, so they are written here as they go over the wire, and put
//! between hyper's own writes by the connection's I/O. Promises: one is written whole, before the
//! final answer of its own exchange or not at all; what waits to be written is bounded; over
//! HTTP/2 neither side's compression state changes. Deliberately not here: where they come from
//! ([`crate::upstream`]), and when the wire is free for them ([`crate::server`]).

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

/// The most that one may take. Bytes; what every HTTP/2 client takes in one frame.
const MAX_BYTES: usize = 16 * 1024;
/// The most that may wait for a client that reads slowly. What comes then is left out. Bytes.
const MAX_WAITING: usize = 64 * 1024;
/// A frame's own head, and the bytes of it that say the length. Bytes.
const FRAME_HEAD: usize = 9;
/// `HEADERS`, and the flag that says that no other frame continues it (RFC 9113 section 6.2).
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status` of HPACK's static table, as a literal that enters no table (RFC 7541 section 6.2.2).
const STATUS: u8 = 8;

/// One as HTTP/1.1 has it. None: it is too large.
#[must_use]
pub(crate) fn http1(status: StatusCode, headers: &HeaderMap) -> Option<Vec<u8>> {
    let reason = status.canonical_reason().unwrap_or("Interim");
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    Some(bytes).filter(|bytes| bytes.len() <= MAX_BYTES)
}

/// One as a frame of this stream of HTTP/2. None: it is too large for one.
#[must_use]
pub(crate) fn http2(stream: u32, status: StatusCode, headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut block = vec![STATUS];
    text(&mut block, status.as_str().as_bytes());
    for (name, value) in headers {
        block.push(0);
        text(&mut block, name.as_str().as_bytes());
        text(&mut block, value.as_bytes());
    }
    if block.len() > MAX_BYTES {
        return None;
    }
    let [_, length @ ..] = u32::try_from(block.len()).ok()?.to_be_bytes();
    let mut frame = Vec::with_capacity(FRAME_HEAD + block.len());
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&[HEADERS, END_HEADERS]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.append(&mut block);
    Some(frame)
}

/// A text of HPACK, not compressed (RFC 7541 sections 5.1 and 5.2).
fn text(block: &mut Vec<u8>, text: &[u8]) {
    const PREFIX: u8 = 127;
    match u8::try_from(text.len()).ok().filter(|size| *size < PREFIX) {
        Some(size) => block.push(size),
        None => {
            block.push(PREFIX);
            let mut rest = text.len() - usize::from(PREFIX);
            while let Some(low) = u8::try_from(rest & 127).ok().filter(|_| rest > 127) {
                block.push(low | 128);
                rest >>= 7;
            }
            block.extend(u8::try_from(rest));
        }
    }
    block.extend_from_slice(text);
}

/// The interim responses that wait to be written to one client.
#[derive(Debug, Default)]
pub(crate) struct InterimQueue {
    has_any: AtomicBool,
    parts: Mutex<Vec<Vec<u8>>>,
}

impl InterimQueue {
    /// One more. False: too much waits already.
    pub(crate) fn push(&self, bytes: Vec<u8>) -> bool {
        let mut parts = self.parts.lock();
        let waiting: usize = parts.iter().map(Vec::len).sum();
        if waiting + bytes.len() > MAX_WAITING {
            return false;
        }
        parts.push(bytes);
        self.has_any.store(true, Relaxed);
        true
    }

    /// Whether there is any.
    #[must_use]
    pub(crate) fn is_some(&self) -> bool {
        self.has_any.load(Relaxed)
    }

    /// All that waits.
    #[must_use]
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        self.has_any.store(false, Relaxed);
        std::mem::take(&mut *self.parts.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::LINK;

    fn hints(size: usize) -> HeaderMap {
        let value = HeaderValue::try_from("x".repeat(size)).unwrap();
        HeaderMap::from_iter([(LINK, value)])
    }

    #[test]
    fn http1_has_a_status_line_and_fields() {
        let bytes = http1(StatusCode::EARLY_HINTS, &hints(2)).unwrap();
        assert_eq!(bytes, b"HTTP/1.1 103 Early Hints\r\nlink: xx\r\n\r\n");
        let other = StatusCode::from_u16(199).unwrap();
        let bytes = http1(other, &HeaderMap::new()).unwrap();
        assert_eq!(bytes, b"HTTP/1.1 199 Interim\r\n\r\n");
        assert!(http1(other, &hints(MAX_BYTES)).is_none());
    }

    #[test]
    fn rfc7541_6_2_2_http2_has_literals_that_enter_no_table() {
        let frame = http2(5, StatusCode::EARLY_HINTS, &hints(2)).unwrap();
        let expected = b"\0\0\x0e\x01\x04\0\0\0\x05\x08\x03103\0\x04link\x02xx";
        assert_eq!(frame, expected);
        assert!(http2(5, StatusCode::EARLY_HINTS, &hints(MAX_BYTES)).is_none());
    }

    #[test]
    fn rfc7541_5_1_lengths_beyond_the_prefix() {
        for (size, expected) in [
            (126, &[126][..]),
            (127, &[127, 0]),
            (254, &[127, 127]),
            (255, &[127, 128, 1]),
            (1337 + 96, &[127, 154, 10]),
        ] {
            let mut block = Vec::new();
            text(&mut block, &vec![b'x'; size]);
            assert_eq!(block[..block.len() - size], *expected, "{size}");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let waiting = InterimQueue::default();
        assert!(waiting.push(vec![0; MAX_WAITING]));
        assert!(!waiting.push(vec![0]));
        assert!(waiting.is_some());
        assert_eq!(waiting.take().len(), 1);
        assert!(!waiting.is_some());
        assert!(waiting.push(vec![0]));
    }
}
