//! The response as the connection gets it: a head with its framing, and a body with its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, LOCATION, SEC_WEBSOCKET_ACCEPT, TRAILER, TRANSFER_ENCODING,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper_util::rt::TokioIo;

use super::{RunningExchange, Tunnel, TunnelSlot};
use crate::config::{HttpsRedirect, Redirect};
use crate::error::{Code, ErrorFormat, RequestError};
use crate::exchange::{BasePath, Exchange};
use crate::http::body::{Body, add_to_size};
use crate::http::body_error::{BodyError, FramePoll};
use crate::http::headers::REQUEST_ID;
use crate::model::head::ResponseHead;
use crate::upstream::dispatch::upgrade::{Upgrade, UpgradedConnection};

/// Replace `${path}` and `${query}` by the request's own. The path is the client's, with the base path of
/// the API.
pub(crate) fn redirection(
    redirect: &Redirect,
    base: Option<&BasePath>,
    target: &PathAndQuery,
) -> Result<ResponseHead, RequestError> {
    let base = base.map_or("", |base| &base.path);
    let mut to = String::with_capacity(redirect.to.len() + base.len() + target.as_str().len());
    let mut rest = &*redirect.to;
    // In one pass: variables in the client's own text are not replaced.
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
    let location = HeaderValue::try_from(to)
        .map_err(|error| RequestError::with_source(Code::Internal, error))?;
    Ok(ResponseHead {
        status: redirect.status,
        headers: HeaderMap::from_iter([(LOCATION, location)]),
    })
}

/// The redirect of a listener to HTTPS: the same host, path and query. None for a request that came over HTTPS to a
/// proxy in front.
pub(super) fn https_redirection(
    redirect: HttpsRedirect,
    exchange: &Exchange,
) -> Result<Option<ResponseHead>, RequestError> {
    let head = &exchange.request;
    // `OPTIONS *` is about the gateway itself.
    if exchange.client.scheme == Scheme::HTTPS || !head.target.path().starts_with('/') {
        return Ok(None);
    }
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    let host = host.ok_or(Code::BadHost)?;
    let target = head.target.as_str();
    let to = match redirect.port {
        443 => format!("https://{}{target}", host.host()),
        port => format!("https://{}:{port}{target}", host.host()),
    };
    let location = HeaderValue::try_from(to)
        .map_err(|error| RequestError::with_source(Code::BadHost, error))?;
    Ok(Some(ResponseHead {
        status: redirect.status,
        headers: HeaderMap::from_iter([(LOCATION, location)]),
    }))
}

/// Make the response for the connection.
pub(super) fn respond(
    mut run: RunningExchange,
    mut body: Body,
    slot: &TunnelSlot,
) -> Response<ResponseBody> {
    run.connection.watch.exchange.takes_interim.set(false);
    run.connection.watch.exempt_body_from_rate();
    if let Some(upgrade) = run.upgrade.take() {
        match take_tunnel(&mut run, &upgrade) {
            Some(taken) => return answer_upgrade(run, &upgrade, taken, slot),
            // hyper would treat any success as a switch of protocols.
            None if upgrade.is_stream() && run.exchange.with(|exchange| is_success(exchange)) => {
                body = run.refuse(&Code::UpstreamProtocol.into(), &ErrorFormat::default());
            }
            None => {}
        }
    }
    let (status, mut headers, is_head, is_https, id) = run.exchange.with(|exchange| {
        let (status, headers) = match &mut exchange.response {
            Some(head) if run.keeps_response() => (head.status, head.headers.clone()),
            Some(head) => (head.status, std::mem::take(&mut head.headers)),
            None => (Code::Internal.status(), HeaderMap::new()),
        };
        let is_head = exchange.request.method == Method::HEAD;
        let is_https = exchange.client.scheme == Scheme::HTTPS;
        (
            status,
            headers,
            is_head,
            is_https,
            exchange.id.value().clone(),
        )
    });
    let fields = &run.generation.gateway.response_fields;
    fields.complete(&mut headers, is_https);
    headers.insert(&REQUEST_ID, id);
    let body = frame(status, is_head, &mut headers, body);
    let watch = &run.connection.watch;
    let last = run.connection.worker.draining.get()
        || watch.draining()
        || watch.is_body_left()
        || (run.is_http10 && ends_by_closing(&body));
    // HTTP/2 has frames for this, and each request ends by itself.
    if last && !run.connection.is_shared() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // hyper adds `keep-alive` to an HTTP/1.1 response if an HTTP/1.0 client asked for it.
    let version = if last && run.is_http10 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    run.connection.stats().answered(status);
    let mut response = Response::new(ResponseBody::new(body, Some(run)));
    *response.status_mut() = status;
    *response.version_mut() = version;
    *response.headers_mut() = headers;
    response
}

/// Frame the response: no content if the method or the status has none, and no field that describes content
/// that a `GET` would not get (RFC 9110 sections 6.4.1 and 8.6).
fn frame(status: StatusCode, is_head: bool, headers: &mut HeaderMap, body: Body) -> Body {
    let has_content = !matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if !has_content {
        // A filter may have set this status on a response that had content.
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER] {
            headers.remove(name);
        }
        return Body::Empty;
    }
    if !is_head {
        return body;
    }
    if let (false, Some(size)) = (body.is_empty(), body.size_hint().exact()) {
        headers.insert(CONTENT_LENGTH, size.into());
    }
    Body::Empty
}

