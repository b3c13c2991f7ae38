//! The way of a health check to an endpoint: as requests go, over a connection of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::health::probe::Reach;
use crate::config::{HealthCheck, Probe, UpstreamProtocol};
use crate::http::stream::Stream;
use crate::upstream::connection::tls::EndpointTls;
use crate::upstream::endpoint_set::{UpstreamEndpoint, authority};
use crate::upstream::shared::Upstream;

/// An endpoint, for its checks.
#[derive(Debug)]
pub(crate) struct CheckTarget {
    address: SocketAddr,
    configured: Arc<str>,
    host: HeaderValue,
    tls: Option<EndpointTls>,
    /// Whether only HTTP/1.1 is offered.
    http1: bool,
}

impl CheckTarget {
    /// As this plan reaches it; at another port where its checks say so.
    #[must_use]
    pub(crate) fn new(plan: &Upstream, endpoint: &UpstreamEndpoint) -> Self {
        let mut address = endpoint.state.address;
        if let Some(port) = plan.config.health.as_ref().and_then(|check| check.port) {
            address.set_port(port);
        }
        let is_grpc = matches!(
            plan.config.health,
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
        let host = HeaderValue::from_str(authority(&asked, plan.check_tls.is_some()));
        Self {
            address,
            configured: Arc::clone(&endpoint.configured),
            host: host.unwrap_or_else(|_| endpoint.host.clone()),
            tls: plan.check_tls.clone(),
            http1: !is_grpc && plan.config.protocol != UpstreamProtocol::Http2,
        }
    }
}

impl Reach for CheckTarget {
    type Io = TokioIo<Stream>;

    async fn connect(&self) -> Result<Self::Io, String> {
        let socket = TcpStream::connect(self.address).await;
        let socket = socket.map_err(|error| format!("no connection: {error}"))?;
        let Some(tls) = &self.tls else {
            return Ok(TokioIo::new(Stream::Clear(socket)));
        };
        let stream = tls.connect(&self.configured, socket, self.http1).await;
        stream
            .map(TokioIo::new)
            .map_err(|error| format!("no TLS: {error}"))
    }

    fn host(&self) -> &HeaderValue {
        &self.host
    }

    fn is_http2(&self) -> bool {
        !self.http1
    }

    fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}
