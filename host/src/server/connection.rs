//! Stop 2: one client connection, from its first byte to its last.
//!
//! hyper reads the heads and writes the responses. This task polls it, and acts on the [`Watch`]: a
//! head that takes too long is answered with 408, an idle connection closes, a stalled write is cut,
//! and a drain makes the present response the last. A connection that begins with the HTTP/2 preface
//! goes to [`super::http2`]. The meaning of a request is in [`super::head`] and [`crate::proxy`].

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client_connections::ClientBound;
use super::client_io::{ClientIo, ClientTap};
use super::proxied::{self, ProxyHeaderRule};
use super::{client_io, handshake, head, http2, refusal};
use crate::config::Listener;
use crate::error::Code;
use crate::http::stream::Stream;
use crate::http::tap::TappedIo;
use crate::http::tls::HTTP2;
use crate::http::tls::live::LiveTls;
use crate::http::watch::{ConnectionPhase, TimeoutKind, Watch};
use crate::model::limit::LimitKind;
use crate::proxy::worker::WorkerConnection;
use crate::proxy::{self, Tunnel, TunnelSlot};

/// hyper's default: with it, hyper needs no allocation for fields.
const HYPER_MAX_HEADERS: usize = 100;
/// How much of a body hyper buffers before it waits. Bytes; more than the least that it accepts (8 KiB).
const BODY_BUFFER: usize = 128 * 1024;
/// How long Windlass reads on after the last response, so that the client gets it (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
/// The most that is read then. Bytes.
const LINGER_BYTES: u64 = 1024 * 1024;

/// Serve a client until its connection ends.
pub(crate) async fn serve(
    mut connection: WorkerConnection,
    socket: TcpStream,
    rule: ProxyHeaderRule,
    clients: Option<ClientBound>,
    tls: Option<&LiveTls>,
) {
    let watch = Arc::clone(&connection.watch);
    let mut is_client_certain = rule == ProxyHeaderRule::Never;
    if rule != ProxyHeaderRule::Never {
        match Box::pin(proxied::read(&socket, &watch, rule)).await {
            Ok(Some(client)) => {
                connection.set_proxied(client);
                is_client_certain = true;
            }
            Ok(None) => {}
            Err(error) => {
                connection.stats().proxy_headers_refused.add(1);
                tracing::debug!(remote = %connection.remote, "a connection was closed: {error}");
                return;
            }
        }
    }
    // A connection of a proxy's own is not counted.
    let clients = clients.filter(|_| is_client_certain);
    let Ok(_counted) = clients.map_or(Ok(None), |bound| bound.admit(&connection)) else {
        return;
    };
    let stream = match tls {
        None => Stream::Clear(socket),
        Some(tls) => match Box::pin(handshake::accept(tls.config(), socket, &watch)).await {
            Ok((stream, session)) => {
                connection
                    .stats()
                    .handshake_done(session.version, session.is_resumed);
                connection.set_tls(session);
                stream
            }
            Err(reason) => {
                connection.stats().handshake_failed(reason);
                tracing::debug!(
                    remote = %connection.remote,
                    reason = reason.as_str(),
                    "a TLS handshake with a client failed"
                );
                return;
            }
        },
    };
    let connection = Rc::new(connection);
    if stream.protocol() == Some(HTTP2) {
        // Boxed, so that the task of an HTTP/1.1 connection has no room for a future that it never runs.
        return Box::pin(http2::serve(connection, stream, Bytes::new())).await;
    }
    let other = Rc::clone(&connection);
    let slot = TunnelSlot::default();
    let upgraded = Rc::clone(&slot);
    let tap = ClientTap::new(Arc::clone(&watch));
    let io = TokioIo::new(TappedIo { stream, tap });
    let builder = builder(&connection.listener);
    let service = service_fn(move |request: Request<Incoming>| {
        let arrival = head::receive(&connection, request);
        limit_requests(&connection);
        proxy::handle(Rc::clone(&connection), arrival, Rc::clone(&slot))
    });
    let serving = Serving {
        hyper: Some(builder.serve_connection(io, service)),
        watch: Arc::clone(&watch),
        upgraded,
    };
    match serving.await {
        ConnectionEnd::Quietly => {}
        ConnectionEnd::Cut(stream) => cut(&stream),
        ConnectionEnd::Refuse(stream, code) => refuse(stream, &watch, code).await,
        ConnectionEnd::Linger(stream) => linger(stream).await,
        ConnectionEnd::Upgraded(stream, read, tunnel) => Box::pin(tunnel.pass(stream, read)).await,
        ConnectionEnd::Http2(stream, read) => Box::pin(http2::serve(other, stream, read)).await,
    }
}

/// If this is the last request that the connection may carry, let it end as in a drain.
pub(super) fn limit_requests(connection: &WorkerConnection) {
    if connection.watch.served() == connection.listener.max_requests_per_connection {
        connection
            .stats()
            .limit_hit(LimitKind::RequestsPerConnection);
        connection.watch.drain(0);
    }
}

fn builder(listener: &Listener) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The watch times heads, and answers 408; hyper would close without a response.
        .header_read_timeout(None)
        // `ClientIo` notices a client that leaves. Otherwise hyper reads while it answers, and takes a new
        // buffer of 8 KiB for each request, since the present one is in use.
        .half_close(true)
        .max_header_size(listener.max_head)
        .max_buf_size(listener.max_head.max(BODY_BUFFER));
    if listener.max_headers != HYPER_MAX_HEADERS {
        builder.max_headers(listener.max_headers);
    }
    builder
}

