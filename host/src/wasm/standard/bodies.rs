//! Bodies on their way into a handler.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use tokio::sync::mpsc;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::http::body::Body;
use crate::http::body_error::BodyError;

/// Frames that wait for the handler to read them. Beyond, the sender of the body waits.
const MAX_WAITING: usize = 1;

/// How a body that a handler reads broke off, if it did.
pub(crate) type BodyFault = Rc<RefCell<Option<BodyError>>>;

/// A body as a handler reads it: the worker's thread sends it frame by frame. `passed` counts its
/// bytes. To be called in a worker's set of local tasks.
pub(crate) fn into_handler(body: Body, passed: &Arc<AtomicU64>, broken: &BodyFault) -> WasiBody {
    match body {
        Body::Empty => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        Body::Full(bytes) => {
            passed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Full::new(bytes)
                .map_err(|never| match never {})
                .boxed_unsync()
        }
        body => {
            let size = body.size_hint();
            let (sender, frames) = mpsc::channel(MAX_WAITING);
            tokio::task::spawn_local(send(body, sender, Arc::clone(passed), Rc::clone(broken)));
            FrameReceiver { frames, size }.boxed_unsync()
        }
    }
}

async fn send(
    mut body: Body,
    frames: mpsc::Sender<Result<Frame<Bytes>, Error>>,
    passed: Arc<AtomicU64>,
    broken: BodyFault,
) {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            *broken.borrow_mut() = Some(error);
            Error::ConnectionTerminated
        });
        let data = frame.as_ref().ok().and_then(|frame| frame.data_ref());
        passed.fetch_add(data.map_or(0, Bytes::len) as u64, Ordering::Relaxed);
        let is_last = frame.is_err();
        // A handler that reads no further has dropped the other end.
        if frames.send(frame).await.is_err() || is_last {
            return;
        }
    }
}

/// The handler's end.
struct FrameReceiver {
    frames: mpsc::Receiver<Result<Frame<Bytes>, Error>>,
    size: SizeHint,
}

impl HttpBody for FrameReceiver {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.frames.poll_recv(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}
