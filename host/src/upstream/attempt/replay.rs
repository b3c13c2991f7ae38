//! A request's body that may have to be sent again.
//!
//! What goes to the endpoint is kept on the way (references to the same bytes, no copy), up to a
//! bound. What was longer is sent all the same, and cannot be sent again. Deliberately not here:
//! whether it is to be sent again.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::http::body::{Body, BodyError};

/// The most pieces that are kept of a small body; of a large one, one more for each 1024 bytes.
const PIECES: usize = 1024;

/// A body, and what was read of it.
#[derive(Debug, Clone)]
pub(crate) struct Tape(Rc<RefCell<Reel>>);

#[derive(Debug)]
struct Reel {
    source: Body,
    kept: Vec<Piece>,
    /// How many of them the present player has read.
    read: usize,
    size: usize,
    most: usize,
    /// Whether something was read that is not kept.
    is_torn: bool,
    ended: bool,
    /// Counts the plays: an older one ends where it is, since hyper may go on reading it after the
    /// response came early.
    plays: u32,
}

#[derive(Debug, Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    fn size(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            // Bounded with the head.
            Self::Trailers(_) => 0,
        }
    }

    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

impl Tape {
    /// Keep up to so many bytes of this body.
    #[must_use]
    pub(crate) fn new(source: Body, most: usize) -> Self {
        Self(Rc::new(RefCell::new(Reel {
            source,
            kept: Vec::new(),
            read: 0,
            size: 0,
            most,
            is_torn: false,
            ended: false,
            plays: 0,
        })))
    }

    /// The body from its beginning. None: something of it was read that is not kept. Whoever reads an
    /// earlier one gets an error from now on.
    #[must_use]
    pub(crate) fn play(&self) -> Option<Body> {
        let mut reel = self.0.borrow_mut();
        if reel.is_torn {
            return None;
        }
        reel.plays += 1;
        reel.read = 0;
        Some(Body::Filtered(Box::new(Player {
            reel: Rc::clone(&self.0),
            number: reel.plays,
        })))
    }

    /// It is not sent again: nothing more is kept, but what is still to be read.
    pub(crate) fn stop(&self) {
        let mut reel = self.0.borrow_mut();
        let read = std::mem::take(&mut reel.read).min(reel.kept.len());
        reel.kept.drain(..read);
        reel.is_torn = true;
    }

    /// Whether all that was read of it is kept.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        !self.0.borrow().is_torn
    }
}

/// A body that is read from a tape, and then from its source.
struct Player {
    reel: Rc<RefCell<Reel>>,
    number: u32,
}

impl Reel {
    fn keep(&mut self, piece: Piece) {
        self.size += piece.size();
        // Many small ones take more room than their bytes.
        let pieces = PIECES + self.most / 1024;
        if self.is_torn || self.size > self.most || self.kept.len() >= pieces {
            self.is_torn = true;
            self.kept = Vec::new();
            self.read = 0;
        } else {
            self.kept.push(piece);
            self.read = self.kept.len();
        }
    }
}

impl HttpBody for Player {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let reel = &mut *this.reel.borrow_mut();
        if this.number != reel.plays {
            return Poll::Ready(Some(Err(BodyError::Ended)));
        }
        if let Some(piece) = reel.kept.get(reel.read) {
            let piece = piece.clone();
            reel.read += 1;
            return Poll::Ready(Some(Ok(piece.frame())));
        }
        if reel.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut reel.source).poll_frame(cx));
        let frame = match frame {
            None => {
                reel.ended = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                // What is kept has no end.
                reel.is_torn = true;
                return Poll::Ready(Some(Err(error)));
            }
            Some(Ok(frame)) => frame,
        };
        reel.ended = reel.source.is_end_stream();
        let piece = match frame.into_data() {
            Ok(data) => Piece::Data(data),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Piece::Trailers(trailers),
                // HTTP knows no others.
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            },
        };
        reel.keep(piece.clone());
        Poll::Ready(Some(Ok(piece.frame())))
    }

    fn is_end_stream(&self) -> bool {
        let reel = self.reel.borrow();
        // An older one has no end: what it has sent is not all.
        let read = self.number == reel.plays && reel.read >= reel.kept.len();
        read && (reel.ended || reel.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let reel = self.reel.borrow();
        let kept = reel.kept.iter().skip(reel.read).map(Piece::size);
        let kept = kept.sum::<usize>() as u64;
        let left = match reel.ended {
            true => SizeHint::with_exact(0),
            false => reel.source.size_hint(),
        };
        let mut hint = SizeHint::new();
        if let Some(upper) = left.upper() {
            hint.set_upper(upper + kept);
        }
        hint.set_lower(left.lower() + kept);
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// These pieces, one after another; of unknown size.
    struct Pieces(Vec<&'static str>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let piece = self.0.pop().map(|text| Bytes::from_static(text.as_bytes()));
            Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn source(pieces: &[&'static str]) -> Body {
        Body::Filtered(Box::new(Pieces(pieces.iter().rev().copied().collect())))
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
        let tape = Tape::new(source(&["ab", "cd", "ef"]), 100);
        let mut first = tape.play().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(first.frame()).unwrap().unwrap();
        drop(first);
        assert_eq!(read(tape.play().unwrap()), "abcdef");
        assert_eq!(read(tape.play().unwrap()), "abcdef");
    }

    #[test]
    fn an_earlier_reader_takes_nothing_from_a_later_one() {
        let tape = Tape::new(source(&["ab", "cd"]), 100);
        let mut first = tape.play().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(first.frame()).unwrap().unwrap();
        let second = tape.play().unwrap();
        assert!(runtime.block_on(first.frame()).unwrap().is_err());
        assert_eq!(read(second), "abcd");
    }

    #[test]
    fn what_is_too_long_is_sent_once() {
        let tape = Tape::new(source(&["abc", "def"]), 5);
        assert_eq!(read(tape.play().unwrap()), "abcdef");
        assert!(tape.play().is_none() && !tape.is_whole());
    }

    #[test]
    fn many_small_pieces_are_too_long_too() {
        let pieces = vec!["a"; PIECES + 2];
        let tape = Tape::new(source(&pieces), 1024);
        assert_eq!(read(tape.play().unwrap()).len(), pieces.len());
        assert!(!tape.is_whole());
    }

    #[test]
    fn what_is_not_sent_again_is_not_kept_and_reaches_its_end() {
        let tape = Tape::new(source(&["ab", "cd", "ef"]), 100);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut first = tape.play().unwrap();
        for _ in 0..2 {
            runtime.block_on(first.frame()).unwrap().unwrap();
        }
        // The second player has read one piece of two that are there.
        let mut second = tape.play().unwrap();
        runtime.block_on(second.frame()).unwrap().unwrap();
        tape.stop();
        assert_eq!(tape.0.borrow().kept.len(), 1);
        assert_eq!(read(second), "cdef");
        assert!(tape.play().is_none() && tape.0.borrow().kept.is_empty());
    }

    #[test]
    fn sizes_that_are_known_stay_known() {
        let tape = Tape::new(Body::full(Bytes::from_static(b"abcd")), 100);
        let body = tape.play().unwrap();
        assert_eq!(body.size_hint().exact(), Some(4));
        assert_eq!(read(body), "abcd");
        let again = tape.play().unwrap();
        assert_eq!(
            (again.size_hint().exact(), again.is_end_stream()),
            (Some(4), false)
        );
        assert!(tape.is_whole());
    }
}
