//! The admin listener: metrics, liveness, readiness, and the admin API.
//!
//! It has a thread and a runtime of its own and asks no worker, so a busy gateway still answers
//! its operator. [`serve`] accepts connections and [`tls`] has their certificate; [`envelope`]
//! surrounds every request; [`access`] decides who may do what; [`api`] serves keys, plans, usage
//! and upstreams. No client's request comes through here.

mod access;
mod api;
mod envelope;
mod metrics;
mod network;
mod problem;
mod serve;
mod tls;
mod write_timeout;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::build::ProcessResources;
use crate::config;
use crate::control::service::ControlService;
use crate::observe::exposition::{encode_open_metrics, encode_text};
use crate::observe::log_level::LogLevelSwitch;
use crate::proxy::gateway::Gateway;
use crate::runtime::sockets;
use crate::runtime::sockets::handover::{Duplicates, Predecessor};
use crate::runtime::worker_shared::WorkerShared;
use access::{Access, OperatorToken};
use envelope::AdminGuard;
use metrics::MetricsFormat;
use problem::ApiProblem;
use serve::{AdminTimeouts, ListeningSocket};

pub(crate) use tls::AdminTls;

/// The state of the running process that the admin listener shows and changes.
#[derive(Debug)]
pub(crate) struct Running {
    /// Resources that outlive a configuration.
    pub(crate) foundation: Arc<ProcessResources>,
    /// The gateway of the configuration in use.
    pub(crate) gateway: ArcSwap<Gateway>,
    /// The counters of each worker.
    pub(crate) workers: Vec<Arc<WorkerShared>>,
    pub(crate) draining: AtomicBool,
    /// Counts of reloads that succeeded and failed.
    pub(crate) reloads: Reloads,
    /// Lines of the access log that were lost.
    pub(crate) log_dropped: Arc<AtomicU64>,
    /// Lines of the gateway's own log that were lost.
    pub(crate) own_log_dropped: Arc<AtomicU64>,
    /// Changes the level of the gateway's own log.
    pub(crate) log_level: Arc<LogLevelSwitch>,
    /// The key and plan service, if storage is configured.
    pub(crate) service: Option<Arc<ControlService>>,
}

/// Counts of reloads, by result.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    /// The new configuration is in use.
    pub(crate) done: AtomicU64,
    /// The new configuration has errors, and the old one stays in use.
    pub(crate) refused: AtomicU64,
    last: Mutex<Option<LastReload>>,
}

/// The last reload, or the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastReload {
    /// When it ended.
    pub(crate) at: SystemTime,
    pub(crate) is_done: bool,
}

impl Reloads {
    /// Counts a reload that ends now.
    pub(crate) fn count(&self, is_done: bool) {
        let counter = match is_done {
            true => &self.done,
            false => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        *self.last.lock() = Some(LastReload {
            at: SystemTime::now(),
            is_done,
        });
    }

    /// The last one; none before the first.
    #[must_use]
    pub(crate) fn last(&self) -> Option<LastReload> {
        *self.last.lock()
    }
}

/// Why the admin listener does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(
        "cannot listen on {address} for `[admin]`: {cause}; choose another address, or stop what uses this one"
    )]
    Bind {
        address: SocketAddr,
        cause: io::Error,
    },
    /// The system gave no thread or no runtime.
    #[error("cannot start the admin listener's thread: {0}")]
    Thread(io::Error),
}

/// A bound admin listener.
#[derive(Debug)]
pub(crate) struct AdminListener {
    socket: TcpListener,
    pub(crate) address: SocketAddr,
    tokens: Vec<OperatorToken>,
    max_body: usize,
}

impl AdminListener {
    /// Binds the address of `[admin]`. The admin tokens refer to secrets of the configuration by
    /// name, so a reload brings new values into use.
    ///
    /// # Errors
    ///
    /// The address is in use or does not belong to this machine.
    pub(crate) fn bind(
        settings: &config::Admin,
        secrets: &[config::Secret],
        predecessor: &mut Predecessor,
    ) -> Result<Self, AdminError> {
        let address = settings.address;
        let fault = |cause| AdminError::Bind { address, cause };
        // A predecessor offers several sockets if the address was a listener's. No client of the
        // admin API is queued on the others.
        let mut sockets = sockets::open(address, 1, predecessor).map_err(fault)?;
        sockets.truncate(1);
        let socket = sockets.pop().ok_or(io::ErrorKind::NotFound.into());
        let socket = socket.map_err(fault)?;
        let bound = socket.local_addr().map_err(fault)?;
        let tokens = settings.tokens.iter().filter_map(|token| {
            let secret = secrets.get(token.secret)?;
            Some(OperatorToken {
                name: token.name.clone(),
                role: token.role,
                secret: secret.name.clone(),
            })
        });
        Ok(Self {
            socket,
            address: bound,
            tokens: tokens.collect(),
            max_body: usize::try_from(settings.max_body).unwrap_or(usize::MAX),
        })
    }

