//! Checks whether one endpoint is healthy.
//!
//! Promises: one answer within the time-out, whatever the endpoint does; no more of a body is read
//! than can matter; a reason that an operator understands, without the endpoint's own words. A check
//! reaches the endpoint as requests do, over a connection of its own, so that a full or stale pool says
//! nothing about the endpoint. Deliberately not here: the effect of the result.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::config::{HealthCheck, HttpCheck, Probe, UpstreamProtocol};
use crate::http::proxy_protocol;
use crate::http::stream::Stream;
use crate::upstream::connection::tls::EndpointTls;
use crate::upstream::endpoint_set::{UpstreamEndpoint, authority};
use crate::upstream::shared::Upstream;

/// The most of an answer's body that is looked at. Bytes.
const MAX_BODY: usize = 64 * 1024;
/// The most of an answer's head. Bytes; what hyper takes at least.
const MAX_HEAD: usize = 16 * 1024;
/// The `User-Agent` of checks.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("windlass/", env!("CARGO_PKG_VERSION")));
/// `SERVING` of `grpc.health.v1.HealthCheckResponse.ServingStatus`.
const SERVING: i32 = 1;
/// `NOT_SERVING` of it.
const NOT_SERVING: i32 = 2;

/// An endpoint, for its checks.
#[derive(Debug)]
pub(crate) struct CheckTarget {
    address: SocketAddr,
    configured: Arc<str>,
    host: HeaderValue,
    tls: Option<EndpointTls>,
    /// Whether only HTTP/1.1 is offered.
    http1: bool,
    /// The header of the PROXY protocol for a connection without a client; empty without that protocol.
    header: Vec<u8>,
}

impl CheckTarget {
    /// As this upstream reaches it; at another port if its checks say so.
    #[must_use]
    pub(crate) fn new(upstream: &Upstream, endpoint: &UpstreamEndpoint) -> Self {
        let mut address = endpoint.state.address;
        let port = upstream.config.health.as_ref().and_then(|check| check.port);
        if let Some(port) = port {
            address.set_port(port);
        }
        let protocol = upstream.config.proxy_protocol;
        let header = protocol
            .filter(|_| port.is_none())
            .map(|version| proxy_protocol::encode(version, None));
        let is_grpc = matches!(
            upstream.config.health,
            Some(HealthCheck {
                probe: Probe::Grpc(_),
                ..
            })
        );
        // Checks may be asked at another port, and over another scheme.
        let configured = &*endpoint.configured;
        let name = configured
            .rsplit_once(':')
            .map_or(configured, |(name, _)| name);
        let asked = format!("{name}:{}", address.port());
        let host = HeaderValue::from_str(authority(&asked, upstream.check_tls.is_some()));
        Self {
            address,
            configured: Arc::clone(&endpoint.configured),
            host: host.unwrap_or_else(|_| endpoint.host.clone()),
            tls: upstream.check_tls.clone(),
            http1: !is_grpc && upstream.config.protocol != UpstreamProtocol::Http2,
            header: header.unwrap_or_default(),
        }
    }

    async fn connect(&self) -> Result<TokioIo<Stream>, String> {
        let socket = TcpStream::connect(self.address).await;
        let mut socket = socket.map_err(|error| format!("no connection: {error}"))?;
        let told = socket.write_all(&self.header).await;
        told.map_err(|error| format!("the connection broke: {error}"))?;
        let Some(tls) = &self.tls else {
            return Ok(TokioIo::new(Stream::Clear(socket)));
        };
        let stream = tls.connect(&self.configured, socket, self.http1).await;
        stream
            .map(TokioIo::new)
            .map_err(|error| format!("no TLS: {error}"))
    }
}

/// Ask an endpoint, within the check's time-out.
///
/// # Errors
///
/// Why it is not well.
pub(crate) async fn run_check(check: &HealthCheck, endpoint: &CheckTarget) -> Result<(), String> {
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

async fn http(
    wanted: &HttpCheck,
    endpoint: &CheckTarget,
    io: TokioIo<Stream>,
) -> Result<(), String> {
    let target: Uri = wanted
        .path
        .parse()
        .map_err(|_| "the path is none".to_owned())?;
    let host = match &wanted.host {
        Some(host) => HeaderValue::from_str(host).map_err(|_| "the host is none".to_owned())?,
        None => endpoint.host.clone(),
    };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = wanted.method.clone();
    request.headers_mut().insert(USER_AGENT, AGENT);
    let exchange = async {
        if endpoint.http1 {
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
        } else {
            *request.uri_mut() = absolute(endpoint, &host, &target)?;
            *request.version_mut() = Version::HTTP_2;
            answer_http2(io, request, async |response| good(wanted, response).await).await
        }
    };
    exchange.await
}

/// The result that an answer gives.
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
async fn grpc(service: &str, endpoint: &CheckTarget, io: TokioIo<Stream>) -> Result<(), String> {
    let target = Uri::from_static("/grpc.health.v1.Health/Check");
    let mut request = Request::new(Full::new(Bytes::from(message(service))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = absolute(endpoint, &endpoint.host, &target)?;
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
fn absolute(endpoint: &CheckTarget, host: &HeaderValue, target: &Uri) -> Result<Uri, String> {
    let scheme = if endpoint.tls.is_some() {
        "https"
    } else {
        "http"
    };
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

async fn answer_http2<B>(
    io: TokioIo<Stream>,
    request: Request<B>,
    answer: impl AsyncFnOnce(Response<Incoming>) -> Result<(), String>,
) -> Result<(), String>
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    let (mut sender, drive) = http2::Builder::new(TokioExecutor::new())
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

/// The error of hyper, without any text of the endpoint.
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
