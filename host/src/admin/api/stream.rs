//! A body that is made piece by piece.
//!
//! It promises that nobody waits for a client for longer than [`SEND_TIMEOUT`]; who puts pieces holds
//! nothing meanwhile that others need.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// How long a client may take nothing.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("what the body is made from failed")]
pub(crate) struct BodyCut;

/// Where pieces are put.
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
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// A body of which so many pieces wait for the client at the most, and where they are put.
pub(crate) fn body(waiting: usize) -> (ChunkSender, Body) {
    let (to, from) = mpsc::channel(waiting);
    (ChunkSender(to), Body::new(ChunkBody(from)))
}

impl ChunkSender {
    /// Put a piece; false where the client is gone or takes nothing.
    pub(crate) async fn send(&self, piece: impl Into<Bytes>) -> bool {
        self.0
            .send_timeout(Ok(piece.into()), SEND_TIMEOUT)
            .await
            .is_ok()
    }

    /// Put a piece that may be left out where the client takes nothing now. Waits for nobody.
    pub(crate) fn try_send(&self, piece: impl Into<Bytes>) {
        // Who takes nothing misses nothing that it needs.
        let _ = self.0.try_send(Ok(piece.into()));
    }

    /// End the body so that the client sees that it is not whole.
    pub(crate) async fn cut(&self) {
        // Who is gone needs not be told.
        let _ = self.0.send_timeout(Err(BodyCut), SEND_TIMEOUT).await;
    }
}