    /// Serves the listener on a thread of its own that ends with the process, in clear text if there is no TLS.
    ///
    /// # Errors
    ///
    /// The system gives no thread or no runtime.
    pub(crate) fn start(
        self,
        running: Arc<Running>,
        tls: Option<AdminTls>,
    ) -> Result<AdminStop, AdminError> {
        let address = self.address;
        let fault = |cause| AdminError::Bind { address, cause };
        sockets::listen(&self.socket).map_err(fault)?;
        let duplicate = self.socket.try_clone().map_err(fault)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(MAX_THREADS)
            .build()
            .map_err(AdminError::Thread)?;
        let local = self.address.ip().is_loopback();
        let routes = routes(running, self.tokens, self.max_body, local);
        let socket = self.socket;
        let (stop, stopped) = watch::channel(None);
        let (closed, is_closed) = sync_channel(1);
        let serve = move || {
            let listening = ListeningSocket {
                socket,
                stop: stopped,
                closed,
            };
            let served = serve::serve(listening, tls, routes, AdminTimeouts::DEFAULT);
            let served = runtime.block_on(served);
            if let Err(error) = served {
                tracing::error!(
                    "the admin listener ended: {error}; restart the gateway to have it back"
                );
            }
        };
        let thread = std::thread::Builder::new().name("windlass-admin".into());
        thread.spawn(serve).map_err(AdminError::Thread)?;
        Ok(AdminStop {
            address,
            duplicate: Some(duplicate),
            stop,
            is_closed,
        })
    }
}

/// Stops the admin listener before the process ends, so that a successor can have its address.
#[derive(Debug)]
pub(crate) struct AdminStop {
    pub(crate) address: SocketAddr,
    /// A duplicate of the listening socket, until `duplicate` takes it.
    duplicate: Option<TcpListener>,
    stop: watch::Sender<Option<QueueOwner>>,
    is_closed: Receiver<()>,
}

/// Says which process serves the clients that are still queued when the admin listener stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueOwner {
    /// This gateway accepts and answers them.
    ThisProcess,
    /// The successor has the socket and accepts them.
    Successor,
}

impl AdminStop {
    /// Takes the duplicate of the listening socket. Gives it only once.
    pub(crate) fn duplicate(&mut self) -> Duplicates {
        Duplicates {
            address: self.address,
            sockets: self.duplicate.take().into_iter().collect(),
        }
    }

    /// Accepts no new connection and closes idle ones; a request that has begun is answered.
    /// Returns when the address is free or belongs to the successor.
    pub(crate) fn stop(&self, queue: QueueOwner) {
        self.stop.send_replace(Some(queue));
        let _ = self.is_closed.recv_timeout(CLOSE_TIMEOUT);
    }
}

/// Longest wait of a stop for the socket to be closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Threads for blocking work: more than the semaphores of [`api`] admit at once.
const MAX_THREADS: usize = 16;

fn routes(
    running: Arc<Running>,
    tokens: Vec<OperatorToken>,
    max_body: usize,
    local: bool,
) -> Router {
    let gate = Arc::new(AdminGuard {
        running: Arc::clone(&running),
        access: Access::new(tokens),
    });
    let numbers = Router::new()
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(&running));
    let api = api::routes(Arc::clone(&running), max_body);
    let guarded =
        |routes: Router| routes.layer(from_fn_with_state(Arc::clone(&gate), envelope::guard));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(running)
        .merge(if local { numbers } else { guarded(numbers) })
        .merge(guarded(api))
        .fallback(async || ApiProblem::no_such_path())
        .layer(from_fn_with_state(
            Arc::<envelope::UnauthenticatedLog>::default(),
            envelope::envelope,
        ))
}

/// Answers 200 while the process lives.
async fn livez() -> &'static str {
    "ok\n"
}

/// Answers 200 if the process accepts requests and its key data is fresh.
async fn readyz(State(running): State<Arc<Running>>) -> Response {
    if running.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    let service = running.service.as_ref();
    if service.is_some_and(|service| !service.state().fresh) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stale keys\n").into_response();
    }
    "ok\n".into_response()
}

async fn metrics(State(running): State<Arc<Running>>, headers: HeaderMap) -> Response {
    let format = MetricsFormat::negotiate(&headers);
    let families = metrics::families(&running);
    let text = match format {
        MetricsFormat::Text => encode_text(&families),
        MetricsFormat::OpenMetrics => encode_open_metrics(&families),
    };
    let kind = (header::CONTENT_TYPE, format.content_type());
    ([kind, (header::VARY, "accept")], text).into_response()
}
