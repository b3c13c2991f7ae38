//! Frames of HTTP/2 as they come in (RFC 9113 section 4.1): where a head begins and ends.
//!
//! Promises: nothing passes together with the bytes after a head that opens a stream, so that
//! the request of that head is certainly that stream's; trailers with pseudo-header fields are
//! an error of their stream (RFC 9113 section 8.1), also where h2 would read over them. Deliberately
//! not here: whether frames are well-formed, and what their fields are.

use std::time::Instant;

use bytes::{BufMut, BytesMut};

use super::floods::FloodCounts;
use crate::model::flood::FloodKind;

/// A frame's own head. Bytes.
pub(super) const HEAD: usize = 9;
/// With this a connection begins. Bytes.
pub(super) const PREFACE: usize = 24;
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY_FRAME: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
/// An ordinary field, of HPACK's static table: an empty `host` (RFC 7541 section 6.1). It changes
/// neither side's compression state, and no `host` among trailers goes on to an endpoint.
const ORDINARY: u8 = 0x80 + 38;

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

    /// The flood that many frames like this one are.
    fn flood(self) -> Option<FloodKind> {
        match self.kind {
            DATA if self.length == 0 && !self.has(END_STREAM) => Some(FloodKind::EmptyData),
            DATA | HEADERS => None,
            PRIORITY_FRAME => Some(FloodKind::Priority),
            RST_STREAM => Some(FloodKind::Reset),
            SETTINGS => Some(FloodKind::Settings),
            PING => Some(FloodKind::Ping),
            WINDOW_UPDATE => Some(FloodKind::WindowUpdate),
            // Those of one head are bounded by h2, those of all heads by their count here.
            CONTINUATION => Some(FloodKind::Continuation),
            _ => Some(FloodKind::Other),
        }
    }
}

/// The part of some bytes that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PassedFrames {
    pub(super) count: usize,
    /// The stream that the last of them has opened.
    pub(super) opened: Option<u32>,
}

/// Where a connection is read.
#[derive(Debug)]
pub(super) struct IncomingFrames {
    preface: usize,
    frame: Frame,
    /// The rest of the frame, its own head included. Bytes.
    left: usize,
    /// The latest stream that the client has opened.
    latest: u32,
    /// Whether a head is on its way, and whether it opens a stream.
    block: Option<bool>,
    /// Whether trailers come next, which are looked at before they pass.
    trailers: bool,
    /// Whether they were.
    judged: bool,
    pub(super) floods: FloodCounts,
}

impl Default for IncomingFrames {
    fn default() -> Self {
        Self {
            preface: PREFACE,
            frame: Frame::default(),
            left: 0,
            latest: 0,
            block: None,
            trailers: false,
            judged: false,
            floods: FloodCounts::default(),
        }
    }
}

impl IncomingFrames {
    /// Whether the preface was read.
    pub(super) fn has_begun(&self) -> bool {
        self.preface == 0
    }

