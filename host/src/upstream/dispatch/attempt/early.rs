//! Answers that come before the request's body has ended.
//!
//! An endpoint that answers so and closes its connection takes no more of the body, so that the client's
//! connection can carry no other request either, and its answer says so (RFC 9112 section 9.6).
//! Deliberately not here: bodies that the gateway itself gives up (`crate::http::client_body`).

use http::header::CONNECTION;
use http::{HeaderMap, Version};

use crate::http::watch::Watch;

/// A response's head came: note whether what is left of the request's body will not be read.
pub(super) fn note(watch: &Watch, version: Version, headers: &HeaderMap) {
    if watch.body_open() {
        watch.set_body_refused(closes(version, headers));
    }
}

/// Whether the endpoint closes its connection after this response (RFC 9112 section 9.3).
fn closes(version: Version, headers: &HeaderMap) -> bool {
    let has = |option: &str| {
        let lines = headers.get_all(CONNECTION).iter();
        let mut options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        options.any(|name| name.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    };
    match version {
        Version::HTTP_10 => !has("keep-alive"),
        Version::HTTP_11 => has("close"),
        _ => false,
    }
}
