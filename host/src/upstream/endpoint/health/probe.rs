//! Asking one endpoint whether it is well.
//!
//! Promises: one answer within the time-out, whatever the endpoint does; no more of a body is read
//! than can matter; a reason that an operator understands, without what the endpoint said. The
//! connection is made for the question and closed after it, so that a full or stale pool says
//! nothing about the endpoint. Deliberately not here: what follows from the answer.

use std::convert::Infallible;
use std::pin::pin;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use prost::Message as _;

use crate::config::{HealthCheck, HttpCheck, Probe};

/// The most of an answer's body that is looked at. Bytes.
const MAX_BODY: usize = 64 * 1024;
/// The most of an answer's head. Bytes; what hyper takes at least.
const MAX_HEAD: usize = 16 * 1024;
/// Who asks.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("windlass/", env!("CARGO_PKG_VERSION")));
/// `SERVING` of `grpc.health.v1.HealthCheckResponse.ServingStatus`.
const SERVING: i32 = 1;
/// `NOT_SERVING` of it.
const NOT_SERVING: i32 = 2;

/// How an endpoint is reached.
pub(crate) trait Reach {
    /// A connection to it.
    type Io: Read + Write + Unpin + Send + 'static;

    /// Connect, TLS included.
    fn connect(&self) -> impl Future<Output = Result<Self::Io, String>>;

    /// What goes as `host`, where the check names none.
    fn host(&self) -> &HeaderValue;

    /// Whether it speaks HTTP/2 only.
    fn is_http2(&self) -> bool;

    /// Whether it is reached over TLS.
    fn is_tls(&self) -> bool;
}

/// Ask an endpoint, within the check's time-out.
///
/// # Errors
///
/// Why it is not well.
pub(crate) async fn run_check(check: &HealthCheck, endpoint: &impl Reach) -> Result<(), String> {
    let asking = async {
        let io = endpoint.connect().await?;
        match &check.probe {
            Probe::Tcp => Ok(()),
            Probe::Http(wanted) => http(wanted, endpoint, io).await,
            Probe::Grpc(service) => grpc(service, endpoint, io).await,
        }
    };
    match tokio::time::timeout(check.timeout, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} ms", check.timeout.as_millis())),
    }
}

async fn http<E: Reach>(wanted: &HttpCheck, endpoint: &E, io: E::Io) -> Result<(), String> {
    let target: Uri = wanted
        .path
        .parse()
        .map_err(|_| "the path is none".to_owned())?;
    let host = match &wanted.host {
        Some(host) => HeaderValue::from_str(host).map_err(|_| "the host is none".to_owned())?,
        None => endpoint.host().clone(),
    };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = wanted.method.clone();
    request.headers_mut().insert(USER_AGENT, AGENT);
    let exchange = async {
        if endpoint.is_http2() {
            *request.uri_mut() = absolute(endpoint, &host, &target)?;
            *request.version_mut() = Version::HTTP_2;
            answer_http2(io, request, |response| good(wanted, response)).await
        } else {
            *request.uri_mut() = target;
            request.headers_mut().insert(HOST, host);
            let close = HeaderValue::from_static("close");
            request.headers_mut().insert(CONNECTION, close);
            let (mut sender, drive) = http1::Builder::new()
                .max_buf_size(MAX_HEAD)
                .handshake(io)
                .await
                .map_err(describe)?;
            let answer = async {
                let response = sender.send_request(request).await.map_err(describe)?;
                good(wanted, response).await
            };
            driven(drive, answer).await
        }
    };
    exchange.await
}

/// What an answer says.
async fn good(wanted: &HttpCheck, response: Response<Incoming>) -> Result<(), String> {
    let status = response.status().as_u16();
    if !wanted.expect.holds(status) {
        return Err(format!("status {status}"));
    }
    let Some(text) = &wanted.body else {
        return Ok(());
    };
    let body = beginning(response.into_body(), MAX_BODY).await?;
    match memchr::memmem::find(&body, text.as_bytes()) {
        Some(_) => Ok(()),
        None => Err(format!(
            "status {status}, and the body lacks what it must contain"
        )),
    }
}

/// As much of a body as may be looked at.
async fn beginning(body: Incoming, most: usize) -> Result<Vec<u8>, String> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(describe)?.into_data() {
            let room = most - bytes.len();
            bytes.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            if bytes.len() == most {
                break;
            }
        }
    }
    Ok(bytes)
}

