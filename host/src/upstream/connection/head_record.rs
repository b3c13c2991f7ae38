//! A record of the request head that was written, in case it must be sent again.
//!
//! hyper takes a head apart as it writes it. A clone of each head, for the rare request that is
//! repeated, would cost more than everything else that is done to it here. Keeping the bytes costs
//! almost nothing, and they are parsed only when they are needed.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use parking_lot::Mutex;

use crate::http::body::Body;

/// The most that is kept. A longer head is not repeated. Bytes.
const MAX_BYTES: usize = 32 * 1024;
/// The most fields of a head that is repeated.
const MAX_FIELDS: usize = 128;
/// A buffer that has grown beyond this is given back. Bytes.
const MAX_KEPT_BUFFER: usize = 2 * 1024;

/// The last head that was written to one connection. Shared by the connection and its I/O.
#[derive(Debug, Default)]
pub(super) struct HeadRecord {
    is_recording: AtomicBool,
    bytes: Mutex<Vec<u8>>,
}

impl HeadRecord {
    /// A request without a body begins: keep what is written from now on.
    pub(crate) fn begin(&self) {
        self.is_recording.store(true, Relaxed);
        let mut bytes = self.bytes.lock();
        bytes.clear();
        bytes.shrink_to(MAX_KEPT_BUFFER);
    }

    /// Something else begins: keep nothing.
    pub(crate) fn stop(&self) {
        self.is_recording.store(false, Relaxed);
    }

    /// Whether all that was written is kept.
    #[must_use]
    pub(crate) fn is_on(&self) -> bool {
        self.is_recording.load(Relaxed)
    }

    /// This was written, or would have been.
    pub(crate) fn append(&self, part: &[u8]) {
        if !self.is_recording.load(Relaxed) {
            return;
        }
        let mut bytes = self.bytes.lock();
        if bytes.len() + part.len() > MAX_BYTES {
            self.stop();
        } else {
            bytes.extend_from_slice(part);
        }
    }

    /// The request whose head was written, once more. None: not all of it was kept.
    #[must_use]
    pub(crate) fn parse_request(&self) -> Option<Request<Body>> {
        if !self.is_recording.load(Relaxed) {
            return None;
        }
        read(&self.bytes.lock())
    }
}

fn read(bytes: &[u8]) -> Option<Request<Body>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    if !head.parse(bytes).ok()?.is_complete() {
        return None;
    }
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::from(PathAndQuery::try_from(head.path?).ok()?);
    *request.headers_mut() = header_map(head.headers)?;
    Some(request)
}

/// The fields of a head that httparse has read.
pub(super) fn header_map(fields: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET /a?b HTTP/1.1\r\nhost: h\r\nx: 1\r\nx: \xfc\r\n\r\n";

    #[test]
    fn what_was_written_is_the_request_again() {
        let record = HeadRecord::default();
        record.append(b"before");
        record.begin();
        let (start, end) = HEAD.split_at(20);
        record.append(start);
        assert!(record.parse_request().is_none(), "half a head");
        record.append(end);
        let request = record.parse_request().unwrap();
        assert_eq!(
            (request.method(), request.uri()),
            (&Method::GET, &Uri::from_static("/a?b"))
        );
        assert_eq!(request.headers().get_all("x").iter().count(), 2);
        assert_eq!(request.headers().get("host").unwrap(), "h");
    }

    #[test]
    fn what_is_too_long_or_not_wanted_is_not_kept() {
        let record = HeadRecord::default();
        record.append(HEAD);
        assert!(record.parse_request().is_none());
        record.begin();
        record.append(&vec![b'x'; MAX_BYTES + 1]);
        record.append(HEAD);
        assert!(record.parse_request().is_none());
        record.begin();
        record.append(HEAD);
        record.stop();
        assert!(record.parse_request().is_none());
    }
}
