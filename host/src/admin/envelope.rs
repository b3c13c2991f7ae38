//! The envelope of every request on the admin listener: its id, its caller, and the shape of an
//! error.
//!
//! It promises that every answer carries `x-request-id`, that nothing below `/v1` is reached
//! without a token whose role suffices, that every refused login has an entry in the audit log,
//! and that the id of every answer below `/v1` is in the log: with the change that it made (see
//! [`super::api`]), or in an entry from here. For unauthenticated callers, the number of entries a
//! minute is limited.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;

use super::Running;
use super::access::{self, Access, OperatorToken};
use super::problem::ApiProblem;
use crate::keys::masked;
use crate::model::admin::Role;
use crate::observe::log_rate_limit::LogRateLimit;

/// The field with the request's id, in every answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's address of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RemoteAddress(pub(crate) SocketAddr);

/// The caller of a request, for the audit log.
#[derive(Debug, Clone)]
pub(crate) struct ApiCaller {
    /// The name of its token.
    pub(crate) actor: Arc<str>,
    pub(crate) role: Role,
    /// The request's id.
    pub(crate) request: Arc<str>,
    /// The client's address.
    pub(crate) remote: SocketAddr,
}

impl ApiCaller {
    /// Checks the right to write for a call that changes nothing but shows what only writers may
    /// see.
    ///
    /// # Errors
    ///
    /// The token may only read.
    pub(crate) fn may_write(&self, what: &str) -> Result<(), ApiProblem> {
        match self.role {
            Role::Write => Ok(()),
            Role::Read => {
                let detail = format!(
                    "this token may only read, and {what} need a token whose `role` is \"write\""
                );
                Err(ApiProblem::new(StatusCode::FORBIDDEN, "read_only", detail))
            }
        }
    }
}

/// The state of [`guard`].
#[derive(Debug)]
pub(crate) struct AdminGuard {
    pub(crate) running: Arc<Running>,
    pub(crate) access: Access,
}

#[derive(Debug, Clone)]
struct AdminRequestId(Arc<str>);

/// Limits the log entries about answers to unauthenticated callers.
#[derive(Debug)]
pub(crate) struct UnauthenticatedLog {
    rate_limit: Mutex<LogRateLimit>,
    started: Instant,
}

impl Default for UnauthenticatedLog {
    fn default() -> Self {
        Self {
            rate_limit: Mutex::new(LogRateLimit::for_strangers()),
            started: Instant::now(),
        }
    }
}

/// Surrounds every request: gives it an id, checks its `Host`, writes the body of an error, and
/// logs the answer.
pub(crate) async fn envelope(
    State(strangers): State<Arc<UnauthenticatedLog>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = new_id();
    request
        .extensions_mut()
        .insert(AdminRequestId(Arc::clone(&id)));
    let remote = request.extensions().get::<RemoteAddress>().copied();
    let (method, path) = (request.method().clone(), masked_path(request.uri().path()));
    let mut response = if names_one_host(&request) {
        next.run(request).await
    } else {
        ApiProblem::bad_host().into_response()
    };
    let problem = response.extensions_mut().remove::<ApiProblem>();
    let answered = AnswerRecord {
        id: &id,
        method: &method,
        path: &path,
        remote: remote.map(|remote| remote.0),
        status: response.status(),
        code: problem.as_ref().map(|problem| problem.code),
    };
    match response.extensions_mut().remove::<ApiCaller>() {
        Some(caller) => answered.log(&caller),
        None => answered.log_unauthenticated(&strangers),
    }
    if let Some(problem) = problem {
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

/// Whether there is exactly one `Host`, and it is valid (RFC 9112 section 3.2). HTTP/1.0 has none.
fn names_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes());
            host.is_ok_and(|host| !host.as_str().contains('@'))
        }
        (None, None) => request.version() == Version::HTTP_10,
        (Some(_) | None, Some(_)) => false,
    }
}

