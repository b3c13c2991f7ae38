//! Counts the frames of a client that cost work and carry no request (RFC 9113 section 10.5).
//!
//! A client may send [`MAX_FRAMES`] of each kind in [`WINDOW`], and more as it has requests and content:
//! each request and each piece of content takes some off the count. h2 bounds what it keeps for a
//! client, but answers control frames without end. Deliberately not here: the end of the connection.

use std::time::{Duration, Instant};

use crate::model::flood::FloodKind;

/// The most frames of one kind in one window, beyond those that requests explain.
pub(super) const MAX_FRAMES: u32 = 1000;
/// The most streams that a client resets in one window, beyond those that have ended in a response
/// (CVE-2023-44487, "rapid reset").
pub(super) const MAX_RESETS: u32 = 500;
/// The most `DATA` frames without content in one window. h2 allows as many on a whole connection.
pub(super) const MAX_EMPTY: u32 = 100;
const WINDOW: Duration = Duration::from_secs(10);
/// How many frames of other kinds one piece of content explains: a client may open the windows of
/// the stream and of the connection, and measure the round trip.
const PER_CONTENT: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct FloodCounts {
    counts: [u32; FloodKind::ALL.len()],
    /// When the window has begun. None: before the first time that a count was full.
    since: Option<Instant>,
    found: Option<FloodKind>,
}

impl FloodCounts {
    /// The flood that was found.
    pub(super) fn found(&self) -> Option<FloodKind> {
        self.found
    }

    /// A window begins with the connection.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Count a frame. False: it is one too many. `now` is asked only where a count is full.
    pub(super) fn count(&mut self, kind: FloodKind, now: impl FnOnce() -> Instant) -> bool {
        let most = match kind {
            FloodKind::Reset => MAX_RESETS,
            FloodKind::EmptyData => MAX_EMPTY,
            _ => MAX_FRAMES,
        };
        let Some(count) = self.counts.get_mut(kind as usize) else {
            return true;
        };
        if *count < most {
            *count += 1;
            return true;
        }
        let now = now();
        let is_over = self
            .since
            .is_none_or(|since| now.duration_since(since) >= WINDOW);
        if is_over {
            self.since = Some(now);
            self.counts = Default::default();
        } else {
            self.found = Some(kind);
        }
        is_over
    }

    /// The client has sent the head of a request.
    pub(super) fn note_request(&mut self) {
        for (index, count) in self.counts.iter_mut().enumerate() {
            if index != FloodKind::Reset as usize {
                *count = count.saturating_sub(PER_CONTENT);
            }
        }
    }

    /// Pieces of content came in, or went out.
    pub(super) fn note_content(&mut self, pieces: u32) {
        for kind in [FloodKind::Ping, FloodKind::WindowUpdate] {
            if let Some(count) = self.counts.get_mut(kind as usize) {
                *count = count.saturating_sub(pieces.saturating_mul(PER_CONTENT));
            }
        }
    }

    /// Responses have ended.
    pub(super) fn note_responses(&mut self, responses: u32) {
        if let Some(count) = self.counts.get_mut(FloodKind::Reset as usize) {
            *count = count.saturating_sub(responses);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many frames of this kind pass, at most.
    fn passing(counts: &mut FloodCounts, kind: FloodKind, now: Instant) -> u32 {
        let passed = (0..5000).take_while(|_| counts.count(kind, || now));
        u32::try_from(passed.count()).unwrap()
    }

    #[test]
    fn each_kind_has_its_bound_within_a_window() {
        let start = Instant::now();
        for kind in FloodKind::ALL {
            let mut counts = FloodCounts::default();
            counts.begin(start);
            let most = match kind {
                FloodKind::Reset => MAX_RESETS,
                FloodKind::EmptyData => MAX_EMPTY,
                _ => MAX_FRAMES,
            };
            assert_eq!(passing(&mut counts, kind, start), most, "{kind:?}");
            assert_eq!(counts.found(), Some(kind));
        }
    }

    #[test]
    fn a_later_window_begins_anew() {
        let start = Instant::now();
        let mut counts = FloodCounts::default();
        counts.begin(start);
        for _ in 0..MAX_FRAMES {
            assert!(counts.count(FloodKind::Ping, || start));
        }
        assert!(counts.count(FloodKind::Ping, || start + WINDOW));
        assert_eq!(counts.found(), None);
        assert!(passing(&mut counts, FloodKind::Ping, start + WINDOW) <= MAX_FRAMES);
        assert_eq!(counts.found(), Some(FloodKind::Ping));
    }

    #[test]
    fn requests_and_content_explain_frames_but_requests_explain_no_resets() {
        let start = Instant::now();
        let mut counts = FloodCounts::default();
        counts.begin(start);
        for _ in 0..3 * MAX_FRAMES {
            counts.note_content(1);
            assert!(counts.count(FloodKind::WindowUpdate, || start));
            counts.note_responses(1);
            assert!(counts.count(FloodKind::Reset, || start));
            counts.note_request();
            assert!(counts.count(FloodKind::Priority, || start));
        }
        for _ in 0..MAX_RESETS - 1 {
            counts.note_request();
            counts.note_content(1);
            assert!(counts.count(FloodKind::Reset, || start));
        }
        assert!(!counts.count(FloodKind::Reset, || start));
    }
}
