//! Making connections to endpoints.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::client::conn::http1;
use tokio::net::TcpStream;

use super::connection::Connection;
use super::fault::Fault;
use super::io::EndpointIo;
use super::record::Record;
use super::{EndpointPlan, Plan};

/// The smallest buffer that hyper takes. Bytes.
const MIN_BUFFER: usize = 8 * 1024;
/// How much of a body hyper gathers before it waits. Bytes.
const BODY_BUFFER: usize = 128 * 1024;

/// Connect to an endpoint, within the upstream's time-out.
///
/// # Errors
///
/// It took no connection, or not in time.
pub async fn connect(plan: &Plan, endpoint: &EndpointPlan) -> Result<Connection, Fault> {
    let limit = plan.config.connect_timeout;
    let stream = match tokio::time::timeout(limit, connect_to(endpoint.known.address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(cause)) => return Err(failed(endpoint, cause)),
        Err(_) => return Err(timed_out(endpoint, limit)),
    };
    let record = Record::default();
    let (sender, drive) = http1::Builder::new()
        .max_header_size(plan.config.max_head)
        .max_buf_size(plan.config.max_head.max(BODY_BUFFER).max(MIN_BUFFER))
        .handshake(EndpointIo::new(stream, record.clone()))
        .await
        .map_err(|cause| Fault::Closed {
            endpoint: endpoint.known.name.to_string(),
            cause,
        })?;
    Ok(Connection::new(sender, drive, record))
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn failed(endpoint: &EndpointPlan, cause: io::Error) -> Fault {
    Fault::Connect {
        endpoint: endpoint.known.name.to_string(),
        cause,
    }
}

fn timed_out(endpoint: &EndpointPlan, limit: Duration) -> Fault {
    Fault::ConnectTimeout {
        endpoint: endpoint.known.name.to_string(),
        milliseconds: limit.as_millis(),
    }
}
