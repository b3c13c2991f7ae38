//! A body on its way, in either direction, as one type.
//!
//! Frames pass untouched, trailers too; a size that is certain is given exactly, so that framing
//! is by content-length where it can be. A filter that asked for the body reads it through
//! [`Body::Stream`]. Nothing is copied. Anything larger than a pointer or two is boxed, since
//! hyper moves a request and its body a dozen times on their way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::http::body_error::{BodyError, FramePoll};
use crate::http::client_body::ClientBody;

#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// All of it, here already.
    Full(Bytes),
    /// A request's, from the client.
    Client(Box<ClientBody>),
    /// A response's, from an endpoint; or any, through the filters in its way.
    Stream(Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Unpin>),
}

impl Body {
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// A body that is here already.
    #[must_use]
    pub(crate) fn full(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Full(bytes)
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Empty => "empty",
            Self::Full(_) => "full",
            Self::Client(_) => "client",
            Self::Stream(_) => "stream",
        };
        write!(f, "Body({name})")
    }
}

/// The size of a body with so many more bytes before it.
pub(crate) fn add_to_size(hint: &SizeHint, bytes: u64) -> SizeHint {
    let mut sum = SizeHint::new();
    if let Some(upper) = hint.upper() {
        sum.set_upper(upper.saturating_add(bytes));
    }
    sum.set_lower(hint.lower().saturating_add(bytes));
    sum
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Client(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Stream(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Client(body) => body.is_end_stream(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Client(body) => body.size_hint(),
            Self::Stream(body) => body.size_hint(),
        }
    }
}
