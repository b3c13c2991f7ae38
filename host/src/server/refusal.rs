//! Responses that the gateway writes itself, to heads that hyper could not read.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::error::{Code, ErrorDetails, ErrorFormat};
use crate::proxy::worker::next_id;
use crate::runtime::worker_shared::WorkerShared;

/// A whole response, ready for the socket, which closes after it. This counts it.
#[must_use]
pub(crate) fn encode(common: &WorkerShared, code: Code) -> Bytes {
    let id = next_id();
    let status = code.status();
    common.stats.refused(code);
    common.stats.answered(status);
    tracing::debug!(%code, %id, "a request's head could not be taken");
    let fault = ErrorDetails {
        status,
        code: code.as_str(),
        text: code.text(),
        members: None,
    };
    let (head, body) = ErrorFormat::default().answer(fault, HeaderMap::new(), &id);
    let kind = head.headers.get(CONTENT_TYPE);
    let text = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default(),
        body.len(),
    );
    let mut answer = text.into_bytes();
    answer.extend_from_slice(&body);
    answer.into()
}
