//! Connections of the operator's listener, plain or TLS.
//!
//! It promises that nobody holds the listener by doing nothing:
//! - no more than [`MAX_CONNECTIONS`] are open, and beyond that a new one waits in the system's
//!   queue; [`MAX_PER_NETWORK`] of them at the most are one [`network`](super::network)'s, and a
//!   further one of it is closed at once;
//! - who does not finish its handshake or a request's head, or does not take its answer, within
//!   the time of [`AdminTimeouts`] is closed.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::QueueOwner;
use super::envelope::RemoteAddress;
use super::network::NetworkPermits;
use super::tls::AdminTls;
use super::write_timeout::WriteTimeoutStream;
use crate::runtime::sockets;

/// Connections open at once.
const MAX_CONNECTIONS: usize = 256;

/// Those of one IPv4 address, or of one /64 of IPv6.
const MAX_PER_NETWORK: usize = 32;

/// After a socket could not be taken (no file handles are left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest head. Bytes.
const MAX_HEAD: usize = 32 * 1024;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdminTimeouts {
    /// From a connection to the end of its handshake.
    handshake: Duration,
    /// From there to the end of its first head.
    first_head: Duration,
    /// From the end of an answer to the end of the next head.
    next_head: Duration,
    /// For a client that takes nothing of its answer.
    write: Duration,
}

impl AdminTimeouts {
    /// What the operator's listener has.
    pub(crate) const DEFAULT: Self = Self {
        handshake: Duration::from_secs(5),
        first_head: Duration::from_secs(5),
        next_head: Duration::from_secs(30),
        write: Duration::from_secs(30),
    };
}

/// The listener's socket, and how it is closed.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    pub(crate) socket: TcpListener,
    /// Whether to take no more, and who has those that are queued then.
    pub(crate) stop: watch::Receiver<Option<QueueOwner>>,
    /// Is told when the socket is closed.
    pub(crate) closed: SyncSender<()>,
}

