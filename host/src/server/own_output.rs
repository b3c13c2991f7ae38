//! The bytes that the gateway itself writes between those of hyper, and the time that the client takes to read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite as _;

use crate::http::stream::Stream;
use crate::http::watch::{TimeoutKind, Watch};

/// Bytes that wait to be written, and whether the client reads what is written.
#[derive(Debug, Default)]
pub(super) struct OwnOutput {
    pub(super) bytes: Bytes,
    /// Whether the last write stalled.
    is_stalled: bool,
}

impl OwnOutput {
    /// Write all of it.
    pub(super) fn poll_write(
        &mut self,
        watch: &Watch,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            let outcome = Pin::new(&mut *stream).poll_write(cx, &self.bytes);
            let count = ready!(self.track_write(watch, outcome))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.bytes.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Note in the watch how much was written, and whether a write stalls.
    pub(super) fn track_write(
        &mut self,
        watch: &Watch,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &outcome {
            watch.exchange.note_response(*count);
        }
        self.track(watch, outcome)
    }

    /// Note in the watch whether a write stalls.
    pub(super) fn track<T>(&mut self, watch: &Watch, outcome: Poll<T>) -> Poll<T> {
        if outcome.is_pending() {
            self.is_stalled = true;
            watch.begin_write_wait();
        } else if self.is_stalled {
            self.is_stalled = false;
            watch.disarm(TimeoutKind::Write);
        }
        outcome
    }
}
