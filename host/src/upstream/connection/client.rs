//! Makes connections to endpoints: TCP, TLS, and the protocol's handshake.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::head::{ExchangeHeads, HeadReader};
use super::http1::Http1Connection;
use super::http2::Http2Connection;
use super::io::EndpointTap;
use super::wake_gate::WakeGate;
use crate::config::UpstreamProtocol;
use crate::http::proxy_protocol;
use crate::http::proxy_protocol::ProxiedRoute;
use crate::http::stream::Stream;
use crate::http::tap::TappedIo;
use crate::http::tls::HTTP2;
use crate::runtime::descriptors;
use crate::upstream::endpoint::state::ConnectionPermit;
use crate::upstream::fault::AttemptError;
use crate::upstream::{LocalEndpoint, Upstream};

/// How much of a body hyper buffers before it waits. Bytes; more than the least that it accepts (8 KiB).
const BODY_BUFFER: usize = 128 * 1024;

/// TCP keep-alive of an idle connection: when the system probes it, and how often. A connection that the
/// network dropped is closed before a request goes out on it.
const KEEPALIVE_TIME: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// A connection, as the protocol has it.
#[derive(Debug)]
pub(crate) enum NewConnection {
    /// HTTP/1.1: one request at a time.
    Http1(Http1Connection),
    /// HTTP/2: many requests at once.
    Http2(Rc<Http2Connection>),
}

/// Connect to an endpoint, its TLS handshake included, within this time. The permit is released
/// when the socket is closed. `http1`: nothing else is wanted, whatever the upstream's `protocol`.
/// `proxied`: the client that the PROXY protocol names, if the upstream has it.
///
/// # Errors
///
/// It took no connection, or not in time, or the two do not agree on TLS.
pub(crate) async fn connect(
    upstream: &Upstream,
    endpoint: &LocalEndpoint,
    permit: ConnectionPermit,
    limit: Duration,
    http1: bool,
    proxied: Option<ProxiedRoute>,
) -> Result<NewConnection, AttemptError> {
    let step = Cell::new("connection to");
    match tokio::time::timeout(
        limit,
        connect_unbounded(upstream, endpoint, permit, http1, proxied, &step),
    )
    .await
    {
        Ok(connected) => connected,
        Err(_) => Err(AttemptError::ConnectTimeout {
            endpoint: endpoint.name.to_string(),
            step: step.get(),
            milliseconds: limit.as_millis(),
        }),
    }
}

async fn connect_unbounded(
    upstream: &Upstream,
    endpoint: &LocalEndpoint,
    permit: ConnectionPermit,
    http1: bool,
    proxied: Option<ProxiedRoute>,
    step: &Cell<&'static str>,
) -> Result<NewConnection, AttemptError> {
    let stream = open(upstream, endpoint, http1, proxied, step).await?;
    if is_http2(upstream, endpoint, &stream, http1)? {
        step.set("first word of HTTP/2 (SETTINGS) from");
        let freed = Rc::clone(&endpoint.pool.connected);
        let shared = Http2Connection::new(stream, upstream.config.max_head, permit, freed).await;
        let failed = |cause: h2::Error| AttemptError::of_exchange(&endpoint.name, cause.into());
        return shared.map(NewConnection::Http2).map_err(failed);
    }
    let heads = Arc::<ExchangeHeads>::default();
    let config = &upstream.config;
    let reader = HeadReader::new(Arc::clone(&heads), config.max_head, config.max_headers);
    let gate = WakeGate::default();
    let tap = EndpointTap::new(reader, gate.signal(), permit);
    let (sender, driver) = http1::Builder::new()
        .max_header_size(config.max_head)
        .max_buf_size(config.max_head.max(BODY_BUFFER))
        .handshake(TokioIo::new(TappedIo { stream, tap }))
        .await
        .map_err(|cause| AttemptError::Closed {
            endpoint: endpoint.name.to_string(),
            cause: cause.into(),
        })?;
    let mut connection = Http1Connection::new(sender, driver, gate, heads);
    connection.proxied = proxied.map(Box::new);
    Ok(NewConnection::Http1(connection))
}

/// Whether this connection speaks HTTP/2.
fn is_http2(
    upstream: &Upstream,
    endpoint: &LocalEndpoint,
    stream: &Stream,
    http1: bool,
) -> Result<bool, AttemptError> {
    let protocol = if http1 {
        UpstreamProtocol::Http1
    } else {
        upstream.config.protocol
    };
    match (stream.is_tls(), protocol) {
        (_, UpstreamProtocol::Http1) | (false, UpstreamProtocol::Auto) => Ok(false),
        (false, UpstreamProtocol::Http2) => Ok(true),
        (true, UpstreamProtocol::Auto) => Ok(stream.protocol() == Some(HTTP2)),
        (true, UpstreamProtocol::Http2) if stream.protocol() == Some(HTTP2) => Ok(true),
        (true, UpstreamProtocol::Http2) => Err(AttemptError::Tls {
            endpoint: endpoint.name.to_string(),
            cause: io::Error::other("it does not offer HTTP/2 (ALPN `h2`)"),
        }),
    }
}

async fn open(
    upstream: &Upstream,
    endpoint: &LocalEndpoint,
    http1: bool,
    proxied: Option<ProxiedRoute>,
    step: &Cell<&'static str>,
) -> Result<Stream, AttemptError> {
    let refused = |cause| {
        let endpoint = endpoint.name.to_string();
        if descriptors::is_file_limit_error(&cause) {
            AttemptError::Descriptors { endpoint }
        } else {
            AttemptError::Connect { endpoint, cause }
        }
    };
    let mut socket = connect_to(endpoint.state.address).await.map_err(refused)?;
    if let Some(version) = upstream.config.proxy_protocol {
        let header = proxy_protocol::encode(version, proxied);
        socket.write_all(&header).await.map_err(refused)?;
    }
    let Some(tls) = &upstream.tls else {
        return Ok(Stream::Clear(socket));
    };
    step.set("TLS handshake with");
    let stream = tls.connect(&endpoint.configured, socket, http1).await;
    stream.map_err(|cause| AttemptError::Tls {
        endpoint: endpoint.name.to_string(),
        cause,
    })
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    descriptors::check_for_endpoint(&socket)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let probes = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(&stream).set_tcp_keepalive(&probes)?;
    Ok(stream)
}