/// Serve connections until `stop` says so; then take what is queued, unless a successor does, and end
/// those that idle.
///
/// # Errors
/// The runtime does not take the socket.
pub(crate) async fn serve(
    listening: ListeningSocket,
    tls: Option<AdminTls>,
    routes: Router,
    patience: AdminTimeouts,
) -> io::Result<()> {
    let ListeningSocket {
        socket,
        stop,
        closed,
    } = listening;
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let open = ConnectionContext {
        permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        network_permits: NetworkPermits::new(MAX_PER_NETWORK),
        tls,
        routes,
        patience,
        stop,
    };
    let mut stop = open.stop.clone();
    loop {
        let next = async {
            let place = Arc::clone(&open.permits).acquire_owned().await;
            (place, socket.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            _ = stop.wait_for(Option::is_some) => break,
            next = next => next,
        };
        let place = place.map_err(io::Error::other)?;
        match accepted {
            Ok((stream, remote)) => open.serve(stream, remote, place),
            Err(error) => {
                tracing::debug!("the admin listener cannot take a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let socket = socket.into_std()?;
    if *stop.borrow() == Some(QueueOwner::ThisProcess) {
        sockets::close_queue(&socket);
        while let Ok(place) = Arc::clone(&open.permits).try_acquire_owned()
            && let Ok((stream, remote)) = socket.accept()
        {
            stream.set_nonblocking(true)?;
            open.serve(TcpStream::from_std(stream)?, remote, place);
        }
    }
    drop(socket);
    // Whoever asked may have stopped waiting.
    let _ = closed.try_send(());
    // What was asked is answered.
    let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
    let ended = open.permits.acquire_many(all).await;
    ended.map(drop).map_err(io::Error::other)
}

/// What connections need, and how many there may be.
struct ConnectionContext {
    permits: Arc<Semaphore>,
    network_permits: NetworkPermits,
    tls: Option<AdminTls>,
    routes: Router,
    patience: AdminTimeouts,
    stop: watch::Receiver<Option<QueueOwner>>,
}

impl ConnectionContext {
    fn serve(&self, stream: TcpStream, remote: SocketAddr, place: OwnedSemaphorePermit) {
        let Some(share) = self.network_permits.acquire(remote.ip()) else {
            tracing::debug!(%remote, "has {MAX_PER_NETWORK} connections to the admin API already");
            return;
        };
        let (tls, routes) = (self.tls.clone(), self.routes.clone());
        let (patience, stop) = (self.patience, self.stop.clone());
        tokio::spawn(async move {
            serve_connection(stream, remote, tls, routes, patience, stop).await;
            drop((place, share));
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<AdminTls>,
    routes: Router,
    patience: AdminTimeouts,
    stop: watch::Receiver<Option<QueueOwner>>,
) {
    // Answers are small: they are not to wait for one another.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return serve_requests(stream, remote, routes, patience, stop).await;
    };
    match timeout(patience.handshake, tls.accept(stream)).await {
        Ok(Ok(stream)) => serve_requests(stream, remote, routes, patience, stop).await,
        Ok(Err(error)) => tracing::debug!(%remote, "a handshake at the admin API failed: {error}"),
        Err(_) => tracing::debug!(%remote, "a handshake at the admin API took too long"),
    }
}

async fn serve_requests<S>(
    stream: S,
    remote: SocketAddr,
    routes: Router,
    patience: AdminTimeouts,
    mut stop: watch::Receiver<Option<QueueOwner>>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let routes = routes.layer(axum::Extension(RemoteAddress(remote)));
    let service = TowerToHyperService::new(routes);
    let has_asked = AtomicBool::new(false);
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        hyper::service::Service::call(&service, request.map(Body::new))
    });
    let stream = WriteTimeoutStream::new(stream, patience.write);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.next_head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let served = async {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = &mut connection => return ended,
            _ = stop.wait_for(Option::is_some) => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    let mut served = std::pin::pin!(served);
    let ended = match timeout(patience.first_head, &mut served).await {
        Ok(ended) => ended,
        Err(_) if has_asked.load(Ordering::Relaxed) => served.await,
        Err(_) => {
            return tracing::debug!(%remote, "asked nothing of the admin API in time");
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%remote, "a connection of the admin API ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;

    use super::*;

    /// Longer than any of these tests takes.
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    const PATIENT: AdminTimeouts = AdminTimeouts {
        handshake: LONG,
        first_head: LONG,
        next_head: LONG,
        write: LONG,
    };

    const ASK: &[u8] = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";

    /// A listener, for as long as `test` runs.
    fn with<F: Future<Output = ()>>(patience: AdminTimeouts, test: impl FnOnce(SocketAddr) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            let address = socket.local_addr().unwrap();
            let large = || async { "x".repeat(1 << 20) };
            let routes = Router::new()
                .route("/livez", get(|| async { "ok" }))
                .route("/large", get(large));
            // Never told to stop.
            let (_stop, stop) = watch::channel(None);
            let (closed, _) = std::sync::mpsc::sync_channel(1);
            let listening = ListeningSocket {
                socket,
                stop,
                closed,
            };
            tokio::select! {
                served = serve(listening, None, routes, patience) => served.unwrap(),
                done = timeout(LONG, test(address)) => done.expect("in time"),
            }
        });
    }

    async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(to).await.unwrap()
    }

    /// Nothing more comes.
    async fn is_closed(stream: &mut TcpStream) -> bool {
        let read = stream.read_to_end(&mut Vec::new()).await;
        read.map_or(true, |count| count == 0)
    }

    #[test]
    fn one_address_does_not_take_all_places() {
        with(PATIENT, async |to| {
            let mut idle = Vec::new();
            for _ in 0..MAX_PER_NETWORK {
                idle.push(connect([127, 0, 0, 1], to).await);
            }
            assert!(is_closed(&mut connect([127, 0, 0, 1], to).await).await);
            let mut other = connect([127, 0, 0, 2], to).await;
            other.write_all(ASK).await.unwrap();
            assert_eq!(other.read_u8().await.unwrap(), b'H');
            drop(idle.pop());
            // The gateway sees the end when it sees it.
            loop {
                let mut next = connect([127, 0, 0, 1], to).await;
                if next.write_all(ASK).await.is_ok() && next.read_u8().await.is_ok() {
                    break;
                }
            }
        });
    }

    #[test]
    fn who_asks_nothing_is_closed_early_and_who_has_asked_is_waited_for() {
        let patience = AdminTimeouts {
            first_head: SHORT,
            ..PATIENT
        };
        with(patience, async |to| {
            let mut asked = connect([127, 0, 0, 1], to).await;
            asked.write_all(ASK).await.unwrap();
            assert_eq!(asked.read_u8().await.unwrap(), b'H');
            let mut idle = connect([127, 0, 0, 1], to).await;
            assert!(is_closed(&mut idle).await);
            let mut slow = connect([127, 0, 0, 1], to).await;
            slow.write_all(&ASK[..9]).await.unwrap();
            assert!(is_closed(&mut slow).await);
            asked.write_all(ASK).await.unwrap();
            let mut rest = Vec::new();
            while rest.windows(4).filter(|it| it == b"HTTP").count() < 1 {
                assert!(
                    asked.read_buf(&mut rest).await.unwrap() > 0,
                    "it was closed"
                );
            }
        });
    }

    #[test]
    fn who_takes_no_answer_is_closed() {
        let patience = AdminTimeouts {
            write: SHORT,
            ..PATIENT
        };
        with(patience, async |to| {
            let mut greedy = connect([127, 0, 0, 1], to).await;
            let ask = b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n";
            // The gateway closes, and the system tells of what was never read.
            while greedy.write_all(ask).await.is_ok() {}
        });
    }
}