/// Whether an HTTP/1.0 client, which cannot read chunks, finds the end of this body only by the end of the
/// connection (RFC 9112 section 6.3).
fn ends_by_closing(body: &Body) -> bool {
    !body.is_end_stream() && body.size_hint().exact().is_none()
}

fn is_success(exchange: &Exchange) -> bool {
    let head = exchange.response.as_ref();
    head.is_some_and(|head| head.status.is_success())
}

/// The endpoint's side, if the request becomes a tunnel: the endpoint agreed, and no filter replaced the
/// response.
fn take_tunnel(run: &mut RunningExchange, upgrade: &Upgrade) -> Option<UpgradedConnection> {
    let taken = upgrade.upgraded.borrow_mut().take()?;
    let status = run
        .exchange
        .with(|exchange| exchange.response.as_ref().map(|head| head.status));
    (status == Some(StatusCode::SWITCHING_PROTOCOLS)).then_some(taken)
}

/// Confirm the switch; the bytes after the response pass through a tunnel.
fn answer_upgrade(
    run: RunningExchange,
    upgrade: &Upgrade,
    taken: UpgradedConnection,
    slot: &TunnelSlot,
) -> Response<ResponseBody> {
    let (mut headers, id) = run.exchange.with(|exchange| {
        let headers = exchange.response.as_ref().map(|head| head.headers.clone());
        (headers.unwrap_or_default(), exchange.id.value().clone())
    });
    headers.insert(&REQUEST_ID, id);
    let mut response = Response::new(ResponseBody::new(Body::Empty, None));
    run.connection
        .stats()
        .answered(StatusCode::SWITCHING_PROTOCOLS);
    let tunnel = Tunnel {
        exchange: run,
        endpoint: taken,
    };
    if let Some(stream) = upgrade.stream.borrow_mut().take() {
        // RFC 8441 section 5: a success confirms the switch.
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

/// The largest chunk that a shared connection gets at once: its frame (RFC 9113, section 4.2). The connection
/// takes a whole chunk once the client's window has a byte, and a chunk that it has taken has no timeout.
const MAX_CHUNK: usize = 16 * 1024;

/// A response's body. Its end, or its drop, finishes the exchange.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    body: Body,
    /// The rest of the last frame of `body`.
    rest: Bytes,
    /// The exchange; none if it goes on as a tunnel.
    exchange: Option<RunningExchange>,
    /// Whether it breaks off, once what came before is written.
    broken: bool,
}

impl ResponseBody {
    fn new(body: Body, exchange: Option<RunningExchange>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            exchange,
            broken: false,
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll {
        let this = &mut *self;
        let Some(run) = &mut this.exchange else {
            return Poll::Ready(None);
        };
        if this.broken {
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
        run.connection.watch.end_chunk_write();
        let polled = if this.rest.is_empty() {
            Pin::new(&mut this.body).poll_frame(cx)
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest)))))
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = if run.connection.is_shared() {
                    split_chunk(frame, &mut this.rest)
                } else {
                    frame
                };
                let length = frame.data_ref().map_or(0, Bytes::len);
                run.connection.watch.begin_chunk_write(length);
                run.sent += length as u64;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                run.ended = true;
                Poll::Ready(None)
            }
            // If a body fails, hyper discards the bytes that it has not written yet, even the head. It writes
            // them while the body is pending.
            Poll::Ready(Some(Err(error))) => {
                run.break_off(&error);
                this.broken = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        add_to_size(&self.body.size_hint(), self.rest.len() as u64)
    }
}

/// The first piece of a frame; the others are left.
fn split_chunk(frame: Frame<Bytes>, rest: &mut Bytes) -> Frame<Bytes> {
    match frame.into_data() {
        Ok(mut data) => {
            if data.len() > MAX_CHUNK {
                *rest = data.split_off(MAX_CHUNK);
            }
            Frame::data(data)
        }
        Err(frame) => frame,
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // hyper drops a body when its length is written, even over HTTP/2, where its end is still to come.
        let is_whole = self.is_end_stream() || self.size_hint().exact() == Some(0);
        let ended = is_whole && !self.broken;
        if let Some(run) = &mut self.exchange {
            run.ended |= ended;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest of the length, and whether anything of the body is left.
    fn framed(status: u16, is_head: bool, length: Option<u64>, body: Body) -> (Option<u64>, bool) {
        let status = StatusCode::from_u16(status).unwrap();
        let length = length.map(|length| (CONTENT_LENGTH, length.into()));
        let mut headers = HeaderMap::from_iter(length);
        let body = frame(status, is_head, &mut headers, body);
        let length = headers.get(CONTENT_LENGTH);
        let length = length.map(|length| length.to_str().unwrap().parse().unwrap());
        (length, !body.is_empty())
    }

    #[test]
    fn rfc9110_8_6_a_status_without_content_has_no_length_and_no_body() {
        let body = || Body::Full(Bytes::from_static(b"four"));
        for status in [204, 205, 304] {
            for is_head in [false, true] {
                assert_eq!(framed(status, is_head, Some(4), body()), (None, false));
            }
        }
        assert_eq!(framed(200, false, None, body()), (None, true));
    }

    #[test]
    fn rfc9110_9_3_2_head_has_the_length_of_the_same_get() {
        let body = Body::Full(Bytes::from_static(b"four"));
        assert_eq!(framed(200, true, None, body), (Some(4), false));
        assert_eq!(framed(200, true, Some(9), Body::Empty), (Some(9), false));
        assert_eq!(framed(404, true, None, Body::Empty), (None, false));
    }
}
