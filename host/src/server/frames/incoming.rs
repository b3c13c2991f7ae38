//! Frames of HTTP/2 as they come in (RFC 9113 section 4.1): where a head begins and ends.
//!
//! Promises: a head that opens a stream is the last thing that is let through at once, so that
//! the request that comes of it is known to be that stream's; trailers with pseudo-header fields are
//! an error of their stream (RFC 9113 section 8.1), also where h2 would read over them. Deliberately
//! not here: whether frames are well-formed.

use super::fields::has_pseudo;

/// A frame's own head. Bytes.
const HEAD: usize = 9;
/// With this a connection begins. Bytes.
pub(super) const PREFACE: usize = 24;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// A frame's own head.
#[derive(Debug, Clone, Copy, Default)]
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
        })
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What of some bytes may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// How many.
    pub(super) count: usize,
    /// The stream that the last of them has opened.
    pub(super) opened: Option<u32>,
}

/// Where a connection is read.
#[derive(Debug)]
pub(super) struct Incoming {
    preface: usize,
    frame: Frame,
    /// What is left of the frame, its own head included. Bytes.
    left: usize,
    /// The latest stream that the client has opened.
    latest: u32,
    /// Whether a head is on its way, and whether it opens a stream.
    block: Option<bool>,
    /// Whether trailers come next, which are looked at before they pass.
    trailers: bool,
    /// Whether they were.
    judged: bool,
}

impl Default for Incoming {
    fn default() -> Self {
        Self {
            preface: PREFACE,
            frame: Frame::default(),
            left: 0,
            latest: 0,
            block: None,
            trailers: false,
            judged: false,
        }
    }
}

impl Incoming {
    /// Whether the preface was read.
    pub(super) fn has_begun(&self) -> bool {
        self.preface == 0
    }

    /// Whether a head has begun to come and has not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.block.is_some() || self.trailers
    }

    /// How many of these bytes may pass now, `room` at the most. None of them: more are needed.
    pub(super) fn pass(&mut self, bytes: &[u8], room: usize) -> Passed {
        let room = room.min(bytes.len());
        let mut count = self.preface.min(room);
        self.preface -= count;
        let mut opened = None;
        while count < room && opened.is_none() {
            if self.left == 0 {
                match Frame::read(bytes.get(count..).unwrap_or_default()) {
                    Some(frame) if self.begins(frame) => {}
                    _ => break,
                }
            }
            let step = self.left.min(room - count);
            count += step;
            self.left -= step;
            if self.left == 0 {
                opened = self.ended();
            }
        }
        Passed { count, opened }
    }

    /// A frame begins. False: it does not pass yet.
    fn begins(&mut self, frame: Frame) -> bool {
        if frame.kind == HEADERS {
            let opens = frame.stream > self.latest;
            self.trailers = !opens && self.block.is_none() && !std::mem::take(&mut self.judged);
            if self.trailers {
                return false;
            }
            self.latest = self.latest.max(frame.stream);
            self.block = Some(opens);
        }
        self.frame = frame;
        self.left = HEAD + frame.length;
        true
    }

    /// A frame has ended: the stream that it has opened.
    fn ended(&mut self) -> Option<u32> {
        let ends = matches!(self.frame.kind, HEADERS | CONTINUATION) && self.frame.has(END_HEADERS);
        let opens = ends && self.block.take() == Some(true);
        opens.then_some(self.latest)
    }

    /// Look at trailers, with which these bytes begin. False: more of them are needed. With more than
    /// `most` bytes they are an error.
    pub(super) fn judge(&mut self, bytes: &mut [u8], most: usize) -> bool {
        if !self.trailers {
            return false;
        }
        let is_good = match block(bytes) {
            Some(block) => !has_pseudo(&block),
            None if bytes.len() <= most => return false,
            None => false,
        };
        if !is_good && let Some(flags) = bytes.get_mut(4) {
            // Trailers that do not end their stream are an error of the stream to h2.
            *flags &= !END_STREAM;
        }
        self.trailers = false;
        self.judged = true;
        true
    }
}

/// Whether one of these frames resets a stream.
pub(super) fn has_reset(mut bytes: &[u8]) -> bool {
    while let Some(frame) = Frame::read(bytes) {
        if frame.kind == RST_STREAM {
            return true;
        }
        bytes = bytes.get(HEAD + frame.length..).unwrap_or_default();
    }
    false
}

/// The whole block of fields of the frames with which these bytes begin. None: it is not whole.
fn block(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    let mut kind = HEADERS;
    loop {
        let frame = Frame::read(bytes)?;
        let payload = bytes.get(HEAD..HEAD + frame.length)?;
        // h2 ends the connection of a block that another frame interrupts.
        if frame.kind != kind {
            return Some(block);
        }
        block.extend_from_slice(fragment(frame, payload));
        if frame.has(END_HEADERS) {
            return Some(block);
        }
        kind = CONTINUATION;
        bytes = bytes.get(HEAD + frame.length..)?;
    }
}

