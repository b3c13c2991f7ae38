//! After an upgrade: bytes pass in both directions, unseen by filters, until either side ends the
//! tunnel.
//!
//! It ends if neither side sends anything for the upstream's `idle_timeout`, after its `total_timeout`,
//! and when a drain's time is over. The endpoint's lease and the exchange end with it. The tunnel does
//! not look at the protocol.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{
    AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional_with_sizes,
};

use super::RunningExchange;
use crate::http::body_error::BodyError;
use crate::http::watch::{TimeoutKind, Watch};
use crate::upstream::dispatch::upgrade::UpgradedConnection;

/// The buffer of each direction. Bytes.
const BUFFER: usize = 16 * 1024;

/// The slot in which a connection finds the tunnel that its last request became.
pub(crate) type TunnelSlot = Rc<RefCell<Option<Box<Tunnel>>>>;

/// A request that became a tunnel.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(super) exchange: RunningExchange,
    pub(super) endpoint: UpgradedConnection,
}

impl Tunnel {
    /// Pass bytes until either side ends the tunnel. `read` was read from the client already. Await this in
    /// the task that the client's watch wakes.
    pub(crate) async fn pass(self, client: impl AsyncRead + AsyncWrite + Unpin, read: Bytes) {
        let Self {
            exchange: mut run,
            endpoint: taken,
        } = self;
        // Over HTTP/2 the exchange's own task has ended.
        let registration = run.connection.registration.as_ref();
        let (watch, _registration) = match registration.map(|own| own.connection.begin_stream()) {
            Some((watch, registration)) => {
                watch.set_endpoint(run.connection.watch.endpoint());
                watch.share_total_timeout(&run.connection.watch);
                (watch, Some(registration))
            }
            None => (Arc::clone(&run.connection.watch), None),
        };
        let (up, down) = (Cell::new(read.len() as u64), Cell::new(0));
        let (left, broke) = (Cell::new(false), Cell::new(false));
        let mut client = MeteredIo {
            stream: client,
            watch: &watch,
            count: &up,
            failed: &left,
            idle: taken.idle,
        };
        let mut endpoint = MeteredIo {
            stream: taken.stream,
            watch: &watch,
            count: &down,
            failed: &broke,
            idle: taken.idle,
        };
        down.set(taken.read.len() as u64);
        watch.note_tunnel_traffic(taken.idle);
        let ended = {
            let mut passing = pin!(async {
                endpoint.write_all(&read).await?;
                client.write_all(&taken.read).await?;
                client.flush().await?;
                copy_bidirectional_with_sizes(&mut client, &mut endpoint, BUFFER, BUFFER).await
            });
            std::future::poll_fn(|cx| {
                watch.set_waker(cx.waker());
                match end_reason(&watch) {
                    Some(over) => Poll::Ready(Err(over)),
                    None => passing.as_mut().poll(cx).map(Ok),
                }
            })
            .await
        };
        // Release the lease and the permits after the connection, or the stream, is closed.
        drop(endpoint);
        match ended {
            Ok(Ok(_)) => run.ended = true,
            Ok(Err(error)) if broke.get() => run.break_off(&BodyError::TunnelBroken(error)),
            Ok(Err(error)) => tracing::debug!(%error, "a client left its tunnel"),
            Err(TunnelEnd::Stopped) => {}
            Err(TunnelEnd::Error(error)) => run.break_off(&error),
        }
        run.sent = down.get();
        run.connection.watch.count_body_bytes(up.get());
        drop((taken.active, taken.carrier));
    }
}

/// The reason why the gateway ends a tunnel.
enum TunnelEnd {
    /// The time of the gateway's drain is over.
    Stopped,
    Error(BodyError),
}

fn end_reason(watch: &Watch) -> Option<TunnelEnd> {
    if !watch.has_signals() {
        return None;
    }
    if watch.is_cut() {
        return Some(TunnelEnd::Stopped);
    }
    let error = if watch.has_endpoint_left() {
        BodyError::UpstreamLeft
    } else if watch.expired(TimeoutKind::Total) {
        BodyError::UpstreamTimeout
    } else if watch.expired(TimeoutKind::Answer) {
        BodyError::TunnelIdle
    } else {
        return None;
    };
    Some(TunnelEnd::Error(error))
}

/// A side of a tunnel. The bytes that are read from it are counted, and restart the idle timeout.
struct MeteredIo<'a, S> {
    stream: S,
    watch: &'a Watch,
    count: &'a Cell<u64>,
    failed: &'a Cell<bool>,
    idle: Option<u64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for MeteredIo<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.note_io(read)?;
        let count = buffer.filled().len().saturating_sub(before) as u64;
        if count > 0 {
            self.count.set(self.count.get() + count);
            self.watch.note_tunnel_traffic(self.idle);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MeteredIo<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.note_io(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(self.note_io(flushed))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        Poll::Ready(self.note_io(ended))
    }
}

impl<S> MeteredIo<'_, S> {
    fn note_io<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if outcome.is_err() {
            self.failed.set(true);
        }
        outcome
    }
}