/// [The gRPC health protocol](https://github.com/grpc/grpc/blob/master/doc/health-checking.md):
/// one call of `grpc.health.v1.Health/Check`.
async fn grpc<E: Reach>(service: &str, endpoint: &E, io: E::Io) -> Result<(), String> {
    let target = Uri::from_static("/grpc.health.v1.Health/Check");
    let mut request = Request::new(Full::new(Bytes::from(message(service))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = absolute(endpoint, endpoint.host(), &target)?;
    *request.version_mut() = Version::HTTP_2;
    let fields = request.headers_mut();
    fields.insert(USER_AGENT, AGENT);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(TE, HeaderValue::from_static("trailers"));
    answer_http2(io, request, is_serving).await
}

async fn is_serving(response: Response<Incoming>) -> Result<(), String> {
    let status = response.status().as_u16();
    if status != 200 {
        return Err(format!("status {status}"));
    }
    let code = |fields: &http::HeaderMap| {
        let code = fields.get("grpc-status")?.to_str().ok()?;
        (code != "0").then(|| format!("gRPC status {}", code.escape_debug()))
    };
    if let Some(failed) = code(response.headers()) {
        return Err(failed);
    }
    let mut body = pin!(response.into_body());
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(describe)?;
        if let Some(failed) = frame.trailers_ref().and_then(code) {
            return Err(failed);
        }
        if let Ok(data) = frame.into_data()
            && bytes.len() + data.len() <= MAX_BODY
        {
            bytes.extend_from_slice(&data);
        }
    }
    match serving_status(&bytes) {
        Some(SERVING) => Ok(()),
        Some(NOT_SERVING) => Err("it says that it is not serving".to_owned()),
        Some(_) | None => Err("it does not say that it is serving".to_owned()),
    }
}

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    /// A `ServingStatus`.
    #[prost(int32, tag = "1")]
    status: i32,
}

/// A request as gRPC frames it: not compressed, with its length before it.
fn message(service: &str) -> Vec<u8> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let length = u32::try_from(request.encoded_len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], &request.encode_to_vec()].concat()
}

/// The status in a response as gRPC frames it; 0 where it is left out.
fn serving_status(message: &[u8]) -> Option<i32> {
    let (head, message) = message.split_at_checked(5)?;
    if head.first() != Some(&0) {
        return None;
    }
    let response = HealthCheckResponse::decode(message).ok()?;
    Some(response.status)
}

/// A target with scheme and authority, as HTTP/2 wants it.
fn absolute(endpoint: &impl Reach, host: &HeaderValue, target: &Uri) -> Result<Uri, String> {
    let scheme = if endpoint.is_tls() { "https" } else { "http" };
    let target = target
        .path_and_query()
        .map_or("/", |target| target.as_str());
    Uri::builder()
        .scheme(scheme)
        .authority(host.as_bytes())
        .path_and_query(target)
        .build()
        .map_err(|_| "the host is none".to_owned())
}

async fn answer_http2<B, I, A>(
    io: I,
    request: Request<B>,
    answer: impl FnOnce(Response<Incoming>) -> A,
) -> Result<(), String>
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
    I: Read + Write + Unpin + Send + 'static,
    A: Future<Output = Result<(), String>>,
{
    let (mut sender, drive) = http2::Builder::new(hyper_util::rt::TokioExecutor::new())
        .max_header_list_size(16 * 1024)
        .handshake(io)
        .await
        .map_err(describe)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(describe)?;
        answer(response).await
    };
    driven(drive, answer).await
}

/// Wait for an answer while its connection moves.
async fn driven(
    drive: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    let mut drive = pin!(drive);
    let mut answer = pin!(answer);
    let mut ended = false;
    std::future::poll_fn(|cx| {
        if !ended {
            ended = drive.as_mut().poll(cx).is_ready();
        }
        answer.as_mut().poll(cx)
    })
    .await
}

/// What hyper says, without what the endpoint said.
fn describe(error: hyper::Error) -> String {
    if error.is_parse() || error.is_parse_too_large() {
        return "what it answers is not HTTP".to_owned();
    }
    match std::error::Error::source(&error) {
        Some(cause) if cause.is::<std::io::Error>() => format!("the connection broke: {cause}"),
        Some(_) | None => format!("the connection broke: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_health_protocol() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = message(&"x".repeat(300));
        assert_eq!(long.get(..8), Some(&[0, 0, 0, 1, 47, 0x0a, 0xac, 0x02][..]));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 2]), Some(2));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(
            serving_status(&[0, 0, 0, 0, 4, 0x12, 0, 8, 1]),
            Some(SERVING)
        );
        for broken in [
            &[][..],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 9, 1],
        ] {
            assert_eq!(serving_status(broken), None, "{broken:?}");
        }
    }
}
