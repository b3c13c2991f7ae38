//! How a check reaches an endpoint: as requests do, by a connection of its own.

use std::net::SocketAddr;

use http::HeaderValue;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::health::probe::Reach;
use super::plan::{EndpointPlan, Plan};

/// An endpoint, for its checks.
#[derive(Debug)]
pub struct Reached {
    address: SocketAddr,
    host: HeaderValue,
}

impl Reached {
    /// As this plan reaches it; at another port where its checks say so.
    #[must_use]
    pub fn of(plan: &Plan, endpoint: &EndpointPlan) -> Self {
        let mut address = endpoint.known.address;
        if let Some(port) = plan.config.health.as_ref().and_then(|check| check.port) {
            address.set_port(port);
        }
        Self {
            address,
            host: endpoint.host.clone(),
        }
    }
}

impl Reach for Reached {
    type Io = TokioIo<TcpStream>;

    async fn connect(&self) -> Result<Self::Io, String> {
        let stream = TcpStream::connect(self.address).await;
        stream
            .map(TokioIo::new)
            .map_err(|error| format!("no connection: {error}"))
    }

    fn host(&self) -> &HeaderValue {
        &self.host
    }

    fn is_http2(&self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        false
    }
}
