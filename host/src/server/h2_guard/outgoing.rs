//! Frames of HTTP/2 as they go out (RFC 9113 section 4.1): where another one may be put between.

use std::collections::VecDeque;

use super::incoming::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEAD, HEADERS, RST_STREAM};

/// How many streams that were reset are remembered: a frame for one of them may have been on its way.
const MAX_REMEMBERED_RESETS: usize = 64;

/// Where a connection is written.
#[derive(Debug, Default)]
pub(super) struct OutgoingFrames {
    head: [u8; HEAD],
    /// How much of the head was written. Bytes.
    have: usize,
    /// The rest of the frame after its head. Bytes.
    left: usize,
    /// Whether the next frame continues a head.
    in_head: bool,
    reset: VecDeque<u32>,
    /// Frames with content, and responses that ended, since these were taken last.
    pub(super) content: u32,
    pub(super) ended: u32,
}

impl OutgoingFrames {
    /// These bytes were written.
    pub(super) fn note_written(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = match self.left {
                0 => (HEAD - self.have).min(bytes.len()),
                left => left.min(bytes.len()),
            };
            let (now, rest) = bytes.split_at(count);
            bytes = rest;
            if self.left > 0 {
                self.left -= count;
                continue;
            }
            let rest_of_head = self.head.iter_mut().skip(self.have);
            rest_of_head.zip(now).for_each(|(to, from)| *to = *from);
            self.have += count;
            if self.have == HEAD {
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        self.have = 0;
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        self.left = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        if kind == DATA {
            self.content += 1;
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            self.ended += 1;
        }
        match kind {
            HEADERS | CONTINUATION => self.in_head = flags & END_HEADERS == 0,
            RST_STREAM => {
                self.reset.truncate(MAX_REMEMBERED_RESETS - 1);
                self.reset.push_front(u32::from_be_bytes(stream));
            }
            _ => {}
        }
    }

    /// Whether another frame may be written now.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.have == 0 && self.left == 0 && !self.in_head
    }

    /// How much may be written before that is asked again, where it is not.
    pub(super) fn until_boundary(&self) -> usize {
        match self.left {
            0 => HEAD - self.have,
            left => left,
        }
    }

    /// Whether a whole frame is for a stream that was reset: nothing may follow that.
    pub(super) fn is_for_reset_stream(&self, frame: &[u8]) -> bool {
        let stream = frame.get(5..HEAD).and_then(<[u8]>::first_chunk::<4>);
        stream.is_some_and(|stream| self.reset.contains(&u32::from_be_bytes(*stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_free_to_follow_whole_ones_only() {
        let frames: [(&[u8], bool); 5] = [
            (b"\0\0\0\x04\0\0\0\0\0", true),
            (b"\0\0\x02\0\0\0\0\0\x01ab", true),
            (b"\0\0\x01\x01\0\0\0\0\x01a", false),
            (b"\0\0\0\x09\0\0\0\0\x01", false),
            (b"\0\0\x01\x09\x04\0\0\0\x01b", true),
        ];
        for size in [1, 2, 9, 100] {
            let mut outgoing = OutgoingFrames::default();
            for (frame, is_free) in frames {
                let mut rest = frame;
                while !rest.is_empty() {
                    let room = if outgoing.is_at_boundary() {
                        rest.len()
                    } else {
                        outgoing.until_boundary().min(rest.len())
                    };
                    let (now, after) = rest.split_at(room.min(size));
                    outgoing.note_written(now);
                    rest = after;
                    assert_eq!(
                        outgoing.is_at_boundary(),
                        rest.is_empty() && is_free,
                        "{frame:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_follows_a_reset() {
        let mut outgoing = OutgoingFrames::default();
        let hint = |stream| [0, 0, 0, HEADERS, END_HEADERS, 0, 0, 0, stream];
        outgoing.note_written(b"\0\0\x04\x03\0\0\0\0\x05\0\0\0\x08");
        assert!(outgoing.is_for_reset_stream(&hint(5)));
        assert!(!outgoing.is_for_reset_stream(&hint(3)));
        for _ in 0..MAX_REMEMBERED_RESETS {
            outgoing.note_written(b"\0\0\x04\x03\0\0\0\0\x07\0\0\0\x08");
        }
        assert!(!outgoing.is_for_reset_stream(&hint(5)));
    }
}
