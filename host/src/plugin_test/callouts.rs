//! A server on loopback that answers the calls of filters as the case says.
//!
//! The filter's call takes its ordinary way, with its limits, credentials and time-outs; only the
//! other end is not the real one.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, request};
use http_body::Frame;
use http_body_util::{BodyExt as _, Collected, Limited};
use parking_lot::Mutex;

use crate::config::CaseCall;

/// The largest body of a call that is read. Bytes.
const MAX_BODY: usize = 16 << 20;

/// The server.
pub(super) struct CalloutServer {
    pub(super) address: SocketAddr,
    script: Arc<Mutex<CalloutScript>>,
}

/// The calls that are expected, and those that came.
#[derive(Debug, Default)]
struct CalloutScript {
    /// Each with whether it has answered.
    expected: Vec<(CaseCall, bool)>,
    /// Calls that no table fits.
    unexpected: Vec<String>,
}

/// The calls of a case that did not come as expected.
#[derive(Debug, Default)]
pub(super) struct CallsLeft {
    pub(super) missing: Vec<CaseCall>,
    pub(super) unexpected: Vec<String>,
}

impl CalloutServer {
    /// Bind, and serve on a thread that ends with the process.
    ///
    /// # Errors
    ///
    /// The system gives no socket or no thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let script = Arc::<Mutex<CalloutScript>>::default();
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&script));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let serve = move || {
            runtime.block_on(async move {
                if let Ok(socket) = tokio::net::TcpListener::from_std(socket) {
                    // It ends with the process.
                    let _ = axum::serve(socket, routes).await;
                }
            });
        };
        std::thread::Builder::new()
            .name("test-callouts".into())
            .spawn(serve)?;
        Ok(Self { address, script })
    }

    /// Expect these calls from now on.
    pub(super) fn expect(&self, calls: &[CaseCall]) {
        let expected = calls.iter().map(|call| (call.clone(), false)).collect();
        *self.script.lock() = CalloutScript {
            expected,
            unexpected: Vec::new(),
        };
    }

    /// The calls that did not come as expected.
    pub(super) fn left(&self) -> CallsLeft {
        let script = std::mem::take(&mut *self.script.lock());
        let missing = script.expected.into_iter();
        let missing = missing.filter(|(_, has_answered)| !has_answered);
        CallsLeft {
            missing: missing.map(|(call, _)| call).collect(),
            unexpected: script.unexpected,
        }
    }
}

async fn answer(
    State(script): State<Arc<Mutex<CalloutScript>>>,
    request: http::Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    let found = script.lock().take(&head, &body);
    match found {
        Some(call) if call.fails => broken(),
        Some(call) => response(&call),
        None => status(StatusCode::NOT_IMPLEMENTED),
    }
}

impl CalloutScript {
    /// The table that answers a call.
    fn take(&mut self, head: &request::Parts, body: &Bytes) -> Option<CaseCall> {
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let target = target.strip_prefix('/').unwrap_or(target);
        let end = target.find(['/', '?']).unwrap_or(target.len());
        let (name, path) = target.split_at_checked(end).unwrap_or((target, ""));
        let fits = |call: &CaseCall| {
            *call.callout == *name
                && call
                    .method
                    .as_ref()
                    .is_none_or(|method| *method == head.method)
                && call.path.as_ref().is_none_or(|wanted| wanted == path)
                && call
                    .body
                    .as_ref()
                    .is_none_or(|wanted| wanted.as_bytes() == body)
                && has_fields(&head.headers, &call.headers.0)
        };
        let first = self
            .expected
            .iter()
            .position(|(call, has_answered)| !has_answered && fits(call));
        let index = first.or_else(|| self.expected.iter().rposition(|(call, _)| fits(call)));
        match index.and_then(|index| self.expected.get_mut(index)) {
            Some((call, has_answered)) => {
                *has_answered = true;
                Some(call.clone())
            }
            None => {
                let text = format!("{} {path} to `{name}`", head.method);
                self.unexpected.push(text);
                None
            }
        }
    }
}

/// Whether fields are among others.
fn has_fields(fields: &HeaderMap, wanted: &HeaderMap) -> bool {
    wanted.keys().all(|name| {
        let (there, wanted) = (fields.get_all(name), wanted.get_all(name));
        there.iter().eq(wanted.iter())
    })
}

fn response(call: &CaseCall) -> Response {
    let body: Vec<u8> = call.response.pieces().concat();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = call.response.status;
    *response.headers_mut() = call.response.headers.0.clone();
    response
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A response that breaks off.
fn broken() -> Response {
    Response::new(Body::new(BrokenBody))
}

/// A body that fails at once: the server then closes the connection.
struct BrokenBody;

impl http_body::Body for BrokenBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}
