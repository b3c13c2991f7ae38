//! A whole body, for a filter that asked for `whole`.
//!
//! It is buffered through the filters before, which see its chunks ([`super::pipe`]).

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt as _;

use super::pipe::{Direction, Pipe, Stage};
use super::{ChainEnd, Passage, decide};
use crate::error::RequestError;
use crate::http::body::Body;
use crate::http::body_error::BodyError;
use crate::wasm::{BodyCall, BodyVerdict, CallContext, CallFailure, CheckedOut, Chunk};

impl Passage {
    /// Buffer a body through the filters before this one, and call this one with the whole body. Gives whether
    /// the filter let it pass: if not, the filter failed and is skipped.
    ///
    /// # Errors
    ///
    /// The filter responds or failed, or the body could not be read.
    pub(super) async fn show_whole_body(
        self: &Rc<Self>,
        caller: CallContext<'_>,
        direction: Direction,
        max: u64,
        body: &mut Body,
        through: Vec<Stage>,
    ) -> Result<bool, ChainEnd> {
        // Filters before this one may still make it shorter.
        if through.is_empty() && body.size_hint().lower() > max {
            return Err(direction.too_large().into());
        }
        let mut source = std::mem::take(body);
        if !through.is_empty() {
            source = Body::Stream(Box::new(Pipe::new(
                self.clone(),
                direction,
                source,
                through,
            )));
        }
        let (mut chunk, mut trailers) = self.buffer(direction, source, max).await?;
        let filter = caller.worker_filter.filter();
        let mut edited = false;
        let call = BodyCall {
            chunk: &mut chunk,
            trailers: &mut trailers,
            last: true,
            head_open: true,
            edited: &mut edited,
            cap: filter.body_cap(),
        };
        let verdict = self.call_for_whole_body(caller, direction, call).await;
        let has_passed = match verdict {
            Ok(BodyVerdict::Next | BodyVerdict::More | BodyVerdict::Done) => true,
            Ok(BodyVerdict::Respond(answer)) => {
                filter.count(caller.worker_filter.worker(), |figures| &figures.answers, 1);
                return Err(ChainEnd::answer(filter, answer));
            }
            Err(failure) => {
                decide(filter, failure)?;
                false
            }
        };
        if edited {
            self.drop_body_headers(direction);
        }
        *body = self.rebuild_body(direction, chunk, trailers);
        Ok(has_passed)
    }

    /// Read a body to its end, with its trailers.
    async fn buffer(
        &self,
        direction: Direction,
        mut body: Body,
        max: u64,
    ) -> Result<(Chunk, Option<HeaderMap>), ChainEnd> {
        let mut chunk = Chunk::default();
        let mut trailers = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.end_of_body(error))?;
            match frame.into_data() {
                Ok(data) => {
                    chunk.append(data);
                    if chunk.len() > max {
                        return Err(direction.too_large().into());
                    }
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        // A filter may make trailers of its own, so there are always some to edit.
        Ok((chunk, Some(trailers.unwrap_or_default())))
    }

    /// How a body ended before its end: by a filter, or by this error.
    pub(super) fn end_of_body(&self, error: BodyError) -> ChainEnd {
        let by_filter = self.take_body_end();
        by_filter.unwrap_or_else(|| RequestError::with_source(error.code(), error).into())
    }

    /// Run a filter's phase for a whole body.
    async fn call_for_whole_body(
        &self,
        caller: CallContext<'_>,
        direction: Direction,
        call: BodyCall<'_>,
    ) -> Result<BodyVerdict, CallFailure> {
        let worker_filter = caller.worker_filter;
        let filter = worker_filter.filter();
        let out = match worker_filter.check_out() {
            Ok(out) => out,
            Err(not_now) => Box::pin(worker_filter.wait_if_busy(not_now)).await?,
        };
        if filter.runs_on_fiber_for_body(call.chunk.len()) {
            let is_request = direction == Direction::Request;
            let running = filter.on_body_on_fiber(caller, out, &self.exchange, call, is_request);
            return Box::pin(running).await;
        }
        self.call_body(direction, caller, out, call)
    }

    /// Call a filter's phase for a body.
    pub(super) fn call_body(
        &self,
        direction: Direction,
        caller: CallContext<'_>,
        out: CheckedOut,
        call: BodyCall<'_>,
    ) -> Result<BodyVerdict, CallFailure> {
        let is_request = direction == Direction::Request;
        self.call(caller, out, |filter, caller, out, exchange| {
            filter.on_body(caller, out, exchange, call, is_request)
        })
    }

    /// Remove the fields that described the body before filters edited it (RFC 9530 digests; RFC 9110,
    /// section 8.8.3 strong entity tags).
    pub(super) fn drop_body_headers(&self, direction: Direction) {
        self.exchange.with(|exchange| {
            let Some(headers) = direction.fields(exchange) else {
                return;
            };
            headers.remove(header::CONTENT_LENGTH);
            for digest in ["content-digest", "repr-digest", "digest", "content-md5"] {
                headers.remove(digest);
            }
            let strong = headers
                .get(header::ETAG)
                .is_some_and(|tag| !tag.as_bytes().starts_with(b"W/"));
            if strong {
                headers.remove(header::ETAG);
            }
        });
    }

    /// A whole body, with its trailers if it has some. The head names them (RFC 9110, section 6.6.2), since
    /// the connection sends no others.
    fn rebuild_body(
        &self,
        direction: Direction,
        chunk: Chunk,
        trailers: Option<HeaderMap>,
    ) -> Body {
        let Some(trailers) = trailers.filter(|trailers| !trailers.is_empty()) else {
            return chunk.into_bytes().into();
        };
        let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        if let Ok(names) = HeaderValue::try_from(names.join(", ")) {
            self.exchange.with(|exchange| {
                if let Some(headers) = direction.fields(exchange) {
                    headers.insert(header::TRAILER, names);
                }
            });
        }
        Body::Stream(Box::new(BufferedBodyStream::new(chunk, trailers)))
    }
}

/// A whole body that has trailers.
pub(crate) struct BufferedBodyStream {
    parts: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
}

impl BufferedBodyStream {
    /// This body, with these trailers.
    #[must_use]
    pub(crate) fn new(chunk: Chunk, trailers: HeaderMap) -> Self {
        Self {
            parts: chunk.into_parts().collect(),
            trailers: Some(trailers),
        }
    }
}

impl HttpBody for BufferedBodyStream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let data = self.parts.pop_front().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && self.trailers.is_none()
    }
}
