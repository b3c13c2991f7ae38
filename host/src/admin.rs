//! The operator's listener: numbers, liveness, readiness.
//!
//! Its own thread and runtime: whatever is asked here, no worker is asked. On loopback only; the
//! admin API for keys and plans will live beside these routes.

mod metrics;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::gateway::{Foundation, Gateway};
use crate::worker::Common;

/// What the operator's side knows of the running process.
#[derive(Debug)]
pub struct Running {
    /// What outlives configurations.
    pub foundation: Arc<Foundation>,
    /// The configuration in use.
    pub gateway: ArcSwap<Gateway>,
    /// What the workers count.
    pub workers: Vec<Arc<Common>>,
    /// Whether the process is draining.
    pub draining: AtomicBool,
    /// Reloads that were put in use, and that were refused.
    pub reloads: Reloads,
    /// Lines of the access log that were dropped.
    pub log_dropped: Arc<AtomicU64>,
}

/// How reloads went.
#[derive(Debug, Default)]
pub struct Reloads {
    /// Put in use.
    pub done: AtomicU64,
    /// Refused: the configuration has errors.
    pub refused: AtomicU64,
}

/// Why the admin listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address.
    #[error(
        "cannot listen on {address} for `[admin]`: {cause}; choose another address, or stop what uses this one"
    )]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
    /// The thread or its runtime.
    #[error("cannot start the admin listener's thread: {0}")]
    Thread(std::io::Error),
}

/// A bound admin listener.
#[derive(Debug)]
pub struct Admin {
    socket: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Bind it.
    ///
    /// # Errors
    ///
    /// The address is in use or not one of this machine.
    pub fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        let socket = TcpListener::bind(address);
        let socket = socket.map_err(|cause| AdminError::Bind { address, cause })?;
        let bound = socket.local_addr();
        let bound = bound.map_err(|cause| AdminError::Bind { address, cause })?;
        let blocking = socket.set_nonblocking(true);
        blocking.map_err(|cause| AdminError::Bind { address, cause })?;
        Ok(Self {
            socket,
            address: bound,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serve it, on a thread of its own that ends with the process.
    ///
    /// # Errors
    ///
    /// The system gives no thread or runtime.
    pub fn start(self, running: Arc<Running>) -> Result<(), AdminError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AdminError::Thread)?;
        let routes = Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state(running);
        let socket = self.socket;
        let serve = move || {
            runtime.block_on(async move {
                let served = match tokio::net::TcpListener::from_std(socket) {
                    Ok(socket) => axum::serve(socket, routes).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!("the admin listener ended: {error}");
                }
            });
        };
        let thread = std::thread::Builder::new().name("windlass-admin".into());
        thread.spawn(serve).map_err(AdminError::Thread)?;
        Ok(())
    }
}

/// The process lives.
async fn livez() -> &'static str {
    "ok\n"
}

/// The process takes requests.
async fn readyz(State(running): State<Arc<Running>>) -> Response {
    if running.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ok\n".into_response()
}

async fn metrics(State(running): State<Arc<Running>>) -> Response {
    match crate::observe::metrics::encode(metrics::families(&running)) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