/// An answer, for the log.
struct AnswerRecord<'a> {
    id: &'a str,
    method: &'a Method,
    path: &'a str,
    remote: Option<SocketAddr>,
    status: StatusCode,
    code: Option<&'static str>,
}

impl AnswerRecord<'_> {
    /// Logs an answer to an authenticated caller. A change that succeeded already has an entry of
    /// its own.
    fn log(&self, caller: &ApiCaller) {
        let reads = matches!(*self.method, Method::GET | Method::HEAD);
        if self.status.is_success() && (!reads || !self.path.starts_with("/v1/")) {
            return;
        }
        tracing::info!(
            target: "windlass::audit",
            actor = %caller.actor,
            method = %self.method,
            path = self.path,
            status = self.status.as_u16(),
            code = self.code,
            request = self.id,
            remote = %caller.remote,
            "audit: answered at the admin API"
        );
    }

    /// Logs an answer to anybody else: none for probes of liveness and metrics, and refusals only
    /// up to the limit. A refused login already has an entry of its own, except for a caller that
    /// has to wait.
    fn log_unauthenticated(&self, strangers: &UnauthenticatedLog) {
        let is_told = matches!(self.code, None | Some("token_missing" | "token_rejected"))
            || matches!(self.code, Some("no_tokens" | "read_only"));
        if self.status.is_success() || is_told {
            return;
        }
        let elapsed = strangers.started.elapsed().as_millis();
        let now_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let Some(left_out) = strangers.rate_limit.lock().take(now_ms) else {
            return;
        };
        tracing::info!(
            target: "windlass::audit",
            method = %self.method,
            path = self.path,
            status = self.status.as_u16(),
            code = self.code,
            request = self.id,
            remote = self.remote.map(tracing::field::display),
            left_out = (left_out > 0).then_some(left_out),
            "audit: refused at the admin listener"
        );
    }
}

/// Admits a request below `/v1`, or refuses it.
///
/// # Errors
///
/// The request carries no token, a wrong one, or one whose role does not suffice.
pub(crate) async fn guard(
    State(gate): State<Arc<AdminGuard>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiProblem> {
    let extensions = request.extensions();
    let id = extensions.get::<AdminRequestId>();
    let id = id.map_or_else(new_id, |id| Arc::clone(&id.0));
    let remote = extensions.get::<RemoteAddress>();
    let remote = remote.map_or(SocketAddr::from(([0; 4], 0)), |remote| remote.0);
    match admit(&gate, &request, remote) {
        Ok(token) => {
            let caller = ApiCaller {
                actor: token.name.clone(),
                role: token.role,
                request: id,
                remote,
            };
            request.extensions_mut().insert(caller.clone());
            let mut response = next.run(request).await;
            // For the log entry about the answer.
            response.extensions_mut().insert(caller);
            Ok(response)
        }
        // No entry: a caller that has to wait cannot fill the log.
        Err(problem) if problem.status == StatusCode::TOO_MANY_REQUESTS => Err(problem),
        Err(problem) => {
            tracing::warn!(
                target: "windlass::audit",
                why = problem.code,
                method = %request.method(),
                path = masked_path(request.uri().path()),
                request = %id,
                %remote,
                "audit: refused at the admin API"
            );
            Err(problem)
        }
    }
}

fn admit<'a>(
    gate: &'a AdminGuard,
    request: &Request,
    remote: SocketAddr,
) -> Result<&'a OperatorToken, ApiProblem> {
    let gateway = gate.running.gateway.load();
    let secrets = &gateway.services.secrets;
    let now = Instant::now();
    let token = gate
        .access
        .admit(request.headers(), remote.ip(), secrets, now)?;
    access::check_role(token, request.method())?;
    Ok(token)
}

/// Sixteen random hex digits. They find a request in the log; they protect nothing.
fn new_id() -> Arc<str> {
    format!("{:016x}", fastrand::u64(..)).into()
}

/// A path for the log. It may hold a key that somebody sent instead of an id.
fn masked_path(path: &str) -> String {
    let segments: Vec<_> = path.split('/').map(masked).collect();
    segments.join("/")
}
