//! Where the requests of a standard component go: on through the chain, or to a granted callout.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::call::Continuation;
use crate::callout::{CalloutError, CalloutRequest, CalloutTarget, RequestDigest};
use crate::wasm::grants::Grants;
use crate::wasm::reserved_fields::is_reserved;
use crate::wasm::services::Services;

type Answer = Result<
    (
        Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

/// The ways out of one call.
pub(super) struct Egress {
    pub(super) filter: Arc<str>,
    /// The host of the request that it got: a request to it goes on through the chain.
    pub(super) authority: String,
    /// Taken by the first of these: an exchange goes on once.
    pub(super) continuation: Option<oneshot::Sender<Continuation>>,
    pub(super) services: Arc<Services>,
    pub(super) grants: Arc<Grants>,
}

impl WasiHttpHooks for Egress {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let authority = request.uri().authority();
        if authority.is_some_and(|to| to.as_str().eq_ignore_ascii_case(&self.authority)) {
            let continuation = self.continuation.take();
            let filter = Arc::clone(&self.filter);
            return Box::new(async move { go_on(&filter, continuation, request).await });
        }
        match self.target(request.uri()) {
            Some(target) => Box::new(async move { ask(&target, request).await }),
            None => {
                let filter = &*self.filter;
                let host = request.uri().host().unwrap_or_default().escape_debug();
                tracing::warn!(
                    filter,
                    "filter `{filter}` sent a request to `{host}`, which is neither the host of the request that it got nor a callout that it is granted; to allow it, add `[callout.{host}]` and `callouts = [\"{host}\"]` to its `allow`"
                );
                Box::new(async { Err(Error::HttpRequestDenied) })
            }
        }
    }
}

impl Egress {
    /// The callout that a request names as its host, if it is granted.
    fn target(&self, uri: &Uri) -> Option<Arc<CalloutTarget>> {
        let name = uri.host()?;
        let granted = self.grants.callout(name);
        granted.then(|| self.services.callouts.find(name).cloned())?
    }
}

/// Hand the request to the chain, and wait for the response.
async fn go_on(
    filter: &str,
    continuation: Option<oneshot::Sender<Continuation>>,
    request: Request<WasiBody>,
) -> Answer {
    let Some(continuation) = continuation else {
        tracing::warn!(
            filter,
            "filter `{filter}` sent its request on a second time; an exchange goes on once"
        );
        return Err(Error::LoopDetected);
    };
    let (respond, response) = oneshot::channel();
    let sent = continuation.send(Continuation { request, respond });
    if sent.is_err() {
        return Err(Error::ConnectionTerminated);
    }
    let response = response.await.map_err(|_| Error::ConnectionTerminated)?;
    Ok((response, Box::new(async { Ok(()) })))
}

/// Ask a callout. Its answer is complete before the component gets it.
async fn ask(target: &Arc<CalloutTarget>, request: Request<WasiBody>) -> Answer {
    let (parts, body) = request.into_parts();
    let most = usize::try_from(target.settings.max_request).unwrap_or(usize::MAX);
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(|_| Error::HttpRequestBodySize(Some(target.settings.max_request)))?;
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let fields = parts.headers.iter().filter(|(name, _)| !is_reserved(name));
    let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
    let body = body.to_bytes().to_vec();
    let made = CalloutRequest::new(
        &target.settings,
        parts.method.as_str(),
        path,
        fields,
        body,
        None,
    );
    let made = made.map_err(|error| Error::InternalError(Some(error.to_string())))?;
    let pending = target.call(made, RequestDigest::of([]), false);
    if let Some(end) = pending.wait().map_err(|error| failed(&error))? {
        // The call ends with an outcome, or is dropped with its configuration.
        let _ = end.await;
    }
    let answer = match pending.outcome() {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => return Err(failed(error)),
        None => return Err(Error::ConnectionTerminated),
    };
    let body = Full::<Bytes>::new(answer.body.clone());
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = answer.status;
    *response.headers_mut() = HeaderMap::clone(&answer.headers);
    Ok((response, Box::new(async { Ok(()) })))
}

fn failed(error: &CalloutError) -> Error {
    match error {
        CalloutError::Busy => Error::ConnectionLimitReached,
        CalloutError::Timeout => Error::HttpResponseTimeout,
        CalloutError::Unreachable(_) => Error::DestinationUnavailable,
        CalloutError::TooLarge => Error::HttpResponseBodySize(None),
    }
}
