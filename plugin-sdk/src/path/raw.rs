//! A parameter as the request spells it. Pure: no calls of the gateway.
//!
//! The gateway's path rule and `Request::raw_path_param` come before it; the paths, queries and
//! redirects that a filter builds come after it. Escapes stay escapes: `%2F` never becomes `/`. It
//! deliberately refuses nothing: the gateway refuses invalid paths.

use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::{COMPONENT, SEGMENT, SEGMENTS, decode_query};

/// A parameter's value as the request spells it, still percent-encoded.
///
/// Decoding a value and encoding it again can turn one path into another: `a%2Fb` is one segment,
/// `a/b` is two. So build paths from this type, and decode only to look at a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawParam {
    text: String,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Path,
    /// `+` is a space, and a `%` need not begin an escape.
    Query,
}

impl RawParam {
    /// A segment of a path, or several segments.
    #[must_use]
    pub fn of_path(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: Origin::Path,
        }
    }

    /// A value of a query.
    #[must_use]
    pub fn of_query(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: Origin::Query,
        }
    }

    /// The value, still percent-encoded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Percent-decoded; in a query `+` is a space.
    #[must_use]
    pub fn decode(&self) -> Vec<u8> {
        match self.origin {
            Origin::Path => percent_decode_str(&self.text).collect(),
            Origin::Query => decode_query(&self.text),
        }
    }

    /// Encoded as one path segment: slashes are escaped, and escapes stay.
    #[must_use]
    pub fn to_segment(&self) -> String {
        match self.origin {
            Origin::Path => self.text.replace('/', "%2F"),
            Origin::Query => respell(&self.text.replace('+', "%20"), SEGMENT),
        }
    }

    /// Encoded as several path segments: slashes stay, and escapes stay.
    #[must_use]
    pub fn to_segments(&self) -> String {
        match self.origin {
            Origin::Path => self.text.clone(),
            Origin::Query => respell(&self.text.replace('+', "%20"), SEGMENTS),
        }
    }

    /// Encoded as the value of a query parameter.
    #[must_use]
    pub fn to_query(&self) -> String {
        match self.origin {
            Origin::Path => respell(&self.text, COMPONENT),
            Origin::Query => self.text.clone(),
        }
    }
}

/// Escapes the characters of the set, and each `%` that does not begin an escape. Escapes stay.
fn respell(text: &str, set: &'static percent_encoding::AsciiSet) -> String {
    let mut pieces = text.split('%');
    let mut spelled = String::with_capacity(text.len());
    spelled.extend(utf8_percent_encode(pieces.next().unwrap_or_default(), set));
    for piece in pieces {
        let is_escape = matches!(piece.as_bytes(), [high, low, ..]
            if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
        spelled.push_str(if is_escape { "%" } else { "%25" });
        spelled.extend(utf8_percent_encode(piece, set));
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_of_a_path_stays_an_escape() {
        for text in ["a%2Fb", "a%3Bb", "a%2Bb", "%40%3A%26%3D", "%2E%2e", "%252F"] {
            let param = RawParam::of_path(text);
            assert_eq!(param.to_segment(), text);
            assert_eq!(param.to_segments(), text);
            assert_eq!(param.to_query(), text);
        }
    }

    #[test]
    fn a_raw_slash_is_kept_only_between_segments() {
        let param = RawParam::of_path("my%2Fproject/tags");
        assert_eq!(param.to_segments(), "my%2Fproject/tags");
        assert_eq!(param.to_segment(), "my%2Fproject%2Ftags");
        assert_eq!(param.to_query(), "my%2Fproject%2Ftags");
    }

    #[test]
    fn a_path_s_plus_is_a_plus_and_a_query_s_is_a_space() {
        assert_eq!(RawParam::of_path("a+b").to_query(), "a%2Bb");
        assert_eq!(RawParam::of_path("a+b").decode(), b"a+b");
        assert_eq!(RawParam::of_query("a+b").to_segment(), "a%20b");
        assert_eq!(RawParam::of_query("a+b%2B").to_query(), "a+b%2B");
        assert_eq!(RawParam::of_query("a+b%2B").decode(), b"a b+");
    }

    #[test]
    fn a_query_s_value_fits_into_a_path() {
        for (text, segment) in [
            ("a/b?c", "a%2Fb%3Fc"),
            ("a%2fb", "a%2fb"),
            ("a;b%3Bc", "a%3Bb%3Bc"),
            ("100%", "100%25"),
            ("%zz%4", "%25zz%254"),
            ("a%FF", "a%FF"),
            ("", ""),
        ] {
            assert_eq!(RawParam::of_query(text).to_segment(), segment);
        }
        assert_eq!(RawParam::of_query("a/b?c").to_segments(), "a/b%3Fc");
    }

    #[test]
    fn a_path_s_value_fits_into_a_query() {
        let param = RawParam::of_path("a&b=c;d#e");
        assert_eq!(param.to_query(), "a%26b%3Dc%3Bd%23e");
    }
}
