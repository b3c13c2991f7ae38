//! Making connections to endpoints.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http1;
use tokio::net::TcpStream;

use super::connection::Connection;
use super::fault::Fault;
use super::io::EndpointIo;
use super::record::Record;
use super::shared::Shared;
use super::{EndpointPlan, Plan};
use crate::config::UpstreamProtocol;
use crate::stream::Stream;
use crate::tls::HTTP2;

/// The smallest buffer that hyper takes. Bytes.
const MIN_BUFFER: usize = 8 * 1024;
/// How much of a body hyper gathers before it waits. Bytes.
const BODY_BUFFER: usize = 128 * 1024;

/// A connection, as the protocol has it.
#[derive(Debug)]
pub enum Connected {
    /// One request at a time.
    One(Connection),
    /// Many.
    Many(Rc<Shared>),
}

/// Connect to an endpoint: to each of its addresses in turn, its TLS handshake included, within
/// this time. `http1`: nothing else is wanted, whatever the upstream's `protocol`.
///
/// # Errors
///
/// No address took the connection, or not in time, or the two do not agree on TLS.
pub async fn connect(
    plan: &Plan,
    endpoint: &EndpointPlan,
    limit: Duration,
    http1: bool,
) -> Result<Connected, Fault> {
    let opening = open(plan, endpoint, http1);
    let stream = match tokio::time::timeout(limit, opening).await {
        Ok(stream) => stream?,
        Err(_) => return Err(timed_out(endpoint, limit)),
    };
    let protocol = match http1 {
        true => UpstreamProtocol::Http1,
        false => plan.config.protocol,
    };
    let many = match (stream.is_tls(), protocol) {
        (_, UpstreamProtocol::Http1) | (false, UpstreamProtocol::Auto) => false,
        (false, UpstreamProtocol::Http2) => true,
        (true, UpstreamProtocol::Auto) => stream.protocol() == Some(HTTP2),
        (true, UpstreamProtocol::Http2) if stream.protocol() == Some(HTTP2) => true,
        (true, UpstreamProtocol::Http2) => {
            return Err(Fault::Tls {
                endpoint: endpoint.name.to_string(),
                cause: io::Error::other("it does not offer HTTP/2 (ALPN `h2`)"),
            });
        }
    };
    let closed = |cause| Fault::Closed {
        endpoint: endpoint.name.to_string(),
        cause,
    };
    if many {
        let shared = Shared::new(stream, plan.config.max_head).await;
        return shared.map(Connected::Many).map_err(closed);
    }
    let record = Record::default();
    let (sender, drive) = http1::Builder::new()
        .max_header_size(plan.config.max_head)
        .max_buf_size(plan.config.max_head.max(BODY_BUFFER).max(MIN_BUFFER))
        .handshake(EndpointIo::new(stream, record.clone()))
        .await
        .map_err(closed)?;
    Ok(Connected::One(Connection::new(sender, drive, record)))
}

async fn open(plan: &Plan, endpoint: &EndpointPlan, http1: bool) -> Result<Stream, Fault> {
    let socket = first_of(&endpoint.addresses).await;
    let socket = socket.map_err(|cause| Fault::Connect {
        endpoint: endpoint.name.to_string(),
        cause,
    })?;
    let Some(tls) = &plan.tls else {
        return Ok(Stream::Clear(socket));
    };
    let stream = tls.connect(&endpoint.name, socket, http1).await;
    stream.map_err(|cause| Fault::Tls {
        endpoint: endpoint.name.to_string(),
        cause,
    })
}

async fn first_of(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn timed_out(endpoint: &EndpointPlan, limit: Duration) -> Fault {
    Fault::ConnectTimeout {
        endpoint: endpoint.name.to_string(),
        milliseconds: limit.as_millis(),
    }
}
