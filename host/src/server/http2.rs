//! Stop 2 over HTTP/2: one client connection that carries many requests at once.
//!
//! hyper reads frames in this task, and runs each exchange in a task of its own. Each exchange has a
//! [`Watch`] of its own, so that its timeouts end it alone (`RST_STREAM`). The connection's timeouts
//! end all of them: a client that reads nothing is disconnected, and one that is idle, or that a drain
//! meets, gets a GOAWAY. Streams, heads, windows and resets of one client are bounded. The meaning of a
//! request is in [`super::head`] and [`crate::proxy`].

use std::cell::RefCell;
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use pin_project_lite::pin_project;

use super::connection::limit_requests;
use super::{h2_guard, head};
use crate::config::Listener;
use crate::http::stream::Stream;
use crate::http::watch::{TimeoutKind, Watch};
use crate::model::flood::FloodKind;
use crate::proxy::worker::WorkerConnection;
use crate::proxy::{self, TunnelSlot};

/// The window of one stream: how much of a body a client may send ahead. Bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The window of the connection: how much of all bodies a client may send ahead. Bytes.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How much of one response is buffered before it waits. Bytes.
const SEND_BUFFER: usize = 128 * 1024;
/// The most streams that a client has reset before Windlass has seen them. Beyond that the connection ends
/// (CVE-2023-44487, "rapid reset").
const MAX_PENDING_RESETS: usize = 20;
/// The most streams that Windlass resets for a client's errors. Beyond that the connection ends.
const MAX_OWN_RESETS: usize = 128;
/// How much larger than `max_head` a head may be for the gateway to refuse it with its own error: hyper
/// answers a larger one with a bare 431. Bytes.
const EXCESS: usize = 96 * 1024;
/// How long a client may be silent before it gets a PING.
const PING: Duration = Duration::from_secs(30);
/// How long it may take to answer that.
const PONG: Duration = Duration::from_secs(20);

/// Serve a client until its connection ends. `read` is what was read of it already.
pub(crate) async fn serve(connection: Rc<WorkerConnection>, stream: Stream, read: Bytes) {
    let watch = Arc::clone(&connection.watch);
    let tasks = Tasks::default();
    let next = tasks.clone();
    let max_head = connection.listener.max_head;
    let builder = builder(&connection.listener, tasks);
    let serving = Rc::clone(&connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let exchange = Rc::new(serving.exchange());
        limit_requests(&serving);
        next.set_watch(&exchange.watch);
        let arrival = head::receive(&exchange, request);
        // A stream that becomes a tunnel has a task of its own.
        proxy::handle(exchange, arrival, TunnelSlot::default())
    });
    let flood = h2_guard::Flood::default();
    let io = h2_guard::guarded(
        stream,
        read,
        Arc::clone(&watch),
        max_head,
        Arc::clone(&flood),
    );
    let mut hyper = std::pin::pin!(builder.serve_connection(io, service));
    let mut leaving = false;
    let ended = std::future::poll_fn(|cx| {
        watch.set_waker(cx.waker());
        if watch.has_signals() {
            if watch.is_cut()
                || watch.expired(TimeoutKind::Write)
                || watch.expired(TimeoutKind::Head)
            {
                return Poll::Ready(None);
            }
            let idle = watch.expired(TimeoutKind::Client) && watch.exchanges() == 0;
            if idle && leaving {
                return Poll::Ready(None);
            }
            if (idle || watch.draining()) && !leaving {
                leaving = true;
                hyper.as_mut().graceful_shutdown();
                watch.limit_idle_after_goaway();
            }
        }
        let polled = hyper.as_mut().poll(cx).map(Some);
        if polled.is_pending() && watch.paused.take() {
            // hyper has not accepted the request of the head that it read last.
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await;
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "a client connection ended");
        let in_head = watch.is_armed(TimeoutKind::Head);
        let by_guard = flood.get().copied();
        if let Some(kind) = by_guard.or_else(|| flood_found_by_h2(&error, in_head)) {
            report_flood(&connection, kind);
        }
    }
}

/// The flood for which h2 ended a connection: one of its own bounds on heads and on streams.
fn flood_found_by_h2(error: &hyper::Error, in_head: bool) -> Option<FloodKind> {
    let error = error.source()?.downcast_ref::<h2::Error>()?;
    let is_flood = error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) && !error.is_remote();
    is_flood.then_some(if in_head {
        FloodKind::Continuation
    } else {
        FloodKind::Streams
    })
}

fn report_flood(connection: &WorkerConnection, kind: FloodKind) {
    connection.stats().flooded(kind);
    if let Some(left_out) = connection.worker.should_log_flood() {
        tracing::warn!(
            client = %connection.remote.ip(),
            kind = kind.as_str(),
            left_out,
            "a client flooded its HTTP/2 connection, which was closed; if it goes on, block the address ahead of the gateway"
        );
    }
}

fn builder(listener: &Listener, tasks: Tasks) -> http2::Builder<Tasks> {
    let most_head = listener.max_head.saturating_add(EXCESS);
    let mut builder = http2::Builder::new(tasks);
    builder
        // Without a timer hyper panics when the keep-alive below begins.
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(listener.max_streams)
        .max_header_list_size(u32::try_from(most_head).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        // RFC 8441: a WebSocket over HTTP/2 begins with an extended `CONNECT`.
        .enable_connect_protocol();
    builder
}

/// Runs hyper's tasks on the worker's thread. hyper calls the service and at once gives the task
/// that goes with it, so the exchange's watch waits here for that moment.
#[derive(Clone, Default)]
struct Tasks(Rc<RefCell<Option<Arc<Watch>>>>);

impl Tasks {
    fn set_watch(&self, watch: &Arc<Watch>) {
        *self.0.borrow_mut() = Some(Arc::clone(watch));
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let watch = self.0.borrow_mut().take();
        tokio::task::spawn_local(ExchangeTask { task, watch });
    }
}

pin_project! {
    /// The task of one exchange. Dropping it resets the stream.
    struct ExchangeTask<F> {
        #[pin]
        task: F,
        watch: Option<Arc<Watch>>,
    }
}

impl<F: Future<Output = ()>> Future for ExchangeTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Some(watch) = this.watch {
            watch.set_waker(cx.waker());
            if watch.has_signals() && (watch.is_cut() || watch.expired(TimeoutKind::Write)) {
                return Poll::Ready(());
            }
        }
        this.task.poll(cx)
    }
}
