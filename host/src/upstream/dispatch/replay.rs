//! A request's body that may have to be sent again.
//!
//! Each chunk that goes to the endpoint is kept (a reference to the same bytes, no copy), up to a
//! limit. A longer body is sent all the same, and cannot be sent again. Deliberately not here:
//! whether it is sent again.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::http::body::{Body, add_to_size};
use crate::http::body_error::{BodyError, FramePoll};

/// The most chunks that are kept of a small body; of a large one, one more for each 1024 bytes.
const CHUNKS: usize = 1024;

/// A request's body, and what was read of it.
#[derive(Debug, Clone)]
pub(crate) struct ReplayBody(Rc<RefCell<ReplayState>>);

#[derive(Debug)]
struct ReplayState {
    source: Body,
    kept: Vec<KeptFrame>,
    /// How many of them the present reader has read.
    read: usize,
    size: usize,
    limit: usize,
    /// Whether something was read that is not kept.
    is_incomplete: bool,
    ended: bool,
    /// Counts the readers: an older one ends where it is, since hyper may go on reading it after the
    /// response came early.
    readers: u32,
}

#[derive(Debug, Clone)]
enum KeptFrame {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl KeptFrame {
    fn size(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            // Bounded with the head.
            Self::Trailers(_) => 0,
        }
    }

    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

impl ReplayBody {
    /// Keep up to so many bytes of this body.
    #[must_use]
    pub(crate) fn new(source: Body, limit: usize) -> Self {
        Self(Rc::new(RefCell::new(ReplayState {
            source,
            kept: Vec::new(),
            read: 0,
            size: 0,
            limit,
            is_incomplete: false,
            ended: false,
            readers: 0,
        })))
    }

    /// The body from its beginning. None: something of it was read that is not kept. An earlier reader
    /// gets an error from now on.
    #[must_use]
    pub(crate) fn restart(&self) -> Option<Body> {
        let mut state = self.0.borrow_mut();
        if state.is_incomplete {
            return None;
        }
        state.readers += 1;
        state.read = 0;
        Some(Body::Stream(Box::new(ReplayReader {
            state: Rc::clone(&self.0),
            number: state.readers,
        })))
    }

    /// It is not sent again: nothing more is kept, but what is still to be read.
    pub(crate) fn stop_keeping(&self) {
        let mut state = self.0.borrow_mut();
        let read = std::mem::take(&mut state.read).min(state.kept.len());
        state.kept.drain(..read);
        state.is_incomplete = true;
    }

    /// Whether all that was read of it is kept.
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        !self.0.borrow().is_incomplete
    }
}

/// A body that is read from what was kept, and then from its source.
struct ReplayReader {
    state: Rc<RefCell<ReplayState>>,
    number: u32,
}

impl ReplayState {
    fn keep(&mut self, frame: KeptFrame) {
        self.size += frame.size();
        // Many small ones take more room than their bytes.
        let chunks = CHUNKS + self.limit / 1024;
        if self.is_incomplete || self.size > self.limit || self.kept.len() >= chunks {
            self.is_incomplete = true;
            self.kept = Vec::new();
            self.read = 0;
        } else {
            self.kept.push(frame);
            self.read = self.kept.len();
        }
    }
}

