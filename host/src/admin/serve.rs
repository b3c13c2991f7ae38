//! Connections of the admin listener, plain or TLS.
//!
//! It promises that no client can occupy the listener by doing nothing:
//! - at most [`MAX_CONNECTIONS`] are open, and a further one waits in the system's queue; at most
//!   [`MAX_PER_NETWORK`] of them belong to one [`network`](super::network), and a further one of
//!   it is closed at once;
//! - a client that does not finish its handshake or a request's head, or does not read its answer,
//!   within the time of [`AdminTimeouts`] is disconnected.

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

const MAX_CONNECTIONS: usize = 256;

/// Connections open at once from one IPv4 address or one IPv6 /64.
const MAX_PER_NETWORK: usize = 32;

/// Pause after an accept that failed because no file handle was left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest head. Bytes.
const MAX_HEAD: usize = 32 * 1024;

/// How long the admin listener waits for a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdminTimeouts {
    /// From the connection to the end of the handshake.
    handshake: Duration,
    /// From the handshake to the end of the first head.
    first_head: Duration,
    /// From the end of an answer to the end of the next head.
    next_head: Duration,
    /// For a client that reads nothing of its answer.
    write: Duration,
}

impl AdminTimeouts {
    /// The timeouts in production; tests use shorter ones.
    pub(crate) const DEFAULT: Self = Self {
        handshake: Duration::from_secs(5),
        first_head: Duration::from_secs(5),
        next_head: Duration::from_secs(30),
        write: Duration::from_secs(30),
    };
}

/// The listener's socket, and the channels that close it.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    pub(crate) socket: TcpListener,
    /// Tells the loop to accept no more, and who owns the queued connections then.
    pub(crate) stop: watch::Receiver<Option<QueueOwner>>,
    /// Receives a message when the socket is closed.
    pub(crate) closed: SyncSender<()>,
}

/// Serves connections until `stop` says so. Then it accepts what is queued, unless a successor
/// does, and closes idle connections.
///
/// # Errors
///
/// The runtime rejects the socket.
pub(crate) async fn serve(
    listening: ListeningSocket,
    tls: Option<AdminTls>,
    routes: Router,
    timeouts: AdminTimeouts,
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
        timeouts,
        stop,
    };
    let mut stop = open.stop.clone();
    loop {
        let next = async {
            let permit = Arc::clone(&open.permits).acquire_owned().await;
            (permit, socket.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            _ = stop.wait_for(Option::is_some) => break,
            next = next => next,
        };
        let permit = permit.map_err(io::Error::other)?;
        match accepted {
            Ok((stream, remote)) => open.serve(stream, remote, permit),
            Err(error) => {
                tracing::debug!("the admin listener could not accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let socket = socket.into_std()?;
    if *stop.borrow() == Some(QueueOwner::ThisProcess) {
        sockets::close_queue(&socket);
        while let Ok(permit) = Arc::clone(&open.permits).try_acquire_owned()
            && let Ok((stream, remote)) = socket.accept()
        {
            stream.set_nonblocking(true)?;
            open.serve(TcpStream::from_std(stream)?, remote, permit);
        }
    }
    drop(socket);
    // The receiver may have given up.
    let _ = closed.try_send(());
    // Requests that have begun are answered.
    let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
    let ended = open.permits.acquire_many(all).await;
    ended.map(drop).map_err(io::Error::other)
}

/// The limits and services that connections share.
#[derive(Clone)]
struct ConnectionContext {
    permits: Arc<Semaphore>,
    network_permits: NetworkPermits,
    tls: Option<AdminTls>,
    routes: Router,
    timeouts: AdminTimeouts,
    stop: watch::Receiver<Option<QueueOwner>>,
}

impl ConnectionContext {
    fn serve(&self, stream: TcpStream, remote: SocketAddr, permit: OwnedSemaphorePermit) {
        let Some(share) = self.network_permits.acquire(remote.ip()) else {
            tracing::debug!(%remote, "closed: its network has {MAX_PER_NETWORK} admin connections already");
            return;
        };
        let context = self.clone();
        tokio::spawn(async move {
            context.serve_connection(stream, remote).await;
            drop((permit, share));
        });
    }

    async fn serve_connection(self, stream: TcpStream, remote: SocketAddr) {
        // Answers are small; Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.serve_requests(stream, remote).await;
        };
        match timeout(self.timeouts.handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve_requests(stream, remote).await,
            Ok(Err(error)) => {
                tracing::debug!(%remote, "a handshake at the admin API failed: {error}");
            }
            Err(_) => tracing::debug!(%remote, "a handshake at the admin API took too long"),
        }
    }

    async fn serve_requests<S>(self, stream: S, remote: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (timeouts, mut stop) = (self.timeouts, self.stop);
        let routes = self.routes.layer(axum::Extension(RemoteAddress(remote)));
        let service = TowerToHyperService::new(routes);
        let has_asked = AtomicBool::new(false);
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            has_asked.store(true, Ordering::Relaxed);
            hyper::service::Service::call(&service, request.map(Body::new))
        });
        let stream = WriteTimeoutStream::new(stream, timeouts.write);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeouts.next_head)
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
        let ended = match timeout(timeouts.first_head, &mut served).await {
            Ok(ended) => ended,
            Err(_) if has_asked.load(Ordering::Relaxed) => served.await,
            Err(_) => {
                return tracing::debug!(%remote, "closed: the client sent no admin request in time");
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%remote, "an admin connection ended: {error}");
        }
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

    /// Serves a listener for as long as `test` runs.
    fn with<F: Future<Output = ()>>(timeouts: AdminTimeouts, test: impl FnOnce(SocketAddr) -> F) {
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
            // Never stopped.
            let (_stop, stop) = watch::channel(None);
            let (closed, _) = std::sync::mpsc::sync_channel(1);
            let listening = ListeningSocket {
                socket,
                stop,
                closed,
            };
            tokio::select! {
                served = serve(listening, None, routes, timeouts) => served.unwrap(),
                done = timeout(LONG, test(address)) => done.expect("in time"),
            }
        });
    }

    async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(to).await.unwrap()
    }

    /// Nothing more arrives.
    async fn is_closed(stream: &mut TcpStream) -> bool {
        let read = stream.read_to_end(&mut Vec::new()).await;
        read.map_or(true, |count| count == 0)
    }

    #[test]
    fn one_address_does_not_take_all_permits() {
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
            // The gateway sees the close at some later moment.
            loop {
                let mut next = connect([127, 0, 0, 1], to).await;
                if next.write_all(ASK).await.is_ok() && next.read_u8().await.is_ok() {
                    break;
                }
            }
        });
    }

    #[test]
    fn a_silent_client_is_closed_early_and_one_that_has_asked_may_idle() {
        let timeouts = AdminTimeouts {
            first_head: SHORT,
            ..PATIENT
        };
        with(timeouts, async |to| {
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
    fn a_client_that_reads_no_answer_is_closed() {
        let timeouts = AdminTimeouts {
            write: SHORT,
            ..PATIENT
        };
        with(timeouts, async |to| {
            let mut greedy = connect([127, 0, 0, 1], to).await;
            let ask = b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n";
            // The gateway closes, and the system reports the data that was never read.
            while greedy.write_all(ask).await.is_ok() {}
        });
    }
}
