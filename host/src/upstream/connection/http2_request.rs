//! One request and its response on a stream of an HTTP/2 connection to an endpoint.
//!
//! [`super::http2`] opens the stream, and [`super::upload`] sends the body. The task that sent
//! the request waits for the head of the response itself, without a task between. Interim responses are
//! passed on in order, before that head. A request that is dropped before the head resets its stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;

use super::endpoint_body::{EndpointBody, StreamBody};
use super::interim::{InterimResponse, MAX_PER_REQUEST};
use super::stream_io::StreamIo;
use super::upload::Upload;
use super::{SendFailure, SendOutcome};
use crate::http::body::Body;
use crate::runtime::tasks::TaskGuard;

/// A stream for a request, and the body that is to be sent on it.
type OpenedStream = (ResponseFuture, SendStream<Bytes>, Body);

/// Send a request, which is as [`to_http2`] makes it, and wait for the head of its response. `open` opens the
/// stream; its second argument says whether nothing follows the head. `inform` gets the interim responses that
/// come before.
pub(super) async fn send(
    mut request: Request<Body>,
    open: impl AsyncFnOnce(Request<Body>, bool) -> Result<OpenedStream, SendFailure>,
    mut inform: impl FnMut(InterimResponse),
) -> SendOutcome {
    let connects = request.method() == Method::CONNECT;
    let has_body = !request.body().is_end_stream();
    set_length(&mut request);
    let (mut response, stream, body) = open(request, !has_body && !connects).await?;
    let mut stream = Some(stream);
    let upload = match stream.take_if(|_| has_body) {
        Some(stream) => Upload::new(stream, body).start(),
        None => TaskGuard::default(),
    };
    let mut count = 0;
    let response = poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            let (parts, ()) = interim.into_parts();
            let (status, headers) = (parts.status, parts.headers);
            count += 1;
            // `100` is the gateway's own, and there is no `101` in HTTP/2 (RFC 9113 section 8.6).
            if count <= MAX_PER_REQUEST && status > StatusCode::SWITCHING_PROTOCOLS {
                inform(InterimResponse { status, headers });
            }
        }
        Pin::new(&mut response).poll(cx)
    })
    .await?;
    upload.detach();
    let (parts, received) = response.into_parts();
    let incoming = match stream.filter(|_| connects) {
        Some(stream) if parts.status.is_success() => {
            EndpointBody::Tunnel(Box::new(StreamIo::new(stream, received)))
        }
        _ => EndpointBody::Http2(StreamBody::new(received, &parts.headers)),
    };
    Ok(Response::from_parts(parts, incoming))
}

/// Set the length of a body if it is certain, also of an empty one if the method may have one
/// (RFC 9110 section 8.6).
fn set_length(request: &mut Request<Body>) {
    let may_have = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::DELETE | Method::CONNECT
    );
    let length = request.body().size_hint().exact();
    if let Some(length) = length.filter(|length| *length > 0 || may_have) {
        let fields = request.headers_mut().entry(CONTENT_LENGTH);
        fields.or_insert_with(|| HeaderValue::from(length));
    }
}

/// Turn a request of HTTP/1.1 into one of HTTP/2: the host is part of the target, and no field concerns the
/// connection (RFC 9113 section 8.2.2).
pub(super) fn to_http2(request: &mut Request<Body>, secure: bool) -> http::Result<()> {
    let headers = request.headers_mut();
    let host = headers.remove(HOST);
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(UPGRADE);
    let host = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::try_from(host)?);
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
    }
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.version_mut() = http::Version::HTTP_2;
    Ok(())
}

/// The way back, for a request that was not sent.
pub(crate) fn to_http1(request: &mut Request<Body>) {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    if let Some(authority) = &parts.authority
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    let target = parts.path_and_query;
    *request.uri_mut() = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    *request.version_mut() = http::Version::HTTP_11;
    // hyper says the length of a body that it knows.
    let body = request.body();
    if !body.is_empty() && body.size_hint().exact().is_none() {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    if request.headers().contains_key(TE) {
        let option = HeaderValue::from_static("te");
        request.headers_mut().insert(CONNECTION, option);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_finds_its_way_to_http2_and_back() {
        let mut request = Request::new(Body::Empty);
        *request.uri_mut() = Uri::from_static("/a?b");
        for (name, value) in [(HOST, "h:1"), (TE, "trailers"), (CONNECTION, "te")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        to_http2(&mut request, true).unwrap();
        assert_eq!(request.uri(), "https://h:1/a?b");
        assert!(!request.headers().contains_key(HOST));
        assert!(!request.headers().contains_key(CONNECTION));
        to_http1(&mut request);
        assert_eq!(request.uri(), "/a?b");
        assert_eq!(request.headers()[HOST], "h:1");
        assert_eq!(request.headers()[CONNECTION], "te");
    }

    #[test]
    fn a_host_that_is_none_is_an_error() {
        let mut request = Request::new(Body::Empty);
        assert!(to_http2(&mut request, false).is_err());
    }
}
