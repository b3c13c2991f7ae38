//! Whether a message declares a JSON body.

use windlass_plugin_sdk::{Request, Response};

/// How the body of a message can be read, according to its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// As JSON.
    Json,
    /// As JSON, after its `content-encoding` is decoded.
    Encoded,
    /// In another way, or the head does not say.
    Other,
}

/// The fields of a head that describe a body.
pub trait Head {
    /// Every value of a field.
    fn values(&self, name: &str) -> Vec<Vec<u8>>;
}

impl Head for Request {
    fn values(&self, name: &str) -> Vec<Vec<u8>> {
        self.header_all(name)
    }
}

impl Head for Response {
    fn values(&self, name: &str) -> Vec<Vec<u8>> {
        self.header_all(name)
    }
}

impl Content {
    /// Reads the head. If there are several types, one JSON type is enough, because a reader may
    /// choose it.
    pub fn of(head: &impl Head) -> Self {
        let types = head.values("content-type");
        if !types.iter().any(|value| is_json(value)) {
            return Self::Other;
        }
        let codings = head.values("content-encoding");
        let mut codings = codings
            .iter()
            .flat_map(|value| value.split(|&byte| byte == b','));
        let is_plain = |coding: &[u8]| {
            let coding = coding.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
        };
        if codings.all(is_plain) {
            Self::Json
        } else {
            Self::Encoded
        }
    }
}

/// Whether a request has a body, if its head decides that: by its length, or by a type, unless the
/// method does not use a body. This avoids waiting for a stream, which may take long to end.
pub fn brings_body(head: &impl Head, method: &str) -> Option<bool> {
    if let Some(length) = head.values("content-length").first() {
        return Some(length.iter().any(|byte| *byte != b'0'));
    }
    let has_type = !head.values("content-type").is_empty();
    let has_use = !matches!(method, "GET" | "HEAD" | "DELETE" | "OPTIONS" | "CONNECT");
    (has_type && has_use).then_some(true)
}

/// `application/json`, or a type that ends in `+json` (RFC 6839, section 3.1), with any parameters.
fn is_json(value: &[u8]) -> bool {
    let essence = value.split(|&byte| byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    essence == b"application/json" || (essence.ends_with(b"+json") && essence.contains(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(&'static [(&'static str, &'static str)]);

    impl Head for Fake {
        fn values(&self, name: &str) -> Vec<Vec<u8>> {
            let named = self.0.iter().filter(|(known, _)| *known == name);
            named.map(|(_, value)| value.as_bytes().to_vec()).collect()
        }
    }

    #[test]
    fn a_type_of_json_is_one_whatever_its_parameters() {
        for (value, is) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("application/vnd.a+JSON ;v=1", true),
            ("", false),
            ("json", false),
            ("+json", false),
            ("text/plain", false),
            ("text/plain; a=application/json", false),
            ("application/json-seq", false),
            ("application/x-ndjson", false),
        ] {
            assert_eq!(is_json(value.as_bytes()), is, "{value}");
        }
    }

    #[test]
    fn a_head_may_say_whether_a_body_follows() {
        for (fields, method, brings) in [
            (&[("content-length", "0")][..], "POST", Some(false)),
            (&[("content-length", "10")], "GET", Some(true)),
            (&[("content-type", "text/plain")], "POST", Some(true)),
            (&[("content-type", "text/plain")], "GET", None),
            (&[], "POST", None),
        ] {
            let head = Fake(fields.to_vec().leak());
            assert_eq!(brings_body(&head, method), brings, "{method} {fields:?}");
        }
    }

    #[test]
    fn one_type_of_json_among_several_is_enough() {
        let types = &[
            ("content-type", "text/plain"),
            ("content-type", "application/json"),
        ];
        assert_eq!(Content::of(&Fake(types)), Content::Json);
        assert_eq!(Content::of(&Fake(&[])), Content::Other);
    }

    #[test]
    fn a_coding_other_than_identity_hides_the_json() {
        for (coding, content) in [
            ("identity", Content::Json),
            ("", Content::Json),
            ("gzip", Content::Encoded),
            ("identity, br", Content::Encoded),
        ] {
            let fields = vec![
                ("content-type", "application/json"),
                ("content-encoding", coding),
            ];
            assert_eq!(Content::of(&Fake(fields.leak())), content, "{coding}");
        }
    }
}
