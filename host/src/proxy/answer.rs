//! The answer as the connection gets it: a head with its framing, a body with its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, LOCATION, SEC_WEBSOCKET_ACCEPT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper_util::rt::TokioIo;

use super::{Run, Slot, Tunnel};
use crate::body::{Body, BodyError};
use crate::config::Redirect;
use crate::context::{BasePath, Exchange, ResponseHead};
use crate::error::{Code, RequestError, Words};
use crate::upstream::attempt::upgrade::{Taken, Upgrade};
use crate::upstream::headers;

/// `${path}` and `${query}` stand for the request's own; the path is what the client knows it by,
/// with what stands before the API's paths.
pub fn redirection(
    redirect: &Redirect,
    base: Option<&BasePath>,
    target: &PathAndQuery,
) -> Result<ResponseHead, RequestError> {
    let base = base.map_or("", |base| &base.path);
    let mut to = String::with_capacity(redirect.to.len() + base.len() + target.as_str().len());
    let mut rest = &*redirect.to;
    // In one pass: what the client sent is not looked at for variables.
    while let Some((before, after)) = rest.split_once("${") {
        to.push_str(before);
        rest = match after.split_once('}') {
            Some(("path", after)) => {
                to.push_str(base);
                to.push_str(target.path());
                after
            }
            Some(("query", after)) => {
                if let Some(query) = target.query() {
                    to.push('?');
                    to.push_str(query);
                }
                after
            }
            Some(_) | None => {
                to.push_str("${");
                after
            }
        };
    }
    to.push_str(rest);
    let location =
        HeaderValue::try_from(to).map_err(|error| RequestError::caused(Code::Internal, error))?;
    Ok(ResponseHead {
        status: redirect.status,
        headers: HeaderMap::from_iter([(LOCATION, location)]),
    })
}

/// Put the answer together.
pub(super) fn respond(mut run: Run, mut body: Body, slot: &Slot) -> Response<Answer> {
    if let Some(upgrade) = run.upgrade.take() {
        match tunnel(&mut run, &upgrade) {
            Some(taken) => return switch(run, &upgrade, taken, slot),
            // hyper would take any success for an agreement.
            None if upgrade.is_stream() && run.held.with(|exchange| is_success(exchange)) => {
                body = run.refuse(&Code::UpstreamProtocol.into(), &Words::default());
            }
            None => {}
        }
    }
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
    let last = run.connection.worker.draining.get() || watch.is_body_abandoned();
    // HTTP/2 says such things of the connection itself, and ends each request by itself.
    if last && !run.connection.is_shared() {
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
    let run = Some(run);
    let mut response = Response::new(Answer {
        body,
        run,
        broken: false,
    });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn is_success(exchange: &Exchange) -> bool {
    let head = exchange.response.as_ref();
    head.is_some_and(|head| head.status.is_success())
}

/// The endpoint's side, if the request becomes a tunnel: the endpoint has agreed, and no filter
/// answered otherwise.
fn tunnel(run: &mut Run, upgrade: &Upgrade) -> Option<Taken> {
    let taken = upgrade.taken.borrow_mut().take()?;
    let status = run
        .held
        .with(|exchange| exchange.response.as_ref().map(|head| head.status));
    (status == Some(StatusCode::SWITCHING_PROTOCOLS)).then_some(taken)
}

/// Say that it was agreed on; what comes after the answer passes through a tunnel.
fn switch(run: Run, upgrade: &Upgrade, taken: Taken, slot: &Slot) -> Response<Answer> {
    let (mut headers, id) = run.held.with(|exchange| {
        let headers = exchange.response.as_ref().map(|head| head.headers.clone());
        (headers.unwrap_or_default(), headers::request_id(exchange))
    });
    headers.insert(&headers::REQUEST_ID, id);
    let mut response = Response::new(Answer {
        body: Body::Empty,
        run: None,
        broken: false,
    });
    run.connection
        .stats()
        .answered(StatusCode::SWITCHING_PROTOCOLS);
    let tunnel = Tunnel { run, taken };
    if let Some(stream) = upgrade.stream.borrow_mut().take() {
        // RFC 8441 section 5: a success says it all.
        headers.remove(SEC_WEBSOCKET_ACCEPT);
        tokio::task::spawn_local(async move {
            match stream.await {
                Ok(stream) => tunnel.pass(TokioIo::new(stream), Bytes::new()).await,
                Err(error) => tracing::debug!(%error, "an upgraded stream is gone"),
            }
        });
    } else {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        upgrade.say(&mut headers);
        *slot.borrow_mut() = Some(Box::new(tunnel));
    }
    *response.headers_mut() = headers;
    response
}

/// An answer's body. With its end, or when it is dropped, the exchange is finished.
#[derive(Debug)]
pub struct Answer {
    body: Body,
    /// The exchange; none where it goes on as a tunnel.
    run: Option<Run>,
    /// Whether it breaks off, once what came before is written.
    broken: bool,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(run) = &mut this.run else {
            return Poll::Ready(None);
        };
        if this.broken {
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
        run.connection.watch.piece_wanted();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                run.connection.watch.piece_given();
                run.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                run.ended = true;
                Poll::Ready(None)
            }
            // hyper throws away what it has not written yet, the head too, when a body fails. While
            // the body has nothing to say it writes.
            Poll::Ready(Some(Err(error))) => {
                run.broke(&error);
                this.broken = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
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
        // hyper drops a body when its length is written, also one of HTTP/2 that has its end to come.
        let is_whole = self.body.is_end_stream() || self.body.size_hint().exact() == Some(0);
        let ended = is_whole && !self.broken;
        if let Some(run) = &mut self.run {
            run.ended |= ended;
        }
    }
}
