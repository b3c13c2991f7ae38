//! Reads `Transfer-Encoding`, of requests and of responses.
//!
//! Windlass decodes one coding, `chunked`, and forwards no other: framing belongs to each connection
//! (RFC 9112 sections 6.1 and 7). hyper looks only at the last member of the list, so this reads the
//! list again, for the few heads that have one. The callers decide how to answer.

use http::HeaderMap;
use http::header::TRANSFER_ENCODING;

use crate::http::headers::list_members;

/// The meaning of a head's `Transfer-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Exactly one `chunked`, and nothing else.
    Chunked,
    /// A well-formed list with a coding that Windlass does not decode.
    Unknown,
    /// An empty member, something that is no coding, or `chunked` elsewhere than once at the end.
    Malformed,
}

/// Read the field, with all of its lines.
#[must_use]
pub(crate) fn from_headers(headers: &HeaderMap) -> Coding {
    let mut is_last = false;
    let mut count = 0_usize;
    for member in list_members(headers, &TRANSFER_ENCODING) {
        if is_last || !is_coding(member) {
            return Coding::Malformed;
        }
        is_last = is_chunked(member);
        count += 1;
    }
    match (is_last, count) {
        (true, 1) => Coding::Chunked,
        (true, _) => Coding::Unknown,
        (false, _) => Coding::Malformed,
    }
}

fn is_chunked(member: &[u8]) -> bool {
    member.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// Whether this is the name of a coding, which parameters may follow. `chunked` has none.
fn is_coding(member: &[u8]) -> bool {
    let end = memchr::memchr(b';', member).unwrap_or(member.len());
    let (name, parameters) = member.split_at(end);
    let name = name.trim_ascii();
    let is_token = !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte));
    is_token && (parameters.is_empty() || !is_chunked(name))
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_chunked_is_chunked() {
        for (lines, expected) in [
            (&["chunked"][..], Coding::Chunked),
            (&["CHUNKED"], Coding::Chunked),
            (&["gzip, chunked"], Coding::Unknown),
            (&["gzip,chunked"], Coding::Unknown),
            (&["gzip", "chunked"], Coding::Unknown),
            (&["gzip;q=1 , chunked"], Coding::Unknown),
            (&["identity, chunked"], Coding::Unknown),
            (&["chunked, chunked"], Coding::Malformed),
            (&["chunked", "chunked"], Coding::Malformed),
            (&["chunked", "gzip"], Coding::Malformed),
            (&["gzip, chunked, gzip"], Coding::Malformed),
            (&["gzip"], Coding::Malformed),
            (&[",chunked"], Coding::Malformed),
            (&["chunked,"], Coding::Malformed),
            (&["gzip,,chunked"], Coding::Malformed),
            (&["", "chunked"], Coding::Malformed),
            (&[""], Coding::Malformed),
            (&["chunked;a=b"], Coding::Malformed),
            (&["g zip, chunked"], Coding::Malformed),
            (&["\"gzip\", chunked"], Coding::Malformed),
        ] {
            let values = lines.iter().map(|line| HeaderValue::from_static(line));
            let headers: HeaderMap = values.map(|value| (TRANSFER_ENCODING, value)).collect();
            assert_eq!(from_headers(&headers), expected, "{lines:?}");
        }
    }
}
