//! Interim responses (1xx) that an endpoint sends over HTTP/1.1, read from the bytes that pass.
//!
//! hyper skips them, and its own way to report them costs each request allocations. The first bytes of
//! nearly every response show another status, and then nothing more is read here. Not here: `101`,
//! which is the final response, and HTTP/2, where h2 reports them ([`super::http2_request`]).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Waker;

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::head_record::header_map;
use crate::http::watch::SharedFlag;
use crate::runtime::tasks::keep_waker;

/// The longest interim response that is read. Longer ones are ignored. Bytes.
const MAX_BYTES: usize = 16 * 1024;
/// The most fields of one.
const MAX_FIELDS: usize = 64;
/// The most of one request. Further ones are ignored.
pub(super) const MAX_PER_REQUEST: usize = 100;
/// How many may wait to be taken.
const MAX_WAITING: usize = 16;
/// The bytes of a response up to the first digit of its status.
const START: usize = b"HTTP/1.1 1".len();

/// An interim response.
#[derive(Debug)]
pub(crate) struct InterimResponse {
    /// Its status, never 100 or 101.
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// The interim responses of a connection's request. Shared by the connection and its I/O.
#[derive(Debug, Default)]
pub(super) struct InterimResponses {
    /// Whether the final response has not begun to arrive.
    pub(super) is_expecting: SharedFlag,
    has_waiting: SharedFlag,
    /// Those of the present request that were seen, and one more once there are bytes of one.
    seen: AtomicUsize,
    heads: Mutex<InterimHeads>,
}

#[derive(Debug, Default)]
struct InterimHeads {
    partial: Vec<u8>,
    complete: Vec<InterimResponse>,
    waker: Option<Waker>,
}

impl InterimResponses {
    /// A request is sent: its response comes next.
    pub(crate) fn begin(&self) {
        self.seen.store(0, Relaxed);
        self.is_expecting.set(true);
    }

    /// Read these bytes.
    pub(crate) fn observe(&self, bytes: &[u8]) {
        let is_new = self.seen.load(Relaxed) == 0;
        if is_new && bytes.len() >= START && !is_interim(bytes) {
            self.is_expecting.set(false);
            return;
        }
        let heads = &mut *self.heads.lock();
        if is_new {
            heads.partial.clear();
            self.seen.store(1, Relaxed);
        }
        heads.partial.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let rest = heads.partial.get(at..).unwrap_or_default();
            if rest.len() < START {
                break;
            }
            let head = if is_interim(rest) {
                end_of_head(rest).and_then(|(end, _)| rest.get(..end))
            } else {
                return self.stop(heads);
            };
            let Some(head) = head else { break };
            let interim = if self.seen.fetch_add(1, Relaxed) <= MAX_PER_REQUEST {
                read(head)
            } else {
                None
            };
            at += head.len();
            match interim {
                None => return self.stop(heads),
                Some(interim) if interim.status == StatusCode::CONTINUE => {}
                Some(interim) if heads.complete.len() < MAX_WAITING => {
                    heads.complete.push(interim);
                    self.has_waiting.set(true);
                }
                Some(_) => {}
            }
        }
        heads.partial.drain(..at);
        if heads.partial.len() > MAX_BYTES {
            return self.stop(heads);
        }
        wake(heads);
    }

    /// The rest is the final response, or cannot be read.
    fn stop(&self, heads: &mut InterimHeads) {
        self.is_expecting.set(false);
        heads.partial = Vec::new();
        wake(heads);
    }

    /// Those that have come since the last call. It takes the lock only if there are any.
    #[must_use]
    pub(crate) fn take(&self) -> Vec<InterimResponse> {
        if !(self.has_waiting.get() && self.has_waiting.take()) {
            return Vec::new();
        }
        std::mem::take(&mut self.heads.lock().complete)
    }

    /// The task to wake, if another task moves the bytes.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        keep_waker(&mut self.heads.lock().waker, waker);
    }
}

fn wake(heads: &InterimHeads) {
    if let Some(waker) = heads.waker.as_ref().filter(|_| !heads.complete.is_empty()) {
        waker.wake_by_ref();
    }
}

/// Whether a response begins with a status of 1xx.
fn is_interim(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'1', ..]
    )
}

/// The length of the head that begins here, and how many lines it has, with the empty one at its end.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut lines = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        lines += 1;
        match bytes.get(at + 1..) {
            Some([b'\n', ..]) => return Some((at + 2, lines + 1)),
            Some([b'\r', b'\n', ..]) => return Some((at + 3, lines + 1)),
            Some(_) | None => {}
        }
    }
    None
}

/// None: it is malformed, or `101`.
fn read(bytes: &[u8]) -> Option<InterimResponse> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    if !head.parse(bytes).ok()?.is_complete() {
        return None;
    }
    let status = StatusCode::from_u16(head.code?).ok()?;
    let headers = header_map(head.headers)?;
    (status != StatusCode::SWITCHING_PROTOCOLS).then_some(InterimResponse { status, headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interim responses found in bytes that come in pieces of this size, and whether it is still looked for.
    fn found(text: &str, size: usize) -> (Vec<String>, bool) {
        let interims = InterimResponses::default();
        interims.begin();
        for piece in text.as_bytes().chunks(size) {
            if interims.is_expecting.get() {
                interims.observe(piece);
            }
        }
        let found = interims.take().into_iter();
        let found = found.map(|one| {
            let link = one.headers.get("link").map(|link| link.to_str().unwrap());
            format!("{} {}", one.status.as_str(), link.unwrap_or_default())
        });
        (found.collect(), interims.is_expecting.get())
    }

    #[test]
    fn interim_answers_are_found_before_the_final_one() {
        let hint = "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let other = "HTTP/1.1 102 Processing\n\n";
        let more = "HTTP/1.1 100 Continue\r\n\r\n";
        for (text, expected, looks) in [
            (last.to_owned(), vec![], false),
            (format!("{hint}{last}{hint}"), vec!["103 a"], false),
            (
                format!("{more}{hint}{other}{hint}"),
                vec!["103 a", "102 ", "103 a"],
                true,
            ),
            (
                format!("{hint}HTTP/1.1 101 Yes\r\n\r\n{hint}"),
                vec!["103 a"],
                false,
            ),
            (
                format!("{hint}HTTP/1.1 1x3 No\r\n\r\n"),
                vec!["103 a"],
                false,
            ),
            ("HTTP/1.1 1".to_owned(), vec![], true),
            (
                hint.repeat(MAX_PER_REQUEST * 2),
                vec!["103 a"; MAX_WAITING],
                false,
            ),
            (
                format!("HTTP/1.1 103 X\r\nlink: {}", "x".repeat(MAX_BYTES)),
                vec![],
                false,
            ),
        ] {
            for size in [1, 2, 3, 7, 10, 11, 40, text.len()] {
                assert_eq!(
                    found(&text, size),
                    (expected.iter().map(|&one| one.to_owned()).collect(), looks),
                    "{text:?} {size}"
                );
            }
        }
    }
}
