//! A body that is made in chunks.
//!
//! It promises that nobody waits for a client for longer than [`SEND_TIMEOUT`]. A sender must hold
//! no permit while it waits.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// Longest wait for a client that reads nothing.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Ends a body before it is complete, so that the client sees an error.
#[derive(Debug, thiserror::Error)]
#[error("the source of the body failed")]
pub(crate) struct BodyCut;

/// The sending side of a body.
#[derive(Debug, Clone)]
pub(crate) struct ChunkSender(mpsc::Sender<Result<Bytes, BodyCut>>);

#[derive(Debug)]
struct ChunkBody(mpsc::Receiver<Result<Bytes, BodyCut>>);

impl http_body::Body for ChunkBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        self.0
            .poll_recv(context)
            .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

/// A body with room for this many chunks that wait for the client, and its sender.
pub(crate) fn body(waiting: usize) -> (ChunkSender, Body) {
    let (to, from) = mpsc::channel(waiting);
    (ChunkSender(to), Body::new(ChunkBody(from)))
}

impl ChunkSender {
    /// Sends a chunk; false if the client is gone or reads nothing.
    pub(crate) async fn send(&self, chunk: impl Into<Bytes>) -> bool {
        self.0
            .send_timeout(Ok(chunk.into()), SEND_TIMEOUT)
            .await
            .is_ok()
    }

    /// Sends a chunk that may be dropped if the client does not read now. Does not wait.
    pub(crate) fn try_send(&self, chunk: impl Into<Bytes>) {
        // Nobody needs a chunk that was dropped.
        let _ = self.0.try_send(Ok(chunk.into()));
    }

    /// Ends the body so that the client sees that it is incomplete.
    pub(crate) async fn cut(&self) {
        // The client may be gone.
        let _ = self.0.send_timeout(Err(BodyCut), SEND_TIMEOUT).await;
    }
}
