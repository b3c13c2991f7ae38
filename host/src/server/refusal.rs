//! Answers that the gateway writes past hyper, to heads that hyper could not read.

use bytes::Bytes;

use crate::error::{self, Code, Style};
use crate::worker::Common;

/// A whole answer, ready for the socket, which is closed after it. It is counted here.
#[must_use]
pub fn raw(common: &Common, code: Code) -> Bytes {
    let id = common.ids.next();
    let status = code.status();
    common.stats.refused(code);
    common.stats.answered(status);
    tracing::debug!(%code, %id, "a request's head could not be taken");
    let (kind, body) = error::body(Style::Problem, status, code.as_str(), code.text(), &id);
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        kind.to_str().unwrap_or_default(),
        body.len(),
    );
    let mut answer = head.into_bytes();
    answer.extend_from_slice(&body);
    answer.into()
}
