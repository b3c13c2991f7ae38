//! What surrounds every request of the operator's listener: its id, who asks, and what an error
//! looks like.
//!
//! It promises that every answer carries `x-request-id`, that nothing below `/v1` is reached
//! without a token whose role suffices, and that every refused login is a line of the audit log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::Running;
use super::access::{self, Access, Actor};
use super::problem::Problem;
use crate::store::keys::masked;

/// The request's id, in every answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whose connection it is.
#[derive(Debug, Clone, Copy)]
pub struct Remote(pub SocketAddr);

/// Who asks, for the audit log.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token's name.
    pub actor: Arc<str>,
    /// The request's id.
    pub request: Arc<str>,
    /// From where.
    pub remote: SocketAddr,
}

/// What the guard knows.
#[derive(Debug)]
pub struct Gate {
    /// The process.
    pub running: Arc<Running>,
    /// The tokens.
    pub access: Access,
}

#[derive(Debug, Clone)]
struct RequestId(Arc<str>);

/// Around everything: the id, and the words of an error.
pub async fn envelope(mut request: Request, next: Next) -> Response {
    let id = new_id();
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = Body::from(problem.body(&id));
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.remove(header::CONTENT_LENGTH);
        if problem.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"windlass admin\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Around what asks who it is.
///
/// # Errors
/// No token came, none that is known, or one whose role does not suffice.
pub async fn guard(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let extensions = request.extensions();
    let id = extensions.get::<RequestId>();
    let id = id.map_or_else(new_id, |id| Arc::clone(&id.0));
    let remote = extensions.get::<Remote>();
    let remote = remote.map_or(SocketAddr::from(([0; 4], 0)), |remote| remote.0);
    match admit(&gate, &request, remote) {
        Ok(actor) => {
            request.extensions_mut().insert(Caller {
                actor: actor.name,
                request: id,
                remote,
            });
            Ok(next.run(request).await)
        }
        // Who has to wait is told so, and cannot fill the log.
        Err(problem) if problem.status == StatusCode::TOO_MANY_REQUESTS => Err(problem),
        Err(problem) => {
            tracing::warn!(
                target: "windlass::audit",
                why = problem.code,
                method = %request.method(),
                path = told(request.uri().path()),
                request = %id,
                %remote,
                "audit: refused at the admin API"
            );
            Err(problem)
        }
    }
}

fn admit(gate: &Gate, request: &Request, remote: SocketAddr) -> Result<Actor, Problem> {
    let gateway = gate.running.gateway.load();
    let secrets = &gateway.services.secrets;
    let now = Instant::now();
    let actor = gate
        .access
        .admit(request.headers(), remote.ip(), secrets, now)?;
    access::may(&actor, request.method())?;
    Ok(actor)
}

/// Sixteen random hex digits: to find a request in the log, not to keep anybody out.
fn new_id() -> Arc<str> {
    format!("{:016x}", fastrand::u64(..)).into()
}

/// A path for the log: a key may have been taken for an id.
fn told(path: &str) -> String {
    let segments: Vec<_> = path.split('/').map(masked).collect();
    segments.join("/")
}