impl HttpBody for ReplayReader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll {
        let this = &mut *self;
        let state = &mut *this.state.borrow_mut();
        if this.number != state.readers {
            return Poll::Ready(Some(Err(BodyError::Ended)));
        }
        if let Some(kept) = state.kept.get(state.read).cloned() {
            state.read += 1;
            return Poll::Ready(Some(Ok(kept.into_frame())));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut state.source).poll_frame(cx));
        let frame = match frame {
            None => {
                state.ended = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                // The kept chunks have no end.
                state.is_incomplete = true;
                return Poll::Ready(Some(Err(error)));
            }
            Some(Ok(frame)) => frame,
        };
        state.ended = state.source.is_end_stream();
        let kept = match frame.into_data() {
            Ok(data) => KeptFrame::Data(data),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => KeptFrame::Trailers(trailers),
                // HTTP knows no others.
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            },
        };
        state.keep(kept.clone());
        Poll::Ready(Some(Ok(kept.into_frame())))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.state.borrow();
        // An older one has no end: what it has sent is not all.
        let read = self.number == state.readers && state.read >= state.kept.len();
        read && (state.ended || state.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.state.borrow();
        let unread = state.kept.iter().skip(state.read);
        let kept = unread.map(KeptFrame::size).sum::<usize>() as u64;
        let left = match state.ended {
            true => SizeHint::with_exact(0),
            false => state.source.size_hint(),
        };
        add_to_size(&left, kept)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// These chunks, one after another; of unknown size.
    struct Chunks(Vec<&'static str>);

    impl HttpBody for Chunks {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let chunk = self.0.pop().map(|text| Bytes::from_static(text.as_bytes()));
            Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
        }
    }

    fn source(chunks: &[&'static str]) -> Body {
        Body::Stream(Box::new(Chunks(chunks.iter().rev().copied().collect())))
    }

    fn read(body: Body) -> String {
        let collected = body.collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let bytes = runtime.block_on(collected).unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn what_was_sent_is_sent_again_and_the_rest_after_it() {
        let body = ReplayBody::new(source(&["ab", "cd", "ef"]), 100);
        let mut first = body.restart().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(first.frame()).unwrap().unwrap();
        drop(first);
        assert_eq!(read(body.restart().unwrap()), "abcdef");
        assert_eq!(read(body.restart().unwrap()), "abcdef");
    }

    #[test]
    fn an_earlier_reader_takes_nothing_from_a_later_one() {
        let body = ReplayBody::new(source(&["ab", "cd"]), 100);
        let mut first = body.restart().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(first.frame()).unwrap().unwrap();
        let second = body.restart().unwrap();
        assert!(runtime.block_on(first.frame()).unwrap().is_err());
        assert_eq!(read(second), "abcd");
    }

    #[test]
    fn what_is_too_long_is_sent_once() {
        let body = ReplayBody::new(source(&["abc", "def"]), 5);
        assert_eq!(read(body.restart().unwrap()), "abcdef");
        assert!(body.restart().is_none() && !body.is_complete());
    }

    #[test]
    fn many_small_chunks_are_too_long_too() {
        let chunks = vec!["a"; CHUNKS + 2];
        let body = ReplayBody::new(source(&chunks), 1024);
        assert_eq!(read(body.restart().unwrap()).len(), chunks.len());
        assert!(!body.is_complete());
    }

    #[test]
    fn what_is_not_sent_again_is_not_kept_and_reaches_its_end() {
        let body = ReplayBody::new(source(&["ab", "cd", "ef"]), 100);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut first = body.restart().unwrap();
        for _ in 0..2 {
            runtime.block_on(first.frame()).unwrap().unwrap();
        }
        // The second reader has read one chunk of two that are there.
        let mut second = body.restart().unwrap();
        runtime.block_on(second.frame()).unwrap().unwrap();
        body.stop_keeping();
        assert_eq!(body.0.borrow().kept.len(), 1);
        assert_eq!(read(second), "cdef");
        assert!(body.restart().is_none() && body.0.borrow().kept.is_empty());
    }

    #[test]
    fn sizes_that_are_known_stay_known() {
        let body = ReplayBody::new(Body::full(Bytes::from_static(b"abcd")), 100);
        let first = body.restart().unwrap();
        assert_eq!(first.size_hint().exact(), Some(4));
        assert_eq!(read(first), "abcd");
        let again = body.restart().unwrap();
        assert_eq!(
            (again.size_hint().exact(), again.is_end_stream()),
            (Some(4), false)
        );
        assert!(body.is_complete());
    }
}
