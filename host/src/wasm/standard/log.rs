//! What a standard component writes to standard output and error, as log lines.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::model::request_id::RequestId;
use crate::wasm::output::{Output, StreamKind};

/// One of its two streams.
#[derive(Clone)]
pub(super) struct LogStream {
    output: Arc<Mutex<Output>>,
    /// The request in hand.
    id: RequestId,
    kind: StreamKind,
}

/// Standard output and error of one call.
pub(super) struct LogStreams {
    pub(super) out: LogStream,
    pub(super) err: LogStream,
}

impl LogStreams {
    /// Both write to this log, with the request in hand.
    pub(super) fn of(output: &Arc<Mutex<Output>>, id: &RequestId) -> Self {
        let stream = |kind| LogStream {
            output: Arc::clone(output),
            id: id.clone(),
            kind,
        };
        Self {
            out: stream(StreamKind::Out),
            err: stream(StreamKind::Err),
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let request = Some(&self.id);
        self.output.lock().write(self.kind, bytes, request);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
