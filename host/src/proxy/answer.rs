//! The answer as the connection gets it: a head with its framing, a body with its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::Run;
use crate::body::{Body, BodyError};
use crate::config::Redirect;
use crate::context::{BasePath, ResponseHead};
use crate::error::{Code, RequestError};
use crate::upstream::headers;

/// `${path}` and `${query}` stand for the request's own; the path is what the client knows it by,
/// with what stands before the API's paths.
pub fn redirection(
    redirect: &Redirect,
    base: Option<&BasePath>,
    target: &PathAndQuery,
) -> Result<ResponseHead, RequestError> {
    let query = target.query().map(|query| format!("?{query}"));
    let base = base.map_or("", |base| &base.path);
    let path = format!("{base}{}", target.path());
    let to = redirect
        .to
        .replace("${path}", &path)
        .replace("${query}", query.as_deref().unwrap_or_default());
    let location =
        HeaderValue::try_from(to).map_err(|error| RequestError::caused(Code::Internal, error))?;
    Ok(ResponseHead {
        status: redirect.status,
        headers: HeaderMap::from_iter([(LOCATION, location)]),
    })
}

/// Put the answer together.
pub(super) fn respond(run: Run, body: Body) -> Response<Answer> {
    let (status, mut headers, is_head, id) = run.held.with(|exchange| {
        let (status, headers) = match &mut exchange.response {
            Some(head) if run.keeps_response() => (head.status, head.headers.clone()),
            Some(head) => (head.status, std::mem::take(&mut head.headers)),
            None => (Code::Internal.status(), HeaderMap::new()),
        };
        let is_head = exchange.request.method == Method::HEAD;
        (status, headers, is_head, headers::request_id(exchange))
    });
    headers.insert(&headers::REQUEST_ID, id);
    let watch = &run.connection.watch;
    if run.connection.worker.draining.get() || watch.is_body_abandoned() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let body = if is_head {
        if let (false, Some(size)) = (body.is_empty(), body.size_hint().exact()) {
            headers.insert(CONTENT_LENGTH, size.into());
        }
        Body::Empty
    } else {
        body
    };
    run.connection.stats().answered(status);
    let mut response = Response::new(Answer { body, run });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// An answer's body. With its end, or when it is dropped, the exchange is finished.
#[derive(Debug)]
pub struct Answer {
    body: Body,
    run: Run,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.run.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Poll::Ready(None) => this.run.ended = true,
            Poll::Ready(Some(Err(error))) => {
                let id = this.run.held.with(|exchange| exchange.id);
                tracing::debug!(request = id.as_str(), %error, "an answer was cut");
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.run.ended |= self.body.is_end_stream();
    }
}
