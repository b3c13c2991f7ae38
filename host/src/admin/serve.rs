//! Connections of the operator's listener, plain or TLS.
//!
//! It promises that a connection that does not finish its handshake or a request's head in time
//! is closed, and that no more than [`MOST_CONNECTIONS`] are open: beyond that a new one waits in
//! the system's queue.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::envelope::Remote;
use crate::tls::{self, TlsError};

/// Connections open at once.
const MOST_CONNECTIONS: usize = 256;

/// From a connection to the end of its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// From the first byte of a head to its end, and between two requests.
const HEAD: Duration = Duration::from_secs(30);

/// After a socket could not be taken (no file handles are left).
const PAUSE: Duration = Duration::from_millis(100);

/// The largest head. Bytes.
const MAX_HEAD: usize = 32 * 1024;

/// A certificate with its key, ready for handshakes.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl Tls {
    /// From two PEM files: TLS 1.2 and 1.3, HTTP/1.1.
    ///
    /// # Errors
    /// A file cannot be read, or the two do not fit.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = tls::server(certificate, key, &[tls::HTTP1])?;
        Ok(Self(TlsAcceptor::from(config)))
    }
}

/// Serve connections for as long as the process lives.
///
/// # Errors
/// The runtime does not take the socket.
pub async fn serve(socket: TcpListener, tls: Option<Tls>, routes: Router) -> io::Result<()> {
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let (stream, remote) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("the admin listener cannot take a connection: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (tls, routes) = (tls.clone(), routes.clone());
        tokio::spawn(async move {
            connection(stream, remote, tls, routes).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, remote: SocketAddr, tls: Option<Tls>, routes: Router) {
    // Answers are small: they are not to wait for one another.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return requests(stream, remote, routes).await;
    };
    match tokio::time::timeout(HANDSHAKE, tls.0.accept(stream)).await {
        Ok(Ok(stream)) => requests(stream, remote, routes).await,
        Ok(Err(error)) => tracing::debug!(%remote, "a handshake at the admin API failed: {error}"),
        Err(_) => tracing::debug!(%remote, "a handshake at the admin API took too long"),
    }
}

async fn requests<S>(stream: S, remote: SocketAddr, routes: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let routes = routes.layer(axum::Extension(Remote(remote)));
    let service = TowerToHyperService::new(routes);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        hyper::service::Service::call(&service, request.map(Body::new))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%remote, "a connection of the admin API ended: {error}");
    }
}
