//! A body that is made piece by piece, on a thread that may block.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Pieces that wait for the client.
const WAITING: usize = 4;

/// How long a client may take nothing.
const WAIT: Duration = Duration::from_secs(30);

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("what the body is made from failed")]
pub struct Cut;

/// Where pieces are put. For a thread that may block.
#[derive(Debug)]
pub struct Pieces {
    to: mpsc::Sender<Result<Bytes, Cut>>,
    runtime: Handle,
}

#[derive(Debug)]
struct Made(mpsc::Receiver<Result<Bytes, Cut>>);

impl http_body::Body for Made {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// A body, and where its pieces are put. To be called on the runtime.
pub fn body() -> (Pieces, Body) {
    let (to, from) = mpsc::channel(WAITING);
    let runtime = Handle::current();
    (Pieces { to, runtime }, Body::new(Made(from)))
}

impl Pieces {
    /// Put a piece; false where the client is gone or takes nothing.
    pub fn put(&self, piece: impl Into<Bytes>) -> bool {
        let sent = self.to.send_timeout(Ok(piece.into()), WAIT);
        self.runtime.block_on(sent).is_ok()
    }

    /// End the body so that the client sees that it is not whole.
    pub fn cut(&self) {
        // Who is gone needs not be told.
        let _ = self.runtime.block_on(self.to.send_timeout(Err(Cut), WAIT));
    }
}
