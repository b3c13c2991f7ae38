//! Sends requests to a target and reads the answers, over pooled connections.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, USER_AGENT};
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::{TlsConnector, TlsStream};
use tower_service::Service;

use super::address::{is_literal, is_open};
use super::{CalloutAnswer, CalloutError, CalloutRequest};
use crate::config::Callout;
use crate::http::stream::Stream;
use crate::http::tls::HTTP2;

/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head of an answer. Bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How many idle connections to a target are kept.
const MAX_IDLE: usize = 64;

/// Sends requests to one target.
#[derive(Debug)]
pub(super) struct CalloutClient {
    client: legacy::Client<Connector, Full<Bytes>>,
    max_response: usize,
}

impl CalloutClient {
    pub(super) fn new(
        settings: &Callout,
        tls: Option<Arc<ClientConfig>>,
        runtime: &Handle,
    ) -> Self {
        let host = settings.url.host().unwrap_or_default();
        let connector = Connector {
            tls: tls.map(TlsConnector::from),
            allow_local: settings.allow_local || is_literal(host),
        };
        let mut builder = legacy::Client::builder(Executor(runtime.clone()));
        builder
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_buf_size(MAX_HEAD)
            .http2_max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
        Self {
            client: builder.build(connector),
            max_response: usize::try_from(settings.max_response).unwrap_or(usize::MAX),
        }
    }

    /// Sends a request, and waits for the complete answer.
    pub(super) async fn send(
        &self,
        request: CalloutRequest,
    ) -> Result<CalloutAnswer, CalloutError> {
        let mut request = request.into_http();
        let name = HeaderValue::from_static(concat!("windlass/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().entry(USER_AGENT).or_insert(name);
        let failed =
            |error: &dyn std::error::Error| CalloutError::Unreachable(causes(error).into());
        let response = self.client.request(request).await;
        let (parts, body) = response.map_err(|error| failed(&error))?.into_parts();
        let body = Limited::new(body, self.max_response).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                CalloutError::TooLarge
            } else {
                failed(&*error)
            }
        })?;
        check_status(parts.status)?;
        Ok(CalloutAnswer {
            status: parts.status,
            headers: end_to_end(parts.headers),
            body: body.to_bytes(),
        })
    }
}

/// Checks that filters may have this status: a final one of HTTP (RFC 9110, section 15). Otherwise
/// a filter that passes it on would fail, and a failing filter may be skipped.
fn check_status(status: StatusCode) -> Result<(), CalloutError> {
    match status.as_u16() {
        200..=599 => Ok(()),
        101 => Err(CalloutError::Unreachable("it switched protocols".into())),
        other => Err(CalloutError::Unreachable(
            format!("it answered with status {other}, which is not in 200 to 599").into(),
        )),
    }
}

/// The fields for the caller, without those of the connection (RFC 9110, section 7.6.1).
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    let named = headers.get_all(CONNECTION).iter();
    let named = named.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let named = named.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    for name in named.collect::<Vec<_>>() {
        headers.remove(name);
    }
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ] {
        headers.remove(name);
    }
    headers
}

/// An error and its causes, each once.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Runs the tasks of connections on the callout thread, whichever thread sends.
#[derive(Debug, Clone)]
struct Executor(Handle);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Opens connections.
#[derive(Clone)]
struct Connector {
    tls: Option<TlsConnector>,
    allow_local: bool,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("takes_local", &self.allow_local)
            .finish_non_exhaustive()
    }
}

type ConnectFuture = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = ConnectFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> ConnectFuture {
        let this = self.clone();
        Box::pin(async move { this.connect(&url).await })
    }
}

impl Connector {
    async fn connect(&self, url: &Uri) -> io::Result<TokioIo<Stream>> {
        let host = url.host().unwrap_or_default();
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let default = if self.tls.is_some() { 443 } else { 80 };
        let port = url.port_u16().unwrap_or(default);
        let socket = self.connect_tcp(host, port).await?;
        socket.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Stream::Clear(socket),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                let stream = tls.connect(name, socket).await?;
                Stream::Tls(Box::new(TlsStream::Client(stream)))
            }
        };
        Ok(TokioIo::new(stream))
    }

    /// Connects to the first of a name's addresses that accepts. The check comes after the
    /// look-up, so the checked address is the one that is used.
    async fn connect_tcp(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        let mut last = None;
        for address in found {
            if !self.allow_local && !is_open(address.ip()) {
                last = Some(io::Error::other(format!(
                    "its name leads to {}, an address of this machine or its cloud, which only a URL that names it \
                     literally may reach, or `allow_local = true`",
                    address.ip()
                )));
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => {
                    last = Some(io::Error::new(error.kind(), format!("{address}: {error}")));
                }
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("its name has no address")))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        if self.protocol() == Some(HTTP2) {
            Connected::new().negotiated_h2()
        } else {
            Connected::new()
        }
    }
}