enum ConnectionEnd {
    /// Everything was written.
    Quietly,
    /// The client reads nothing: reset the connection.
    Cut(Stream),
    /// Write a response past hyper.
    Refuse(Stream, Code),
    /// The last response was written, and the client may still send.
    Linger(Stream),
    /// It carries another protocol now; these bytes of it were read already.
    Upgraded(Stream, Bytes, Box<Tunnel>),
    /// It is an HTTP/2 connection, which began with these bytes.
    Http2(Stream, Bytes),
}

/// hyper's connection, and the signals of the watch.
struct Serving<S: HttpService<Incoming>> {
    hyper: Option<http1::Connection<ClientIo, S>>,
    watch: Arc<Watch>,
    upgraded: TunnelSlot,
}

impl<S> Future for Serving<S>
where
    S: HttpService<Incoming, ResBody = proxy::ResponseBody> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    http1::Connection<ClientIo, S>: Future<Output = hyper::Result<()>> + Unpin,
{
    type Output = ConnectionEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        let this = &mut *self;
        this.watch.set_waker(cx.waker());
        if this.watch.has_signals()
            && let Some(close) = this.act_on_signals()
        {
            return Poll::Ready(close);
        }
        let Some(hyper) = &mut this.hyper else {
            return Poll::Ready(ConnectionEnd::Quietly);
        };
        match Pin::new(hyper).poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(this.on_end(outcome)),
            Poll::Pending if this.watch.draining() && this.watch.is_idle_after_request() => {
                Poll::Ready(ConnectionEnd::Quietly)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S> Serving<S>
where
    S: HttpService<Incoming, ResBody = proxy::ResponseBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Act on the watch's signals; none if the connection goes on.
    fn act_on_signals(&mut self) -> Option<ConnectionEnd> {
        if self.watch.is_cut() || self.watch.expired(TimeoutKind::Write) {
            return self.stream().map(ConnectionEnd::Cut);
        }
        if !self.watch.expired(TimeoutKind::Client) {
            return None;
        }
        match self.watch.phase() {
            ConnectionPhase::Head => {
                let stream = self.stream()?;
                Some(ConnectionEnd::Refuse(stream, Code::RequestTimeout))
            }
            ConnectionPhase::Idle | ConnectionPhase::Busy | ConnectionPhase::Answered => {
                Some(ConnectionEnd::Quietly)
            }
        }
    }

    /// hyper is done.
    fn on_end(&mut self, outcome: hyper::Result<()>) -> ConnectionEnd {
        if let Err(error) = &outcome {
            tracing::debug!(%error, "a client connection ended");
        }
        if let Some(tunnel) = self.upgraded.take() {
            return match self.parts().filter(|_| outcome.is_ok()) {
                Some((stream, read)) => ConnectionEnd::Upgraded(stream, read, tunnel),
                None => ConnectionEnd::Quietly,
            };
        }
        if matches!(&outcome, Err(error) if error.is_parse_version_h2()) && self.watch.served() == 0
        {
            return match self.parts() {
                Some((stream, read)) => ConnectionEnd::Http2(stream, read),
                None => ConnectionEnd::Quietly,
            };
        }
        let unread =
            self.watch.phase() == ConnectionPhase::Head || self.watch.exchange.body_abandoned.get();
        // hyper does not answer an HTTP/2 preface after a request.
        let unanswered = matches!(&outcome, Err(error) if error.is_parse() )
            && self.watch.phase() == ConnectionPhase::Head
            && !self.watch.refused.get();
        match self.stream() {
            Some(stream) if unanswered => ConnectionEnd::Refuse(stream, Code::MalformedRequest),
            Some(stream) if unread => ConnectionEnd::Linger(stream),
            Some(_) | None => ConnectionEnd::Quietly,
        }
    }

    /// The stream, and the bytes that were read and not used.
    fn parts(&mut self) -> Option<(Stream, Bytes)> {
        let parts = self.hyper.take()?.into_parts();
        let (stream, ahead) = client_io::into_parts(parts.io);
        let read = if ahead.is_empty() {
            parts.read_buf
        } else {
            [parts.read_buf, ahead].concat().into()
        };
        Some((stream, read))
    }

    fn stream(&mut self) -> Option<Stream> {
        self.parts().map(|(stream, _)| stream)
    }
}

/// Reset the connection: the client will not read the bytes in the socket's buffer.
fn cut(stream: &Stream) {
    if let Err(error) = SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a stalled connection could not be reset");
    }
}

/// Answer a head that could not be read, and close.
async fn refuse(mut stream: Stream, watch: &Watch, code: Code) {
    let answer = refusal::encode(&watch.shared, code);
    let writing = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    };
    // The socket accepts it at once, unless the client reads nothing.
    match tokio::time::timeout(LINGER, writing).await {
        Ok(Ok(())) => linger(stream).await,
        Ok(Err(error)) => tracing::debug!(%error, "a refused client is gone"),
        Err(_) => cut(&stream),
    }
}

/// Read on for a while after the last response: closing with unread bytes in the socket would reset the
/// connection, and the client would lose the response.
async fn linger(mut stream: Stream) {
    let reading = async {
        // After a `CONNECT` hyper leaves this to the caller.
        if let Err(error) = stream.shutdown().await {
            tracing::debug!(%error, "a refused client is gone");
        }
        let mut rest = stream.take(LINGER_BYTES);
        let mut space = [0; 4096];
        while matches!(rest.read(&mut space).await, Ok(count) if count > 0) {}
    };
    if tokio::time::timeout(LINGER, reading).await.is_err() {
        tracing::debug!("a refused client does not close its connection");
    }
}