    /// Whether a head has begun to come and has not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.block.is_some() || self.trailers
    }

    /// How many of these bytes may pass now, `room` at the most. None of them: more are needed.
    pub(super) fn count_allowed(&mut self, bytes: &[u8], room: usize) -> PassedFrames {
        let room = room.min(bytes.len());
        let mut count = self.preface.min(room);
        self.preface -= count;
        let mut opened = None;
        while count < room && opened.is_none() {
            if self.left == 0 {
                match Frame::read(bytes.get(count..).unwrap_or_default()) {
                    Some(frame) if self.begin_frame(frame) => {}
                    _ => break,
                }
            }
            let step = self.left.min(room - count);
            count += step;
            self.left -= step;
            if self.left == 0 {
                opened = self.end_frame();
            }
        }
        PassedFrames { count, opened }
    }

    /// A frame begins. False: it does not pass yet.
    fn begin_frame(&mut self, frame: Frame) -> bool {
        if frame.kind == HEADERS {
            let opens = frame.stream > self.latest;
            self.trailers = !opens && self.block.is_none() && !std::mem::take(&mut self.judged);
            if self.trailers {
                return false;
            }
            self.latest = self.latest.max(frame.stream);
            self.block = Some(opens);
        }
        match frame.flood() {
            Some(kind) if !self.floods.count(kind, Instant::now) => return false,
            None if frame.kind == DATA => self.floods.note_content(1),
            _ => {}
        }
        self.frame = frame;
        self.left = HEAD + frame.length;
        true
    }

    /// The stream that the client has opened last.
    pub(super) fn latest(&self) -> u32 {
        self.latest
    }

    /// A frame has ended: the stream that it has opened.
    fn end_frame(&mut self) -> Option<u32> {
        let ends = matches!(self.frame.kind, HEADERS | CONTINUATION) && self.frame.has(END_HEADERS);
        let opens = ends && self.block.take() == Some(true);
        if opens {
            self.floods.note_request();
        }
        opens.then_some(self.latest)
    }

    /// Look at trailers, with which these bytes begin. False: more of them are needed. With more than
    /// `most` bytes they are an error.
    pub(super) fn check_trailers(&mut self, bytes: &mut BytesMut, most: usize) -> bool {
        if !self.trailers {
            return false;
        }
        if is_whole(bytes) {
            guard_trailers(bytes);
        } else if bytes.len() <= most {
            return false;
        } else if let Some(flags) = bytes.get_mut(4) {
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

/// Whether the whole block of fields is here of the frames with which these bytes begin.
fn is_whole(mut bytes: &[u8]) -> bool {
    let mut kind = HEADERS;
    while let Some(frame) = Frame::read(bytes) {
        let Some(rest) = bytes.get(HEAD + frame.length..) else {
            return false;
        };
        // h2 ends the connection of a block that another frame interrupts.
        if frame.kind != kind || frame.has(END_HEADERS) {
            return true;
        }
        kind = CONTINUATION;
        bytes = rest;
    }
    false
}

/// Put an ordinary field before those of the trailers with which these bytes begin, in a frame of its
/// own. h2 reads over the pseudo-header fields of trailers, but not over one that follows an ordinary
/// field (RFC 9113 section 8.3), whatever table its name is from.
fn guard_trailers(bytes: &mut BytesMut) {
    let Some(frame) = Frame::read(bytes) else {
        return;
    };
    let first = bytes.split_to(bytes.len().min(HEAD + frame.length));
    let payload = first.get(HEAD..).unwrap_or_default();
    // h2 ends the connection of a frame that is shorter than its padding.
    let Some(fragment) = fragment(frame, payload) else {
        let rest = std::mem::replace(bytes, first);
        return bytes.unsplit(rest);
    };
    let mut guarded = BytesMut::with_capacity(2 * HEAD + 1 + fragment.len() + bytes.len());
    let mut put = |kind, flags, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        guarded.put_uint(u64::from(length), 3);
        guarded.put_slice(&[kind, flags]);
        guarded.put_u32(frame.stream);
        guarded.put_slice(payload);
    };
    put(HEADERS, frame.flags & END_STREAM, &[ORDINARY]);
    put(CONTINUATION, frame.flags & END_HEADERS, fragment);
    guarded.put_slice(bytes);
    *bytes = guarded;
}

/// The payload of a head's first frame without its padding and its priority. None: it is too short for
/// them.
fn fragment(frame: Frame, payload: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = if frame.has(PADDED) {
        payload.split_first()?
    } else {
        (&0, payload)
    };
    let begin = if frame.has(PRIORITY) { 5 } else { 0 };
    let end = rest.len().checked_sub(usize::from(*padding))?;
    rest.get(begin..end)
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

    fn begun() -> IncomingFrames {
        IncomingFrames {
            preface: 0,
            ..IncomingFrames::default()
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
            let mut incoming = IncomingFrames::default();
            let (mut at, mut opened) = (0, Vec::new());
            while at < all.len() {
                let passed = incoming.count_allowed(&all[at..], room);
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
        let passed = |count| PassedFrames {
            count,
            opened: None,
        };
        assert_eq!(incoming.count_allowed(&bytes[..8], 8), passed(0));
        assert!(!incoming.is_in_head());
        assert_eq!(incoming.count_allowed(&bytes[..10], 10), passed(10));
        assert!(incoming.is_in_head());
        assert_eq!(incoming.count_allowed(&bytes[10..], 10).opened, Some(1));
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

    #[test]
    fn nothing_passes_from_the_frame_on_that_is_one_too_many() {
        let mut incoming = begun();
        incoming.floods.begin(Instant::now());
        let ping = frame(PING, 0, 0, &[0; 8]);
        let all = ping.repeat(2000);
        let count = incoming.count_allowed(&all, all.len()).count;
        assert_eq!(count, 1000 * ping.len());
        assert_eq!(incoming.floods.found(), Some(FloodKind::Ping));
        // Content that ends its stream is never too much.
        let mut incoming = begun();
        let ends = frame(DATA, END_STREAM, 1, b"").repeat(2000);
        let count = incoming.count_allowed(&ends, ends.len()).count;
        assert_eq!(count, ends.len());
    }

    /// Trailers as they pass.
    fn trailers(frames: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut incoming = begun();
        let opening = frame(HEADERS, END_HEADERS, 1, b"\x82");
        assert_eq!(incoming.count_allowed(&opening, 100).opened, Some(1));
        let mut bytes = BytesMut::from(&*frames.concat());
        assert_eq!(incoming.count_allowed(&bytes, 100).count, 0);
        assert!(incoming.is_in_head());
        if !incoming.check_trailers(&mut bytes, 100) {
            return None;
        }
        let passed = PassedFrames {
            count: bytes.len(),
            opened: None,
        };
        assert_eq!(incoming.count_allowed(&bytes, 1000), passed);
        Some(bytes.into())
    }

    #[test]
    fn an_ordinary_field_comes_before_those_of_trailers() {
        const BOTH: u8 = END_STREAM | END_HEADERS;
        let first = |flags| frame(HEADERS, flags, 1, &[ORDINARY]);
        let data = frame(0, 0, 3, b"more");
        for block in [&b""[..], b"\xbe", b"\0\x01a\x01b"] {
            let guarded = [
                first(END_STREAM),
                frame(CONTINUATION, END_HEADERS, 1, block),
                data.clone(),
            ];
            let plain = frame(HEADERS, BOTH, 1, block);
            let passed = trailers(&[plain, data.clone()]);
            assert_eq!(passed, Some(guarded.concat()), "{block:?}");
            let payload = [&[2, 0, 0, 0, 0, 0][..], block, &[0, 0]].concat();
            let padded = frame(HEADERS, BOTH | PADDED | PRIORITY, 1, &payload);
            let passed = trailers(&[padded, data.clone()]);
            assert_eq!(passed, Some(guarded.concat()), "{block:?}");
        }
        let split = [
            frame(HEADERS, END_STREAM, 1, b"\0\x01a"),
            frame(CONTINUATION, END_HEADERS, 1, b"\x01b"),
        ];
        let guarded = [
            first(END_STREAM),
            frame(CONTINUATION, 0, 1, b"\0\x01a"),
            frame(CONTINUATION, END_HEADERS, 1, b"\x01b"),
        ];
        assert_eq!(trailers(&split), Some(guarded.concat()));
        assert_eq!(trailers(&split[..1]), None, "more is needed");
        // An error that h2 finds stays what it is.
        let broken = frame(HEADERS, BOTH | PADDED, 1, &[9, 0]);
        assert_eq!(trailers(std::slice::from_ref(&broken)), Some(broken));
    }

    #[test]
    fn trailers_that_do_not_end_are_an_error_at_their_bound() {
        let mut incoming = begun();
        let _ = incoming.count_allowed(&frame(HEADERS, END_HEADERS, 1, b"\x82"), 100);
        let whole = frame(HEADERS, END_STREAM, 1, &[0; 200]);
        let _ = incoming.count_allowed(&whole, 100);
        assert!(!incoming.check_trailers(&mut BytesMut::from(&whole[..90]), 100));
        let mut bytes = BytesMut::from(&whole[..101]);
        assert!(incoming.check_trailers(&mut bytes, 100));
        assert_eq!(bytes[4], 0);
    }
}