/// A payload without its padding and its priority.
fn fragment(frame: Frame, payload: &[u8]) -> &[u8] {
    if frame.kind != HEADERS {
        return payload;
    }
    let (padding, rest) = match payload.split_first() {
        Some((padding, rest)) if frame.has(PADDED) => (usize::from(*padding), rest),
        _ => (0, payload),
    };
    let begin = if frame.has(PRIORITY) { 5 } else { 0 };
    let end = rest.len().saturating_sub(padding);
    rest.get(begin..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
        bytes.extend_from_slice(payload);
        bytes
    }

    fn begun() -> Incoming {
        Incoming {
            preface: 0,
            ..Incoming::default()
        }
    }

    #[test]
    fn what_opens_a_stream_passes_alone() {
        let settings = frame(4, 0, 0, &[]);
        let one = frame(HEADERS, END_HEADERS, 1, b"\x82\x84");
        let two = [
            frame(HEADERS, 0, 3, b"\x82"),
            frame(CONTINUATION, END_HEADERS, 3, b"\x84"),
        ];
        let data = frame(0, 0, 1, b"12345");
        let all = [vec![b'p'; PREFACE], settings, one, two.concat(), data].concat();
        let first = PREFACE + 9 + 11;
        for room in [1, 5, 9, 100] {
            let mut incoming = Incoming::default();
            let (mut at, mut opened) = (0, Vec::new());
            while at < all.len() {
                let passed = incoming.pass(&all[at..], room);
                assert!(passed.count > 0, "{at}");
                at += passed.count;
                opened.extend(passed.opened.map(|stream| (stream, at)));
            }
            assert_eq!(opened, [(1, first), (3, first + 20)], "{room}");
            assert!(!incoming.is_in_head() && incoming.has_begun());
        }
    }

    #[test]
    fn half_a_frame_s_head_waits_and_half_a_head_is_seen() {
        let bytes = frame(HEADERS, END_HEADERS, 1, b"\x82\x84");
        let mut incoming = begun();
        let passed = |count| Passed {
            count,
            opened: None,
        };
        assert_eq!(incoming.pass(&bytes[..8], 8), passed(0));
        assert!(!incoming.is_in_head());
        assert_eq!(incoming.pass(&bytes[..10], 10), passed(10));
        assert!(incoming.is_in_head());
        assert_eq!(incoming.pass(&bytes[10..], 10).opened, Some(1));
        assert!(!incoming.is_in_head());
    }

    #[test]
    fn a_reset_is_found_among_whole_and_half_frames() {
        let head = frame(HEADERS, END_HEADERS, 1, b"\x82\x84");
        let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
        assert!(has_reset(&[&head[..], &reset].concat()));
        assert!(has_reset(&reset[..9]));
        assert!(!has_reset(&reset[..8]));
        assert!(!has_reset(&[&head[..], &head[..5]].concat()));
        // The bytes of a reset within another frame are none.
        assert!(!has_reset(&frame(0, 0, 1, &reset)));
    }

    /// The flags with which trailers pass.
    fn trailers(frames: &[Vec<u8>]) -> Option<u8> {
        let mut incoming = begun();
        let opening = frame(HEADERS, END_HEADERS, 1, b"\x82");
        assert_eq!(incoming.pass(&opening, 100).opened, Some(1));
        let mut bytes = frames.concat();
        assert_eq!(incoming.pass(&bytes, 100).count, 0);
        assert!(incoming.is_in_head());
        if !incoming.judge(&mut bytes, 100) {
            return None;
        }
        let all = bytes.len();
        assert_eq!(
            incoming.pass(&bytes, 1000),
            Passed {
                count: all,
                opened: None
            }
        );
        Some(bytes[4])
    }

    #[test]
    fn rfc9113_8_1_trailers_with_pseudo_header_fields_are_an_error() {
        const BOTH: u8 = END_STREAM | END_HEADERS;
        for good in [
            &b"\0\x01a\x01b"[..],
            b"\xbe",
            b"\x40\x81\x1f\x01:",
            b"\x0f\x0f\x00",
            b"",
            b"\x3f\xe1\x1f\xbf",
        ] {
            let judged = trailers(&[frame(HEADERS, BOTH, 1, good)]);
            assert_eq!(judged, Some(BOTH), "{good:?}");
        }
        for bad in [
            &b"\x82"[..],
            b"\0\x05:path\x01/",
            b"\x40\x01a\x01b\x04\x01/",
            b"\x10\x07:status\x03200",
            b"\0\x84\xb9\x58\xd3\x3f\x01/",
            b"\x41\x01a",
        ] {
            assert_eq!(
                trailers(&[frame(HEADERS, BOTH, 1, bad)]),
                Some(END_HEADERS),
                "{bad:?}"
            );
            let padded = [&[2, 0, 0, 0, 0, 0][..], bad, &[0, 0]].concat();
            let flags = BOTH | PADDED | PRIORITY;
            assert_eq!(
                trailers(&[frame(HEADERS, flags, 1, &padded)]),
                Some(flags & !END_STREAM)
            );
            let (start, end) = bad.split_at(bad.len() / 2);
            let split = [
                frame(HEADERS, END_STREAM, 1, start),
                frame(CONTINUATION, END_HEADERS, 1, end),
            ];
            assert_eq!(trailers(&split), Some(0), "{bad:?}");
            assert_eq!(trailers(&split[..1]), None, "more is needed");
        }
    }

    #[test]
    fn trailers_that_do_not_end_are_an_error_at_their_bound() {
        let mut incoming = begun();
        let _ = incoming.pass(&frame(HEADERS, END_HEADERS, 1, b"\x82"), 100);
        let mut bytes = frame(HEADERS, END_STREAM, 1, &[0; 200]);
        let _ = incoming.pass(&bytes, 100);
        assert!(!incoming.judge(&mut bytes[..90], 100));
        assert!(incoming.judge(&mut bytes[..101], 100));
        assert_eq!(bytes[4], 0);
    }
}
