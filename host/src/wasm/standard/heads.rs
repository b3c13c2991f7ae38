//! The heads that a handler gives, checked as those of any filter.

use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

use crate::exchange::{MAX_FIELDS, MAX_HEAD};
use crate::wasm::failure::CallFailure;
use crate::wasm::host::parse_target;
use crate::wasm::reserved_fields::is_reserved;

/// A request that goes on.
pub(crate) struct RequestOfHandler {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    /// Without the fields that belong to the gateway.
    pub(crate) headers: HeaderMap,
    /// The length of the body, if the handler said it. Bytes.
    pub(crate) length: Option<u64>,
    pub(crate) body: WasiBody,
}

/// A response for the client.
pub(crate) struct ResponseOfHandler {
    pub(crate) status: StatusCode,
    /// Without the fields that belong to the gateway.
    pub(crate) headers: HeaderMap,
    /// The length of the body, if the handler said it. Bytes.
    pub(crate) length: Option<u64>,
    pub(crate) body: WasiBody,
}

impl RequestOfHandler {
    /// Check a request.
    ///
    /// # Errors
    ///
    /// It cannot be sent.
    pub(crate) fn of(request: Request<WasiBody>) -> Result<Self, CallFailure> {
        let (parts, body) = request.into_parts();
        if parts.method == Method::CONNECT {
            return Err(refused("the method CONNECT"));
        }
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let target =
            parse_target(target).ok_or_else(|| refused("a path that breaks the path rule"))?;
        let length = length(&parts.headers);
        Ok(Self {
            method: parts.method,
            target,
            headers: fields(parts.headers)?,
            length,
            body,
        })
    }
}

impl ResponseOfHandler {
    /// Check a response.
    ///
    /// # Errors
    ///
    /// It cannot be sent.
    pub(crate) fn of(response: Response<WasiBody>) -> Result<Self, CallFailure> {
        let (parts, body) = response.into_parts();
        if !(200..=599).contains(&parts.status.as_u16()) {
            return Err(refused("a status that is not in 200 to 599"));
        }
        let length = length(&parts.headers);
        Ok(Self {
            status: parts.status,
            headers: fields(parts.headers)?,
            length,
            body,
        })
    }
}

fn refused(what: &str) -> CallFailure {
    CallFailure::Verdict(format!("it has {what}"))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn fields(mut headers: HeaderMap) -> Result<HeaderMap, CallFailure> {
    let own = headers.keys().filter(|name| is_reserved(name));
    for name in own.cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    if headers.len() > MAX_FIELDS || sizes.sum::<usize>() > MAX_HEAD {
        let text = format!("a head of more than {MAX_HEAD} bytes or {MAX_FIELDS} fields");
        return Err(refused(&text));
    }
    Ok(headers)
}
