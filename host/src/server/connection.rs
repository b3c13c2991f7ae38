//! Stop 2: one client connection, from its first byte to its last.
//!
//! hyper reads the heads and writes the answers; this task polls it, and acts on what the
//! [`Watch`] says: a head that takes too long is answered with 408, an idle connection closes,
//! a stalled write is cut, a drain lets the present answer be the last. Deliberately not here:
//! what a request means ([`super::head`], [`crate::proxy`]).

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::edge::EdgeIo;
use super::{head, refusal};
use crate::config::Listener;
use crate::error::Code;
use crate::proxy;
use crate::watch::{Phase, Wait, Watch};
use crate::worker::ClientConnection;

/// hyper's own number, for which it has room without an allocation.
const HYPER_MAX_HEADERS: usize = 100;
/// The smallest buffer that hyper takes. Bytes.
const MIN_BUFFER: usize = 8 * 1024;
/// How much of a body hyper gathers before it waits. Bytes.
const BODY_BUFFER: usize = 128 * 1024;
/// How long a closed connection is read on, so that its client can take the answer. RFC 9112
/// section 9.6.
const LINGER: Duration = Duration::from_secs(2);
/// The most that is read then. Bytes.
const LINGER_BYTES: u64 = 1024 * 1024;

/// Serve a client until its connection ends.
pub async fn serve(connection: Rc<ClientConnection>, stream: TcpStream) {
    let watch = Arc::clone(&connection.watch);
    let io = EdgeIo::new(stream, Arc::clone(&watch));
    let builder = builder(&connection.listener);
    let service = service_fn(move |request: Request<Incoming>| {
        let arrival = head::arrive(&connection, request);
        proxy::handle(Rc::clone(&connection), arrival)
    });
    let serving = Serving {
        hyper: Some(builder.serve_connection(io, service)),
        watch: Arc::clone(&watch),
    };
    match serving.await {
        Close::Quietly => {}
        Close::Cut(stream) => cut(&stream),
        Close::Refuse(stream, code) => refuse(stream, &watch, code).await,
        Close::Linger(stream) => linger(stream).await,
    }
}

fn builder(listener: &Listener) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(listener.max_head)
        .max_buf_size(listener.max_head.max(BODY_BUFFER).max(MIN_BUFFER));
    if listener.max_headers != HYPER_MAX_HEADERS {
        builder.max_headers(listener.max_headers);
    }
    builder
}

/// How a connection ends.
enum Close {
    /// Nothing is left to be said.
    Quietly,
    /// The client takes nothing: reset it.
    Cut(TcpStream),
    /// Say why, past hyper.
    Refuse(TcpStream, Code),
    /// The last answer was written, and the client may still be sending.
    Linger(TcpStream),
}

/// hyper's connection, and the signs of the watch.
struct Serving<S: HttpService<Incoming>> {
    hyper: Option<http1::Connection<EdgeIo, S>>,
    watch: Arc<Watch>,
}

impl<S> Future for Serving<S>
where
    S: HttpService<Incoming, ResBody = proxy::Answer> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    http1::Connection<EdgeIo, S>: Future<Output = hyper::Result<()>> + Unpin,
{
    type Output = Close;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Close> {
        let this = &mut *self;
        this.watch.set_waker(cx.waker());
        if this.watch.has_signs()
            && let Some(close) = this.heed()
        {
            return Poll::Ready(close);
        }
        let Some(hyper) = &mut this.hyper else {
            return Poll::Ready(Close::Quietly);
        };
        match Pin::new(hyper).poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(this.ended(outcome)),
            Poll::Pending if this.watch.draining() && this.watch.is_spent() => {
                Poll::Ready(Close::Quietly)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S> Serving<S>
where
    S: HttpService<Incoming, ResBody = proxy::Answer>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Act on the watch's signs. None: go on.
    fn heed(&mut self) -> Option<Close> {
        if self.watch.is_cut() || self.watch.expired(Wait::Write) {
            return self.stream().map(Close::Cut);
        }
        if !self.watch.expired(Wait::Client) {
            return None;
        }
        match self.watch.phase() {
            Phase::Head => {
                let stream = self.stream()?;
                Some(Close::Refuse(stream, Code::RequestTimeout))
            }
            Phase::Idle | Phase::Busy | Phase::Answered => Some(Close::Quietly),
        }
    }

    /// hyper is done.
    fn ended(&mut self, outcome: hyper::Result<()>) -> Close {
        if let Err(error) = &outcome {
            tracing::debug!(%error, "a client connection ended");
        }
        let unread = self.watch.phase() == Phase::Head || self.watch.is_body_abandoned();
        // A head of another protocol (HTTP/2 without TLS) is not answered by hyper.
        let unanswered = matches!(&outcome, Err(error) if error.is_parse() )
            && self.watch.phase() == Phase::Head
            && !self.watch.is_refused();
        match self.stream() {
            Some(stream) if unanswered => Close::Refuse(stream, Code::MalformedRequest),
            Some(stream) if unread => Close::Linger(stream),
            Some(_) | None => Close::Quietly,
        }
    }

    fn stream(&mut self) -> Option<TcpStream> {
        let parts = self.hyper.take()?.into_parts();
        Some(parts.io.into_stream())
    }
}

/// Reset the connection: what is in the socket's buffer will not be taken.
fn cut(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a stalled connection could not be reset");
    }
}

/// Answer a head that never became one, and close.
async fn refuse(mut stream: TcpStream, watch: &Watch, code: Code) {
    let answer = refusal::raw(&watch.common, code);
    // As much as the socket takes at once, which is all of it but for a client that reads none.
    match stream.try_write(&answer) {
        Ok(_) => match stream.shutdown().await {
            Ok(()) => linger(stream).await,
            Err(error) => tracing::debug!(%error, "a refused client is gone"),
        },
        Err(error) => tracing::debug!(%error, "a refused client is gone"),
    }
}

/// Read on for a while after the last answer: closing with unread bytes in the socket would
/// reset the connection, and the client would lose the answer.
async fn linger(stream: TcpStream) {
    let mut rest = stream.take(LINGER_BYTES);
    let mut space = [0; 4096];
    let reading = async { while matches!(rest.read(&mut space).await, Ok(count) if count > 0) {} };
    if tokio::time::timeout(LINGER, reading).await.is_err() {
        tracing::debug!("a refused client does not close its connection");
    }
}
