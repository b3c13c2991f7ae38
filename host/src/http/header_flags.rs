//! Finds out which of the fields that matter to the gateway a head has.
//!
//! The head is read once when it has arrived, so that nothing later searches for a field that is
//! absent. [`headers`](crate::upstream::headers) acts on the flags.

use http::{HeaderMap, HeaderValue};

use crate::http::identity_fields;
use crate::http::identity_fields::FieldKind;

/// The bytes that HTTP/2 counts for each field beside its name and value.
const PER_FIELD: usize = 32;

/// Flags for the fields that matter here, found in one pass, since most heads have few of them, and one
/// look-up costs as much as a pass.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HeaderFlags {
    fields: u32,
    /// How many `Host` lines there are.
    pub(crate) hosts: u8,
    /// How large the head is, as HTTP/2 counts it (RFC 9113 section 10.5.1). Bytes.
    pub(crate) size: usize,
}

impl HeaderFlags {
    pub(crate) const CONNECTION: u32 = 1;
    pub(crate) const KEEP_ALIVE: u32 = 1 << 1;
    pub(crate) const PROXY_CONNECTION: u32 = 1 << 2;
    pub(crate) const TE: u32 = 1 << 3;
    pub(crate) const TRANSFER_ENCODING: u32 = 1 << 4;
    pub(crate) const UPGRADE: u32 = 1 << 5;
    pub(crate) const CONTENT_LENGTH: u32 = 1 << 6;
    pub(crate) const EXPECT: u32 = 1 << 7;
    pub(crate) const CLAIM: u32 = 1 << 8;
    pub(crate) const AMBIGUOUS: u32 = 1 << 9;
    pub(crate) const CONTENT_TYPE: u32 = 1 << 10;
    pub(crate) const COOKIE: u32 = 1 << 11;
    pub(crate) const PROXY_AUTH: u32 = 1 << 12;
    pub(crate) const VIA: u32 = 1 << 13;
    /// A value begins or ends with a space or a tab, which HTTP/1.1 removes.
    pub(crate) const PADDED: u32 = 1 << 14;
    /// The head has a `Connection` that names other fields.
    pub(crate) const NAMES_FIELDS: u32 = 1 << 15;
    /// `traceparent` or `tracestate`.
    pub(crate) const TRACE: u32 = 1 << 16;

    /// Read the head of a response: only for fields that [`strip`](super::headers::strip) removes.
    #[must_use]
    pub(crate) fn of_response(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            let field = Self::field(name.as_str()).unwrap_or_default();
            seen.set_flag(field, value);
        }
        seen
    }

    /// Read a request's head.
    #[must_use]
    pub(crate) fn of_request(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            seen.size += name.len() + value.len() + PER_FIELD;
            if is_padded(value.as_bytes()) {
                seen.fields |= Self::PADDED;
            }
            // HTTP/2 may split one `Cookie` into many fields (RFC 9113 section 8.2.3): count it as one.
            if seen.has(Self::COOKIE) && name == "cookie" {
                seen.size -= "cookie".len() + PER_FIELD - "; ".len();
            }
            if name == "host" {
                seen.hosts = seen.hosts.saturating_add(1);
                continue;
            }
            let field =
                Self::field(name).unwrap_or_else(|| match identity_fields::field_kind(name) {
                    FieldKind::Other => 0,
                    FieldKind::Identity => Self::CLAIM,
                    FieldKind::Ambiguous => Self::AMBIGUOUS,
                });
            seen.set_flag(field, value);
        }
        seen
    }

    fn set_flag(&mut self, field: u32, value: &HeaderValue) {
        self.fields |= field;
        if field == Self::CONNECTION && !is_connection_option(value.as_bytes()) {
            self.fields |= Self::NAMES_FIELDS;
        }
    }

    /// The field of this name, if it matters here. Most names end at their first letter.
    #[inline]
    fn field(name: &str) -> Option<u32> {
        let field = match name.as_bytes().first()? {
            b'c' => match name {
                "connection" => Self::CONNECTION,
                "content-length" => Self::CONTENT_LENGTH,
                "content-type" => Self::CONTENT_TYPE,
                "cookie" => Self::COOKIE,
                _ => return None,
            },
            b'e' if name == "expect" => Self::EXPECT,
            b'k' if name == "keep-alive" => Self::KEEP_ALIVE,
            b'p' => match name {
                "proxy-connection" => Self::PROXY_CONNECTION,
                "proxy-authorization" | "proxy-authenticate" | "proxy-authentication-info" => {
                    Self::PROXY_AUTH
                }
                _ => return None,
            },
            b't' => match name {
                "te" => Self::TE,
                "transfer-encoding" => Self::TRANSFER_ENCODING,
                "traceparent" | "tracestate" => Self::TRACE,
                _ => return None,
            },
            b'u' if name == "upgrade" => Self::UPGRADE,
            b'v' if name == "via" => Self::VIA,
            _ => return None,
        };
        Some(field)
    }

    pub(crate) fn has(self, field: u32) -> bool {
        self.fields & field != 0
    }
}

#[inline]
fn is_padded(value: &[u8]) -> bool {
    matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

/// Whether an option of `Connection` names no field.
pub(crate) fn is_connection_option(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
}
