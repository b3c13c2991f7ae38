//! The body of a response over HTTP/1.1 or HTTP/2, or the stream that a `CONNECT` opened.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body as _, Frame, SizeHint};

use super::stream_io::StreamIo;
use crate::http::body_error::{FramePoll, TransportError};

/// The part of a response after its head.
#[derive(Debug)]
pub(crate) enum EndpointBody {
    /// A body over HTTP/1.1.
    Http1(hyper::body::Incoming),
    /// A body over HTTP/2.
    Http2(StreamBody),
    /// The endpoint accepted a `CONNECT`: bytes in both directions.
    Tunnel(Box<StreamIo>),
}

impl EndpointBody {
    /// Wait for the next frame.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> FramePoll<TransportError> {
        match self {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(TransportError::from),
            Self::Http2(body) => body.poll_frame(cx).map_err(TransportError::from),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.stream.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    /// The size of the rest, or its bounds.
    #[must_use]
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.left.map_or_else(SizeHint::new, SizeHint::with_exact),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}

/// A body over HTTP/2.
#[derive(Debug)]
pub(crate) struct StreamBody {
    stream: RecvStream,
    /// The rest of the length in the head. Bytes.
    left: Option<u64>,
    /// Whether only trailers may come.
    has_data_ended: bool,
}

impl StreamBody {
    /// The body after a head with these fields.
    #[must_use]
    pub(crate) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        // h2 refuses lengths that are invalid or contradict each other.
        let length = headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let empty = stream.is_end_stream().then_some(0);
        Self {
            stream,
            left: length.or(empty),
            has_data_ended: false,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> FramePoll<h2::Error> {
        if !self.has_data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    // It fails only beyond the bytes that were read.
                    let _ = self.stream.flow_control().release_capacity(bytes.len());
                    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    self.left = self.left.map(|left| left.saturating_sub(length));
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Err(error)) => return Poll::Ready(unless_ended(error)),
                None => self.has_data_ended = true,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => unless_ended(error),
        })
    }
}

/// An endpoint that has answered may reset a stream without an error (RFC 9113 section 8.1). The reader of
/// the response decides whether it was complete.
fn unless_ended(error: h2::Error) -> Option<Result<Frame<Bytes>, h2::Error>> {
    (error.reason() != Some(Reason::NO_ERROR)).then_some(Err(error))
}
